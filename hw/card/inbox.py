# SPDX-License-Identifier: Apache-2.0
"""Messages in memory become jobs."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..status import Status
from ..stream.fifo import Fifo
from .completion import NETWORK, Completion
from .config import BUS
from .gather import Arrival
from .job_maker import JobMaker, Task
from .jobs import Kind
from .queue_table import Queue
from .slots import fifo_depth


__all__ = ["KINDS", "Inbox"]


#: Kinds of queue pairs whose jobs go ways of their own; all others go with the first.
KINDS = Kind.IMAGE, Kind.TEXT, Kind.CONTROL


class Inbox(wiring.Component):
    """Makes of each message a job, or if it is not whole at once its completion.

    No family of jobs waits for another. A message takes 2 cycles or more.

    Parameters
    ----------
    queues, slots : int
    remote : bool
        There are control queue pairs.

    Members
    -------
    i : :py:`In(stream.Signature(Arrival(queues, slots)))`
    address, queue : :py:`Out(range(queues))`, :py:`In(Queue)`
        To a port of :class:`.queue_table.QueueTable`.
    messages, message_beats, results, result_beats : :py:`In(...)`
        Of :class:`.job_maker.JobMaker`.
    o_job : :py:`Out(stream.Signature(512)).array(2 + remote)`
        Each a :data:`.jobs.JOB`; of the :data:`KINDS`.
    o_completion : :py:`Out(stream.Signature(Completion))`
        ``request`` is the slot.
    """

    def __init__(self, queues, slots, *, remote=False):
        self.queues, self.slots, self.remote = queues, slots, remote
        super().__init__({
            "i": In(stream.Signature(Arrival(queues, slots))),
            "address": Out(range(queues)), "queue": In(Queue),
            "messages": In(58), "message_beats": In(26), "results": In(58), "result_beats": In(26),
            "o_job": Out(stream.Signature(8 * BUS)).array(2 + self.remote),
            "o_completion": Out(stream.Signature(Completion)),
        })

    def elaborate(self, platform):
        m = Module()
        arrival = Signal(self.i.payload.shape())
        completion = self.o_completion.p
        family, ready = Signal(1 + self.remote), Signal()
        offer = Signal()
        m.d.comb += [
            self.address.eq(self.i.p.queue),
            family.eq(Cat(self.queue.kind == kind for kind in KINDS[1:len(self.o_job)])),
            completion.batch.eq(NETWORK), completion.request.eq(arrival.slot),
            completion.status.eq(arrival.status), completion.detail.eq(arrival.detail),
        ]
        for number, job in enumerate(self.o_job):
            m.submodules[f"tasks_{number}"] = waiting = Fifo(Task(self.slots),
                                                             fifo_depth(self.slots))
            m.submodules[f"maker_{number}"] = maker = JobMaker(self.slots)
            wiring.connect(m, waiting.o, maker.i)
            wiring.connect(m, maker.o, wiring.flipped(job))
            mine = family == (1 << number) >> 1
            m.d.comb += [
                *(getattr(maker, name).eq(getattr(self, name)) for name in (
                    "messages", "message_beats", "results", "result_beats")),
                waiting.i.valid.eq(offer & mine), waiting.i.p.kind.eq(self.queue.kind),
                waiting.i.p.recipe.eq(self.queue.recipe), waiting.i.p.slot.eq(arrival.slot),
                waiting.i.p.length.eq(arrival.length),
            ]
            with m.If(mine):
                m.d.comb += ready.eq(waiting.i.ready)
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += arrival.eq(self.i.payload)
                with m.If(self.i.valid):
                    m.next = "Look"
                    with m.If(self.i.p.status != Status.OK):
                        m.next = "Complete"
            with m.State("Look"):
                m.d.comb += [offer.eq(1), self.address.eq(arrival.queue)]
                with m.If(ready):
                    m.next = "Idle"
            with m.State("Complete"):
                m.d.comb += self.o_completion.valid.eq(1)
                with m.If(self.o_completion.ready):
                    m.next = "Idle"
        return m
