# SPDX-License-Identifier: Apache-2.0
"""Characters with entries to letters."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .layout import MappedCharacters
from .units import End, Letter, word_of
from .vocabulary import HANGUL, Kind, Role


__all__ = ["Serializer"]


class Serializer(wiring.Component):
    """Letters one by one; what is deleted, and spaces, only leave their traces in the next letter.

    Also watches combining runs: a second mark that is kept in one run might have to change places
    with the first, and the text ends with ``End.REORDER`` (its letters still come).

    Throughput is a beat of 1 letter or none per cycle, otherwise 1 letter per cycle, and 1 cycle
    more a text. Latency is 2 cycles. ``i.ready`` depends combinationally on ``o.ready``.

    Parameters
    ----------
    lanes : int
        Most characters of a beat.
    geometry : Geometry
    sets : int
        As in :class:`.characters.CharacterMap`.
    width : int
        Bits of an entry there, at least ``geometry.entry_width``, which is the default.

    Members
    -------
    i : :py:`In(stream.Signature(MappedCharacters(lanes, width, sets)))`
        Characters, each with its :attr:`.vocabulary.Geometry.entry`.
    o : :py:`Out(stream.Signature(Letter(geometry)))`
    """

    def __init__(self, lanes, geometry, sets=1, width=None):
        self.lanes = lanes
        self.geometry = geometry
        self.sets = sets
        self.width = width or geometry.entry_width
        super().__init__({
            "i": In(stream.Signature(MappedCharacters(lanes, self.width, sets))),
            "o": Out(stream.Signature(Letter(geometry))),
        })

    @staticmethod
    def compute(geometry, entries, codes, malformed=False):
        """Letters of a text as a list of dicts, the end included.

        Parameters
        ----------
        geometry : Geometry
        entries : ndarray of int, shape (0x110000,)
            Entry of each code point.
        codes : list of int
            Code points of the text.
        malformed : bool
            Whether malformed bytes end it.
        """
        letters, start, glued, mark, reorder = [], True, False, False, False
        for code in codes:
            fields = geometry.unpack(geometry.entry, entries[code])
            fields = {name: int(value) for name, value in fields.items()}
            kind, role = fields["kind"], fields.pop("role")
            reorder |= role == Role.MARK and mark
            mark = role in (Role.MARK, Role.MARKED) or role == Role.TRANSPARENT and mark
            if kind in (Kind.DELETE, Kind.SPACE):
                start, glued = start or kind == Kind.SPACE, False
                continue
            letters.append({**fields, "start": int(start), "glued": int(glued),
                            "offset": code - HANGUL[0] & 0x3fff, "end": 0, "ending": 0})
            start, glued = False, True
        ending = End.MALFORMED if malformed else End.REORDER if reorder else End.WELL
        return [*letters, {"end": 1, "ending": int(ending)}]

    def elaborate(self, platform):
        m = Module()
        lanes, o = range(self.lanes), self.o
        entries = Array(Signal(self.geometry.entry_width, name=f"entry_{n}") for n in lanes)
        offset = Signal(14)
        letter, space = Signal(self.lanes), Signal(self.lanes)  # of what is left of the beat
        left = Signal(self.lanes)
        last, ending, malformed = Signal(), Signal(), Signal()
        was_space, was_gap = Signal(init=1), Signal(init=1)     # since the last letter
        reorder = Signal()

        step = Signal()
        m.d.comb += step.eq(~o.valid | o.ready)

        # The first letter that is left, what is before and what behind it.
        first, before, behind = Signal(range(self.lanes)), Signal(self.lanes), Signal(self.lanes)
        for n in reversed(lanes):
            with m.If(letter[n]):
                m.d.comb += [first.eq(n), before.eq((1 << n) - 1),
                             behind.eq((1 << self.lanes) - (2 << n))]
        more = Signal()
        m.d.comb += more.eq((letter & behind).any())

        fields = word_of(self.geometry.entry, entries[first])
        with m.If(step):
            m.d.sync += [
                o.valid.eq(letter.any() | ending),
                *(o.p[name].eq(fields[name]) for name in ("symbol", "kind", "raw", "trigger")),
                o.p.start.eq(was_space | (space & left & before).any()),
                o.p.glued.eq(~was_gap & ~(left & before).any()),
                o.p.offset.eq(offset), o.p.end.eq(ending),
                o.p.ending.eq(Mux(malformed, End.MALFORMED, Mux(reorder, End.REORDER, End.WELL))),
            ]
            with m.If(letter.any()):
                rest = Mux(more, 0, behind)
                m.d.sync += [
                    letter.eq(letter & behind), left.eq(Mux(more, left & behind, 0)),
                    was_space.eq((space & rest).any()), was_gap.eq((left & rest).any()),
                ]
            with m.Else():
                m.d.sync += [
                    left.eq(0), was_space.eq(was_space | (space & left).any()),
                    was_gap.eq(was_gap | left.any()),
                ]
            with m.If(ending):
                m.d.sync += [ending.eq(0), was_space.eq(1), was_gap.eq(1)]
            with m.Elif(~more & last):
                m.d.sync += [last.eq(0), ending.eq(1)]

        m.d.comb += self.i.ready.eq(step & ~more & ~last)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                last.eq(self.i.p.last), malformed.eq(self.i.p.malformed),
                offset.eq(self.i.p.codes[0] - HANGUL[0]),
            ]
            for n in lanes:
                kind = self._fields(n).kind
                here = n < self.i.p.count
                m.d.sync += [
                    entries[n].eq(self.i.p.entries[n]), left[n].eq(here),
                    space[n].eq(here & (kind == Kind.SPACE)),
                    letter[n].eq(here & (kind != Kind.SPACE) & (kind != Kind.DELETE)),
                ]
        self._watch(m, reorder, step & ending)
        return m

    def _fields(self, lane):
        """The entry of a lane."""
        bits = self.i.p.entries[lane][:self.geometry.entry_width]
        return word_of(self.geometry.entry, bits)

    def _watch(self, m, reorder, clear):
        """Set ``reorder`` at the second mark of a run. Marks come in beats of their own."""
        mark, started, before = Signal(), Signal(), Signal()
        roles = [self._fields(n).role for n in range(self.lanes)]
        m.d.comb += [
            started.eq(Cat((n < self.i.p.count) & (role == Role.STARTER)
                           for n, role in enumerate(roles)).any()),
            before.eq(mark & ~clear),
        ]
        with m.If(clear):
            m.d.sync += [mark.eq(0), reorder.eq(0)]
        with m.If(self.i.valid & self.i.ready & self.i.p.count.any()):
            with m.If(started):
                m.d.sync += mark.eq(0)
            with m.Elif(roles[0] == Role.MARKED):
                m.d.sync += mark.eq(1)
            with m.Elif(roles[0] == Role.MARK):
                m.d.sync += mark.eq(1)
                with m.If(before):
                    m.d.sync += reorder.eq(1)
