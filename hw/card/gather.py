# SPDX-License-Identifier: Apache-2.0
"""Messages from the network to slots of the card's memory."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..status import Detail, Status
from ..wire.layout import Peer, Segment
from .answered import Answered
from .config import BUS, beat_bits
from .slots import fifo_depth
from .write_dma import WriteBeat


__all__ = ["Arrival", "Gather"]


def Arrival(queues, slots):
    """A message that has ended: ``length`` bytes of it lie in the slot if ``status`` is OK.

    ``immediate`` is 0 if not ``has_immediate``. ``peer`` sent its last packet.
    """
    return data.StructLayout({
        "slot": range(slots + 1), "queue": range(queues), "length": 32, "status": 4, "detail": 8,
        "has_immediate": 1, "immediate": 32, "peer": Peer})


class Gather(wiring.Component):
    """Gives each message a slot, and writes it there.

    Throughput is 1 beat per cycle, also from one packet, or message, to the next. Latency is 3
    cycles to ``o_write``. A message for which there is no slot is taken all the same; the spare
    slot answers it, or nothing does if that is in use. So is the rest of one that is too long.
    ``i.ready`` depends combinationally on ``o_write.ready``.

    Parameters
    ----------
    queues, slots : int
    port : int
        Bits of a beat of memory.
    bursts : bool
        A packet is one burst, else each beat. For beats that come one behind the other.

    Members
    -------
    i : :py:`In(stream.Signature(Segment(port, queues)))`
    messages, message_beats : :py:`In(...)`
        Number of the block of memory at which slot 0 begins, and blocks of each.
    slot : :py:`In(stream.Signature(range(slots + 1)))`
        Free slots.
    spare : :py:`In(1)`
        The spare one, number ``slots``, is free.
    take_spare : :py:`Out(1)`
        Strobe: it is not any more.
    o_write : :py:`Out(stream.Signature(WriteBeat(port)))`
    sent, answered, failed
        Of :class:`.write_dma.WriteDma`, into which ``o_write`` goes at once.
    o : :py:`Out(stream.Signature(Arrival(queues, slots)))`
        Messages in the order of their ends, when they are in memory. One that memory may not hold,
        since it refused a burst meanwhile, is ``BAD_JOB``, detail ``BUS``.
    whole, refused : :py:`Out(1)`
        Strobes: a message is complete; one had no slot.
    """

    def __init__(self, queues, slots, *, port=8 * BUS, bursts=True):
        self.queues, self.slots, self.port, self.bursts = queues, slots, port, bursts
        super().__init__({
            "i": In(stream.Signature(Segment(port, queues))),
            "messages": In(58), "message_beats": In(26),
            "slot": In(stream.Signature(range(slots + 1))), "spare": In(1), "take_spare": Out(1),
            "o_write": Out(stream.Signature(WriteBeat(port))), "sent": In(32), "answered": In(32),
            "failed": In(1),
            "o": Out(stream.Signature(Arrival(queues, slots))),
            "whole": Out(1), "refused": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        # What a beat becomes on its way: it is placed, multiplied, and written.
        size, shift = self.port // 8, beat_bits(8 * BUS) - beat_bits(self.port)
        self._room = Cat(C(0, shift), self.message_beats)   # beats of a slot
        step = data.StructLayout({
            "valid": 1, "write": 1, "data": self.port, "count": range(size + 1), "close": 1,
            "ends": 1, "offset": len(self._room), "dropped": 1, "arrival": self.o.payload.shape()})
        placed, multiplied, final = (Signal(step, name=name) for name in (
            "placed", "multiplied", "final"))
        base, address = Signal(58), Signal.like(self.o_write.p.address)
        go = Signal()
        self._place(m, go, placed)
        with m.If(go):
            m.d.sync += [
                multiplied.eq(placed),
                # The last beat that fits closes the burst, whatever follows.
                multiplied.close.eq(placed.close | (placed.offset + 1 == self._room)),
                base.eq(placed.arrival.slot * self.message_beats),
                final.eq(multiplied),
                address.eq(Cat(C(0, shift), self.messages + base) + multiplied.offset),
            ]

        # The last step: a beat to memory, a record, or both, or nothing.
        entry = data.StructLayout({"arrival": self.o.payload.shape(), "refused": 1})
        m.submodules.arrivals = arrivals = Answered(entry, fifo_depth(self.slots))
        # Of each queue: memory refused a burst since its message began.
        refused, first, queue = Signal(self.queues), Signal(), final.arrival.queue
        record, answer, able, leaves = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            record.eq(final.valid & final.ends),
            answer.eq(record & (~final.dropped | self.spare)),
            able.eq(~answer | arrivals.i.ready),
            self.o_write.valid.eq(final.valid & final.write & able),
            self.o_write.p.address.eq(address), self.o_write.p.data.eq(final.data),
            self.o_write.p.strobe.eq(Cat(final.count > n for n in range(size))),
            self.o_write.p.last.eq(final.close),
            leaves.eq(final.valid & able & (~final.write | self.o_write.ready)),
            go.eq(~final.valid | leaves),
            arrivals.i.valid.eq(answer & leaves), arrivals.i.p.arrival.eq(final.arrival),
            # Its bursts are over: the last one is with this beat.
            arrivals.mark.eq(self.sent + final.write), first.eq(final.offset == 0),
            arrivals.i.p.refused.eq(refused.bit_select(queue, 1) & ~first),
            arrivals.answered.eq(self.answered), arrivals.failed.eq(self.failed),
            self.take_spare.eq(answer & leaves & final.dropped),
            self.refused.eq(record & leaves & final.dropped),
            self.whole.eq(record & leaves & (final.arrival.status == Status.OK)),
            self.o.payload.eq(arrivals.o.p.arrival), self.o.valid.eq(arrivals.o.valid),
            arrivals.o.ready.eq(self.o.ready),
        ]
        with m.If(leaves & first):
            m.d.sync += refused.bit_select(queue, 1).eq(0)
        with m.If(self.failed):
            m.d.sync += refused.eq(~0)
        with m.If((arrivals.o.p.refused | arrivals.refused)
                  & (arrivals.o.p.arrival.status == Status.OK)):
            m.d.comb += [self.o.p.status.eq(Status.BAD_JOB), self.o.p.detail.eq(Detail.BUS)]
        with m.If(final.dropped):
            m.d.comb += arrivals.i.p.arrival.slot.eq(self.slots)
        return m

    def _place(self, m, go, placed):
        """Where a beat goes: what is known of its message is kept for each queue."""
        known = data.StructLayout({
            "slot": range(self.slots + 1), "offset": len(self._room), "dropped": 1, "over": 1,
            "peer": Peer})
        m.submodules.known = cells = memory.Memory(shape=known, depth=self.queues, init=[])
        read, write = cells.read_port(domain="comb"), cells.write_port()
        i, old, new = self.i.p, read.data, write.data
        offset, over, fits = Signal.like(old.offset), Signal(), Signal()
        taken = Signal()
        m.d.comb += [
            self.i.ready.eq(go), taken.eq(self.i.valid & go),
            self.slot.ready.eq(taken & i.first),
            read.addr.eq(i.queue), write.addr.eq(i.queue), write.en.eq(taken),
            offset.eq(Mux(i.first, 0, old.offset)), fits.eq(offset < self._room),
            over.eq((~i.first & old.over) | (~fits & (i.count != 0))),
            new.slot.eq(Mux(i.first, self.slot.payload, old.slot)), new.offset.eq(offset + 1),
            new.dropped.eq(Mux(i.first, ~self.slot.valid, old.dropped)), new.over.eq(over),
            # What cuts a message off may be another sender's.
            new.peer.eq(Mux(i.lost, old.peer, i.peer)),
        ]
        arrival = placed.arrival
        with m.If(go):
            m.d.sync += [
                placed.valid.eq(taken), placed.write.eq(fits & ~new.dropped & ~over & ~i.lost),
                placed.data.eq(i.data), placed.count.eq(i.count), placed.offset.eq(offset),
                placed.close.eq(C(not self.bursts, 1) | i.end),
                placed.ends.eq(i.last), placed.dropped.eq(new.dropped),
                arrival.slot.eq(new.slot), arrival.queue.eq(i.queue),
                arrival.length.eq((offset << beat_bits(self.port)) + i.count),
                arrival.peer.eq(new.peer),
                arrival.has_immediate.eq(i.has_immediate & ~i.lost),
                arrival.immediate.eq(Mux(i.has_immediate & ~i.lost, i.immediate, 0)),
                arrival.status.eq(Status.OK), arrival.detail.eq(Detail.NONE),
            ]
            with m.If(i.lost):
                m.d.sync += arrival.status.eq(Status.LOST)
            with m.Elif(new.dropped | over):
                m.d.sync += [arrival.status.eq(Status.NO_ROOM),
                             arrival.detail.eq(Detail.CAPACITY)]
