# SPDX-License-Identifier: Apache-2.0
"""What the basic stream components must do, as assertions around them.

Each specification holds a model of its component, a queue kept as a shift register, and says two
things: what leaves is what the model has next, and (so that induction goes through) where in the
component the model's contents lie.
"""

from amaranth import *
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import data

from headrace.hw.stream.arbiter import Arbiter
from headrace.hw.stream.fifo import Fifo
from headrace.hw.stream.register import Register
from headrace.hw.stream.width import Narrower, Widener


__all__ = ["SPECS"]


class Spec(Elaboratable):
    """Base: a component ``dut`` whose ports are free, and the rules of every stream."""

    def __init__(self, dut):
        self.dut = dut

    def keeps(self, m, port, rule):
        """``rule`` (Assert or Assume): what is offered stays so until it is taken."""
        waiting, payload = Signal(), Signal.like(port.payload)
        m.d.sync += [waiting.eq(port.valid & ~port.ready), payload.eq(port.payload)]
        with m.If(waiting):
            m.d.comb += [rule(port.valid), rule(payload == port.payload)]

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = self.dut
        m.d.comb += Assume(~ResetSignal())
        self.keeps(m, self.dut.o, Assert)
        self.rules(m)
        return m


class Queue:
    """Up to ``size`` items in order; several may enter or leave at a time."""

    def __init__(self, m, shape, size):
        self.items = [Signal(shape, name=f"item_{n}") for n in range(size)]
        self.level = Signal(range(size + 1))
        self.after = Array([*self.items, *[C(0, shape)] * size])
        self.m, self.size = m, size

    def step(self, put, values, take):
        """``take`` items leave, then the first ``put`` of ``values`` enter."""
        kept = Signal.like(self.level)
        self.m.d.comb += kept.eq(self.level - take)
        self.m.d.sync += self.level.eq(kept + put)
        for n, item in enumerate(self.items):
            self.m.d.sync += item.eq(self.after[n + take])
            for k, value in enumerate(values):
                with self.m.If((put > k) & (kept + k == n)):
                    self.m.d.sync += item.eq(value)


class RegisterSpec(Spec):
    """In order, nothing lost, two at most."""

    def __init__(self, kind=Register):
        super().__init__(kind(4))

    def rules(self, m):
        dut = self.dut
        queue = Queue(m, 4, 2)
        put, take = dut.i.valid & dut.i.ready, dut.o.valid & dut.o.ready
        queue.step(put, [dut.i.payload], take)
        m.d.comb += [
            Assert(queue.level == dut.o.valid + dut.spare_valid),
            Assert(dut.o.valid | ~dut.spare_valid),
            Assert(dut.i.ready | (queue.level == 2)),
            Cover(put & take & (queue.level == 1) & (dut.o.payload == 9)),
        ]
        with m.If(dut.o.valid):
            m.d.comb += Assert(dut.o.payload == queue.items[0])
        with m.If(dut.spare_valid):
            m.d.comb += Assert(dut.spare == queue.items[1])


def fifo_holds(m, fifo, queue, contents):
    """A :class:`Fifo` holds what ``queue`` does, and where; ``contents`` are read ports of its
    memory, one a word. What it holds reaches its output within two cycles."""
    m.d.comb += [
        Assert(fifo.stored <= fifo.depth), Assert(fifo.level == queue.level),
        Assert(fifo.write.addr == (fifo.reader + fifo.stored)[:len(fifo.reader)]),
    ]
    with m.If(fifo.o.valid):
        m.d.comb += Assert(fifo.o.payload == queue.items[0])
    with m.If(fifo.asked):
        m.d.comb += Assert(fifo.read.data == queue.after[fifo.o.valid])
    for n, port in enumerate(contents):
        m.d.comb += port.addr.eq(fifo.reader + n)
        with m.If(n < fifo.stored):
            m.d.comb += Assert(port.data == queue.after[fifo.o.valid + fifo.asked + n])
    waited = Signal(2)
    with m.If((queue.level != 0) & ~fifo.o.valid):
        m.d.sync += waited.eq(waited + 1)
    with m.Else():
        m.d.sync += waited.eq(0)
    m.d.comb += [
        Assert(waited <= 2), Assert((waited != 2) | fifo.o.valid),
        Assert((waited != 1) | fifo.o.valid | fifo.asked),
    ]


class FifoSpec(Spec):
    """In order, nothing lost, level right, room for depth + 2, never stuck."""

    def __init__(self):
        dut = Fifo(3, 4)
        self.contents = [dut.memory.read_port(domain="comb") for _ in range(dut.depth)]
        super().__init__(dut)

    def rules(self, m):
        dut = self.dut
        queue = Queue(m, 3, 6)
        put, take = dut.i.valid & dut.i.ready, dut.o.valid & dut.o.ready
        queue.step(put, [dut.i.payload], take)
        fifo_holds(m, dut, queue, self.contents)
        m.d.comb += [
            Assert(dut.i.ready | (dut.stored == dut.depth)),
            Cover((queue.level == 6) & take), Cover(put & take & dut.asked & dut.o.valid),
        ]


