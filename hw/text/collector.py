# SPDX-License-Identifier: Apache-2.0
"""Tokens in the order of the words."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..status import Detail, Status
from .layout import Element, TextDone
from .units import End, Word
from .walker import Task


__all__ = ["Collector"]


class Collector(wiring.Component):
    """Numbers words, hands them to walkers, and lets their tokens go in the order of the words.

    Throughput is 1 token per cycle. Latency, apart from the walkers', is 4 cycles.

    Parameters
    ----------
    geometry : Geometry
    walkers : int

    Members
    -------
    unknown : :py:`In(geometry.token_bits)`
    i : :py:`In(stream.Signature(Word(geometry)))`
    tail : :py:`Out(geometry.ring_bits)`
        The first address of the ring that is in use, or the next that will be.
    o_task : :py:`Out(stream.Signature(Task(geometry))).array(walkers)`
    done, slot, at, known, read_address, read, token :
        Of each walker, see there.
    o : :py:`Out(stream.Signature(Element))`
        Tokens in the low half; an empty one ends a text.
    o_done : :py:`Out(stream.Signature(TextDone))`
        After it, how the text ended. Nothing of the next text comes before it has been taken.
    """

    def __init__(self, geometry, walkers):
        self.geometry = geometry
        self.walkers = walkers
        ring = geometry.ring_bits
        super().__init__({
            "unknown": In(geometry.token_bits),
            "i": In(stream.Signature(Word(geometry))), "tail": Out(ring),
            "o_task": Out(stream.Signature(Task(geometry))).array(walkers),
            "done": In(1).array(walkers), "slot": In(geometry.slot_bits).array(walkers),
            "at": In(ring).array(walkers), "known": In(1).array(walkers),
            "read_address": Out(ring), "read": Out(1),
            "token": In(geometry.token_bits).array(walkers),
            "o": Out(stream.Signature(Element)), "o_done": Out(stream.Signature(TextDone)),
        })

    def elaborate(self, platform):
        m = Module()
        slots = 1 << self.geometry.slot_bits
        head, count = Signal(self.geometry.slot_bits), Signal(range(slots + 1))
        finished = [Signal(slots, name=f"finished_{n}") for n in range(self.walkers)]
        pop = Signal()

        # Words in flight.
        m.submodules.words = words = memory.Memory(
            shape=Word(self.geometry), depth=slots, init=[])
        write, read = words.write_port(), words.read_port(domain="comb")
        push, tasks_free = Signal(), Signal()
        fresh = (head + count)[:len(head)]
        is_word = self.i.p.length != 0
        m.d.comb += [
            self.i.ready.eq((count != slots) & (tasks_free | ~is_word)),
            push.eq(self.i.valid & self.i.ready),
            write.en.eq(push), write.addr.eq(fresh), write.data.eq(self.i.payload),
            read.addr.eq(head),
        ]
        m.d.sync += [count.eq(count + push - pop), head.eq(head + pop)]
        self._dispatch(m, push & is_word, fresh, tasks_free)

        # What the walkers say of them.
        results = []
        for n in range(self.walkers):
            m.submodules[f"results_{n}"] = mem = memory.Memory(
                shape=data.StructLayout({"at": self.geometry.ring_bits, "known": 1}), depth=slots,
                init=[])
            port, result = mem.write_port(), mem.read_port(domain="comb")
            m.d.comb += [
                port.en.eq(self.done[n]), port.addr.eq(self.slot[n]),
                port.data.at.eq(self.at[n]), port.data.known.eq(self.known[n]),
                result.addr.eq(head),
            ]
            results.append(result.data)
            m.d.sync += finished[n].eq(
                (finished[n] | (self.done[n] << self.slot[n])) & ~(pop << head))

        # The next token of the first of them.
        advance, word = Signal(), read.data
        index, begun = Signal(self.geometry.ring_bits), Signal()  # within its tokens
        by = [bits.bit_select(head, 1) for bits in finished]
        stop, known = Signal.like(index), Signal()
        for bit, result in zip(by, results):
            with m.If(bit):
                m.d.comb += [stop.eq(result.at), known.eq(result.known)]
        here, looked_up, there = Signal.like(index), Signal(), Signal()
        m.d.comb += [
            here.eq(Mux(begun, index, word.at)),
            looked_up.eq(word.length != 0),
            there.eq((count != 0) & (~looked_up | Cat(by).any())),
            pop.eq(advance & there & (~looked_up | ~known | ((here + 1)[:len(here)] == stop))),
            self.read_address.eq(here), self.read.eq(advance),
        ]
        with m.If(advance & there):
            m.d.sync += [begun.eq(~pop), index.eq(here + 1)]
        with m.If(pop & looked_up):
            m.d.sync += self.tail.eq(word.at + word.length)

        # Beside the walker's memory; then out.
        valid, direct, token = Signal(), Signal(), Signal(self.geometry.token_bits)
        chosen, end, ending = Signal(self.walkers), Signal(), Signal(2)
        out = Signal(self.geometry.token_bits)
        for n, bit in enumerate(chosen):
            with m.If(bit):
                m.d.comb += out.eq(self.token[n])
        with m.If(direct):
            m.d.comb += out.eq(token)
        out_valid, out_ending = Signal(), Signal(2)
        with m.If(advance):
            m.d.sync += [
                valid.eq(there), direct.eq(~looked_up | ~known), chosen.eq(Cat(by)),
                token.eq(Mux(looked_up, self.unknown, word.token)),
                end.eq(word.end & ~looked_up), ending.eq(word.ending),
                out_valid.eq(valid), self.o.p.data.eq(out), self.o.p.last.eq(end),
                self.o.p.bytes.eq(Mux(end, 0, 4)), out_ending.eq(ending),
            ]
        self._finish(m, out_valid, out_ending, advance)
        return m

    def _dispatch(self, m, push, slot, free):
        """Give words to walkers: each has the next one lying ready, so that it never waits."""
        waiting = [task.valid & ~task.ready for task in self.o_task]
        # As long as there is no more than one word for each walker to go to.
        turn = Signal(range(max(self.walkers, 2)))
        m.d.comb += free.eq(~Cat(waiting).all())
        for n, task in enumerate(self.o_task):
            others = [w for k, w in enumerate(waiting) if k != n]
            chosen = ~waiting[n] & ((turn == n) | Cat(others).all())
            with m.If(task.ready):
                m.d.sync += task.valid.eq(0)
            with m.If(push & chosen):
                m.d.sync += [
                    task.valid.eq(1), task.p.slot.eq(slot), task.p.at.eq(self.i.p.at),
                    task.p.length.eq(self.i.p.length), turn.eq((n + 1) % self.walkers),
                ]

    def _finish(self, m, valid, ending, advance):
        """Nothing of the next text comes until the status of this one has been taken."""
        pending = self.o_done.valid
        m.d.comb += [
            self.o.valid.eq(valid & ~pending),
            advance.eq(~valid | (self.o.valid & self.o.ready)),
        ]
        with m.If(self.o_done.ready):
            m.d.sync += pending.eq(0)
        with m.If(self.o.valid & self.o.ready & self.o.p.last):
            m.d.sync += [pending.eq(1), self.o_done.p.status.eq(Status.OK),
                         self.o_done.p.detail.eq(Detail.NONE)]
            with m.Switch(ending):
                with m.Case(End.MALFORMED):
                    m.d.sync += [self.o_done.p.status.eq(Status.CORRUPT),
                                 self.o_done.p.detail.eq(Detail.UTF8)]
                with m.Case(End.REORDER):
                    m.d.sync += [self.o_done.p.status.eq(Status.UNSUPPORTED),
                                 self.o_done.p.detail.eq(Detail.REORDER)]
