# SPDX-License-Identifier: Apache-2.0
"""Features counted and sorted."""

from amaranth import *
from amaranth.lib import data, fifo, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .columns import COLUMN, Feature
from .layout import Element, TextDone, TextError
from .scan import Scanner
from .tables import SPARE_ROWS


__all__ = ["WAYS", "FeatureTable"]


#: Features of a row.
WAYS = 4


class FeatureTable(wiring.Component):
    """Adds the occurrences of each column and delivers the columns that occurred, ascending.

    A table of rows of features, in order from the first row to the last: a feature is in its home
    row or behind it, and between there and its home every row is full. Homes rise with the columns,
    so a feature that finds its row full takes the place of the largest one there, or goes on, and
    the other one or itself moves to the next row. There are two tables: while the features of a
    text are sent, those of the next are counted.

    A text of more than ``limit`` columns, one whose count leaves ``count_bits``, or one that came
    with an error is an empty result with a status.

    Throughput is 1 occurrence per cycle, except that one waits up to 4 cycles for another that went
    into the same row just before, and for each feature that moved on to the next row; and 1 column
    per cycle out, 8 cycles more a text. ``i.ready`` does not depend on ``o.ready``.

    Parameters
    ----------
    rows : int
        Rows of a table, a multiple of 32 above 32 and up to 2048. Homes are below
        ``rows - SPARE_ROWS``.
    limit : int
        Most columns of a text.
    count_bits : int
        Bits of a count, with its sign, up to 32.

    Members
    -------
    i : :py:`In(stream.Signature(Feature(rows - SPARE_ROWS)))`
    o : :py:`Out(stream.Signature(Element))`
    o_done : :py:`Out(stream.Signature(TextDone))`
        One item a text, after its last beat.

    Raises
    ------
    ValueError
        If a parameter is not as above.
    """

    def __init__(self, rows=1024, limit=None, count_bits=22):
        if rows % 32 or not 32 < rows <= 2048:
            raise ValueError(f"Rows must be a multiple of 32 within range(64, 2049), not {rows!r}")
        if not 2 <= count_bits <= 32:
            raise ValueError(f"Count_bits must be within range(2, 33), not {count_bits!r}")
        self.rows = rows
        self.limit = WAYS * rows * 3 // 4 if limit is None else limit
        if not 0 < self.limit < WAYS * rows:
            raise ValueError(f"Limit must be within range(1, {WAYS * rows}), not {limit!r}")
        self.count_bits = count_bits
        #: A feature in a row; rows are in order, those not ``valid`` at the end.
        self.way = data.StructLayout({"column": COLUMN, "valid": 1, "count": signed(count_bits)})
        self.row = data.ArrayLayout(self.way, WAYS)
        super().__init__({
            "i": In(stream.Signature(Feature(rows - SPARE_ROWS))),
            "o": Out(stream.Signature(Element)),
            "o_done": Out(stream.Signature(TextDone)),
        })

    @staticmethod
    def compute(occurrences):
        """Columns, ascending, and counts of ``(column, sign)`` pairs."""
        counts = {}
        for column, sign in occurrences:
            counts[column] = counts.get(column, 0) + sign
        return sorted(counts.items())

    def elaborate(self, platform):
        m = Module()
        op_layout = data.StructLayout({
            "column": COLUMN, "count": signed(self.count_bits), "row": range(self.rows),
            "table": 1})
        m.submodules.scanner = scanner = Scanner(self.rows, self.row)
        wiring.connect(m, scanner.o, wiring.flipped(self.o))
        wiring.connect(m, scanner.o_done, wiring.flipped(self.o_done))
        m.submodules.moved = moved = fifo.SyncFIFOBuffered(
            width=op_layout.size, depth=5)
        m.submodules.merge = merge = Merge(op_layout, self.row)

        # Operations on rows: 0 row wanted, 1 row read, 2 row known, 3 compared, written.
        op, enter = Signal(op_layout), Signal()
        ops = [Signal(op_layout, name=f"op_{n}") for n in range(4)]
        valids = [Signal(name=f"valid_{n}") for n in range(4)]

        def hazard(row, table):
            return Cat(v & (o.row == row) & (o.table == table) for o, v in zip(ops, valids)).any()

        m.d.sync += [
            *(b.eq(a) for a, b in zip([op, *ops], ops)), Cat(valids).eq(Cat(enter, valids[:-1])),
        ]
        occupied, tops = self._occupancy(m, ops[0], valids[0], scanner)
        row = self._rows(m, *ops[:2], occupied, scanner, ops[3], valids[3], merge.o)
        m.d.comb += [merge.op.eq(ops[2]), merge.row.eq(row)]

        # What moves on goes first: then at most 5 operations are anywhere.
        turn, closing = Signal(), Signal()
        errors = [Signal(TextError, name=f"error_{n}") for n in range(2)]
        sending = scanner.reading & (scanner.table == turn)
        dropped = ~self.i.p.valid | (Mux(turn, errors[1].as_value(), errors[0].as_value()) != 0)
        head = Signal(op_layout)
        m.d.comb += head.eq(moved.r_data)
        blocked = hazard(self.i.p.home, turn) | sending
        with m.If(moved.level != 0):
            m.d.comb += [
                op.eq(head), moved.r_en.eq(~hazard(head.row, head.table)),
                enter.eq(moved.r_rdy & moved.r_en),
            ]
        with m.Else():
            m.d.comb += [
                op.column.eq(self.i.p.column), op.row.eq(self.i.p.home), op.table.eq(turn),
                op.count.eq(Mux(self.i.p.negative, -1, 1)),
                self.i.ready.eq((dropped | ~blocked) & ~(self.i.p.last & closing)),
                enter.eq(self.i.valid & self.i.ready & ~dropped),
            ]
        m.d.comb += [
            moved.w_data.eq(merge.o_moved), moved.w_en.eq(
                valids[3] & merge.moves & (ops[3].row != self.rows - 1)),
        ]

        distinct = [Signal(range(self.limit + 1), name=f"distinct_{n}") for n in range(2)]
        self._account(m, ops[3], valids[3], merge, distinct, errors)
        # A text is sent when all of it has been written.
        ends = self.i.valid & self.i.ready & self.i.p.last
        with m.If(ends):
            m.d.sync += [closing.eq(1), turn.eq(~turn)]
            for n in range(2):
                with m.If((turn == n) & (self.i.p.error != TextError.NONE)):
                    m.d.sync += errors[n].eq(self.i.p.error)
        under_way = Cat(v & (o.table != turn) for o, v in zip(ops, valids)).any() | (
            moved.level != 0)
        m.d.comb += [
            scanner.start.eq(closing & ~scanner.busy & ~under_way), scanner.start_table.eq(~turn)]
        for n in range(2):
            with m.If(turn != n):
                m.d.comb += [
                    scanner.top.eq(tops[n]), scanner.distinct.eq(distinct[n]),
                    scanner.error.eq(errors[n])]
                with m.If(scanner.start):
                    m.d.sync += [
                        closing.eq(0), tops[n].eq(0), distinct[n].eq(0),
                        errors[n].eq(TextError.NONE)]
        return m

    def _occupancy(self, m, op, enter, scanner):
        """Which rows hold anything: a bit each, in words of 32, and a bit for each word.

        What the memories held before a text is of no account, so nothing need be cleared. Returns
        whether the row of ``op`` holds anything, and the upper bits of each table.
        """
        words = self.rows // 32
        tops = [Signal(words, name=f"top_{n}") for n in range(2)]
        m.submodules.occupancy = mem = memory.Memory(shape=32, depth=2 * words, init=[])
        write, read = mem.write_port(), mem.read_port(domain="comb")
        scan = mem.read_port(domain="comb")
        index = op.row[5:]
        old, bit = Signal(32), Signal(32)
        m.d.comb += [
            bit.eq(1 << op.row[:5]),
            read.addr.eq(Mux(op.table, words, 0) + index), write.addr.eq(read.addr),
            old.eq(Mux(Mux(op.table, *reversed(tops)).bit_select(index, 1), read.data, 0)),
            write.data.eq(old | bit), write.en.eq(enter),
            scan.addr.eq(Mux(scanner.table, words, 0) + scanner.word_index),
            scanner.word.eq(scan.data),
        ]
        for n, top in enumerate(tops):
            with m.If(enter & (op.table == n)):
                m.d.sync += top.bit_select(index, 1).eq(1)
        return (old & bit).any(), tops

    def _rows(self, m, op, reading, occupied, scanner, writing, write_valid, new_row):
        """Two tables; the row of the operation before last is returned, empty if not occupied."""
        rows = []
        for n in range(2):
            m.submodules[f"table_{n}"] = mem = memory.Memory(
                shape=self.row.size, depth=self.rows, init=[])
            read, write = mem.read_port(), mem.write_port()
            scanned = scanner.reading & (scanner.table == n)
            m.d.comb += [
                read.addr.eq(Mux(scanned, scanner.row_address, op.row)),
                read.en.eq(~scanned | scanner.row_enable),
                write.addr.eq(writing.row), write.data.eq(new_row),
                write.en.eq(write_valid & (writing.table == n)),
            ]
            rows.append(read.data)
        row, occupied_1 = Signal(self.row), Signal()
        m.d.comb += scanner.row.eq(Mux(scanner.table, rows[1], rows[0]))
        m.d.sync += [
            occupied_1.eq(occupied),
            row.eq(Mux(occupied_1, Mux(reading.table, rows[1], rows[0]), 0)),
        ]
        return row

    def _account(self, m, op, valid, merge, distinct, errors):
        """Count the columns of each text; find what is too much."""
        for n in range(2):
            with m.If(valid & (op.table == n) & (errors[n] == TextError.NONE)):
                with m.If(merge.overflow):
                    m.d.sync += errors[n].eq(TextError.COUNT)
                with m.If(merge.added):
                    m.d.sync += distinct[n].eq(distinct[n] + 1)
                with m.If((merge.added & (distinct[n] == self.limit))
                          | (merge.moves & (op.row == self.rows - 1))):
                    m.d.sync += errors[n].eq(TextError.FEATURES)


