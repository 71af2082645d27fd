# SPDX-License-Identifier: Apache-2.0
"""Characters to the UTF-8 bytes of their lower case."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .layout import CHUNK, CODE, MappedCharacters, TextBytes, TextError
from .tables import EntryBits


__all__ = ["CaseConfig", "Entry", "CaseFolder"]


#: ``lowercase``: else characters stay as they are. ``joined`` is passed on.
CaseConfig = data.StructLayout({"lowercase": 1, "joined": 1})

#: See :class:`.tables.EntryBits`.
Entry = data.StructLayout({
    "delta": signed(EntryBits.delta[1]), "word": 1, "word_as_is": 1, "cased": 1, "ignorable": 1,
    "sigma": 1, "splits": 1})

SMALL_SIGMA, FINAL_SIGMA = 0x3c3, 0x3c2


class CaseFolder(wiring.Component):
    """Lower case as Python's ``str.lower`` has it, of what ``\\w`` matches.

    A capital sigma after a cased character waits for the next one that is not ignorable: it is
    final unless that one is cased. What lies between becomes one character that is not ``\\w``; if
    a ``\\w`` is among it, the text is handed back (``TextError.SIGMA``), unless it ends there.

    Throughput is 1 beat per cycle, and 1 cycle more for a capital sigma that had to wait; latency
    is 2 cycles. ``i.ready`` depends combinationally on ``i`` and on ``o.ready``.

    Parameters
    ----------
    width : int
        Bits of an entry, of which the low ones are an :data:`Entry`.
    sets : int
        As of the map that the characters come from.

    Members
    -------
    config : :py:`In(stream.Signature(CaseConfig))`
        One item a text, taken with its last beat.
    i : :py:`In(stream.Signature(MappedCharacters(4, width, sets)))`
    o : :py:`Out(stream.Signature(TextBytes))`
    """

    def __init__(self, width=EntryBits.WIDTH, sets=1):
        self.width = width
        self.sets = sets
        super().__init__({
            "config": In(stream.Signature(CaseConfig)),
            "i": In(stream.Signature(MappedCharacters(CHUNK, width, sets))),
            "o": Out(stream.Signature(TextBytes)),
        })

    @staticmethod
    def compute(text, lowercase=True):
        """``text`` as it leaves: lower case, or as it is."""
        return text.lower() if lowercase else text

    def elaborate(self, platform):
        m = Module()
        folded = Signal(data.StructLayout({
            "codes": data.ArrayLayout(CODE, CHUNK), "word": CHUNK, "count": range(CHUNK + 1),
            "separate": 1, "joined": 1, "last": 1, "error": TextError}))
        valid, advance = Signal(), Signal()
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)
        self._fold(m, folded, valid, ~valid | advance)
        with m.If(advance):
            m.d.sync += self.o.valid.eq(valid)
            self._encode(m, folded, self.o.p)
        return m

    def _fold(self, m, folded, valid, advance):
        i, config = self.i.p, self.config.p
        entries = [data.View(Entry, i.entries[n][:EntryBits.WIDTH]) for n in range(CHUNK)]
        live = [i.count > n for n in range(CHUNK)]
        word = [live[n] & Mux(config.lowercase, entries[n].word, entries[n].word_as_is)
                for n in range(CHUNK)]

        # The first and last characters that are not ignorable.
        found, next_cased, last_cased = Signal(), Signal(), Signal()
        for n in range(CHUNK):
            with m.If(live[n] & ~entries[n].ignorable):
                m.d.comb += [found.eq(1), last_cased.eq(entries[n].cased)]
        for n in reversed(range(CHUNK)):
            with m.If(live[n] & ~entries[n].ignorable):
                m.d.comb += next_cased.eq(entries[n].cased)

        # A sigma waits, others that are not word characters behind it; the last character that
        # counts was cased; the text was handed back.
        pending, passed, before, dropping = Signal(), Signal(), Signal(), Signal()
        sigma, take, emit = Signal(), Signal(), Signal()
        m.d.comb += [
            sigma.eq(config.lowercase & live[0] & entries[0].sigma),
            self.i.ready.eq(take), self.config.ready.eq(take & i.last),
        ]
        with m.If(advance):
            m.d.sync += [
                valid.eq(emit), folded.count.eq(i.count), folded.word.eq(Cat(word)),
                folded.joined.eq(config.joined), folded.last.eq(i.last),
                folded.separate.eq(config.lowercase & live[0] & entries[0].splits),
                folded.error.eq(Mux(i.malformed, TextError.UTF8, TextError.NONE)),
            ]
            for n in range(CHUNK):
                m.d.sync += folded.codes[n].eq(
                    i.codes[n] + Mux(config.lowercase, entries[n].delta, 0))
        with m.If(self.i.valid & self.config.valid & advance):
            with m.If(dropping):
                m.d.comb += take.eq(1)
            with m.Elif(~pending):
                m.d.comb += [take.eq(1), emit.eq(~(sigma & before & ~i.last))]
                m.d.sync += [pending.eq(sigma & before & ~i.last), passed.eq(0)]
                with m.If(sigma & before):
                    m.d.sync += folded.codes[0].eq(FINAL_SIGMA)
            with m.Elif(found | i.last):
                m.d.comb += emit.eq(1)
                m.d.sync += [
                    pending.eq(0), folded.count.eq(1), folded.word.eq(1), folded.last.eq(0),
                    folded.codes[0].eq(Mux(found & next_cased, SMALL_SIGMA, FINAL_SIGMA)),
                    folded.separate.eq(passed), folded.error.eq(TextError.NONE),
                ]
            with m.Else():
                m.d.comb += [take.eq(1), emit.eq(Cat(word).any())]
                m.d.sync += passed.eq(1)
                with m.If(emit):
                    m.d.sync += [
                        folded.count.eq(0), folded.last.eq(1), folded.error.eq(TextError.SIGMA),
                        pending.eq(0), dropping.eq(1),
                    ]
            with m.If(take & i.last):
                m.d.sync += [before.eq(0), dropping.eq(0)]
            with m.Elif(take & found):
                m.d.sync += before.eq(last_cased)

    def _encode(self, m, folded, o):
        """UTF-8 of one character, or one byte of each of several."""
        code = folded.codes[0]
        m.d.sync += [
            o.joined.eq(folded.joined), o.last.eq(folded.last), o.error.eq(folded.error),
            o.word.eq(folded.word), o.begin.eq(~0), o.count.eq(folded.count),
            *(o.bytes[n].eq(folded.codes[n]) for n in range(CHUNK)),
        ]
        tails = [Cat(code[6 * n:6 * n + 6], C(0b10, 2)) for n in range(3)]
        forms = [
            (0x80, [Cat(code[:7], C(0, 1))]),
            (0x800, [tails[0], Cat(code[6:11], C(0b110, 3))]),
            (0x10000, [tails[0], tails[1], Cat(code[12:16], C(0b1110, 4))]),
            (0x110000, [tails[0], tails[1], tails[2], Cat(code[18:21], C(0b11110, 5))]),
        ]
        with m.If(folded.word[0] & ((code >= 0x80) | folded.separate)):
            # One character, alone; `separate` follows no more than two bytes.
            for n, (limit, form) in enumerate(forms):
                low = forms[n - 1][0] if n else 0
                with m.If((code >= low) & (code < limit)):
                    m.d.sync += [
                        *(o.bytes[k].eq(byte) for k, byte in enumerate(reversed(form))),
                        o.begin.eq(1 | 1 << len(form)), o.word.eq((1 << len(form)) - 1),
                        o.count.eq(len(form) + folded.separate),
                    ]
