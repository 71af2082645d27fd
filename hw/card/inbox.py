# SPDX-License-Identifier: Apache-2.0
"""Messages in memory become jobs."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..status import Status
from .completion import NETWORK, Completion
from .config import BUS
from .gather import Arrival
from .jobs import JOB
from .queue_table import Queue


__all__ = ["Inbox"]


class Inbox(wiring.Component):
    """Makes of each message a job, or if it is not whole at once its completion.

    The request's number is the slot. A message takes 4 cycles or more.

    Parameters
    ----------
    queues, slots : int

    Members
    -------
    i : :py:`In(stream.Signature(Arrival(queues, slots)))`
    address, queue : :py:`Out(range(queues))`, :py:`In(Queue)`
        To a port of :class:`.queue_table.QueueTable`.
    messages, message_beats, results, result_beats : :py:`In(...)`
        Beat address of slot 0, and beats of each, of payloads and of records with their results.
    o_job : :py:`Out(stream.Signature(512))`
        A :data:`.jobs.JOB`.
    o_completion : :py:`Out(stream.Signature(Completion))`
    """

    def __init__(self, queues, slots):
        self.queues, self.slots = queues, slots
        super().__init__({
            "i": In(stream.Signature(Arrival(queues, slots))),
            "address": Out(range(queues)), "queue": In(Queue),
            "messages": In(58), "message_beats": In(26), "results": In(58), "result_beats": In(26),
            "o_job": Out(stream.Signature(8 * BUS)),
            "o_completion": Out(stream.Signature(Completion)),
        })

    def elaborate(self, platform):
        m = Module()
        arrival = Signal(self.i.payload.shape())
        message, result = Signal(58), Signal(58)
        job = JOB.view(self.o_job.payload)
        completion = self.o_completion.p
        m.d.comb += [
            self.address.eq(self.i.p.queue),
            completion.batch.eq(NETWORK), completion.request.eq(arrival.slot),
            completion.status.eq(arrival.status), completion.detail.eq(arrival.detail),
        ]
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += arrival.eq(self.i.payload)
                with m.If(self.i.valid):
                    m.next = "Look"
                    with m.If(self.i.p.status != Status.OK):
                        m.next = "Complete"
            with m.State("Look"):
                m.d.sync += [
                    message.eq(arrival.slot * self.message_beats),
                    result.eq(arrival.slot * self.result_beats),
                    job["kind"].eq(self.queue.kind), job["recipe"].eq(self.queue.recipe),
                    job["request"].eq(arrival.slot), job["length"].eq(arrival.length),
                    # The record takes the first beat; a host that has set nothing gives no room.
                    job["capacity"].eq(Cat(C(0, 6), Mux(
                        self.result_beats == 0, 0, (self.result_beats - 1)[:26]))),
                ]
                m.next = "Place"
            with m.State("Place"):
                m.d.sync += [
                    job["payload"][6:].eq(self.messages + message),
                    job["result"][6:].eq(self.results + result + 1),
                ]
                m.next = "Job"
            with m.State("Job"):
                m.d.comb += self.o_job.valid.eq(1)
                with m.If(self.o_job.ready):
                    m.next = "Idle"
            with m.State("Complete"):
                m.d.comb += self.o_completion.valid.eq(1)
                with m.If(self.o_completion.ready):
                    m.next = "Idle"
        return m
