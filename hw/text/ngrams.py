# SPDX-License-Identifier: Apache-2.0
"""Words to the hashes of n-grams, all but their last steps."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .layout import CHUNK, TextError, WordBytes
from .multiplier import delayed
from .murmur3 import Fork, Scrambler, step


__all__ = ["NgramConfig", "Forks", "NgramEngine", "Ngrams"]


def NgramConfig(max_n):
    """Lengths of the n-grams wanted, in words."""
    return data.StructLayout({"min": range(max_n + 1), "max": range(max_n + 1)})


def Forks(max_n):
    """Of the n-grams that end with a word: ``forks[n]`` is one if ``valid[n]``; none only in the
    ``last`` item of a text."""
    return data.StructLayout({
        "forks": data.ArrayLayout(Fork, max_n), "valid": max_n, "last": 1, "error": TextError})


class NgramEngine(wiring.Component):
    """Hashes the n-grams that begin with one word, side by side. Nothing can stall it.

    Latency is :attr:`LATENCY` cycles, throughput 1 chunk per cycle.

    Parameters
    ----------
    max_n : int
        Most words of an n-gram.

    Members
    -------
    config : :py:`In(NgramConfig(max_n))`
    i, valid : :py:`In(WordBytes)`, :py:`In(1)`
        A chunk; nothing of it counts if it is empty.
    begin : :py:`In(1)`
        With the first chunk of a word: n-grams begin here. Those before are over.
    fork, fork_valid : :py:`Out(Fork)`, :py:`Out(1)`
        With the last chunk of a word, if the words so far are an n-gram that is wanted.
    """

    LATENCY = Scrambler.LATENCY + 2

    def __init__(self, max_n):
        self.max_n = max_n
        super().__init__({
            "config": In(NgramConfig(max_n)), "i": In(WordBytes), "valid": In(1), "begin": In(1),
            "fork": Out(Fork), "fork_valid": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        # Words so far, 0: idle; bytes behind the last whole block.
        number, fill, rest = Signal(range(self.max_n + 1)), Signal(2), Signal(24)
        start, number_now = Signal(), Signal.like(number)
        old_fill, old_rest = Signal(2), Signal(24)
        arriving, arriving_count = Signal(8 * CHUNK), Signal(range(CHUNK + 1))
        merged, total = Signal(56), Signal(range(CHUNK + 4))
        m.d.comb += [
            start.eq(self.begin & self.i.first),
            old_fill.eq(Mux(start, 0, fill)), old_rest.eq(Mux(start, 0, rest)),
            number_now.eq(Mux(start, 1, Mux(self.i.first & (number != 0), number + 1, number))),
            # A space before every word but the first.
            arriving.eq(Mux(self.i.first & ~start, Cat(C(0x20, 8), self.i.data), self.i.data)),
            arriving_count.eq(self.i.count + (self.i.first & ~start)),
            merged.eq(old_rest | (arriving << (old_fill << 3))),
            total.eq(old_fill + arriving_count),
        ]
        active = Signal()
        m.d.comb += active.eq(self.valid & (self.i.count != 0) & (number_now != 0))
        whole = total[2]
        after = Signal(24)
        m.d.comb += after.eq(Mux(whole, merged >> 32, merged))
        with m.If(active):
            m.d.sync += [
                fill.eq(total), rest.eq(after),
                number.eq(Mux(self.i.end & (number_now == self.config.max), 0, number_now)),
            ]
        with m.If(self.valid & self.i.last):
            m.d.sync += number.eq(0)

        # The block is scrambled, the rest goes along.
        stage = data.StructLayout({
            "start": 1, "whole": 1, "wanted": 1, "tail": 24, "count": range(CHUNK + 1)})
        now, block = Signal(stage), Signal(32)
        m.d.sync += [
            block.eq(merged), now.start.eq(active & start), now.whole.eq(active & whole),
            now.wanted.eq(active & self.i.end & (number_now >= self.config.min)),
            now.tail.eq(after), now.count.eq(Mux(active, arriving_count, 0)),
        ]
        m.submodules.scrambler = scrambler = Scrambler()
        m.d.comb += scrambler.block.eq(block)
        late = Signal(stage)
        m.d.comb += late.eq(delayed(m, now.as_value(), Scrambler.LATENCY, "stage"))

        state, old_state, new_state = Signal(32), Signal(32), Signal(32)
        length, new_length = Signal(32), Signal(32)
        m.d.comb += [
            new_length.eq(Mux(late.start, 0, length) + late.count),
            old_state.eq(Mux(late.start, 0, state)),
            new_state.eq(Mux(late.whole, step(old_state, scrambler.k), old_state)),
        ]
        m.d.sync += [
            state.eq(new_state), length.eq(new_length),
            self.fork.tail.eq(late.tail), self.fork_valid.eq(late.wanted),
        ]
        m.d.comb += self.fork.state.eq(state ^ length)
        return m


class Ngrams(wiring.Component):
    """Hashes of all n-grams of a text, as forks that :class:`.murmur3.Finish` ends.

    Engines take turns: n-grams begin with every ``max_n``-th word in each. So every byte goes
    once into each engine, however long the n-grams.

    Throughput is 1 chunk per cycle, latency is :attr:`LATENCY` cycles. ``i.ready`` depends
    combinationally on ``o.ready``.

    Parameters
    ----------
    max_n : int
        Most words of an n-gram.

    Members
    -------
    config : :py:`In(stream.Signature(NgramConfig(max_n)))`
        One item a text, taken with its last chunk.
    i : :py:`In(stream.Signature(WordBytes))`
    o : :py:`Out(stream.Signature(Forks(max_n)))`

    Raises
    ------
    ValueError
        If ``max_n`` is not positive.
    """

    LATENCY = NgramEngine.LATENCY

    def __init__(self, max_n=3):
        if max_n < 1:
            raise ValueError(f"Max_n must be positive, not {max_n!r}")
        self.max_n = max_n
        super().__init__({
            "config": In(stream.Signature(NgramConfig(max_n))),
            "i": In(stream.Signature(WordBytes)),
            "o": Out(stream.Signature(Forks(max_n))),
        })

    @staticmethod
    def compute(words, min_n, max_n):
        """N-grams of ``words``, a list of bytes."""
        return [b" ".join(words[i:i + n]) for n in range(min_n, max_n + 1)
                for i in range(len(words) - n + 1)]

    def elaborate(self, platform):
        m = Module()
        advance, valid = Signal(), Signal()
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(advance & self.config.valid),
            valid.eq(self.i.valid & self.config.valid),
            self.config.ready.eq(self.i.valid & advance & self.i.p.last),
        ]
        # The engine whose n-grams begin with this word.
        turn = Signal(range(self.max_n))
        with m.If(valid & advance):
            with m.If(self.i.p.last):
                m.d.sync += turn.eq(0)
            with m.Elif(self.i.p.end):
                m.d.sync += turn.eq(Mux(turn == self.max_n - 1, 0, turn + 1))
        wanted = []
        for n in range(self.max_n):
            engine = NgramEngine(self.max_n)
            m.submodules[f"engine_{n}"] = EnableInserter(advance)(engine)
            m.d.comb += [
                engine.config.eq(self.config.p), engine.i.eq(self.i.p), engine.valid.eq(valid),
                engine.begin.eq(turn == n), self.o.p.forks[n].eq(engine.fork),
            ]
            wanted.append(engine.fork_valid)

        tail = Signal(data.StructLayout({"last": 1, "error": TextError}))
        along = [Signal.like(tail, name=f"along_{n}") for n in range(self.LATENCY)]
        m.d.comb += [tail.last.eq(valid & self.i.p.last), tail.error.eq(self.i.p.error)]
        with m.If(advance):
            m.d.sync += [b.eq(a) for a, b in zip([tail, *along], along)]
        m.d.comb += [
            self.o.p.valid.eq(Cat(wanted)), self.o.p.last.eq(along[-1].last),
            self.o.p.error.eq(along[-1].error),
            self.o.valid.eq(Cat(wanted).any() | along[-1].last),
        ]
        return m
