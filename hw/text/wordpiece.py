# SPDX-License-Identifier: Apache-2.0
"""Characters to WordPiece tokens."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .collector import Collector
from .decomposer import Decomposer
from .layout import Element, MappedCharacters, TextDone
from .serializer import Serializer
from .special import SpecialMatcher
from .units import End, TableWrite
from .vocabulary import Config, Geometry, Table
from .walker import Walker
from ..stream.register import Register
from .assembler import WordAssembler


__all__ = ["WordPiece"]


class WordPiece(wiring.Component):
    """Tokens of texts, as Hugging Face's ``tokenizers`` gives them with BERT's pipeline.

    ::

        characters ─▶ serializer ─▶ decomposer ─▶ special ─▶ words ─▶ collector ─▶ tokens
                       letters       symbols      matcher              │    ▲
                                                                       ▼    │
                                                                      walkers

    What becomes of a character (deleted, a space, a symbol, several symbols, a word by itself) is
    in its entry; vocabulary and special tokens are tries. All of them are tables, see
    :class:`.vocabulary.Geometry`.

    Each text gives its tokens, an empty last element, and one ``o_done``, whatever is in it.
    Texts are not limited in length, nor are words. Status:

    ===============================  =============================================================
    ``OK``, ``NONE``                 the tokens are exact
    ``CORRUPT``, ``UTF8``            malformed bytes: the tokens of what came before
    ``UNSUPPORTED``, ``REORDER``     normalisation may change the order of combining marks: the
                                     tokens are those without that, and must not be used
    ===============================  =============================================================

    Throughput: a letter (no space, nothing deleted) per cycle and a symbol per cycle, while the
    walkers keep up: each makes a step per cycle. ``i.ready`` does not depend combinationally
    on other ports.

    Parameters
    ----------
    lanes : int
        Most characters of a beat.
    geometry : Geometry
    walkers : int
        1 or 2; each has a port of the trie's memory.
    sets, width : int
        As in :class:`.characters.CharacterMap`; ``width`` is at least ``geometry.entry_width``,
        the default. What an entry has beyond that does not matter.

    Members
    -------
    write, write_valid : :py:`In(TableWrite(geometry))`
        Strobe: a word of a table. Tables must not be written while texts are on their way.
    i : :py:`In(stream.Signature(MappedCharacters(lanes, width, sets)))`
    o : :py:`Out(stream.Signature(Element))`
        One token an element, 4 bytes; the last element of a text is empty.
    o_done : :py:`Out(stream.Signature(TextDone))`
        How a text ended; comes after its last element, and before any of the next text.

    Raises
    ------
    ValueError
        If ``walkers`` is neither 1 nor 2, or ``width`` is too small.
    """

    def __init__(self, lanes=4, geometry=None, walkers=2, sets=1, width=None):
        if walkers not in (1, 2):
            raise ValueError(f"Walkers must be 1 or 2, not {walkers!r}")
        self.lanes = lanes
        self.geometry = geometry or Geometry()
        self.walkers = walkers
        self.sets = sets
        self.width = self.geometry.entry_width if width is None else width
        if self.width < self.geometry.entry_width:
            raise ValueError(f"Width must be at least {self.geometry.entry_width}, "
                             f"not {width!r}")
        super().__init__({
            "write": In(TableWrite(self.geometry)), "write_valid": In(1),
            "i": In(stream.Signature(MappedCharacters(lanes, self.width, sets))),
            "o": Out(stream.Signature(Element)), "o_done": Out(stream.Signature(TextDone)),
        })

    @staticmethod
    def compute(tables, codes, malformed=False):
        """Tokens of a text.

        Parameters
        ----------
        tables : Tables
        codes : list of int
            Code points.
        malformed : bool
            Whether malformed bytes end it.

        Returns
        -------
        (list of int, End)
        """
        g, tokens = tables.geometry, []
        letters = Serializer.compute(g, tables.entries, codes, malformed)
        units = Decomposer.compute(g, tables.sequences, letters)
        matches = SpecialMatcher.compute(g, tables.specials, units)
        for word in WordAssembler.compute(tables.longest, tables.unknown, matches):
            if isinstance(word, list):
                found, _ = Walker.compute(g, tables.nodes, tables.start, tables.continued, word)
                tokens += [tables.unknown] if found is None else found
            elif not word.get("end"):
                tokens.append(word["token"])
        return tokens, End(letters[-1]["ending"])

    def elaborate(self, platform):
        m = Module()
        g, write = self.geometry, self.write
        m.submodules.serializer = serializer = Serializer(
            self.lanes, g, self.sets, self.width)
        m.submodules.decomposer = decomposer = Decomposer(g)
        m.submodules.special = special = SpecialMatcher(g)
        m.submodules.words = words = WordAssembler(g)
        m.submodules.collector = collector = Collector(g, self.walkers)
        wiring.connect(m, wiring.flipped(self.i), serializer.i)
        wiring.connect(m, serializer.o, decomposer.i)
        self._register(m, "units", decomposer.o, special.i)
        self._register(m, "matches", special.o, words.i)
        wiring.connect(m, words.o, collector.i)
        wiring.connect(m, collector.o, wiring.flipped(self.o))
        wiring.connect(m, collector.o_done, wiring.flipped(self.o_done))
        for table, unit in ((Table.SEQUENCES, decomposer), (Table.SPECIALS, special)):
            m.d.comb += [
                unit.write.address.eq(write.address), unit.write.data.eq(write.data),
                unit.write_valid.eq(self.write_valid & (write.table == table)),
            ]
        config = {Config.UNKNOWN: Signal(g.token_bits), Config.START: Signal(g.node_bits),
                  Config.CONTINUED: Signal(g.node_bits), Config.LONGEST: Signal(g.ring_bits - 1)}
        with m.If(self.write_valid & (write.table == Table.CONFIG)):
            for address, register in config.items():
                with m.If(write.address == address):
                    m.d.sync += register.eq(write.data)
        m.d.comb += [
            words.longest.eq(config[Config.LONGEST]), words.unknown.eq(config[Config.UNKNOWN]),
            collector.unknown.eq(config[Config.UNKNOWN]), words.tail.eq(collector.tail),
        ]
        self._walkers(m, config, words, collector)
        return m

    def _register(self, m, name, o, i):
        """Connect two streams by a register, which keeps the paths of ``ready`` short."""
        m.submodules[name] = register = Register(o.payload.shape())
        wiring.connect(m, o, register.i)
        wiring.connect(m, register.o, i)

    def _walkers(self, m, config, words, collector):
        """The walkers and the trie, which the first of them lends its port for writing."""
        g, write = self.geometry, self.write
        m.submodules.trie = trie = memory.Memory(
            shape=data.StructLayout(g.node), depth=1 << g.node_bits, init=[])
        writing, address = Signal(), Signal(g.node_bits)
        port = trie.write_port()
        m.d.comb += [
            writing.eq(self.write_valid & (write.table == Table.NODES)),
            port.en.eq(writing), port.addr.eq(address), port.data.eq(write.data),
        ]
        for n in range(self.walkers):
            m.submodules[f"walker_{n}"] = walker = Walker(g)
            wiring.connect(m, collector.o_task[n], walker.i)
            read = trie.read_port()
            if n == 0:
                m.d.comb += [address.eq(Mux(writing, write.address, walker.node_address)),
                             read.addr.eq(address)]
            else:
                m.d.comb += read.addr.eq(walker.node_address)
            m.d.comb += [
                walker.start.eq(config[Config.START]),
                walker.continued.eq(config[Config.CONTINUED]), walker.node.eq(read.data),
                walker.address.eq(words.address), walker.symbol.eq(words.symbol),
                walker.write.eq(words.write),
                collector.done[n].eq(walker.done), collector.slot[n].eq(walker.slot),
                collector.at[n].eq(walker.at), collector.known[n].eq(walker.known),
                walker.read_address.eq(collector.read_address), walker.read.eq(collector.read),
                collector.token[n].eq(walker.token),
            ]
