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

    Throughput is 1 token per cycle. Latency, apart from the walkers', is 5 cycles.

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
        take, advance = Signal(), Signal()

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
        m.d.sync += [count.eq(count + push - take), head.eq(head + take)]
        self._dispatch(m, push & is_word, fresh, tasks_free)
        by, stop, known = self._results(m, head, take)

        # The first of them, once its tokens are there.
        word, front, there, pop = read.data, Signal(self._front), Signal(), Signal()
        looked_up = word.length != 0
        m.d.comb += [
            take.eq((count != 0) & (~looked_up | by.any()) & (~there | pop)),
            pop.eq(advance & there & (front.direct | (front.at == front.final))),
            self.read_address.eq(front.at), self.read.eq(advance),
        ]
        with m.If(pop):
            m.d.sync += there.eq(0)
            with m.If(front.looked_up):
                m.d.sync += self.tail.eq(front.behind)
        with m.If(advance):
            m.d.sync += front.at.eq(front.at + 1)
        with m.If(take):
            m.d.sync += [
                there.eq(1), front.looked_up.eq(looked_up), front.direct.eq(~looked_up | ~known),
                front.by.eq(by), front.at.eq(word.at), front.final.eq(stop - 1),
                front.behind.eq(word.at + word.length),
                front.token.eq(Mux(looked_up, self.unknown, word.token)),
                front.end.eq(word.end & ~looked_up), front.ending.eq(word.ending),
            ]
        self._send(m, front, there, advance)
        return m

    @property
    def _front(self):
        """The word whose tokens leave: itself ``token`` if ``direct``; else they are in the ring
        of walker ``by``, from ``at`` to ``final``. ``behind`` is behind its symbols."""
        ring = self.geometry.ring_bits
        return data.StructLayout({
            "looked_up": 1, "direct": 1, "by": self.walkers, "at": ring, "final": ring,
            "behind": ring, "token": self.geometry.token_bits, "end": 1, "ending": 2})

    def _results(self, m, head, take):
        """What the walkers say of word ``head``: which of them is through with it, where its
        tokens end, and whether it is known."""
        slots = 1 << self.geometry.slot_bits
        by, stop, known = Signal(self.walkers), Signal(self.geometry.ring_bits), Signal()
        for n in range(self.walkers):
            finished = Signal(slots, name=f"finished_{n}")
            m.submodules[f"results_{n}"] = mem = memory.Memory(
                shape=data.StructLayout({"at": self.geometry.ring_bits, "known": 1}), depth=slots,
                init=[])
            write, read = mem.write_port(), mem.read_port(domain="comb")
            m.d.comb += [
                write.en.eq(self.done[n]), write.addr.eq(self.slot[n]),
                write.data.at.eq(self.at[n]), write.data.known.eq(self.known[n]),
                read.addr.eq(head), by[n].eq(finished.bit_select(head, 1)),
            ]
            with m.If(by[n]):
                m.d.comb += [stop.eq(read.data.at), known.eq(read.data.known)]
            m.d.sync += finished.eq(
                (finished | (self.done[n] << self.slot[n])) & ~(take << head))
        return by, stop, known

    def _send(self, m, front, there, advance):
        """Wait for the walker's memory, then let the token go."""
        beside, valid, out_valid = Signal(self._front), Signal(), Signal()
        token, ending = Signal(self.geometry.token_bits), Signal(2)
        for n, bit in enumerate(beside.by):
            with m.If(bit):
                m.d.comb += token.eq(self.token[n])
        with m.If(beside.direct):
            m.d.comb += token.eq(beside.token)
        with m.If(advance):
            m.d.sync += [
                valid.eq(there), beside.eq(front),
                out_valid.eq(valid), self.o.p.data.eq(token), self.o.p.last.eq(beside.end),
                self.o.p.bytes.eq(Mux(beside.end, 0, 4)), ending.eq(beside.ending),
            ]
        self._finish(m, out_valid, ending, advance)

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
