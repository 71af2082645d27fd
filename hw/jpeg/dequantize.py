# SPDX-License-Identifier: Apache-2.0
"""Symbols to dequantised coefficients."""

from amaranth import *
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from .entropy import Token
from .markers import QuantiserWrite


__all__ = ["ZIGZAG", "Coefficient", "Dequantizer"]


#: Row-major index of the coefficient at each zig-zag position (ITU-T T.81, figure A.6).
ZIGZAG = sorted(range(64), key=lambda n: (
    n // 8 + n % 8, n // 8 if (n // 8 + n % 8) % 2 else n % 8))


def Coefficient(contexts):
    """A step in filling a block: the ``first`` one clears it, the one with ``end`` completes it;
    with ``write``, ``value`` goes to ``row`` and ``column``."""
    return data.StructLayout({
        "context": range(contexts), "write": 1, "first": 1, "end": 1,
        "column": 3, "row": 3, "value": signed(13),
    })


class Dequantizer(wiring.Component):
    """Magnitude bits, DC prediction and quantiser of each symbol (ITU-T T.81, F.2.1 and F.2.2).

    Throughput is one symbol a cycle, latency 5 cycles, without back-pressure.

    Members
    -------
    i, i_valid
        Symbols, see :func:`Token`.
    select : :py:`In(ArrayLayout(2, 3)).array(contexts)`
        Number of the quantisation table of each component.
    quantiser, quantiser_valid
        Fills the tables.
    o, o_valid
        Coefficients, see :func:`Coefficient`.
    overflow : :py:`Out(contexts)`
        Strobe: a value is outside the range of real images, so the block is wrong.
    """

    def __init__(self, contexts):
        self.contexts = contexts
        super().__init__({
            "i": In(Token(contexts)), "i_valid": In(1),
            "select": In(data.ArrayLayout(2, 3)).array(contexts),
            "quantiser": In(QuantiserWrite(contexts)), "quantiser_valid": In(1),
            "o": Out(Coefficient(contexts)), "o_valid": Out(1),
            "overflow": Out(contexts),
        })

    def elaborate(self, platform):
        m = Module()

        quantisers = memory.Memory(shape=8, depth=self.contexts * 256, init=[])
        m.submodules.quantisers = quantisers
        write, read = quantisers.write_port(), quantisers.read_port()
        q = self.quantiser
        table = Signal(2)
        for c in range(self.contexts):
            with m.If(self.i.context == c):
                m.d.comb += table.eq(self.select[c][self.i.component])
        m.d.comb += [
            write.addr.eq(Cat(q.index, q.table, q.context)),
            write.data.eq(q.value),
            write.en.eq(self.quantiser_valid),
            read.addr.eq(Cat(self.i.position, table, self.i.context)),
        ]

        def stage(valid, token):
            valid_next, token_next = Signal(), Signal.like(token)
            m.d.sync += [valid_next.eq(valid), token_next.eq(token)]
            return valid_next, token_next

        # 1: the bits behind the code
        valid, token = stage(self.i_valid, self.i)
        bits = Signal(11)
        m.d.sync += bits.eq((self.i.window << self.i.length)[9:20])

        # 2: their value; a leading zero means a negative one
        token_1 = token
        valid, token = stage(valid, token)
        value = Signal(signed(13))
        factor = Signal(8)
        negative = (token_1.size != 0) & ~bits[10]
        m.d.sync += [
            value.eq((bits >> (11 - token_1.size)[:4])
                     - Mux(negative, (1 << token_1.size) - 1, 0)),
            factor.eq(read.data),
        ]

        # 3: DC prediction
        predictions = Array(Signal(signed(16), name=f"prediction_{n}")
                            for n in range(4 * self.contexts))
        prediction = predictions[Cat(token.component, token.context)]
        total = Signal(signed(18))
        m.d.comb += total.eq(
            value + Mux(token.dc & ~token.reset, prediction, C(0, signed(16))))
        with m.If(valid & token.dc):
            m.d.sync += prediction.eq(total)
        valid_3, token_3 = stage(valid, token)
        value_3, factor_3, wrong_3 = Signal(signed(16)), Signal(8), Signal()
        m.d.sync += [
            value_3.eq(total), factor_3.eq(factor),
            wrong_3.eq(total != total[:16].as_signed()),
        ]

        # 4: product
        valid_4, token_4 = stage(valid_3, token_3)
        product, wrong_4 = Signal(signed(25)), Signal()
        m.d.sync += [product.eq(value_3 * factor_3), wrong_4.eq(wrong_3)]

        # 5: place
        zigzag = Array(C(n, 6) for n in ZIGZAG)
        place = Signal(6)
        m.d.comb += place.eq(zigzag[token_4.position])
        wrong = valid_4 & token_4.coefficient & (
            wrong_4 | (product != product[:13].as_signed()))
        m.d.sync += [
            self.o_valid.eq(valid_4),
            self.o.context.eq(token_4.context),
            self.o.write.eq(token_4.coefficient),
            self.o.first.eq(token_4.dc),
            self.o.end.eq(token_4.end),
            self.o.column.eq(place[:3]), self.o.row.eq(place[3:]),
            self.o.value.eq(product),
            self.overflow.eq(wrong << token_4.context),
        ]
        return m
