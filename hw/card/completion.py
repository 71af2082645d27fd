# SPDX-License-Identifier: Apache-2.0
"""Writes completions, and knows when a batch is over."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..status import Detail, Status
from .answered import Answered
from .config import BUS
from .jobs import COMPLETION
from .write_dma import WriteBeat


__all__ = ["NETWORK", "Completion", "Completer"]


#: The ``batch`` of jobs that messages from the network became.
NETWORK = 2

#: How a job of ``batch`` ended; see :data:`.jobs.COMPLETION`.
Completion = data.StructLayout({
    "batch": 2, "request": 32, "status": 4, "detail": 8, "bytes": 32, "height": 16, "width": 16,
    "cycles": 32})


class Completer(wiring.Component):
    """Completions of up to two batches, each in the order of arrival. One takes 2 cycles or more.

    A completion waits until memory has answered to all that was written before it. If a burst was
    refused meanwhile, what says that there is a result becomes ``BAD_JOB``, detail ``BUS``. Lanes
    see to bursts that were refused before.

    Parameters
    ----------
    sources : int
        Where completions come from; the first ones go first.
    network : bool
        Some are of messages from the network.

    Members
    -------
    begin, batch, address, count
        Strobe: a batch of ``count`` jobs begins; completions go to that beat address.
    i : :py:`In(stream.Signature(Completion)).array(sources)`
    o : :py:`Out(stream.Signature(WriteBeat(512)))`
        Blocks.
    o_network : :py:`Out(stream.Signature(Completion))`
        Those of the network, if there is one, as they are.
    sent, answered, failed
        Of :class:`.write_dma.WriteDma`, into which ``o`` goes at once.
    active : :py:`Out(2)`
        The batch is not over.
    done : :py:`Out(1)`
        Strobe: the oldest batch is in memory as a whole, but for completions that it refused.
    completed, status
        Strobe: a job ended so.
    """

    #: Completions that wait for memory, and two more.
    WAITING = 16

    def __init__(self, sources, *, network=False):
        self.sources, self.network = sources, network
        super().__init__({
            "begin": In(1), "batch": In(1), "address": In(58), "count": In(32),
            "i": In(stream.Signature(Completion)).array(sources),
            "o": Out(stream.Signature(WriteBeat(8 * BUS))),
            "sent": In(32), "answered": In(32), "failed": In(1),
            "active": Out(2), "done": Out(1), "completed": Out(1), "status": Out(4),
            **({"o_network": Out(stream.Signature(Completion))} if network else {}),
        })

    def elaborate(self, platform):
        m = Module()
        pointers = Array(Signal(58, name=f"pointer_{b}") for b in range(2))
        left = Array(Signal(32, name=f"left_{b}") for b in range(2))
        marks = Array(Signal(32, name=f"mark_{b}") for b in range(2))
        written = Signal(2)
        oldest = Signal()
        batch = Signal()
        c = Signal(Completion)
        free = Signal()
        mine = Signal()   # of a batch
        waiting = self._waiting(m)
        m.d.comb += [
            mine.eq(1), free.eq(~self.o.valid), waiting.o.ready.eq(free),
            self.completed.eq(free & waiting.o.valid), self.status.eq(c.status),
            c.eq(waiting.o.p.completion),
        ]
        spoilt = (waiting.o.p.refused | waiting.refused) & (waiting.o.p.completion.bytes != 0)
        with m.If(spoilt):
            m.d.comb += [c.status.eq(Status.BAD_JOB), c.detail.eq(Detail.BUS),
                         *(c[name].eq(0) for name in ("bytes", "height", "width"))]
        if self.network:
            m.d.comb += [
                mine.eq(c.batch != NETWORK), free.eq(~self.o.valid & ~self.o_network.valid),
            ]
            with m.If(self.o_network.ready):
                m.d.sync += self.o_network.valid.eq(0)
            with m.If(self.completed & ~mine):
                m.d.sync += [self.o_network.valid.eq(1), self.o_network.payload.eq(c)]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [self.o.valid.eq(0), left[batch].eq(left[batch] - 1)]
            with m.If(left[batch] == 1):
                m.d.sync += [written.bit_select(batch, 1).eq(1), marks[batch].eq(self.sent + 1)]
        with m.If(self.completed & mine):
            record = Signal(8 * BUS)
            for name, field in COMPLETION.view(record).items():
                if name in c.shape().members:
                    m.d.comb += field.eq(c[name])
            m.d.sync += [
                self.o.valid.eq(1), batch.eq(c.batch), self.o.p.data.eq(record),
                self.o.p.strobe.eq(~0), self.o.p.last.eq(1),
                self.o.p.address.eq(pointers[c.batch[0]]),
                pointers[c.batch[0]].eq(pointers[c.batch[0]] + 1),
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

    def _waiting(self, m):
        """Completions of all sources, when what was written before them is answered."""
        entry = data.StructLayout({"completion": Completion, "refused": 1})
        m.submodules.waiting = waiting = Answered(entry, self.WAITING)
        valids = Cat(i.valid for i in self.i)
        refused = Signal(self.sources)  # a burst, while the source's completion was offered
        m.d.comb += [
            waiting.i.valid.eq(valids.any()), waiting.mark.eq(self.sent),
            waiting.answered.eq(self.answered), waiting.failed.eq(self.failed),
        ]
        for n, i in reversed(list(enumerate(self.i))):
            first = ~valids[:n].any() if n else C(1, 1)
            m.d.comb += i.ready.eq(waiting.i.ready & first)
            with m.If(i.valid):
                m.d.comb += [waiting.i.p.completion.eq(i.payload),
                             waiting.i.p.refused.eq(refused[n])]
            m.d.sync += refused[n].eq(i.valid & ~i.ready & (refused[n] | self.failed))
        return waiting
