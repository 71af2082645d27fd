# SPDX-License-Identifier: Apache-2.0
"""A queue of whole frames between two clocks."""

from amaranth import *
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ..wire.layout import Frame


__all__ = ["FrameFifo"]


class FrameFifo(wiring.Component):
    """Holds a frame until it is whole, so that it comes out without a pause.

    Throughput is a beat a cycle of the slower clock, but at least a cycle lies between beats that
    go in and come out. A frame longer than ``longest`` is cut there and gets ``error``.

    Parameters
    ----------
    i_domain, o_domain : str
        Clock domains. Resetting the first empties it.
    depth : int
        Beats held, a power of two.
    longest : int
        Beats of a frame, no more than ``depth``.
    frames : int
        Frames held, a power of two.

    Members
    -------
    i : :py:`In(stream.Signature(Frame(64)))`
    o : :py:`Out(stream.Signature(Frame(64)))`
        ``valid`` stays set from the first beat of a frame to its last.
    """

    def __init__(self, i_domain, o_domain, *, depth=512, longest=190, frames=16):
        if longest not in range(2, depth + 1):
            raise ValueError(f"Longest must be within range(2, {depth + 1}), not {longest!r}")
        self.i_domain, self.o_domain = i_domain, o_domain
        self.depth, self.longest, self.frames = depth, longest, frames
        super().__init__({"i": In(stream.Signature(Frame(64))),
                          "o": Out(stream.Signature(Frame(64)))})

    def elaborate(self, platform):
        m = Module()
        domains = dict(w_domain=self.i_domain, r_domain=self.o_domain)
        width = Shape.cast(Frame(64)).width
        m.submodules.beats = beats = fifo.AsyncFIFOBuffered(
            width=width, depth=self.depth + 1, exact_depth=True, **domains)
        m.submodules.whole = whole = fifo.AsyncFIFOBuffered(
            width=1, depth=self.frames + 1, exact_depth=True, **domains)
        written = Signal(range(self.longest))   # beats of the frame
        skip, ended, into = Signal(), Signal(), Signal(Frame(64))
        cut = (written == self.longest - 1) & ~self.i.p.last
        taken = self.i.valid & self.i.ready
        m.d.comb += [
            into.eq(self.i.payload),
            self.i.ready.eq(skip | (beats.w_rdy & ~ended)),
            beats.w_data.eq(into), beats.w_en.eq(self.i.valid & ~skip & ~ended),
            # A cycle behind the last beat, which so is never the later one to be seen.
            whole.w_en.eq(ended),
        ]
        with m.If(cut):
            m.d.comb += [into.last.eq(1), into.error.eq(1)]
        move = m.d[self.i_domain]
        with m.If(whole.w_rdy):
            move += ended.eq(0)
        with m.If(taken):
            with m.If(~skip):
                move += [written.eq(Mux(into.last, 0, written + 1)), ended.eq(into.last)]
            move += skip.eq((skip | cut) & ~self.i.p.last)

        able = beats.r_rdy & whole.r_rdy
        m.d.comb += [
            self.o.payload.eq(beats.r_data), self.o.valid.eq(able),
            beats.r_en.eq(able & self.o.ready),
            whole.r_en.eq(able & self.o.ready & self.o.p.last),
        ]
        return m
