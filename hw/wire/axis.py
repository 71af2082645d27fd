# SPDX-License-Identifier: Apache-2.0
"""Frames as AXI4-Stream, as MACs and shells have them."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.layout import Beat
from .layout import Frame


__all__ = ["FromAxi", "ToAxi"]


class FromAxi(wiring.Component):
    """AXI4-Stream to frames; combinational.

    Parameters
    ----------
    width : int
        Bits of ``tdata``.

    Members
    -------
    tvalid, tready, tdata, tkeep, tlast
        ``tkeep`` is all ones, or in the last beat ones from bit 0 on.
    tuser : :py:`In(1)`
        The frame is damaged.
    o : :py:`Out(stream.Signature(Frame(width)))`
    """

    def __init__(self, width):
        self.width = width
        super().__init__({
            "tvalid": In(1), "tready": Out(1), "tdata": In(width), "tkeep": In(width // 8),
            "tlast": In(1), "tuser": In(1), "o": Out(stream.Signature(Frame(width))),
        })

    def elaborate(self, platform):
        m = Module()
        edges = self.tkeep & ~(self.tkeep >> 1)  # the highest one
        count = Signal.like(self.o.p.count)
        for bit in range(len(count)):
            m.d.comb += count[bit].eq(Cat(
                edge for n, edge in enumerate(edges) if n + 1 >> bit & 1).any())
        m.d.comb += [
            self.o.valid.eq(self.tvalid), self.tready.eq(self.o.ready),
            self.o.p.data.eq(self.tdata), self.o.p.count.eq(count),
            self.o.p.last.eq(self.tlast), self.o.p.error.eq(self.tuser),
        ]
        return m


class ToAxi(wiring.Component):
    """Frames to AXI4-Stream; combinational.

    Parameters
    ----------
    width : int
        Bits of ``tdata``.

    Members
    -------
    i : :py:`In(stream.Signature(Beat(width)))`
    tvalid, tready, tdata, tkeep, tlast
    tuser : :py:`Out(1)`
        Always 0.
    """

    def __init__(self, width):
        self.width = width
        super().__init__({
            "i": In(stream.Signature(Beat(width))),
            "tvalid": Out(1), "tready": In(1), "tdata": Out(width), "tkeep": Out(width // 8),
            "tlast": Out(1), "tuser": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [
            self.tvalid.eq(self.i.valid), self.i.ready.eq(self.tready),
            self.tdata.eq(self.i.p.data), self.tlast.eq(self.i.p.last),
            self.tkeep.eq(Cat(self.i.p.count > n for n in range(self.width // 8))),
        ]
        return m