class WidthSpec(Spec):
    """Bytes in order, none lost; packets begin with a new beat; full beats before the last."""

    def __init__(self, dut, held, where):
        self.held, self.where = held, where
        super().__init__(dut)

    def rules(self, m):
        dut = self.dut
        width = max(dut.i.p.data.shape().width, dut.o.p.data.shape().width)
        queue = Queue(m, 8, width // 8)
        ended = Signal()  # the packet's last byte is in the queue
        put, take = dut.i.valid & dut.i.ready, dut.o.valid & dut.o.ready
        full_in, full_out = len(dut.i.p.data) // 8, len(dut.o.p.data) // 8
        m.d.comb += [
            Assume(dut.i.p.count <= full_in),
            Assume((dut.i.p.count == full_in) | dut.i.p.last),
        ]
        bytes_in = [dut.i.p.data.word_select(n, 8) for n in range(full_in)]
        queue.step(Mux(put, dut.i.p.count, 0), bytes_in, Mux(take, dut.o.p.count, 0))
        with m.If(put):
            m.d.sync += ended.eq(dut.i.p.last)
        with m.Elif(take & dut.o.p.last):
            m.d.sync += ended.eq(0)
        with m.If(dut.o.valid):
            m.d.comb += [
                Assert((dut.o.p.count == full_out) | dut.o.p.last),
                Assert(dut.o.p.count <= queue.level),
                Assert(~dut.o.p.last | (ended & (dut.o.p.count == queue.level))),
            ]
            for n in range(full_out):
                with m.If(n < dut.o.p.count):
                    m.d.comb += Assert(dut.o.p.data.word_select(n, 8) == queue.items[n])
        data_held, count_held = self.where(dut)
        m.d.comb += [
            Assert(queue.level == count_held),
            Cover(take & dut.o.p.last & (dut.o.p.count == full_out)),
            Cover(take & dut.o.p.last & (dut.o.p.count == 1)),
            Cover(take & put),
        ]
        for n in range(width // 8):
            with m.If(n < count_held):
                m.d.comb += Assert(data_held.word_select(n, 8) == queue.items[n])
        self.held(m, dut, ended)


def widener():
    def where(dut):
        return dut.o.p.data, Mux(dut.o.valid, dut.o.p.count, dut.index * (dut.narrow // 8))

    def held(m, dut, ended):
        with m.If(dut.o.valid):
            m.d.comb += [Assert(dut.index == 0), Assert(ended == dut.o.p.last)]
            with m.If(~dut.o.p.last):
                m.d.comb += Assert(dut.o.p.count == dut.wide // 8)
        with m.Else():
            m.d.comb += Assert(~ended)

    return WidthSpec(Widener(16, 64), held, where)


def narrower():
    def where(dut):
        return dut.held.data, Mux(dut.o.valid, dut.held.count, 0)

    def held(m, dut, ended):
        with m.If(dut.o.valid):
            m.d.comb += [
                Assert(ended == dut.held.last), Assert(dut.held.count <= dut.wide // 8),
                Assert(dut.held.last | ((dut.held.count != 0) & ~dut.held.count[0])),
            ]

    return WidthSpec(Narrower(64, 16), held, where)


class ArbiterSpec(Spec):
    """Whole packets, as they are, from one input at a time, in turn."""

    def __init__(self):
        dut = Arbiter(data.StructLayout({"data": 2, "last": 1}), 3)
        super().__init__(dut)

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = self.dut
        m.d.comb += Assume(~ResetSignal())
        for port in dut.i:
            self.keeps(m, port, Assume)
        self.keeps(m, dut.o, Assert)
        self.rules(m)
        return m

    def rules(self, m):
        dut, n = self.dut, self.dut.inputs
        take = dut.o.valid & dut.o.ready
        within, whose = Signal(), Signal(range(n))
        with m.If(take):
            m.d.sync += [within.eq(~dut.o.p.last), whose.eq(dut.owner)]
        m.d.comb += [Assert(dut.owner < n), Assert(dut.within == within)]
        with m.If(within):
            m.d.comb += Assert(dut.owner == whose)
        m.d.comb += Assert(dut.o.valid == Array(i.valid for i in dut.i)[dut.owner])
        # Unless a packet is under way, whoever waits is served in the next cycle.
        served = Signal()
        m.d.sync += served.eq(Cat(i.valid & ~i.ready for i in dut.i).any() & Mux(
            dut.o.valid, take & dut.o.p.last, ~within))
        with m.If(served):
            m.d.comb += Assert(dut.o.valid)
        for number, i in enumerate(dut.i):
            mine = dut.owner == number
            m.d.comb += [
                Assert((i.valid & i.ready) == (take & mine)),
                Cover(take & mine & dut.o.p.last & within),
            ]
            with m.If(dut.o.valid & mine):
                m.d.comb += [Assert(i.valid), Assert(dut.o.payload == i.payload)]
            # Packets of others that ended while this input was waiting.
            passed = Signal(range(n + 1), name=f"passed_{number}")
            with m.If(~i.valid | mine):
                m.d.sync += passed.eq(0)
            with m.Elif(take & dut.o.p.last):
                m.d.sync += passed.eq(passed + 1)
            ahead = Signal(range(n), name=f"ahead_{number}")  # others before it is its turn
            m.d.comb += [
                ahead.eq(Array((number - owner - 1) % n for owner in range(n))[dut.owner]),
                Assert(passed < n),
            ]
            with m.If(passed != 0):
                m.d.comb += [Assert(i.valid), Assert(mine | (passed + ahead <= n - 2))]
        # Two inputs, nothing idle: the next packet follows at once.
        m.d.comb += Cover(take & dut.o.p.last & ~within & dut.i[0].valid & dut.i[1].valid)


#: Specifications by name.
SPECS = {
    "register": RegisterSpec, "fifo": FifoSpec, "widener": widener, "narrower": narrower,
    "arbiter": ArbiterSpec,
}
