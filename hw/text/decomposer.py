# SPDX-License-Identifier: Apache-2.0
"""Letters to symbols."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .units import Letter, Unit
from .vocabulary import JAMO, Kind


__all__ = ["Decomposer"]


class Decomposer(wiring.Component):
    """Gives the symbols of each letter: its own, those of a sequence, those of a Hangul syllable.

    The table of sequences holds the symbols of the 19 initial, 21 medial and 27 final letters of
    Hangul (the first final, which is none, included: 68 words), then the sequences that entries
    point to.

    Throughput is 1 symbol per cycle without gaps, latency is 5 cycles. ``i.ready`` depends
    combinationally on ``o.ready``.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    write, write_valid : :py:`In(...)`
        Strobe: word ``address`` of the table of sequences, ``data``, see
        :attr:`.vocabulary.Geometry.element`.
    i : :py:`In(stream.Signature(Letter(geometry)))`
    o : :py:`Out(stream.Signature(Unit(geometry)))`
        ``start`` and ``glued`` of a letter are those of its first symbol; the others of a sequence
        go on without. Symbols of a sequence have no ``raw`` number.
    """

    def __init__(self, geometry):
        self.geometry = geometry
        super().__init__({
            "write": In(data.StructLayout({
                "address": geometry.symbol_bits, "data": sum(geometry.element.values())})),
            "write_valid": In(1),
            "i": In(stream.Signature(Letter(geometry))),
            "o": Out(stream.Signature(Unit(geometry))),
        })

    @staticmethod
    def syllable(offset):
        """Addresses of the symbols of the Hangul syllable ``offset``."""
        initials, medials, finals = JAMO
        pair, final = divmod(offset, finals)
        initial, medial = divmod(pair, medials)
        at = [initial, initials + medial]
        return at + [initials + medials + final] if final else at

    @classmethod
    def compute(cls, geometry, sequences, letters):
        """Units of ``letters``, dicts with the end as the last, as dicts."""
        units = []
        for letter in letters:
            if letter["end"]:
                units.append(dict(letter))
                continue
            unit = {name: letter[name] for name in ("raw", "trigger", "start", "glued")}
            unit |= {"end": 0, "ending": 0}
            if letter["kind"] in (Kind.WORD, Kind.ALONE):
                alone = int(letter["kind"] == Kind.ALONE)
                units.append({**unit, "symbol": letter["symbol"], "alone": alone})
                continue
            at = (cls.syllable(letter["offset"]) if letter["kind"] == Kind.HANGUL else
                  range(letter["symbol"], letter["symbol"] + letter["raw"]))
            for n, address in enumerate(at):
                element = geometry.unpack(geometry.element, sequences[address])
                first = int(n == 0)
                units.append({**unit, "raw": 0, "trigger": 0, "start": first and letter["start"],
                              "glued": first and letter["glued"],
                              **{name: int(value) for name, value in element.items()}})
        return units

    def elaborate(self, platform):
        m = Module()
        letter, initial, medial, final, ready, valid = self._divide(m)
        initials, medials, _ = JAMO
        hangul = ~letter.end & (letter.kind == Kind.HANGUL)
        direct = letter.end | (letter.kind == Kind.WORD) | (letter.kind == Kind.ALONE)

        # One symbol of the letter a cycle.
        index, address, last = Signal(self.geometry.raw_bits), Signal.like(letter.symbol), Signal()
        move = Signal()
        m.d.comb += [
            address.eq(letter.symbol + index), last.eq(direct | (index + 1 == letter.raw)),
            ready.eq(move & last),
        ]
        with m.If(hangul):
            m.d.comb += last.eq((index == 2) | (index == 1) & (final == 0))
            with m.Switch(index):
                with m.Case(0):
                    m.d.comb += address.eq(initial)
                with m.Case(1):
                    m.d.comb += address.eq(initials + medial)
                with m.Default():
                    m.d.comb += address.eq(initials + medials + final)
        with m.If(move & valid):
            m.d.sync += index.eq(Mux(last, 0, index + 1))

        # The table, and what goes by it.
        m.submodules.table = table = memory.Memory(
            shape=data.StructLayout(self.geometry.element), depth=1 << self.geometry.symbol_bits,
            init=[])
        write, read = table.write_port(), table.read_port()
        beside, beside_valid, beside_direct = Signal(Unit(self.geometry)), Signal(), Signal()
        m.d.comb += [
            write.en.eq(self.write_valid), write.addr.eq(self.write.address),
            write.data.eq(self.write.data),
            move.eq(~self.o.valid | self.o.ready), read.en.eq(move), read.addr.eq(address),
        ]
        with m.If(move):
            m.d.sync += [
                beside_valid.eq(valid), beside_direct.eq(direct),
                beside.symbol.eq(letter.symbol), beside.alone.eq(letter.kind == Kind.ALONE),
                beside.raw.eq(Mux(direct, letter.raw, 0)),
                beside.trigger.eq(direct & letter.trigger),
                beside.start.eq(letter.start & (index == 0)),
                beside.glued.eq(letter.glued & (index == 0)),
                beside.end.eq(letter.end), beside.ending.eq(letter.ending),
                self.o.valid.eq(beside_valid), self.o.payload.eq(beside),
            ]
            with m.If(~beside_direct):
                m.d.sync += [self.o.p.symbol.eq(read.data.symbol),
                             self.o.p.alone.eq(read.data.alone)]
        return m

    def _divide(self, m):
        """The letter, its offset taken apart; three stages."""
        letters = [Signal(Letter(self.geometry), name=f"letter_{n}") for n in range(3)]
        valids = [Signal(name=f"valid_{n}") for n in range(3)]
        readies = [Signal(name=f"ready_{n}") for n in range(4)]
        # The letter that is in stage n leaves it with readies[n + 1].
        m.d.comb += self.i.ready.eq(readies[0])
        before = (self.i.payload, *letters), (self.i.valid, *valids)
        for n in range(3):
            m.d.comb += readies[n].eq(~valids[n] | readies[n + 1])
            with m.If(readies[n]):
                m.d.sync += [letters[n].eq(before[0][n]), valids[n].eq(before[1][n])]

        # offset // 28 and pair // 21, right for all that there are: see the tests. Small factors
        # are sums, which take less time than multipliers.
        pair, offset = Signal(9), Signal(14)
        pair_1, first, first_1 = Signal(9), Signal(5), Signal(5)
        medial, final, final_1 = Signal(5), Signal(5), Signal(5)
        with m.If(readies[0]):
            m.d.sync += [pair.eq((self.i.p.offset * 9363)[18:]), offset.eq(self.i.p.offset)]
        with m.If(readies[1]):
            m.d.sync += [
                first.eq((((pair << 8) + (pair << 7)) + ((pair << 3) - pair))[13:]),
                final.eq(offset - ((pair << 5) - (pair << 2))), pair_1.eq(pair),
            ]
        with m.If(readies[2]):
            m.d.sync += [
                medial.eq(pair_1 - ((first << 4) + (first << 2) + first)), first_1.eq(first),
                final_1.eq(final),
            ]
        return letters[2], first_1, medial, final_1, readies[3], valids[2]
