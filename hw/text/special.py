# SPDX-License-Identifier: Apache-2.0
"""Special tokens in the raw text."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .units import Match, Unit


__all__ = ["SpecialMatcher"]


class SpecialMatcher(wiring.Component):
    """Replaces the characters of special tokens: the leftmost, of these the longest.

    A special token is a string of ``raw`` numbers, each of which belongs to one character before
    anything is done to it, without anything between them (``glued``). Symbols whose ``trigger`` is
    set may begin one; they are looked up in a trie whose root has base 1. Words end before and
    after a special token.

    Throughput is 1 symbol per cycle. Each trigger costs 2 cycles for each symbol that is compared
    and 2 more, so text without triggers is not delayed. Latency is 1 cycle. ``i.ready`` depends
    combinationally on ``o.ready``.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    write, write_valid : :py:`In(...)`
        Strobe: node ``address`` of the trie, ``data``, see :attr:`.vocabulary.Geometry.special`.
    i : :py:`In(stream.Signature(Unit(geometry)))`
    o : :py:`Out(stream.Signature(Match(geometry)))`
    """

    ROOT = 1
    #: Symbols of the longest special token. One more is needed to see that it goes on no further.
    LONGEST = 31

    def __init__(self, geometry):
        self.geometry = geometry
        super().__init__({
            "write": In(data.StructLayout({
                "address": geometry.special_bits, "data": sum(geometry.special.values())})),
            "write_valid": In(1),
            "i": In(stream.Signature(Unit(geometry))),
            "o": Out(stream.Signature(Match(geometry))),
        })

    @classmethod
    def compute(cls, geometry, specials, units):
        """What comes out of ``units``, dicts with the end as the last, as dicts."""
        matches, n, start = [], 0, False
        while n < len(units):
            unit = units[n]
            best = None
            if not unit["end"] and unit["trigger"]:
                best = cls._longest(geometry, specials, units[n:])
            if best:
                length, token = best
                matches.append({"special": 1, "token": token, "end": 0, "ending": 0})
                n, start = n + length, True
                continue
            match = {name: unit[name] for name in ("symbol", "alone", "end", "ending")
                     if name in unit}
            matches.append({**match, "start": int(start or unit.get("start", 0)), "special": 0})
            n, start = n + 1, False
        return matches

    @classmethod
    def _longest(cls, geometry, specials, units):
        base, best = cls.ROOT, None
        for n, unit in enumerate(units):
            if unit["end"] or not unit["raw"] or n and not unit["glued"] or not base:
                break
            node = geometry.unpack(geometry.special, specials[base + unit["raw"]])
            if node["check"] != unit["raw"]:
                break
            if node["final"]:
                best = n + 1, int(node["token"])
            base = int(node["base"])
        return best

    def elaborate(self, platform):
        m = Module()
        o = self.o
        depth = 1 << (self.LONGEST + 1).bit_length() - 1
        # Symbols that were compared and have not left.
        m.submodules.held = held = memory.Memory(shape=Unit(self.geometry), depth=depth, init=[])
        m.submodules.trie = trie = memory.Memory(
            shape=data.StructLayout(self.geometry.special), depth=1 << self.geometry.special_bits,
            init=[])
        push, view = held.write_port(), held.read_port(domain="comb")
        write, node = trie.write_port(), trie.read_port()
        m.d.comb += [
            write.en.eq(self.write_valid), write.addr.eq(self.write.address),
            write.data.eq(self.write.data),
        ]

        head, count = Signal(range(depth)), Signal(range(depth + 1))
        index = Signal(range(depth + 1))  # of the symbol that is compared
        at = Signal(range(depth))         # and its place
        unit, valid, take, keep = Signal(Unit(self.geometry)), Signal(), Signal(), Signal()
        waiting = index < count
        m.d.comb += [
            view.addr.eq(at), unit.eq(Mux(waiting, view.data, self.i.payload)),
            valid.eq(waiting | self.i.valid),
            # A new symbol is taken to be kept, or at once when none is kept.
            self.i.ready.eq(~waiting & (keep | take)),
            push.en.eq(self.i.valid & ~waiting & keep), push.addr.eq(head + count),
            push.data.eq(self.i.payload),
        ]
        drop = Signal(range(depth + 1))   # symbols that leave
        with m.If(push.en):
            m.d.sync += count.eq(count + 1)
        with m.Elif(drop.any()):
            m.d.sync += [count.eq(count - drop), head.eq(head + drop), at.eq(head + drop)]

        step, after = Signal(), Signal()
        base = Signal(self.geometry.special_bits)
        raw = Signal(self.geometry.raw_bits)
        best, token = Signal(range(depth + 1)), Signal(self.geometry.token_bits)
        hit = Signal()
        m.d.comb += [
            step.eq(~o.valid | o.ready),
            node.addr.eq(base + unit.raw),
            hit.eq(node.data.check == raw),
        ]
        with m.If(step):
            m.d.sync += o.valid.eq(0)

        def emit():
            """Let ``unit`` go as it is."""
            m.d.sync += [
                *(o.p[name].eq(unit[name]) for name in ("symbol", "alone", "end", "ending")),
                o.p.start.eq(unit.start | after), o.p.special.eq(0), o.valid.eq(1), after.eq(0),
            ]
            m.d.comb += [take.eq(1), drop.eq(waiting)]

        with m.FSM():
            with m.State("Pass"):
                m.d.sync += [base.eq(self.ROOT), best.eq(0)]
                with m.If(valid & unit.trigger & ~unit.end):
                    m.next = "Look"
                with m.Elif(valid & step):
                    emit()

            with m.State("Look"):
                m.d.comb += keep.eq(1)
                m.d.sync += raw.eq(unit.raw)
                with m.If(valid):
                    with m.If(unit.end | (unit.raw == 0) | (index != 0) & ~unit.glued):
                        m.d.sync += [index.eq(0), at.eq(head)]
                        m.next = "Leave"
                    with m.Else():
                        m.next = "Compare"

            with m.State("Compare"):
                m.d.sync += [index.eq(index + 1), at.eq(at + 1), base.eq(node.data.base)]
                m.next = "Look"
                with m.If(hit & node.data.final):
                    m.d.sync += [best.eq(index + 1), token.eq(node.data.token)]
                with m.If(~hit | (node.data.base == 0)):
                    m.d.sync += [index.eq(0), at.eq(head)]
                    m.next = "Leave"

            with m.State("Leave"):
                with m.If(step):
                    m.next = "Pass"
                    with m.If(best != 0):
                        m.d.sync += [o.p.special.eq(1), o.p.token.eq(token), o.p.end.eq(0),
                                     o.valid.eq(1), after.eq(1)]
                        m.d.comb += drop.eq(best)
                    with m.Else():
                        emit()
        return m
