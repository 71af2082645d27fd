# SPDX-License-Identifier: Apache-2.0
"""Frames with their size in front."""

from amaranth import *
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out


__all__ = ["AxisBeat", "SizedBeat", "FrameSizer"]


#: A beat of AXI4-Stream.
AxisBeat = data.StructLayout({"data": 512, "keep": 64, "last": 1})

#: The same, and the bytes of the frame.
SizedBeat = data.StructLayout({"data": 512, "keep": 64, "last": 1, "size": 16})


class FrameSizer(wiring.Component):
    """Holds a frame until it is whole, since its first beat says how long it is.

    Throughput is a beat a cycle.

    Parameters
    ----------
    depth : int
        Beats held; no frame may be longer.

    Members
    -------
    i : :py:`In(stream.Signature(AxisBeat))`
        ``keep`` is all ones, or in the last beat ones from bit 0 on.
    o : :py:`Out(stream.Signature(SizedBeat))`
        ``size`` is the same in all beats of a frame.
    """

    def __init__(self, depth=256):
        self.depth = depth
        super().__init__({"i": In(stream.Signature(AxisBeat)),
                          "o": Out(stream.Signature(SizedBeat))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.beats = beats = fifo.SyncFIFOBuffered(width=AxisBeat.size, depth=self.depth)
        # Never fuller than `beats`.
        m.submodules.sizes = sizes = fifo.SyncFIFOBuffered(width=16, depth=self.depth)
        before = Signal(16)  # bytes of the frame in earlier beats
        edges = self.i.p.keep & ~(self.i.p.keep >> 1)  # the highest one
        count = Signal(7)
        for bit in range(len(count)):
            m.d.comb += count[bit].eq(Cat(
                edge for n, edge in enumerate(edges) if n + 1 >> bit & 1).any())
        taken = self.i.valid & self.i.ready
        able = beats.r_rdy & sizes.r_rdy
        m.d.comb += [
            self.i.ready.eq(beats.w_rdy & sizes.w_rdy),
            beats.w_data.eq(self.i.payload), beats.w_en.eq(taken),
            sizes.w_data.eq(before + count), sizes.w_en.eq(taken & self.i.p.last),
            self.o.valid.eq(able), self.o.payload.eq(Cat(beats.r_data, sizes.r_data)),
            beats.r_en.eq(able & self.o.ready),
            sizes.r_en.eq(able & self.o.ready & self.o.p.last),
        ]
        with m.If(taken):
            m.d.sync += before.eq(Mux(self.i.p.last, 0, before + count))
        return m
