# SPDX-License-Identifier: Apache-2.0
"""Bytes of a text to words."""

import re

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .layout import CHUNK, TextBytes, TextError, WordBytes


__all__ = ["WordSplitter"]


#: Bytes that the window holds, and those behind a word that leave it together with its end.
WINDOW = 12
TRAILING = 2
#: One byte beyond a chunk shows whether the word ends with it.
REACH = CHUNK + 1


class WordSplitter(wiring.Component):
    r"""Cuts the words of at least two characters, as ``(?u)\b\w\w+\b`` finds them.

    Words may be of any length. Throughput is 1 beat of up to 4 bytes (at first 3 if ``joined``) per
    cycle, in which up to two separators behind a word vanish; separators alone and words of one
    character take 1 cycle. A text takes 1 cycle more. ``i.ready`` does not depend on ``o.ready``.

    Members
    -------
    i : :py:`In(stream.Signature(TextBytes))`
    o : :py:`Out(stream.Signature(WordBytes))`
    """

    i: In(stream.Signature(TextBytes))
    o: Out(stream.Signature(WordBytes))

    @staticmethod
    def compute(text):
        """Words of ``text`` as a list of bytes."""
        return [word.encode() for word in re.findall(r"(?u)\b\w\w+\b", text)]

    def elaborate(self, platform):
        m = Module()
        item = data.StructLayout({"byte": 8, "begin": 1, "word": 1})
        window = Signal(data.ArrayLayout(item, WINDOW))
        count = Signal(range(WINDOW + 1))
        ended, joined, error = Signal(), Signal(), Signal(TextError)

        filled = Signal(data.ArrayLayout(item, WINDOW))
        taken = Signal()
        m.d.comb += [
            self.i.ready.eq(~ended & (count <= WINDOW - CHUNK)),
            taken.eq(self.i.valid & self.i.ready), filled.eq(window),
        ]
        arriving = Cat(Cat(self.i.p.bytes[n], self.i.p.begin[n], self.i.p.word[n])
                       for n in range(CHUNK))
        with m.Switch(count):
            for n in range(WINDOW - CHUNK + 1):
                with m.Case(n):
                    m.d.comb += filled.as_value()[item.size * n:][:len(arriving)].eq(arriving)
        with m.If(taken):
            m.d.sync += [
                ended.eq(self.i.p.last), joined.eq(self.i.p.joined), error.eq(self.i.p.error)]

        used, chunk, end, continued = self._cut(m, window, count, ended, joined)
        free, final = Signal(), Signal()
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready),
            final.eq(ended & (used == count)),
        ]
        leaving = Signal.like(used)
        m.d.comb += leaving.eq(Mux(free, used, 0))
        m.d.sync += count.eq(count + Mux(taken, self.i.p.count, 0) - leaving)
        with m.Switch(leaving):
            for n in range(CHUNK + TRAILING + 1):
                with m.Case(n):
                    m.d.sync += window.eq(filled.as_value() >> item.size * n)
        with m.If(free):
            m.d.sync += [
                self.o.valid.eq((chunk != 0) | final), self.o.p.count.eq(chunk),
                self.o.p.first.eq(~continued & (chunk != 0)),
                self.o.p.end.eq(end), self.o.p.last.eq(final), self.o.p.error.eq(error),
                self.o.p.data.eq(Cat(Mux(chunk > n, window[n].byte, 0) for n in range(CHUNK))),
            ]
            with m.If(chunk != 0):
                m.d.sync += continued.eq(~end)
            with m.If(final):
                m.d.sync += ended.eq(0)
        return m

    def _cut(self, m, window, count, ended, joined):
        """What leaves next: bytes of the window, those of them that go out, the end of a word."""
        used, chunk = Signal(range(CHUNK + TRAILING + 1)), Signal(range(CHUNK + 1))
        end, continued = Signal(), Signal()
        live = [count > n for n in range(CHUNK + TRAILING)]
        separator = [live[n] & ~window[n].word for n in range(CHUNK + TRAILING)]
        # Leading word bytes, up to 5, whether a second character is among them, and what follows.
        run, plural = Signal(range(REACH + 1)), Signal()
        for n in range(REACH):
            inside = Cat(live[k] & window[k].word for k in range(n + 1)).all()
            with m.If(inside):
                m.d.comb += run.eq(n + 1)
                if n:
                    with m.If(window[n].begin):
                        m.d.comb += plural.eq(1)
        size = Signal(range(CHUNK + 1))
        limit = Mux(joined & ~continued, CHUNK - 1, CHUNK)
        m.d.comb += size.eq(Mux(run > limit, limit, run))
        # It is known whether the word ends there, or that it is of one character.
        valid = continued | plural
        known = ended | (count > Mux(valid, size, run))
        with m.If(separator[0]):
            for n in range(CHUNK):
                with m.If(Cat(separator[:n + 1]).all()):
                    m.d.comb += used.eq(n + 1)
        with m.Elif((run != 0) & known):
            trailing = Signal(range(TRAILING + 1))
            with m.Switch(size):
                for n in range(1, CHUNK + 1):
                    with m.Case(n):
                        m.d.comb += trailing.eq(separator[n])
                        with m.If(separator[n]):
                            m.d.comb += trailing.eq(
                                1 + (separator[n + 1] if n + 1 < len(separator) else 0))
            m.d.comb += used.eq(size + trailing)
            with m.If(valid):
                m.d.comb += [chunk.eq(size), end.eq(run == size)]
        return used, chunk, end, continued
