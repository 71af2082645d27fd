# SPDX-License-Identifier: Apache-2.0
"""Symbols to words."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .units import Match, Word


__all__ = ["WordAssembler"]


class WordAssembler(wiring.Component):
    """Cuts symbols into words, and lays the symbols of each in a ring.

    A word ends where another begins: at ``start``, before and after a symbol that is ``alone``,
    at a special token, and at the end of the text. A word longer than ``longest``, or with a
    symbol 0 in it, is unknown: the token ``unknown`` stands for it, and its symbols are taken back
    from the ring. So words of any length pass.

    Throughput is 1 symbol per cycle, and 1 cycle more for an end or special token behind a word.
    ``i.ready`` depends combinationally on ``o.ready``.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    longest : :py:`In(...)`
        Symbols of the longest word that is looked up, at most ``geometry.longest``.
    unknown : :py:`In(geometry.token_bits)`
    i : :py:`In(stream.Signature(Match(geometry)))`
    o : :py:`Out(stream.Signature(Word(geometry)))`
    address, symbol, write : :py:`Out(...)`
        Strobe ``write``: ``symbol`` goes to ``address`` of the ring.
    tail : :py:`In(geometry.ring_bits)`
        The first address that is still in use, or the next to be used.
    """

    def __init__(self, geometry):
        self.geometry = geometry
        super().__init__({
            "longest": In(geometry.ring_bits - 1), "unknown": In(geometry.token_bits),
            "i": In(stream.Signature(Match(geometry))),
            "o": Out(stream.Signature(Word(geometry))),
            "address": Out(geometry.ring_bits), "symbol": Out(geometry.symbol_bits),
            "write": Out(1), "tail": In(geometry.ring_bits),
        })

    @staticmethod
    def compute(longest, unknown, matches):
        """Words of ``matches``, dicts with the end as the last: lists of symbols, and dicts with
        a ``token`` or the ``end``."""
        words, word, alone = [], [], False

        def close():
            if word:
                bad = len(word) > longest or 0 in word
                words.append({"token": unknown} if bad else list(word))
                word.clear()

        for match in matches:
            if match["end"] or match["special"]:
                close()
                words.append(dict(match))
                continue
            if match["start"] or match["alone"] or alone:
                close()
            word.append(match["symbol"])
            alone = match["alone"]
        return words

    def elaborate(self, platform):
        m = Module()
        i, o = self.i.p, self.o
        start, head = Signal(self.geometry.ring_bits), Signal(self.geometry.ring_bits)
        length = Signal(self.geometry.ring_bits - 1)  # 0: no word is open
        unknown, alone = Signal(), Signal()
        full = Signal()  # nothing more of this word is laid in the ring

        step, room, other, fresh, close = Signal(), Signal(), Signal(), Signal(), Signal()
        at, taken = Signal(self.geometry.ring_bits), Signal()
        m.d.comb += [
            step.eq(~o.valid | o.ready),
            room.eq((head + 1)[:len(head)] != self.tail),
            other.eq(i.end | i.special),
            fresh.eq(i.start | i.alone | alone | (length == 0)),
            close.eq(self.i.valid & (other | fresh) & (length != 0)),
            full.eq(unknown | (length == self.longest)),
            # Where the next word begins.
            at.eq(Mux(unknown, start, head)),
            self.i.ready.eq(step & room & ~(other & (length != 0))),
            taken.eq(self.i.valid & self.i.ready),
            self.address.eq(Mux(fresh, at, head)), self.symbol.eq(i.symbol),
            self.write.eq(taken & ~other & (fresh | ~full)),
        ]
        with m.If(step & room):
            m.d.sync += [
                o.valid.eq(close | (self.i.valid & other)),
                o.p.at.eq(start), o.p.length.eq(Mux(unknown | ~close, 0, length)),
                o.p.token.eq(Mux(close, self.unknown, i.token)),
                o.p.end.eq(~close & i.end), o.p.ending.eq(i.ending),
            ]
            with m.If(close):
                m.d.sync += [length.eq(0), head.eq(at), unknown.eq(0)]
        with m.Elif(o.ready):
            m.d.sync += o.valid.eq(0)
        with m.If(taken & ~other):
            m.d.sync += alone.eq(i.alone)
            with m.If(fresh):
                m.d.sync += [start.eq(at), head.eq(at + 1), length.eq(1),
                             unknown.eq((i.symbol == 0) | (self.longest == 0))]
            with m.Else():
                with m.If(full):
                    m.d.sync += unknown.eq(1)
                with m.Else():
                    m.d.sync += [head.eq(head + 1), length.eq(length + 1)]
                with m.If(i.symbol == 0):
                    m.d.sync += unknown.eq(1)
        with m.If(taken & other):
            m.d.sync += alone.eq(0)
        return m
