# SPDX-License-Identifier: Apache-2.0
"""Exact coefficients of Pillow's filters, in integers."""

from amaranth import *
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from .divider import Divider
from .layout import PRECISION
from .taps import Taps


__all__ = ["Coefficients"]


class Coefficients(wiring.Component):
    """Coefficients of every tap of consecutive outputs, equal to Pillow's.

    The weight of a tap is a polynomial in its distance (see :func:`.model.window`); a coefficient
    is ``round(weight * 2**22 / sum of weights)``, half away from zero. While the taps of an output
    wait for their sum, those of the next follow.

    Throughput is 1 tap per cycle, without gaps between outputs, nor between commands of more than
    a few taps. Once a command is accepted its taps come and cannot be stalled.

    Parameters
    ----------
    geometry : Geometry
        ``max_taps`` bounds the taps of one output.

    Members
    -------
    i : :py:`In(stream.Signature(geometry.command))`
        Outputs wanted.
    o : :py:`Out(StructLayout(...))`, ``o_valid``
        ``k``, the coefficient in ``2 ** -22`` units; ``x``, the source index; ``first`` and
        ``last`` of the output; ``end`` of the command; ``tie``: Pillow might round it otherwise.
    """

    def __init__(self, geometry):
        self.geometry = g = geometry
        d = 2 * g.max_side
        #: Bits of a weight, and of a sum of them; less than half of the taps are above zero by
        #: more than one, and they outweigh the others.
        self.weight = len(Const(2 * d ** 3))
        self.total = len(Const(2 * d ** 3 * (g.max_taps // 2 + 1)))
        super().__init__({
            "i": In(stream.Signature(g.command)),
            "o": Out(data.StructLayout({
                "k": signed(PRECISION + 2), "x": g.side,
                "first": 1, "last": 1, "end": 1, "tie": 1,
            })),
            "o_valid": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.taps = taps = Taps(self.geometry)
        wiring.connect(m, wiring.flipped(self.i), taps.i)

        tag = data.StructLayout({"x": self.geometry.side, "first": 1, "last": 1, "end": 1,
                                 "coarse": self.geometry.coarse})
        weighed = data.StructLayout({"tag": tag, "negative": 1, "weight": self.weight})
        valid, item = self._weigh(m, taps.o, taps.o_valid, weighed)

        # Weights wait for their sum.
        depth = 1 << (self.geometry.max_taps + 8 - 1).bit_length()
        m.submodules.weights = weights = fifo.SyncFIFOBuffered(width=weighed.size, depth=depth)
        m.submodules.totals = totals = fifo.SyncFIFOBuffered(width=self.total, depth=depth)
        total = Signal(self.total)
        signed_weight = Signal(signed(self.weight + 1))
        valid_1 = Signal()
        first_1, last_1, last_2 = Signal(), Signal(), Signal()
        m.d.comb += [weights.w_en.eq(valid), weights.w_data.eq(item)]
        m.d.sync += [
            signed_weight.eq(Mux(item.negative, -item.weight, item.weight)),
            valid_1.eq(valid), first_1.eq(item.tag.first), last_1.eq(item.tag.last),
            last_2.eq(last_1 & valid_1),
        ]
        with m.If(valid_1):
            m.d.sync += total.eq(Mux(first_1, 0, total) + signed_weight)
        m.d.comb += [totals.w_en.eq(last_2), totals.w_data.eq(total)]

        m.submodules.divider = divider = Divider(self.total)
        head = Signal(weighed)
        ready = Signal()
        step = C(1, 1)      # weights of an output were gathered, but leave no faster than they came
        if self.geometry.pace == 2:
            step = Signal()
            m.d.sync += step.eq(~ready)
        m.d.comb += [
            head.eq(weights.r_data),
            ready.eq(weights.r_rdy & totals.r_rdy & step),
            weights.r_en.eq(ready),
            totals.r_en.eq(ready & head.tag.last),
        ]
        m.d.sync += [divider.numerator.eq(head.weight), divider.denominator.eq(totals.r_data)]

        # What goes along with the division.
        side = data.StructLayout({"tag": tag, "negative": 1, "valid": 1})
        delayed = Signal(side)
        m.d.sync += delayed.eq(Cat(head.tag, head.negative, ready))
        for n in range(Divider.LATENCY):
            following = Signal(side, name=f"side_{n}")
            m.d.sync += following.eq(delayed)
            delayed = following
        m.d.sync += [
            self.o_valid.eq(delayed.valid),
            self.o.k.eq(Mux(delayed.negative, -divider.quotient, divider.quotient)),
            self.o.tie.eq(Mux(delayed.tag.coarse, divider.coarse_tie, divider.tie)),
            self.o.x.eq(delayed.tag.x), self.o.first.eq(delayed.tag.first),
            self.o.last.eq(delayed.tag.last), self.o.end.eq(delayed.tag.end),
        ]
        return m

    def _weigh(self, m, taps, taps_valid, layout):
        """The polynomial, as ``u * q`` with ``u = d - t``."""
        g = self.geometry
        side = g.side
        # 1: the distance
        distance = Signal(side + 2)
        d, bicubic = Signal(side + 1), Signal()
        # 2: u and the factors of q; `inner`: t < d
        u = Signal(signed(side + 3))
        far, factor = Signal(side + 2), Signal(side + 2)
        d_2, bicubic_2, inner = Signal(side + 1), Signal(), Signal()
        # 3: products
        wide, square = Signal(2 * side + 4), Signal(2 * side + 4)
        u_3, bicubic_3, inner_3 = Signal.like(u), Signal(), Signal()
        # 4: q, 5: the product, 6: its sign aside
        q, u_4 = Signal(2 * side + 4), Signal(side + 2)
        negative_4, negative_5 = Signal(), Signal()
        product = Signal(self.weight)
        m.d.sync += [
            distance.eq(abs(taps.t)), d.eq(taps.d), bicubic.eq(taps.bicubic),

            u.eq(d - distance), far.eq(d + distance),
            factor.eq(Mux(distance < d, distance, (d << 1) - distance)),
            inner.eq(distance < d), d_2.eq(d), bicubic_2.eq(bicubic),

            wide.eq(d_2 * far), square.eq(factor * factor),
            u_3.eq(u), inner_3.eq(inner), bicubic_3.eq(bicubic_2),

            q.eq(Mux(~bicubic_3, 1, Mux(inner_3, (wide << 1) - square - (square << 1), square))),
            u_4.eq(abs(u_3)), negative_4.eq(u_3 < 0),

            product.eq(u_4 * q), negative_5.eq(negative_4),
        ]
        # The rest goes along.
        tag = Signal(layout.members["tag"])
        valid = Signal()
        m.d.comb += [
            tag.eq(Cat(taps.x, taps.first, taps.last, taps.end, taps.coarse)),
            valid.eq(taps_valid),
        ]
        for n in range(5):
            next_tag, next_valid = Signal.like(tag, name=f"tag_{n}"), Signal(name=f"valid_{n}")
            m.d.sync += [next_tag.eq(tag), next_valid.eq(valid)]
            tag, valid = next_tag, next_valid
        item = Signal(layout)
        m.d.comb += item.eq(Cat(tag, negative_5, product))
        return valid, item
