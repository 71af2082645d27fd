# SPDX-License-Identifier: Apache-2.0
"""Entropy-coded bytes to chunks of bits."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out


__all__ = ["Chunk", "FILL", "Unstuffer"]


#: Two bytes of coded data, the first in the high bits; if ``half``, only the first is there.
Chunk = data.StructLayout({"bits": 16, "half": 1})

#: In place of a marker's code, which this never is: fill bytes that no marker follows.
FILL = 0xff


class Unstuffer(wiring.Component):
    """Removes byte stuffing and stops at markers (ITU-T T.81, B.1.1.5 and F.1.2.3).

    FF 00 becomes FF, fill bytes FF before a marker vanish. At a marker, or at the end of the
    payload, the unstuffer stops, after a ``half`` chunk if the bytes so far were odd, until
    ``resume`` is strobed. So it does at FF FF 00, of which decoders make different things.
    Throughput is one byte a cycle.

    Members
    -------
    enable : :py:`In(1)`
        Bytes are taken only while this is high; while it is low the state is cleared.
    i : :py:`In(stream.Signature(8))`
        Bytes of the scan.
    ended : :py:`In(1)`
        The payload has no more bytes.
    o : :py:`Out(stream.Signature(Chunk))`
        Coded data. Only the last chunk before a stop is ``half``.
    stopped : :py:`Out(1)`
        At a marker or at the end; the last chunk may still wait at ``o``.
    marker : :py:`Out(8)`
        Code of the marker, 0 at the end of the payload, or ``FILL``. Valid while ``stopped``.
    resume : :py:`In(1)`
        Strobe: go on behind it.
    """

    enable: In(1)
    i: In(stream.Signature(8))
    ended: In(1)
    o: Out(stream.Signature(Chunk))
    stopped: Out(1)
    marker: Out(8)
    resume: In(1)

    def elaborate(self, platform):
        m = Module()

        escape, fill = Signal(), Signal()  # behind an FF; behind more than one
        high = Signal(8)
        odd = Signal()
        # A chunk takes two bytes: that in which it leaves need not be the second.
        free = Signal()
        m.d.comb += [
            free.eq(~self.o.valid | ~odd),
            self.i.ready.eq(self.enable & ~self.stopped & free),
        ]

        append = Signal()
        byte = Signal(8)
        stop = Signal()
        code = Signal(8)
        m.d.comb += byte.eq(self.i.payload)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                escape.eq(self.i.payload == 0xff), fill.eq(escape & (self.i.payload == 0xff)),
            ]
            with m.If(~escape):
                m.d.comb += append.eq(self.i.payload != 0xff)
            with m.Elif(self.i.payload == 0x00):
                m.d.comb += [append.eq(~fill), byte.eq(0xff), stop.eq(fill), code.eq(FILL)]
            with m.Elif(self.i.payload != 0xff):
                m.d.comb += [stop.eq(1), code.eq(self.i.payload)]
        with m.Elif(self.enable & self.ended & ~self.stopped & free):
            m.d.comb += stop.eq(1)

        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(append):
            m.d.sync += odd.eq(~odd)
            with m.If(odd):
                m.d.sync += [
                    self.o.valid.eq(1),
                    self.o.p.bits.eq(Cat(byte, high)),
                    self.o.p.half.eq(0),
                ]
            with m.Else():
                m.d.sync += high.eq(byte)
        with m.If(stop):
            m.d.sync += [self.stopped.eq(1), self.marker.eq(code), odd.eq(0), escape.eq(0)]
            with m.If(odd):
                m.d.sync += [
                    self.o.valid.eq(1),
                    self.o.p.bits.eq(Cat(C(0, 8), high)),
                    self.o.p.half.eq(1),
                ]
        with m.If(self.resume):
            m.d.sync += self.stopped.eq(0)
        with m.If(~self.enable):
            m.d.sync += [
                self.stopped.eq(0), self.o.valid.eq(0), odd.eq(0), escape.eq(0),
            ]

        return m
