# SPDX-License-Identifier: Apache-2.0
"""Payload words to characters."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.layout import PayloadWord
from .layout import CODE, Characters


__all__ = ["Utf8Decoder"]


#: Bytes of the longest code point.
LONGEST = 4


class Utf8Decoder(wiring.Component):
    """Decodes UTF-8 as Python's strict decoder does.

    Overlong forms, surrogates, code points above 10FFFF, stray and missing continuation bytes are
    malformed: the characters before are delivered, then a ``malformed`` beat; the rest of that
    payload is dropped, and the next text is decoded as if nothing had been.

    Which characters come does not depend on how the bytes lie in the words; how ASCII characters
    are grouped into beats may also depend on when the words come.

    Throughput is ``lanes`` ASCII characters or 1 other code point per cycle, without gaps between
    words, and 1 cycle more a text. Latency is 2 cycles. ``i.ready`` does not depend on
    ``o.ready``.

    Parameters
    ----------
    lanes : int
        Most characters of a beat.

    Members
    -------
    i : :py:`In(stream.Signature(PayloadWord))`
        Each payload is a text.
    o : :py:`Out(stream.Signature(Characters(lanes)))`

    Raises
    ------
    ValueError
        If ``lanes`` is not within range(1, 9).
    """

    def __init__(self, lanes=4):
        if lanes not in range(1, 9):
            raise ValueError(f"Lanes must be within range(1, 9), not {lanes!r}")
        self.lanes = lanes
        super().__init__({
            "i": In(stream.Signature(PayloadWord)),
            "o": Out(stream.Signature(Characters(lanes))),
        })

    @staticmethod
    def compute(payload):
        """Code points of ``payload`` (bytes) as a list, and whether malformed bytes end them."""
        try:
            return [ord(c) for c in payload.decode("utf-8")], False
        except UnicodeDecodeError as error:
            return [ord(c) for c in payload[:error.start].decode("utf-8")], True

    def elaborate(self, platform):
        m = Module()
        reach = max(self.lanes, LONGEST)
        # A word is taken when it fits; then at least `reach` bytes are there in the next cycle.
        size = 7 + 2 * reach
        window = Signal(data.ArrayLayout(8, size))
        count = Signal(range(size + 1))
        ended, dropping = Signal(), Signal()

        filled = Signal(data.ArrayLayout(8, size))
        taken, bytes_in = Signal(), Signal(4)
        m.d.comb += [
            self.i.ready.eq(~ended & (count <= size - 8)),
            taken.eq(self.i.valid & self.i.ready),
            bytes_in.eq(Mux(taken, self.i.p.count, 0)),
            filled.eq(window),
        ]
        with m.Switch(count):
            for n in range(size - 8 + 1):
                with m.Case(n):
                    m.d.comb += filled.as_value()[8 * n:8 * n + 64].eq(self.i.p.data)

        front = self._decode(m, window, count, ended)

        # What leaves the window.
        emit, used = Signal(), Signal(range(reach + 1))
        final = Signal()
        m.d.comb += [
            emit.eq(~dropping & (~self.o.valid | self.o.ready)
                    & (front.count.any() | front.malformed | (ended & (count == 0)))),
            used.eq(Mux(emit, front.used, 0)),
            final.eq(ended & (front.used == count)),
        ]
        with m.Switch(used):
            for n in range(reach + 1):
                with m.Case(n):
                    m.d.sync += window.eq(filled.as_value() >> 8 * n)
        m.d.sync += count.eq(count + bytes_in - used)
        with m.If(taken):
            m.d.sync += ended.eq(self.i.p.last)

        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(emit):
            m.d.sync += [
                self.o.valid.eq(1),
                self.o.p.codes.eq(front.codes), self.o.p.count.eq(front.count),
                self.o.p.malformed.eq(front.malformed), self.o.p.last.eq(front.malformed | final),
            ]
            with m.If(front.malformed):
                m.d.sync += [dropping.eq(1), count.eq(0)]
            with m.Elif(final):
                m.d.sync += ended.eq(0)
        with m.If(dropping):
            m.d.sync += count.eq(0)
            with m.If(ended):
                m.d.sync += [dropping.eq(0), ended.eq(0)]
        return m

    def _decode(self, m, window, count, ended):
        """The next beat; nothing in it while bytes of a code point are still to come."""
        ascii_run, char = Signal(range(self.lanes + 1)), Signal(CODE)
        needed, valid = Signal(range(LONGEST + 1)), Signal()
        b = window
        # ASCII characters in front.
        for n in range(self.lanes):
            with m.If(~Cat(b[k][7] for k in range(n + 1)).any() & (count > n)):
                m.d.comb += ascii_run.eq(n + 1)
        # Or one code point: Unicode, table 3-7.
        follows = [b[n][6:] == 0b10 for n in range(LONGEST)]
        low = b[1][:6]
        with m.Switch(b[0]):
            with m.Case("110-----"):
                m.d.comb += [
                    char.eq(Cat(low, b[0][:5])), needed.eq(2),
                    valid.eq((b[0][1:5] != 0) & follows[1]),
                ]
            with m.Case("1110----"):
                m.d.comb += [
                    char.eq(Cat(b[2][:6], low, b[0][:4])), needed.eq(3),
                    valid.eq(follows[1] & follows[2] & ~((b[0][:4] == 0) & ~b[1][5])
                             & ~((b[0][:4] == 0xd) & b[1][5])),
                ]
            with m.Case("11110---"):
                m.d.comb += [
                    char.eq(Cat(b[3][:6], b[2][:6], low, b[0][:3])), needed.eq(4),
                    valid.eq(follows[1] & follows[2] & follows[3]
                             & ~((b[0][:3] == 0) & (b[1][4:6] == 0))
                             & ~((b[0][:3] == 4) & (b[1][4:6] != 0))
                             & ~(b[0][2] & (b[0][:2] != 0))),
                ]
        front = Signal(data.StructLayout({
            **Characters(self.lanes).members, "used": range(max(self.lanes, LONGEST) + 1)}))
        with m.If(~b[0][7]):
            m.d.comb += [front.count.eq(ascii_run), front.used.eq(ascii_run)]
            m.d.comb += [front.codes[n].eq(b[n][:7]) for n in range(self.lanes)]
        with m.Elif((count >= LONGEST) | (ended & (count != 0))):
            with m.If(valid & (count >= needed)):
                m.d.comb += [front.count.eq(1), front.used.eq(needed), front.codes[0].eq(char)]
            with m.Else():
                m.d.comb += front.malformed.eq(1)
        return front
