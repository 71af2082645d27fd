# SPDX-License-Identifier: Apache-2.0
"""What the gate and the slots of the network must do, as assertions around them."""

from amaranth import *
from amaranth.hdl import Assert, Assume, Cover

from headrace.hw.card.gate import Gate
from headrace.hw.card.slots import Slots
from inside import Inside
from specs import Queue, Spec, fifo_holds


__all__ = ["GateSpec", "SlotsSpec"]


class GateSpec(Spec):
    """A frame passes as a whole if the gate is open when it is first offered, or not at all."""

    def __init__(self, dut=Gate):
        super().__init__(dut(16))

    def elaborate(self, platform):
        m = super().elaborate(platform)
        self.keeps(m, self.dut.i, Assume)
        return m

    def rules(self, m):
        dut = self.dut
        inside = Inside(dut)
        begun, chosen, passes = Signal(), Signal(), Signal()  # a frame is under way; it passes
        take = dut.i.valid & dut.i.ready
        m.d.comb += passes.eq(Mux(begun, chosen, dut.open))
        with m.If(dut.i.valid):
            m.d.sync += [begun.eq(~(take & dut.i.p.last)), chosen.eq(passes)]
            m.d.comb += [Assert(dut.o.valid == passes), Assert(dut.o.payload == dut.i.payload),
                         # Nothing waits but for a reader of what passes.
                         Assert(dut.i.ready | (passes & ~dut.o.ready))]
        m.d.comb += [
            Assert((dut.o.valid & dut.o.ready) == (take & passes)),
            Assert(inside["inside"] == begun), Assert(~begun | (inside["passing"] == chosen)),
            Cover(take & dut.i.p.last & begun & passes & ~dut.open),
            Cover(take & dut.i.p.last & begun & ~passes & dut.open),
        ]


class SlotsSpec(Spec):
    """Each slot is free, or the host's, or the card's, and only one of them; so is the spare one.

    Free ones leave in the order in which they became free. Of the inputs is assumed that the card
    gives back and lends what it holds, one way only, and takes the spare slot when it is free. The
    host may post what it likes.
    """

    SLOTS = 3

    def __init__(self, dut=Slots):
        super().__init__(dut(self.SLOTS))

    def elaborate(self, platform):
        self.inside = Inside(self.dut)
        self.fifo = self.inside["free"]
        self.contents = [self.fifo.memory.read_port(domain="comb")
                         for _ in range(self.fifo.depth)]
        m = super().elaborate(platform)
        self.keeps(m, self.dut.i, Assume)
        return m

    def rules(self, m):
        dut, fifo, slots = self.dut, self.fifo, self.SLOTS
        cards, hosts = Signal(slots + 1), Signal(slots + 1, init=(1 << slots) - 1)
        queue = Queue(m, range(slots + 1), slots)
        take, back = dut.o.valid & dut.o.ready, dut.i.valid & dut.i.ready

        def bit(number, strobe):
            one = Signal(slots + 1)
            m.d.comb += one.eq(strobe << number)
            return one

        posts = Signal()
        m.d.comb += [
            posts.eq(dut.post & (dut.posted <= slots)
                     & hosts.bit_select(dut.posted[:len(dut.o.payload)], 1)),
            Assume(~dut.i.valid | ((dut.i.payload <= slots)
                                   & cards.bit_select(dut.i.payload, 1))),
            Assume(~dut.lent | ((dut.lent_slot <= slots)
                                & cards.bit_select(dut.lent_slot, 1))),
            Assume(~(dut.i.valid & dut.lent & (dut.i.payload == dut.lent_slot))),
            Assume(~dut.take_spare | dut.spare),
        ]
        posted, returned, lent = (bit(number, strobe) for number, strobe in (
            (dut.posted[:len(dut.o.payload)], posts), (dut.i.payload, back),
            (dut.lent_slot, dut.lent)))
        taken = bit(dut.o.payload, take) | bit(C(slots), dut.take_spare)
        m.d.sync += [cards.eq((cards | taken) & ~(returned | lent)),
                     hosts.eq((hosts | lent) & ~posted)]
        freed = (posted | returned)[:slots]
        fresh = Signal(range(slots + 1))
        m.d.comb += [
            fresh.eq(Mux(posts, dut.posted, dut.i.payload)),
            Assert((posted & returned) == 0), Assert(self.inside["owned"] == hosts),
            Assert((cards & hosts) == 0), Assert(dut.i.ready == ~posts),
            Assert(~dut.o.valid | (dut.o.payload < slots)),
            Assert(~fifo.i.valid | fifo.i.ready),
            Cover(take & (dut.o.payload == 2) & (queue.level == 3)), Cover(back), Cover(dut.lent),
            Cover(dut.take_spare), Cover(posts & (dut.posted == slots)),
        ]
        queue.step(freed.any(), [fresh], take)
        for slot in range(slots + 1):
            here = (sum(((queue.level > n) & (item == slot)
                         for n, item in enumerate(queue.items)), 0)
                    if slot < slots else dut.spare)
            m.d.comb += Assert(here + cards[slot] + hosts[slot] == 1)
        # Where in the FIFO they lie.
        for n, item in enumerate(queue.items):
            m.d.comb += Assert((queue.level <= n) | (item < slots))
        m.d.comb += Assert(queue.level <= slots)
        fifo_holds(m, fifo, queue, self.contents)
