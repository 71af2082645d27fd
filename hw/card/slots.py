# SPDX-License-Identifier: Apache-2.0
"""Which slots of the card's memory are free for messages."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.fifo import Fifo


__all__ = ["fifo_depth", "Slots"]


def fifo_depth(slots):
    """Words of a FIFO that has room for every slot and for the spare one, a power of two."""
    return 1 << slots.bit_length()


class Slots(wiring.Component):
    """Keeps free slots in the order in which they became free.

    Slot ``slots`` is the spare one: it holds no message, but the answer to one that was refused.
    It is free at first; all others are the host's, until it posts them. A slot that is not the
    host's cannot be posted.

    Parameters
    ----------
    slots : int

    Members
    -------
    post, posted : :py:`In(...)`
        Strobe: the host gives this slot.
    lent, lent_slot : :py:`In(...)`
        Strobe: the host has taken this slot.
    i : :py:`In(stream.Signature(range(slots + 1)))`
        Slots that are free again.
    o : :py:`Out(stream.Signature(range(slots + 1)))`
        Free ones, but for the spare one.
    spare : :py:`Out(1)`
        The spare one is free.
    take_spare : :py:`In(1)`
        Strobe: it is not any more.
    """

    def __init__(self, slots):
        self.slots = slots
        super().__init__({
            "post": In(1), "posted": In(16), "lent": In(1), "lent_slot": In(range(slots + 1)),
            "i": In(stream.Signature(range(slots + 1))),
            "o": Out(stream.Signature(range(slots + 1))),
            "spare": Out(1, init=1), "take_spare": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.free = free = Fifo(self.o.payload.shape(), fifo_depth(self.slots))
        wiring.connect(m, free.o, wiring.flipped(self.o))
        owned = Signal(self.slots + 1, init=(1 << self.slots) - 1)  # by the host
        slot = Signal.like(self.i.payload)
        good = Signal()
        m.d.comb += [
            good.eq(self.post & (self.posted <= self.slots)
                    & owned.bit_select(self.posted[:len(slot)], 1)),
            slot.eq(Mux(good, self.posted, self.i.payload)),
            # There is room for all.
            free.i.valid.eq((good | self.i.valid) & (slot != self.slots)),
            free.i.payload.eq(slot), self.i.ready.eq(~good),
        ]
        with m.If(self.take_spare):
            m.d.sync += self.spare.eq(0)
        with m.If((good | self.i.valid) & (slot == self.slots)):
            m.d.sync += self.spare.eq(1)
        with m.If(good):
            m.d.sync += owned.bit_select(slot, 1).eq(0)
        with m.If(self.lent):
            m.d.sync += owned.bit_select(self.lent_slot, 1).eq(1)
        return m
