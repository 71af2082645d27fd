# SPDX-License-Identifier: Apache-2.0
"""Messages to packets: how long each is, its opcode and its number."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .headers import BLOCK, Opcode
from .layout import Message, Peer


__all__ = ["LENGTH", "Packet", "Segmenter"]


#: Bits of a packet's payload length.
LENGTH = 14

#: A packet to send; ``source`` is its UDP port.
Packet = data.StructLayout({
    "opcode": 8, "psn": 24, "queue_pair": 24, "length": LENGTH, "has_immediate": 1,
    "immediate": 32, "source": 16, "peer": Peer})


class Segmenter(wiring.Component):
    """Cuts messages into packets, 1 packet a cycle. Latency 2 cycles.

    Parameters
    ----------
    queues : int

    Members
    -------
    i : :py:`In(stream.Signature(Message(queues)))`
    segment : :py:`In(14)`
        Most bytes of payload in a packet, from the next cycle on: as if its low 6 bits were zero,
        but 64 at least.
    restart : :py:`In(queues)`
        While high, the queue's next packet has the number 0.
    o : :py:`Out(stream.Signature(Packet))`
    """

    #: UDP source port of queue 0; the others follow. It only spreads load over links.
    SOURCE_PORT = 0xC000

    def __init__(self, queues):
        self.queues = queues
        super().__init__({
            "i": In(stream.Signature(Message(queues))), "segment": In(LENGTH),
            "restart": In(queues), "o": Out(stream.Signature(Packet)),
        })

    def elaborate(self, platform):
        m = Module()
        busy, first, left = Signal(), Signal(), Signal(32)
        message = Signal(self.i.payload.shape())
        numbers = Array(Signal(24, name=f"psn_{queue}") for queue in range(self.queues))
        free, final = Signal(), Signal()
        most, blocks = Signal(LENGTH, init=BLOCK), self.segment[BLOCK.bit_length() - 1:]
        m.d.sync += most.eq(Cat(C(0, BLOCK.bit_length() - 1), blocks | ~blocks.any()))
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready), final.eq(left <= most),
            self.i.ready.eq(~busy | (free & final)),
        ]
        with m.If(free):
            m.d.sync += self.o.valid.eq(busy)
        with m.If(free & busy):
            self.packet(m, message, first, final)
            m.d.sync += [
                self.o.p.length.eq(Mux(final, left, most)), self.o.p.psn.eq(numbers[message.queue]),
                numbers[message.queue].eq(numbers[message.queue] + 1),
                left.eq(left - most), first.eq(0),
            ]
        with m.If(self.i.ready):
            m.d.sync += [busy.eq(self.i.valid), message.eq(self.i.payload),
                         left.eq(self.i.p.length), first.eq(1)]
        for queue in range(self.queues):
            with m.If(self.restart[queue]):
                m.d.sync += numbers[queue].eq(0)
        return m

    def packet(self, m, message, first, final):
        """Everything but length and number."""
        p = self.o.p
        kinds = {
            (0, 0): Opcode.SEND_MIDDLE, (1, 0): Opcode.SEND_FIRST,
            (0, 1): Opcode.SEND_LAST, (1, 1): Opcode.SEND_ONLY,
        }
        with m.Switch(Cat(first, final)):
            for (begins, ends), opcode in kinds.items():
                with m.Case(begins | ends << 1):
                    m.d.sync += p.opcode.eq(opcode)
                    if ends:
                        m.d.sync += p.opcode.eq(opcode + message.has_immediate)
        m.d.sync += [
            p.has_immediate.eq(message.has_immediate & final), p.peer.eq(message.peer),
            p.immediate.eq(message.immediate), p.queue_pair.eq(message.queue_pair),
            p.source.eq(self.SOURCE_PORT + message.queue),
        ]
