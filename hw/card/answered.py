# SPDX-License-Identifier: Apache-2.0
"""What waits until memory has answered to the writes before it."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.fifo import Fifo


__all__ = ["Answered"]


class Answered(wiring.Component):
    """Payloads in order, each when the bursts that were gathered before its mark are answered.

    Whose burst was refused is not known: all that waits then is told so, whether or not the burst
    was its own.

    Parameters
    ----------
    shape : shape-like
        Of the payload.
    depth : int
        Of :class:`..stream.fifo.Fifo`.

    Members
    -------
    i : :py:`In(stream.Signature(shape))`
    mark : :py:`In(32)`
        Along with ``i``: of ``sent`` of :class:`.write_dma.WriteDma`.
    answered, failed
        Of :class:`.write_dma.WriteDma`.
    o : :py:`Out(stream.Signature(shape))`
    refused : :py:`Out(1)`
        Along with ``o``: a burst was refused while the payload waited.
    """

    def __init__(self, shape, depth):
        self.shape, self.depth = shape, depth
        super().__init__({
            "i": In(stream.Signature(shape)), "mark": In(32), "answered": In(32), "failed": In(1),
            "o": Out(stream.Signature(shape)), "refused": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        entry = data.StructLayout({"payload": self.shape, "mark": 32})
        m.submodules.fifo = fifo = Fifo(entry, self.depth)
        suspects = Signal.like(fifo.level)      # of the oldest, those that waited at a refusal
        taken, left = fifo.i.valid & fifo.i.ready, self.o.valid & self.o.ready
        held, verdict = Signal(), Signal()      # what was offered before, and what was said of it
        m.d.sync += [held.eq(self.o.valid & ~self.o.ready), verdict.eq(self.refused)]
        m.d.comb += [
            fifo.i.p.payload.eq(self.i.payload), fifo.i.p.mark.eq(self.mark),
            fifo.i.valid.eq(self.i.valid), self.i.ready.eq(fifo.i.ready),
            self.o.payload.eq(fifo.o.p.payload),
            self.o.valid.eq(fifo.o.valid & (
                (self.answered - fifo.o.p.mark)[:32].as_signed() >= 0)),
            fifo.o.ready.eq(left),
            self.refused.eq(Mux(held, verdict, self.failed | (suspects != 0))),
        ]
        with m.If(self.failed):
            m.d.sync += suspects.eq(fifo.level + taken - left)
        with m.Elif(left & (suspects != 0)):
            m.d.sync += suspects.eq(suspects - 1)
        return m
