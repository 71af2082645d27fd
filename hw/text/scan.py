# SPDX-License-Identifier: Apache-2.0
"""Rows of features, sent."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..status import Detail, Status
from .layout import Element, TextDone, TextError


__all__ = ["OUTCOMES", "Scanner"]


#: How a text with an error ends.
OUTCOMES = {
    TextError.NONE: (Status.OK, Detail.NONE),
    TextError.UTF8: (Status.CORRUPT, Detail.UTF8),
    TextError.SIGMA: (Status.UNSUPPORTED, Detail.SIGMA),
    TextError.FEATURES: (Status.TOO_LARGE, Detail.FEATURES),
    TextError.COUNT: (Status.TOO_LARGE, Detail.COUNT),
}


def lowest(m, bits, name):
    """Number of the lowest bit that is set in ``bits``, if one is."""
    alone = Signal(len(bits), name=f"{name}_alone")
    number = Signal(range(len(bits)), name=name)
    m.d.comb += [
        alone.eq(bits & -bits),
        number.eq(Cat(Cat(alone[k] for k in range(len(bits)) if k >> n & 1).any()
                      for n in range(ceil_log2(len(bits))))),
    ]
    return number


class Scanner(wiring.Component):
    """Reads the rows of a table that hold something, and sends what they hold.

    Throughput is 1 feature per cycle.

    Parameters
    ----------
    rows : int
        Rows of a table.
    row_layout : ArrayLayout
        Of a row.

    Members
    -------
    start, start_table, top, distinct, error : :py:`In(...)`
        Strobe, when not ``busy``: a table is to be sent, with its occupied words and number of
        features; if there is an ``error``, it is not, and the text ends with that.
    busy, reading, table : :py:`Out(1)`
        This table is being sent, and some of its rows are still to be read.
    word_index, word : :py:`Out(...)`, :py:`In(32)`
        A word of the occupancy, read combinationally.
    row_address, row_enable, row : :py:`Out(...)`, :py:`Out(1)`, :py:`In(row_layout)`
        Read port of the table.
    o : :py:`Out(stream.Signature(Element))`
    o_done : :py:`Out(stream.Signature(TextDone))`
    """

    def __init__(self, rows, row_layout):
        self.rows = rows
        self.row_layout = row_layout
        super().__init__({
            "start": In(1), "start_table": In(1), "top": In(rows // 32),
            "distinct": In(range(rows * row_layout.length + 1)), "error": In(TextError),
            "busy": Out(1), "reading": Out(1), "table": Out(1),
            "word_index": Out(range(rows // 32)), "word": In(32),
            "row_address": Out(range(rows)), "row_enable": Out(1), "row": In(row_layout),
            "o": Out(stream.Signature(Element)), "o_done": Out(stream.Signature(TextDone)),
        })

    def elaborate(self, platform):
        m = Module()
        row, next_row, advance = Signal(self.row_layout), Signal(self.row_layout), Signal()
        left, error = Signal.like(self.distinct), Signal(TextError)
        free, emit = Signal(), Signal()
        self._read(m, next_row, advance)

        ways = self.row_layout.length
        m.d.comb += [
            # A text begins when the one before is over.
            free.eq((~self.o.valid | self.o.ready) & (~self.o_done.valid | self.o_done.ready)),
            advance.eq(~row[0].valid | (emit & (~row[1].valid if ways > 1 else 1))),
        ]
        with m.If(advance):
            m.d.sync += row.eq(next_row)
        with m.Elif(emit):
            m.d.sync += row.eq(row.as_value() >> self.row_layout.elem_shape.size)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.o_done.ready):
            m.d.sync += self.o_done.valid.eq(0)
        with m.FSM():
            with m.State("Idle"):
                with m.If(self.start):
                    m.d.sync += [
                        self.table.eq(self.start_table), error.eq(self.error),
                        left.eq(Mux(self.error == TextError.NONE, self.distinct, 0)),
                    ]
                    m.next = "Send"
            with m.State("Send"):
                m.d.comb += [self.busy.eq(1), emit.eq(row[0].valid & free)]
                with m.If(emit):
                    m.d.sync += [
                        self.o.valid.eq(1), self.o.p.bytes.eq(8), self.o.p.last.eq(left == 1),
                        self.o.p.data[:32].eq(row[0].column),
                        self.o.p.data[32:].eq(row[0].count),
                        left.eq(left - 1),
                    ]
                    with m.If(left == 1):
                        m.next = "End"
                with m.If((left == 0) & free):
                    m.d.sync += [
                        self.o.valid.eq(1), self.o.p.bytes.eq(0), self.o.p.last.eq(1),
                        self.o.p.data.eq(0),
                    ]
                    m.next = "End"
            with m.State("End"):
                m.d.comb += self.busy.eq(1)
                with m.If(free):
                    m.d.sync += self.o_done.valid.eq(1)
                    with m.Switch(error):
                        for reason, (status, detail) in OUTCOMES.items():
                            with m.Case(reason):
                                m.d.sync += [
                                    self.o_done.p.status.eq(status),
                                    self.o_done.p.detail.eq(detail)]
                    m.next = "Idle"
        return m

    def _read(self, m, next_row, advance):
        """Occupied rows, one after the other, into ``next_row`` whenever ``advance``."""
        top, word, word_at = Signal.like(self.top), Signal(32), Signal.like(self.word_index)
        valid, ready, step, load = Signal(), Signal(), Signal(), Signal()
        rest = Signal(32)
        m.d.comb += [
            self.reading.eq((top != 0) | (word != 0) | valid),
            self.word_index.eq(lowest(m, top, "lowest_word")),
            self.row_address.eq(Cat(lowest(m, word, "lowest_row"), word_at)),
            rest.eq(word & (word - 1)),
            ready.eq(~valid | advance), step.eq((word != 0) & ready), self.row_enable.eq(ready),
            load.eq((top != 0) & ((word == 0) | (step & (rest == 0)))),
        ]
        with m.If(load):
            m.d.sync += [word.eq(self.word), word_at.eq(self.word_index), top.eq(top & (top - 1))]
        with m.Elif(step):
            m.d.sync += word.eq(rest)
        with m.If(ready):
            m.d.sync += valid.eq(step)
        with m.If(valid):
            m.d.comb += next_row.eq(self.row)
        with m.If(self.start):
            m.d.sync += top.eq(Mux(self.error == TextError.NONE, self.top, 0))
