# SPDX-License-Identifier: Apache-2.0
"""Segments of a narrow wire as wide as the card's memory."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.width import Widener
from ..wire.layout import Segment
from .config import BUS


__all__ = ["SegmentWidener"]


class SegmentWidener(wiring.Component):
    """Gathers segments of a packet to beats of 64 bytes.

    Latency is 1 cycle behind the last segment of a beat, throughput 1 segment per cycle.
    ``i.ready`` depends combinationally on ``o.ready``.

    Parameters
    ----------
    width : int
        Bits of a narrow segment.
    queues : int

    Members
    -------
    i : :py:`In(stream.Signature(Segment(width, queues)))`
    o : :py:`Out(stream.Signature(Segment(512, queues)))`
    """

    def __init__(self, width, queues):
        self.width, self.queues = width, queues
        super().__init__({
            "i": In(stream.Signature(Segment(width, queues))),
            "o": Out(stream.Signature(Segment(8 * BUS, queues))),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.widener = widener = Widener(self.width, 8 * BUS)
        i, o = self.i.p, self.o.p
        m.d.comb += [
            widener.i.valid.eq(self.i.valid), self.i.ready.eq(widener.i.ready),
            widener.i.p.data.eq(i.data), widener.i.p.count.eq(i.count),
            widener.i.p.last.eq(i.end),
            self.o.valid.eq(widener.o.valid), widener.o.ready.eq(self.o.ready),
            o.data.eq(widener.o.p.data), o.count.eq(widener.o.p.count),
        ]
        # All else is that of the latest segment; while a beat waits none comes.
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                *(o[name].eq(i[name]) for name in (
                    "last", "end", "lost", "queue", "has_immediate", "immediate", "peer")),
                o.first.eq(i.first | (o.first & (widener.index != 0))),
            ]
        return m
