# SPDX-License-Identifier: Apache-2.0
"""Reads memory for several clients."""

from amaranth import *
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..stream.turns import next_in_turn
from .config import beat_bits


__all__ = ["ReadRequest", "ReadBeat", "ReadDma"]


def ReadRequest(port):
    """Consecutive beats of ``port`` bits; the address counts beats."""
    return data.StructLayout({"address": 64 - beat_bits(port), "beats": 38 - beat_bits(port)})


def ReadBeat(port):
    """``port`` bits of memory; ``error``: it did not answer."""
    return data.StructLayout({"data": port, "error": 1})


class ReadDma(wiring.Component):
    """Splits the requests of clients into bursts, in turns.

    A burst is asked for when its client's FIFO has room for all of it, so that no client can hold
    up another. Bursts are aligned to their greatest length and thus never cross a 4 KiB boundary.
    Throughput is 1 beat per cycle, and a burst every 2 cycles.

    Parameters
    ----------
    clients : int
    depth : int
        Beats held for a client.
    port : int
        Bits of a beat.

    Members
    -------
    request : :py:`In(stream.Signature(ReadRequest(port))).array(clients)`
        Accepted when the previous one of the client has been asked for.
    o : :py:`Out(stream.Signature(ReadBeat(port))).array(clients)`
    drop : :py:`In(clients)`
        While high, the rest of the client's request is not asked for, and beats that were are
        thrown away.
    empty : :py:`Out(clients)`
        In the cycle before, no beat of the client was to come.
    ar : :py:`Out(stream.Signature(...))`
        ``address`` in beats, ``beats``.
    r : :py:`In(stream.Signature(...))`
        ``beat``, ``last`` of a burst. In the order of ``ar``.
    """

    #: Beats of the longest burst.
    BURST = 8
    #: Bursts under way.
    BURSTS = 16

    def __init__(self, clients, depth=32, port=512):
        self.clients, self.depth, self.port = clients, depth, port
        self.beat = ReadBeat(port)
        address = ReadRequest(port).members["address"]
        super().__init__({
            "request": In(stream.Signature(ReadRequest(port))).array(clients),
            "o": Out(stream.Signature(ReadBeat(port))).array(clients),
            "drop": In(clients), "empty": Out(clients),
            "ar": Out(stream.Signature(data.StructLayout({"address": address, "beats": 4}))),
            "r": In(stream.Signature(data.StructLayout({"beat": self.beat, "last": 1}))),
        })

    def elaborate(self, platform):
        m = Module()
        n = self.clients
        align = ceil_log2(self.BURST)
        m.submodules.order = order = fifo.SyncFIFOBuffered(width=ceil_log2(n) or 1,
                                                           depth=self.BURSTS)
        wants = Signal(n)
        # A client is chosen in one cycle, its burst asked for in another.
        turn = Signal(range(n))
        chosen, go = Signal(), Signal()
        addresses, lengths = [], []
        for c in range(n):
            address = Signal.like(self.ar.p.address, name=f"address_{c}")
            left = Signal.like(self.request[c].p.beats, name=f"left_{c}")
            credit = Signal(range(self.depth + 1), init=self.depth, name=f"credit_{c}")
            room = Signal(self.BURST.bit_length(), name=f"room_{c}")
            length = Signal(self.BURST.bit_length(), name=f"length_{c}")
            m.submodules[f"queue_{c}"] = queue = fifo.SyncFIFOBuffered(
                width=self.beat.size, depth=self.depth)
            mine, next_one = go & (turn == c), chosen & (turn == c)
            # Found in the cycle in which a client is chosen.
            m.d.sync += length.eq(Mux(left < room, left, room))
            m.d.comb += [
                room.eq(self.BURST - address[:align]),
                wants[c].eq((left != 0) & (credit >= self.BURST) & ~self.drop[c]),
                self.request[c].ready.eq(left == 0),
                queue.w_data.eq(self.r.p.beat),
                queue.w_en.eq(self.r.valid & order.r_rdy & (order.r_data == c)),
                self.o[c].payload.eq(queue.r_data), self.o[c].valid.eq(queue.r_rdy),
                queue.r_en.eq(self.o[c].ready | self.drop[c]),
            ]
            m.d.sync += [
                credit.eq(credit - Mux(mine, length, 0) + (queue.r_rdy & queue.r_en)),
                self.empty[c].eq((left == 0) & (credit == self.depth) & ~next_one),
            ]
            with m.If(self.drop[c] & ~next_one):
                m.d.sync += left.eq(0)
            with m.Elif(mine):
                m.d.sync += [address.eq(address + length), left.eq(left - length)]
            with m.Elif(self.request[c].valid & self.request[c].ready):
                m.d.sync += [address.eq(self.request[c].p.address),
                             left.eq(self.request[c].p.beats)]
            addresses.append(address)
            lengths.append(length)

        next_turn = next_in_turn(m, wants, turn, "client")
        m.d.comb += [
            go.eq(chosen & order.w_rdy & (~self.ar.valid | self.ar.ready)),
            order.w_en.eq(go), order.w_data.eq(turn),
            self.r.ready.eq(order.r_rdy),
            order.r_en.eq(self.r.valid & self.r.p.last),
        ]
        with m.If(~self.ar.valid | self.ar.ready):
            m.d.sync += [
                self.ar.valid.eq(go), self.ar.p.address.eq(Array(addresses)[turn]),
                self.ar.p.beats.eq(Array(lengths)[turn]),
            ]
        with m.If(go):
            m.d.sync += chosen.eq(0)
        with m.Elif(~chosen & wants.any()):
            m.d.sync += [chosen.eq(1), turn.eq(next_turn)]
        return m
