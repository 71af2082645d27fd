# SPDX-License-Identifier: Apache-2.0
"""Writes the records of responses, in front of their results."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..wire.layout import Peer
from .answered import Answered
from .completion import Completion
from .config import BUS
from .gather import Arrival
from .jobs import COMPLETION
from .slots import fifo_depth
from .write_dma import WriteBeat


__all__ = ["Response", "Recorder"]


def Response(queues, slots):
    """A record, and behind it a result of so many ``bytes``, lie in the slot; or that is ``lost``,
    for memory may have refused the record."""
    return data.StructLayout({
        "slot": range(slots + 1), "queue": range(queues), "bytes": 32, "has_immediate": 1,
        "immediate": 32, "peer": Peer, "lost": 1})


class Recorder(wiring.Component):
    """Writes the record of each job that the network asked for, and says when it is in memory.

    What came with a message waits here until then. A completion takes 4 cycles or more.

    Parameters
    ----------
    queues, slots : int

    Members
    -------
    note, note_valid : :py:`In(Arrival(queues, slots))`, :py:`In(1)`
        Strobe: what came with the message in a slot.
    i : :py:`In(stream.Signature(Completion))`
        ``request`` is the slot.
    results, result_beats : :py:`In(...)`
        Number of the block of memory with the record of slot 0, and blocks of each slot.
    o_write : :py:`Out(stream.Signature(WriteBeat(512)))`
    sent, answered, failed
        Of :class:`.write_dma.WriteDma`, into which ``o_write`` goes at once.
    o : :py:`Out(stream.Signature(Response(queues, slots)))`
        In the order of ``i``, when record and result are in memory.
    """

    def __init__(self, queues, slots):
        self.queues, self.slots = queues, slots
        super().__init__({
            "note": In(Arrival(queues, slots)), "note_valid": In(1),
            "i": In(stream.Signature(Completion)), "results": In(58), "result_beats": In(26),
            "o_write": Out(stream.Signature(WriteBeat(8 * BUS))),
            "sent": In(32), "answered": In(32), "failed": In(1),
            "o": Out(stream.Signature(Response(queues, slots))),
        })

    def elaborate(self, platform):
        m = Module()
        slot_bits = len(self.o.p.slot)
        note = data.StructLayout({
            "queue": range(self.queues), "has_immediate": 1, "immediate": 32, "peer": Peer})
        m.submodules.notes = notes = memory.Memory(shape=note, depth=self.slots + 1, init=[])
        write, read = notes.write_port(), notes.read_port()
        m.submodules.responses = responses = Answered(self.o.payload.shape(),
                                                      fifo_depth(self.slots))
        done, base, record = Signal(Completion), Signal(58), Signal(8 * BUS)
        fields = COMPLETION.view(record)
        response = responses.i.p
        m.d.comb += [
            write.en.eq(self.note_valid), write.addr.eq(self.note.slot),
            *(write.data[name].eq(self.note[name]) for name in note.members),
            read.addr.eq(done.request[:slot_bits]),
            *(fields[name].eq(done[name]) for name in (
                "status", "detail", "bytes", "height", "width", "cycles")),
            fields["request"].eq(read.data.immediate), fields["queue"].eq(read.data.queue),
            fields["has_immediate"].eq(read.data.has_immediate),
            *(fields[name].eq(read.data.peer[name]) for name in ("ip", "port", "mac")),
            self.o_write.p.strobe.eq(~0), self.o_write.p.last.eq(1),
            response.slot.eq(done.request), response.bytes.eq(done.bytes),
            *(response[name].eq(read.data[name]) for name in note.members),
            responses.mark.eq(self.sent + 1), responses.answered.eq(self.answered),
            responses.failed.eq(self.failed),
            self.o.payload.eq(responses.o.payload), self.o.p.lost.eq(responses.refused),
            self.o.valid.eq(responses.o.valid), responses.o.ready.eq(self.o.ready),
        ]
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += [self.i.ready.eq(1), read.addr.eq(self.i.p.request[:slot_bits])]
                m.d.sync += done.eq(self.i.payload)
                with m.If(self.i.valid):
                    m.next = "Look"
            with m.State("Look"):
                m.d.sync += [base.eq(done.request[:slot_bits] * self.result_beats),
                             self.o_write.p.data.eq(record)]
                m.next = "Place"
            with m.State("Place"):
                m.d.sync += self.o_write.p.address.eq(self.results + base)
                m.next = "Write"
            with m.State("Write"):
                m.d.comb += self.o_write.valid.eq(responses.i.ready)
                with m.If(self.o_write.valid & self.o_write.ready):
                    m.d.comb += responses.i.valid.eq(1)
                    m.next = "Idle"
        return m
