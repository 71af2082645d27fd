# SPDX-License-Identifier: Apache-2.0
"""Texts to the features that scikit-learn's HashingVectorizer counts."""

from amaranth import *
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.layout import PayloadWord
from .case import CaseFolder
from .characters import CharacterMap
from .columns import ColumnConfig, Columns
from .features import FeatureTable
from .layout import CHUNK, CharacterWrite, Element, MappedCharacters, TextDone
from .ngrams import Ngrams
from .tables import SPARE_ROWS, EntryBits
from .utf8 import Utf8Decoder
from .words import WordSplitter


__all__ = ["HashingConfig", "Hasher", "Hashing"]


def HashingConfig(max_n):
    """What is wanted of a text; made by :func:`.tables.hashing_config`.

    ``lowercase``: else words are taken as they are; ``min_n`` to ``max_n``: lengths of the n-grams
    in words; the rest as :data:`.columns.ColumnConfig`.
    """
    return data.StructLayout({
        "lowercase": 1, "min_n": range(max_n + 1), "max_n": range(max_n + 1),
        **ColumnConfig.members})


class Hasher(wiring.Component):
    """Mapped characters to features: :class:`Hashing` behind its map.

    Parameters
    ----------
    max_n, rows, limit, count_bits
        As of :class:`Hashing`.
    width, sets : int
        Of the map.

    Members
    -------
    config : :py:`In(stream.Signature(HashingConfig(max_n)))`
        One item a text.
    i : :py:`In(stream.Signature(MappedCharacters(4, width, sets)))`
    o, o_done
        As of :class:`Hashing`.
    """

    def __init__(self, max_n=3, rows=1024, limit=None, count_bits=22, *, width=EntryBits.WIDTH,
                 sets=1):
        self.max_n = max_n
        self.width = width
        self.sets = sets
        self.table = FeatureTable(rows, limit, count_bits)
        self.rows = rows
        super().__init__({
            "config": In(stream.Signature(HashingConfig(max_n))),
            "i": In(stream.Signature(MappedCharacters(CHUNK, width, sets))),
            "o": Out(stream.Signature(Element)), "o_done": Out(stream.Signature(TextDone)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.case = case = CaseFolder(self.width, self.sets)
        m.submodules.words = words = WordSplitter()
        m.submodules.ngrams = ngrams = Ngrams(self.max_n)
        m.submodules.columns = columns = Columns(self.max_n, self.rows - SPARE_ROWS)
        m.submodules.table = table = self.table
        wiring.connect(m, wiring.flipped(self.i), case.i)
        wiring.connect(m, case.o, words.i)
        wiring.connect(m, words.o, ngrams.i)
        wiring.connect(m, ngrams.o, columns.i)
        wiring.connect(m, columns.o, table.i)
        wiring.connect(m, table.o, wiring.flipped(self.o))
        wiring.connect(m, table.o_done, wiring.flipped(self.o_done))

        # Each stage takes its part of the configuration when its text comes.
        config = self.config.p
        ready = []
        for kernel, parts in [
                (case, {"lowercase": config.lowercase, "joined": config.max_n > 1}),
                (ngrams, {"min": config.min_n, "max": config.max_n}),
                (columns, {name: config[name] for name in ColumnConfig.members})]:
            layout = kernel.config.payload.shape()
            queue = fifo.SyncFIFO(width=layout.size, depth=4)
            m.submodules += queue
            payload = Signal(layout)
            m.d.comb += [
                *(payload[name].eq(value) for name, value in parts.items()),
                queue.w_data.eq(payload), queue.w_en.eq(self.config.valid & self.config.ready),
                kernel.config.payload.eq(queue.r_data), kernel.config.valid.eq(queue.r_rdy),
                queue.r_en.eq(kernel.config.ready),
            ]
            ready.append(queue.w_rdy)
        m.d.comb += self.config.ready.eq(Cat(ready).all())
        return m


class Hashing(wiring.Component):
    r"""Counts the hashed words and n-grams of texts exactly as scikit-learn's HashingVectorizer.

    For each text: ``str.lower`` (or not), words ``(?u)\b\w\w+\b``, n-grams joined by a space,
    MurmurHash3 of their UTF-8 with seed 0 as a signed ``h``, column ``abs(h) % features``, counts
    (+1 or, with ``alternate_sign`` and ``h < 0``, -1) summed; columns whose count is zero stay.
    Words may be of any length.

    A text that is not UTF-8, one with a capital sigma that the card does not look far enough for,
    and one with more columns or a larger count than the table holds, is an empty result with a
    status (see :data:`.scan.OUTCOMES`). Results do not depend on the texts before.

    Throughput is up to 4 bytes per cycle: one beat of a word a cycle (see
    :class:`.words.WordSplitter`), one n-gram a cycle.

    Parameters
    ----------
    max_n : int
        Most words of an n-gram.
    rows, limit, count_bits : int
        Of the :class:`.features.FeatureTable`.
    pages : int
        Of the :class:`.characters.CharacterMap`.

    Members
    -------
    write, write_valid : :py:`In(CharacterWrite(24, 1, pages))`
        The table of characters: ``TableImage.pack(hashing_entries(), pages, 24)``.
    config : :py:`In(stream.Signature(HashingConfig(max_n)))`
        One item a text; may come before its text.
    i : :py:`In(stream.Signature(PayloadWord))`
        Each payload is a text.
    o : :py:`Out(stream.Signature(Element))`
        Features of a text, columns ascending; the last one, or an empty beat, is ``last``.
    o_done : :py:`Out(stream.Signature(TextDone))`
        One item a text, after its last beat.
    """

    def __init__(self, max_n=3, rows=1024, limit=None, count_bits=22, *, pages=384):
        self.max_n = max_n
        self.rows = rows
        self.pages = pages
        self.hasher = Hasher(max_n, rows, limit, count_bits)
        super().__init__({
            "write": In(CharacterWrite(EntryBits.WIDTH, 1, pages)), "write_valid": In(1),
            "config": In(stream.Signature(HashingConfig(max_n))),
            "i": In(stream.Signature(PayloadWord)),
            "o": Out(stream.Signature(Element)), "o_done": Out(stream.Signature(TextDone)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.utf8 = utf8 = Utf8Decoder(CHUNK)
        m.submodules.characters = characters = CharacterMap(CHUNK, EntryBits.WIDTH, 1, self.pages)
        m.submodules.hasher = hasher = self.hasher
        wiring.connect(m, wiring.flipped(self.i), utf8.i)
        wiring.connect(m, utf8.o, characters.i)
        wiring.connect(m, characters.o, hasher.i)
        wiring.connect(m, wiring.flipped(self.config), hasher.config)
        wiring.connect(m, hasher.o, wiring.flipped(self.o))
        wiring.connect(m, hasher.o_done, wiring.flipped(self.o_done))
        m.d.comb += [
            characters.write.eq(self.write), characters.write_valid.eq(self.write_valid),
            characters.select.valid.eq(1),
        ]
        return m
