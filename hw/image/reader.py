# SPDX-License-Identifier: Apache-2.0
"""Reads finished rows out of a tile buffer."""

from amaranth import *
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from .layout import PlaneWord


__all__ = ["RowReader"]


class RowReader(wiring.Component):
    """Complete rows of several images, in turns, each ``repeat`` times.

    Throughput is 1 word per cycle, with a gap of a few cycles between rows when a single image is
    under way. ``o`` comes from a register.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    words, lines, shift, repeat : :py:`In(...).array(contexts)`
        Size of the image in words and rows; of the buffer's rows; how often a row is sent.
    clear : :py:`In(contexts)`
        Forget the image: no further rows; one that was begun is sent to its end, while ``busy``.
    written : :py:`In(geometry.line).array(contexts)`
        Rows below it are complete.
    released : :py:`Out(geometry.line).array(contexts)`
        Rows below it are not needed any more.
    read, read_valid, read_data
        To the buffer.
    o : :py:`Out(stream.Signature(PlaneWord(contexts, pixels)))`
        Words of rows; ``plane`` counts the repetitions.
    busy : :py:`Out(contexts)`
        Words of the image are under way.
    """

    #: Words behind the buffer.
    DEPTH = 16

    def __init__(self, geometry):
        self.geometry = g = geometry
        n = g.contexts
        super().__init__({
            "words": In(g.word).array(n), "lines": In(g.line).array(n),
            "shift": In(g.shift).array(n), "repeat": In(2).array(n), "clear": In(n),
            "written": In(g.line).array(n), "released": Out(g.line).array(n),
            "read": Out(g.place), "read_valid": Out(1), "read_data": In(24 * g.pixels),
            "o": Out(stream.Signature(PlaneWord(n, g.pixels))), "busy": Out(n),
        })

    def elaborate(self, platform):
        m = Module()
        n = self.geometry.contexts
        word = PlaneWord(n, self.geometry.pixels)
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(width=word.size, depth=self.DEPTH)
        issue, pop = Signal(), Signal()
        tag = Signal(word)
        credit = Signal(range(self.DEPTH + 1), init=self.DEPTH)
        m.d.sync += credit.eq(credit + pop - issue)
        self._rows(m, credit, issue, tag)

        # Tags go along with the words.
        valid = issue
        for stage in range(self.geometry.latency + 1):
            next_tag, next_valid = Signal(word, name=f"tag_{stage}"), Signal(name=f"valid_{stage}")
            m.d.sync += [next_tag.eq(tag), next_valid.eq(valid)]
            tag, valid = next_tag, next_valid
        fetched = Signal(word)
        m.d.comb += [
            fetched.eq(tag), fetched.pixels.eq(self.read_data),
            queue.w_data.eq(fetched), queue.w_en.eq(valid),
        ]

        head = Signal(word)
        m.d.comb += [
            head.eq(queue.r_data),
            pop.eq(queue.r_rdy & (~self.o.valid | self.o.ready)),
            queue.r_en.eq(pop),
        ]
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [self.o.valid.eq(queue.r_rdy), self.o.payload.eq(head)]

        for c in range(n):
            flying = Signal(range(self.DEPTH + 1), name=f"flying_{c}")
            m.d.sync += flying.eq(flying + (issue & (self._context == c))
                                  - (pop & (head.context == c)))
            m.d.comb += self.busy[c].eq((flying != 0) | (self._running & (self._context == c))
                                        | (self.o.valid & (self.o.p.context == c)))
        return m

    def _rows(self, m, credit, issue, tag):
        """Choose a row, then ask for its words."""
        g = self.geometry
        n = g.contexts
        self._context = context = Signal(range(n))
        running, starting = Signal(), Signal()
        self._running = running | starting
        turn, found = Signal(range(n)), Signal()
        found_context = Signal(range(n))
        candidates = Signal(n)
        words, shift, line = Signal(g.word), Signal(g.shift), Signal(g.line)
        word, plane = Signal(g.word), Signal(2)
        planes = Array(Signal(2, name=f"plane_{c}") for c in range(n))
        final_line, final_plane = Signal(), Signal()
        final_word, cleared = Signal(), Signal()
        stale = Signal()  # `candidates` do not know yet that the row is over

        m.d.sync += [turn.eq(Mux(turn == n - 1, 0, turn + 1)), stale.eq(running)]
        for c in range(n):
            m.d.sync += candidates[c].eq((self.written[c] > self.released[c]) & ~self.clear[c])
        # The next row is looked for while words of this one are read.
        with m.If(found):
            with m.If(~running & ~starting):
                m.d.sync += [found.eq(0), starting.eq(1), context.eq(found_context)]
        with m.Elif(candidates.bit_select(turn, 1)
                    & ~((running | starting | stale) & (context == turn))):
            m.d.sync += [found.eq(1), found_context.eq(turn)]
        with m.If(starting):
            m.d.sync += [
                starting.eq(0), running.eq(~cleared), word.eq(0),
                words.eq(Array(self.words)[context]), shift.eq(Array(self.shift)[context]),
                line.eq(Array(self.released)[context]), plane.eq(planes[context]),
                final_line.eq(Array(self.released)[context] + 1 == Array(self.lines)[context]),
                final_plane.eq(planes[context] + 1 == Array(self.repeat)[context]),
            ]

        m.d.comb += [
            cleared.eq(self.clear.bit_select(context, 1)),
            issue.eq(running & (credit != 0)),
            final_word.eq(word + 1 == words),
            tag.context.eq(context), tag.plane.eq(plane), tag.row_last.eq(final_word),
            tag.last.eq(final_word & final_line & final_plane),
        ]
        m.d.sync += [
            self.read_valid.eq(issue), self.read.context.eq(context), self.read.y.eq(line),
            self.read.x.eq(Cat(C(0, g.column), word)), self.read.shift.eq(shift),
        ]
        with m.If(issue):
            m.d.sync += word.eq(word + 1)
            with m.If(final_word):
                m.d.sync += [
                    running.eq(0),
                    Array(self.released)[context].eq(line + final_plane),
                    planes[context].eq(Mux(final_plane, 0, plane + 1)),
                ]
        for c in range(n):
            with m.If(self.clear[c]):
                m.d.sync += [self.released[c].eq(0), planes[c].eq(0)]
                with m.If(found & (found_context == c)):
                    m.d.sync += found.eq(0)
