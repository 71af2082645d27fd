# SPDX-License-Identifier: Apache-2.0
"""Jobs for messages, as the host would write them."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .config import BUS
from .jobs import JOB


__all__ = ["Task", "JobMaker"]


def Task(slots):
    """A message of ``length`` bytes in a slot, and what is to be done with it."""
    return data.StructLayout({
        "kind": 8, "recipe": 8, "slot": range(slots + 1), "length": 32})


class JobMaker(wiring.Component):
    """Finds the addresses of a slot. The request's number is the slot. A job takes 3 cycles.

    Parameters
    ----------
    slots : int

    Members
    -------
    i : :py:`In(stream.Signature(Task(slots)))`
    messages, message_beats, results, result_beats : :py:`In(...)`
        Number of the block of memory at which slot 0 begins, and blocks of each, of payloads and of
        records with their results.
    o : :py:`Out(stream.Signature(512))`
        A :data:`.jobs.JOB`.
    """

    def __init__(self, slots):
        self.slots = slots
        super().__init__({
            "i": In(stream.Signature(Task(slots))),
            "messages": In(58), "message_beats": In(26), "results": In(58), "result_beats": In(26),
            "o": Out(stream.Signature(8 * BUS)),
        })

    def elaborate(self, platform):
        m = Module()
        message, result = Signal(58), Signal(58)
        job = JOB.view(self.o.payload)
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [
                    message.eq(self.i.p.slot * self.message_beats),
                    result.eq(self.i.p.slot * self.result_beats),
                    job["kind"].eq(self.i.p.kind), job["recipe"].eq(self.i.p.recipe),
                    job["request"].eq(self.i.p.slot), job["length"].eq(self.i.p.length),
                    # The record takes the first beat; a host that has set nothing gives no room.
                    job["capacity"].eq(Cat(C(0, 6), Mux(
                        self.result_beats == 0, 0, (self.result_beats - 1)[:26]))),
                ]
                with m.If(self.i.valid):
                    m.next = "Place"
            with m.State("Place"):
                m.d.sync += [
                    job["payload"][6:].eq(self.messages + message),
                    job["result"][6:].eq(self.results + result + 1),
                ]
                m.next = "Job"
            with m.State("Job"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "Idle"
        return m
