# SPDX-License-Identifier: Apache-2.0
"""Payloads from beats of memory."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .layout import PayloadWord


__all__ = ["Unpacker"]


class Unpacker(wiring.Component):
    """Cuts beats of memory into payload words, 1 word per cycle.

    Parameters
    ----------
    port : int
        Bits of a beat, a power of two from 64 on.

    Members
    -------
    start, length : :py:`In(...)`
        Strobe while ``idle``: a payload of so many bytes begins.
    stop : :py:`In(1)`
        While high, the payload is over, whatever was left of it.
    idle : :py:`Out(1)`
        The previous payload is over.
    i : :py:`In(stream.Signature(port))`
    o : :py:`Out(stream.Signature(PayloadWord))`
        An empty payload is one word of no bytes.
    """

    def __init__(self, port=512):
        self.port = port
        super().__init__({
            "start": In(1), "length": In(32), "stop": In(1), "idle": Out(1),
            "i": In(stream.Signature(port)), "o": Out(stream.Signature(PayloadWord)),
        })

    def elaborate(self, platform):
        m = Module()
        active, left, index = Signal(), Signal(32), Signal(exact_log2(self.port // 64))
        final, taken = Signal(), Signal()
        words = Array(self.i.payload.word_select(n, 64) for n in range(self.port // 64))
        m.d.comb += [
            final.eq(left <= 8), self.idle.eq(~active),
            self.o.valid.eq(active & (self.i.valid | (left == 0))),
            self.o.p.data.eq(words[index]),
            self.o.p.count.eq(Mux(final, left, 8)),
            self.o.p.last.eq(final),
            taken.eq(self.o.valid & self.o.ready),
            self.i.ready.eq(taken & (left != 0) & (final | (index == self.port // 64 - 1))),
        ]
        with m.If(taken):
            m.d.sync += [left.eq(left - 8), index.eq(index + 1)]
            with m.If(final):
                m.d.sync += active.eq(0)
        with m.If(self.stop):
            m.d.sync += active.eq(0)
        with m.If(self.start):
            m.d.sync += [active.eq(1), left.eq(self.length), index.eq(0)]
        return m