class Merge(wiring.Component):
    """A feature into a row, in two cycles.

    Members
    -------
    op, row : :py:`In(...)`
        The feature, and its row.
    o : :py:`Out(row_layout)`
        The row with it, one cycle later, as the others.
    o_moved, moves : :py:`Out(op_layout)`, :py:`Out(1)`
        The row was full: this one belongs to the next row.
    added : :py:`Out(1)`
        The row has one feature more.
    overflow : :py:`Out(1)`
        The count does not fit.
    """

    def __init__(self, op_layout, row_layout):
        super().__init__({
            "op": In(op_layout), "row": In(row_layout), "o": Out(row_layout),
            "o_moved": Out(op_layout), "moves": Out(1), "added": Out(1), "overflow": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        op, row = Signal.like(self.op), Signal.like(self.row)
        below, equal = Signal(WAYS), Signal(WAYS)
        m.d.sync += [
            op.eq(self.op), row.eq(self.row),
            below.eq(Cat(~way.valid | (self.op.column < way.column) for way in self.row)),
            equal.eq(Cat(way.valid & (self.op.column == way.column) for way in self.row)),
        ]
        found = equal.any()
        bits = len(op.count)
        for n, way in enumerate(row):
            new, total = self.o[n], Signal(signed(bits + 1), name=f"total_{n}")
            m.d.comb += [total.eq(way.count + op.count), new.eq(way)]
            with m.If(equal[n]):
                m.d.comb += [
                    new.count.eq(total), self.overflow.eq(total[bits] ^ total[bits - 1])]
            with m.Elif(~found & below[n]):
                m.d.comb += [
                    new.column.eq(op.column), new.count.eq(op.count), new.valid.eq(1)]
                if n:
                    with m.If(below[n - 1]):
                        m.d.comb += new.eq(row[n - 1])
        last = row[WAYS - 1]
        m.d.comb += [
            self.o_moved.eq(op), self.o_moved.row.eq(op.row + 1),
            self.moves.eq(~found & last.valid), self.added.eq(~found & ~last.valid),
        ]
        with m.If(below[WAYS - 1]):
            m.d.comb += [self.o_moved.column.eq(last.column), self.o_moved.count.eq(last.count)]
        return m
