# SPDX-License-Identifier: Apache-2.0
"""Who may send to a queue pair."""

from amaranth import *
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from .layout import Owner, Peer


__all__ = ["NEAR", "near", "Owners"]


#: Low bits of a packet number that do not matter for whether it is near another one.
NEAR = 20


def near(number, other):
    """Whether a packet number lies in the same block of ``2 ** NEAR`` numbers as another one, or in
    one beside that: then so do up to ``2 ** NEAR`` numbers on both sides of the other."""
    distance = (number[NEAR:24] - other[NEAR:24])[:24 - NEAR]
    return (distance == 0) | (distance == 1) | distance.all()


class Owners(wiring.Component):
    """For each queue pair its owner, as the host says or as the first packet shows.

    A queue pair that is to be bound to the source of its first message belongs to nobody until a
    packet begins one that is right in all other respects. It does so again when it has been closed.

    Parameters
    ----------
    queues : int
    adjacent : bool
        Packets may come in cycles that follow each other; else a cycle is between them.

    Members
    -------
    set, set_queue, owner : :py:`In(...)`
        Strobe: that queue is the owner's. It must be closed then, for long enough that no packet
        is under way.
    open : :py:`In(queues)`
        Queues that are open.
    queue : :py:`In(range(queues))`
        Of a packet that may come in the next cycle.
    peer, psn, begins : :py:`In(...)`
        Of this packet.
    right : :py:`In(1)`
        It is right, whoever sent it.
    stranger : :py:`Out(1)`
        A cycle later: it is not the owner's.
    unowned : :py:`Out(1)`
        A cycle later: it cannot make its sender the owner, because it begins no message.
    window, astray, missed : :py:`Out(1)`
        A cycle later: numbers must be near the expected one; as the first packet of its queue its
        number is far from it, or not equal.
    """

    def __init__(self, queues, *, adjacent=True):
        self.queues, self.adjacent = queues, adjacent
        super().__init__({
            "set": In(1), "set_queue": In(range(queues)), "owner": In(Owner), "open": In(queues),
            "queue": In(range(queues)), "peer": In(Peer), "psn": In(24), "begins": In(1),
            "right": In(1),
            "stranger": Out(1), "unowned": Out(1), "window": Out(1), "astray": Out(1),
            "missed": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        # Two memories, for each has one port to write: packets do not wait for the host.
        m.submodules.given = given = memory.Memory(shape=Owner, depth=self.queues, init=[])
        m.submodules.bound = bound = memory.Memory(shape=Peer, depth=self.queues, init=[])
        write, bind, owner = given.write_port(), bound.write_port(), given.read_port()
        first = bound.read_port(transparent_for=(bind,) if self.adjacent else ())
        taken = Signal(self.queues)     # bound to a station
        at, free = Signal(range(self.queues)), Signal()
        m.d.sync += at.eq(self.queue)
        own, whose = owner.data, Signal(Peer)
        m.d.comb += [
            write.en.eq(self.set), write.addr.eq(self.set_queue), write.data.eq(self.owner),
            owner.addr.eq(self.queue), first.addr.eq(self.queue),
            free.eq(own.bind & ~taken.bit_select(at, 1)),
            whose.eq(Mux(own.bind, first.data, own.peer)),
            bind.en.eq(free & self.right & self.begins), bind.addr.eq(at), bind.data.eq(self.peer),
        ]
        differs = Signal(3)
        for n, name in enumerate(("mac", "ip", "port")):
            compared = ~free & (own.bind | own[f"match_{name}"])
            m.d.sync += differs[n].eq(compared & (whose[name] != self.peer[name]))
        numbered = own.numbered & ~own.bind
        m.d.comb += self.stranger.eq(differs.any())
        m.d.sync += [
            self.unowned.eq(free & ~self.begins), self.window.eq(own.window),
            self.astray.eq(numbered & ~near(self.psn, own.first)),
            self.missed.eq(numbered & (self.psn != own.first)),
            taken.eq((taken | (bind.en << at)) & self.open),
        ]
        return m
