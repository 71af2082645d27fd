# SPDX-License-Identifier: Apache-2.0
"""Frames as they come: beats numbered, headers gathered, ends told."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .headers import ETHERNET, IPV4, MAX_FRAME
from .icrc import Covered
from .layout import Frame, field


__all__ = ["HEADER", "FrameEnd", "Intake"]


#: Bytes that are gathered from the start of each frame.
HEADER = 64


def FrameEnd(width):
    """A frame is over: ``length`` in bytes, ``beats`` in the buffer, none if ``absent``."""
    return data.StructLayout({
        "length": range(MAX_FRAME + width // 8 + 1), "beats": range(MAX_FRAME // (width // 8) + 1),
        "error": 1, "long": 1, "overflow": 1, "absent": 1})


class Intake(wiring.Component):
    """Takes beats as long as there is room, and says where each belongs.

    Everything but ``i.ready`` comes a cycle behind the beat; the header a cycle later. A frame
    that is too long is taken to its end, but not written on.

    Parameters
    ----------
    width : int
        Bits of a beat.

    Members
    -------
    i : :py:`In(stream.Signature(Frame(width)))`
    lossy : :py:`In(1)`
        A beat without room is lost, and with it the frame, instead of waiting.
    room : :py:`In(1)`
        A frame may begin, a beat may be written. May come late: three beats and two frames.
    accept, begin : :py:`Out(1)`
        Strobe: a beat is taken in this cycle that will be written; it is a frame's first.
    write, data : :py:`Out(...)`
        A beat for the buffer.
    covered_valid, covered : :py:`Out(...)`
        A beat with bytes of an IPv4 packet, for the CRC.
    end_valid, end : :py:`Out(...)`
    header_valid, header : :py:`Out(...)`
        The first bytes of the frame, valid in this cycle alone. What lies behind a shorter
        frame's end is not defined.
    """

    def __init__(self, width):
        self.width = width
        super().__init__({
            "i": In(stream.Signature(Frame(width))), "lossy": In(1), "room": In(1),
            "accept": Out(1), "begin": Out(1),
            "write": Out(1), "data": Out(width),
            "covered_valid": Out(1), "covered": Out(Covered(width)),
            "end_valid": Out(1), "end": Out(FrameEnd(width)),
            "header_valid": Out(1), "header": Out(8 * HEADER),
        })

    def elaborate(self, platform):
        m = Module()
        size, most = self.width // 8, MAX_FRAME // (self.width // 8)
        i, end = self.i.p, self.end
        taken, first = Signal(), Signal(init=1)
        index, here = Signal(range(most + 1)), Signal(range(most + 1))
        stopped = Signal(FrameEnd(self.width))  # flags so far
        flags = Signal(FrameEnd(self.width))
        m.d.comb += [
            self.i.ready.eq(self.lossy | self.room),
            taken.eq(self.i.valid & self.i.ready),
            here.eq(Mux(first, 0, index)),
            flags.error.eq(i.error | (stopped.error & ~first)),
            flags.long.eq(((here == most) & (i.count != 0)) | (stopped.long & ~first)),
            flags.absent.eq(Mux(first, ~self.room, stopped.absent)),
            flags.overflow.eq(~self.room | (stopped.overflow & ~first)),
            flags.length.eq(here * size + i.count),
            self.accept.eq(taken & ~flags.overflow & (here != most)),
            self.begin.eq(taken & first & ~flags.absent),
            flags.beats.eq(Mux(first, 0, stopped.beats) + self.accept),
        ]
        m.d.sync += [self.write.eq(self.accept), self.end_valid.eq(taken & i.last)]
        beat = Signal(range(most + 1))
        valid, started = Signal(), Signal()
        m.d.sync += [valid.eq(taken), started.eq(taken & first)]
        with m.If(taken):
            m.d.sync += [
                self.data.eq(i.data), end.eq(flags), stopped.eq(flags), first.eq(i.last),
                index.eq(Mux(here == most, most, here + 1)), beat.eq(here),
            ]
        self.cover(m, valid, started, beat, here)
        self.gather(m, valid, beat)
        return m

    def cover(self, m, valid, started, beat, here):
        """How much of each beat belongs to the IPv4 packet, by its length field.

        All comparisons are with constants, and made before it is known which one counts.
        """
        size = self.width // 8
        known = (ETHERNET.size + 2) // size  # the beat in which the length is
        offset = ETHERNET.size - known * size  # from there to the packet
        before, at = Signal(), Signal()
        m.d.sync += [before.eq(here < known), at.eq(here == known)]
        length = field(self.data, IPV4, "length", offset)
        # Bytes from this beat on; whether it is covered at all, whether the next one is, too.
        left, some, more = Signal(17), Signal(), Signal()
        covered, over = Signal(), Signal()
        m.d.comb += [
            covered.eq(before | Mux(at, length + offset > 0, some)),
            over.eq(before | Mux(at, length > size - offset, more)),
        ]
        with m.If(valid):
            m.d.sync += [
                left.eq(Mux(at, length + (offset - size), left - size)), some.eq(over),
                more.eq(over & Mux(at, length > 2 * size - offset, left > 2 * size)),
            ]
        m.d.sync += [
            self.covered_valid.eq(valid & covered),
            self.covered.data.eq(self.data), self.covered.first.eq(started),
            self.covered.index.eq(Mux(beat > 7, 7, beat)),
            self.covered.count.eq(Mux(over, size, Mux(at, (length + offset)[:len(left)], left))),
        ]

    def gather(self, m, valid, beat):
        """The header, a beat at a time."""
        beats = 8 * HEADER // self.width
        for n in range(beats):
            with m.If(valid & (beat == n)):
                m.d.sync += self.header.word_select(n, self.width).eq(self.data)
        m.d.sync += self.header_valid.eq(
            valid & ((beat == beats - 1) | (self.end_valid & (beat < beats))))
