# SPDX-License-Identifier: Apache-2.0
"""Writes completions, and knows when a batch is over."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .jobs import COMPLETION
from .write_dma import WriteBeat


__all__ = ["Completion", "Completer"]


#: How a job of ``batch`` ended; see :data:`.jobs.COMPLETION`.
Completion = data.StructLayout({
    "batch": 1, "request": 32, "status": 4, "detail": 8, "bytes": 32, "height": 16, "width": 16,
    "cycles": 32})


class Completer(wiring.Component):
    """Completions of up to two batches, each in the order of arrival.

    Members
    -------
    begin, batch, address, count
        Strobe: a batch of ``count`` jobs begins; completions go to that beat address.
    i : :py:`In(stream.Signature(Completion)).array(2)`
    o : :py:`Out(stream.Signature(WriteBeat))`
    sent, answered : :py:`In(32)`
        Of :class:`.write_dma.WriteDma`, into which ``o`` goes at once.
    active : :py:`Out(2)`
        The batch is not over.
    done : :py:`Out(1)`
        Strobe: the oldest batch is in memory as a whole.
    completed, status
        Strobe: a job ended so.
    """

    begin: In(1)
    batch: In(1)
    address: In(58)
    count: In(32)
    i: In(stream.Signature(Completion)).array(2)
    o: Out(stream.Signature(WriteBeat))
    sent: In(32)
    answered: In(32)
    active: Out(2)
    done: Out(1)
    completed: Out(1)
    status: Out(4)

    def elaborate(self, platform):
        m = Module()
        pointers = Array(Signal(58, name=f"pointer_{b}") for b in range(2))
        left = Array(Signal(32, name=f"left_{b}") for b in range(2))
        marks = Array(Signal(32, name=f"mark_{b}") for b in range(2))
        written = Signal(2)
        oldest = Signal()
        batch = Signal()
        c = Signal(Completion)
        free, first = Signal(), Signal()
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready),
            first.eq(self.i[0].valid),
            c.eq(Mux(first, self.i[0].payload, self.i[1].payload)),
            self.i[0].ready.eq(free), self.i[1].ready.eq(free & ~first),
            self.completed.eq(free & (first | self.i[1].valid)), self.status.eq(c.status),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [self.o.valid.eq(0), left[batch].eq(left[batch] - 1)]
            with m.If(left[batch] == 1):
                m.d.sync += [written.bit_select(batch, 1).eq(1), marks[batch].eq(self.sent + 1)]
        with m.If(self.completed):
            record = Signal(512)
            for name, field in COMPLETION.view(record).items():
                m.d.comb += field.eq(c[name])
            m.d.sync += [
                self.o.valid.eq(1), batch.eq(c.batch), self.o.p.data.eq(record),
                self.o.p.strobe.eq(~0), self.o.p.end.eq(1),
                self.o.p.address.eq(pointers[c.batch]),
                pointers[c.batch].eq(pointers[c.batch] + 1),
            ]
        with m.If(written.bit_select(oldest, 1)
                  & ((self.answered - marks[oldest])[:32].as_signed() >= 0)):
            m.d.comb += self.done.eq(1)
            m.d.sync += [
                written.bit_select(oldest, 1).eq(0), self.active.bit_select(oldest, 1).eq(0),
                oldest.eq(~oldest),
            ]
        with m.If(self.begin):
            m.d.sync += [
                pointers[self.batch].eq(self.address), left[self.batch].eq(self.count),
                self.active.bit_select(self.batch, 1).eq(1),
            ]
            with m.If(self.count == 0):
                m.d.sync += [written.bit_select(self.batch, 1).eq(1),
                             marks[self.batch].eq(self.answered)]
        return m
