# SPDX-License-Identifier: Apache-2.0
"""Payload words to single bytes."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.layout import PayloadWord


__all__ = ["ByteReader"]


class ByteReader(wiring.Component):
    """Bytes of a payload, one a cycle, with skipping at eight bytes a cycle.

    After the last byte ``ended`` is high and nothing is taken from ``i`` until ``next`` is
    strobed. ``i.ready`` depends combinationally on ``o.ready``.

    Members
    -------
    i : :py:`In(stream.Signature(PayloadWord))`
        Payload, eight bytes a beat.
    o : :py:`Out(stream.Signature(8))`
        Its bytes. Invalid while bytes are being skipped.
    skip : :py:`In(stream.Signature(16))`
        Number of bytes to skip, counted from the byte now at ``o``.
    drain : :py:`In(1)`
        While high, bytes are thrown away until the payload has ended.
    ended : :py:`Out(1)`
        All bytes of the payload have been taken.
    next : :py:`In(1)`
        Strobe: go on with the next payload.
    """

    i: In(stream.Signature(PayloadWord))
    o: Out(stream.Signature(8))
    skip: In(stream.Signature(16))
    drain: In(1)
    ended: Out(1)
    next: In(1)

    def elaborate(self, platform):
        m = Module()

        word = Signal(64)
        left, any_left = Signal(4), Signal()          # bytes of it; there are some
        last = Signal()
        skipping, any_skipping = Signal(16), Signal()  # bytes to skip; there are some
        next_left, next_skipping = Signal.like(left), Signal.like(skipping)
        m.d.comb += [next_left.eq(left), next_skipping.eq(skipping)]
        m.d.sync += [
            left.eq(next_left), any_left.eq(next_left != 0),
            skipping.eq(next_skipping), any_skipping.eq(next_skipping != 0),
        ]

        whole = Signal()   # the rest of the word goes at once
        single = Signal()  # one byte goes
        m.d.comb += [
            self.skip.ready.eq(~any_skipping),
            self.o.payload.eq(word[:8]),
            self.o.valid.eq(any_left & ~any_skipping & ~self.drain),
            whole.eq(self.drain | ((skipping >= left) & any_skipping)),
            single.eq(any_left & (any_skipping | self.o.ready)),
            self.ended.eq(last & ~any_left),
            self.i.ready.eq(~last & (~any_left | whole | (single & (left == 1)))),
        ]

        with m.If(self.skip.valid & self.skip.ready):
            m.d.comb += next_skipping.eq(self.skip.payload)
        with m.If(whole):
            m.d.comb += [next_skipping.eq(Mux(self.drain, 0, skipping - left)), next_left.eq(0)]
        with m.Elif(single):
            m.d.sync += word.eq(word >> 8)
            m.d.comb += next_left.eq(left - 1)
            with m.If(any_skipping):
                m.d.comb += next_skipping.eq(skipping - 1)
        with m.If(self.ended):
            # What is still to be skipped lies beyond the end.
            m.d.comb += next_skipping.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [word.eq(self.i.p.data), last.eq(self.i.p.last)]
            m.d.comb += next_left.eq(Mux(self.i.p.last, self.i.p.count, 8))
        with m.If(self.next):
            m.d.sync += last.eq(0)
            m.d.comb += next_skipping.eq(0)

        return m
