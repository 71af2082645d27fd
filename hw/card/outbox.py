# SPDX-License-Identifier: Apache-2.0
"""Responses leave: to the host, or by the network."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.fifo import Fifo
from ..stream.layout import Beat
from ..stream.register import Register
from ..stream.width import Narrower
from ..wire.headers import ROCE_PORT
from ..wire.layout import Message
from .config import BUS, beat_bits
from .queue_table import Queue
from .read_dma import ReadBeat, ReadRequest
from .recorder import Response
from .registers import Mode
from .slots import fifo_depth


__all__ = ["Outbox"]


class Outbox(wiring.Component):
    """Gives responses to the host, or sends them, one after the other. What is lost goes nowhere.

    Parameters
    ----------
    width : int
        Bits of the wire.
    queues, slots : int
    port : int
        Bits of a beat of memory.

    Members
    -------
    i : :py:`In(stream.Signature(Response(queues, slots)))`
    address, queue : :py:`Out(range(queues))`, :py:`In(Queue)`
        To a port of :class:`.queue_table.QueueTable`.
    results, result_beats : :py:`In(...)`
        Number of the block of memory with the record of slot 0, and blocks of each slot.
    request, i_beats
        To a client of the read DMA.
    o_message, o_data
        To :class:`..wire.station.Station`.
    o_received : :py:`Out(stream.Signature(range(slots + 1)))`
        Slots of responses for the host.
    arrived : :py:`Out(1)`
        Strobe: there is one more, at ``o_received`` by now if the host has taken all others.
    o_free : :py:`Out(stream.Signature(range(slots + 1)))`
        Slots whose response has been read.
    """

    #: Cycles from a slot's way into the FIFO to its way out.
    LATENCY = 3

    def __init__(self, width, queues, slots, *, port=8 * BUS):
        self.width, self.queues, self.slots, self.port = width, queues, slots, port
        super().__init__({
            "i": In(stream.Signature(Response(queues, slots))),
            "address": Out(range(queues)), "queue": In(Queue),
            "results": In(58), "result_beats": In(26),
            "request": Out(stream.Signature(ReadRequest(port))),
            "i_beats": In(stream.Signature(ReadBeat(port))),
            "o_message": Out(stream.Signature(Message(queues))),
            "o_data": Out(stream.Signature(width)),
            "o_received": Out(stream.Signature(range(slots + 1))), "arrived": Out(1),
            "o_free": Out(stream.Signature(range(slots + 1))),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.received = received = Fifo(self.o_received.payload.shape(),
                                                fifo_depth(self.slots))
        wiring.connect(m, received.o, wiring.flipped(self.o_received))
        pushed = Signal(self.LATENCY)
        m.d.sync += pushed.eq(Cat(received.i.valid & received.i.ready, pushed))
        m.d.comb += self.arrived.eq(pushed[-1])

        response, queue = Signal(self.i.payload.shape()), Signal(Queue)
        size, shift = self.port // 8, beat_bits(8 * BUS) - beat_bits(self.port)
        base = Signal(58)
        left = Signal(33)  # bytes
        beats = self._data(m)
        message = self.o_message.p
        m.d.comb += [
            self.address.eq(self.i.p.queue), received.i.payload.eq(response.slot),
            self.o_free.payload.eq(response.slot),
            self.request.p.beats.eq((left + (size - 1)) >> beat_bits(self.port)),
            message.queue.eq(response.queue), message.queue_pair.eq(queue.queue_pair),
            message.length.eq(left), message.has_immediate.eq(response.has_immediate),
            message.immediate.eq(response.immediate), message.peer.eq(queue.peer),
            beats.p.data.eq(self.i_beats.p.data), beats.p.last.eq(left <= size),
            beats.p.count.eq(Mux(beats.p.last, left, size)),
        ]
        with m.If(queue.mode == Mode.REPLY):
            m.d.comb += [message.peer.eq(response.peer)]
            with m.If(~queue.reply_port):
                m.d.comb += message.peer.port.eq(ROCE_PORT)

        with m.FSM():
            with m.State("Idle"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += response.eq(self.i.payload)
                with m.If(self.i.valid):
                    m.next = "Look"
            with m.State("Look"):
                m.d.sync += [
                    queue.eq(self.queue), base.eq(response.slot * self.result_beats),
                    left.eq(response.bytes + BUS),
                ]
                m.next = "Host"
                with m.If((self.queue.mode == Mode.REPLY) | (self.queue.mode == Mode.FORWARD)):
                    m.next = "Place"
                with m.If(response.lost):
                    m.next = "Free"
            with m.State("Host"):
                m.d.comb += received.i.valid.eq(1)
                with m.If(received.i.ready):
                    m.next = "Idle"
            with m.State("Place"):
                m.d.sync += self.request.p.address.eq(Cat(C(0, shift), self.results + base))
                m.next = "Read"
            with m.State("Read"):
                m.d.comb += self.request.valid.eq(1)
                with m.If(self.request.ready):
                    m.next = "Message"
            with m.State("Message"):
                m.d.comb += self.o_message.valid.eq(1)
                with m.If(self.o_message.ready):
                    m.next = "Data"
            with m.State("Data"):
                m.d.comb += [beats.valid.eq(self.i_beats.valid), self.i_beats.ready.eq(beats.ready)]
                with m.If(beats.valid & beats.ready):
                    m.d.sync += left.eq(left - size)
                    with m.If(beats.p.last):
                        m.next = "Free"
            with m.State("Free"):
                m.d.comb += self.o_free.valid.eq(1)
                with m.If(self.o_free.ready):
                    m.next = "Idle"
        return m

    def _data(self, m):
        """Stream of beats of memory, which leave as wide as the wire."""
        if self.width < self.port:
            m.submodules.narrower = part = Narrower(self.port, self.width)
            into, beats = part.i, part.o
        elif self.width < 8 * BUS:
            # Beats of little work each: the frame's headers and its CRC are near.
            m.submodules.register = part = Register(Beat(self.width))
            into, beats = part.i, part.o
        else:
            into = beats = stream.Signature(Beat(self.width)).create()
        m.d.comb += [
            self.o_data.valid.eq(beats.valid), self.o_data.payload.eq(beats.p.data),
            beats.ready.eq(self.o_data.ready),
        ]
        return into
