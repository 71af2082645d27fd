# SPDX-License-Identifier: Apache-2.0
"""Huffman table specifications to look-up tables."""

from amaranth import *
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .entropy import LEVEL_BITS, TableWrite


__all__ = ["HuffmanBuilder"]


class HuffmanBuilder(wiring.Component):
    """Turns a DHT specification into the entries that the entropy decoder looks up.

    Takes the 16 counts, then the symbols, of one table at ``i`` (ITU-T T.81, B.2.4.2), and writes
    both levels of the table. Codes are canonical and so come in ascending order: both levels are
    filled from their first entry upwards, each entry once. A prefix of 9 bits with longer codes
    gets a sub-table just deep enough for its longest code; with at most 256 codes the sub-tables
    of a table take at most 496 entries (a sub-table of 2**n entries behind another of the same
    table starts with a code longer than the shortest that fills the one before, so it needs
    2**(n - 1) codes or more).

    Like libjpeg's, the check rejects a code of all ones and more codes than fit, and a DC symbol
    above 15; the table is then ``bad``, which matters only if a scan uses it.

    Specifications are kept. One that is the same as that of the table in its place is only read:
    the table is there.

    Members
    -------
    start : :py:`In(1)`
        Strobe while not ``busy``: a table follows. ``context``, ``ac`` and ``number`` say which;
        they are held until ``busy`` falls. Numbers 2 and 3 are only checked.
    i : :py:`In(stream.Signature(8))`
        Counts and symbols.
    busy : :py:`Out(1)`
        From ``start`` until the table is complete, or ``abort``.
    bad : :py:`Out(1)`
        The table cannot be used. Valid when ``busy`` has fallen.
    counted : :py:`Out(1)`
        The counts have been taken; their sum is ``symbols``.
    symbols : :py:`Out(12)`
        Number of symbols.
    abort : :py:`In(1)`
        While high, no more bytes are expected: the table becomes ``bad``.
    write : :py:`Out(TableWrite(contexts))`, with ``write_valid``
        Entries.
    """

    def __init__(self, contexts):
        self.contexts = contexts
        super().__init__({
            "start": In(1), "context": In(range(contexts)), "ac": In(1), "number": In(2),
            "i": In(stream.Signature(8)),
            "abort": In(1), "busy": Out(1), "bad": Out(1), "symbols": Out(12), "counted": Out(1),
            "write": Out(TableWrite(contexts)), "write_valid": Out(1),
        })

    def elaborate(self, platform):
        m = Module()

        counts = Array(Signal(8, name=f"count_{n}") for n in range(1, 17))
        length = Signal(range(1, 18))
        codes = Signal(signed(19))  # codes of this length that are not given to a symbol yet
        root = Signal(LEVEL_BITS + 1)
        sub = Signal(LEVEL_BITS + 1)
        sub_left = Signal(8)       # entries of the present sub-table still to fill
        depth = Signal(range(8))   # bits that it looks at
        reach = Signal(range(18))  # longest code considered for it
        space = Signal(9)
        fill = Signal(10)
        symbol = Signal(8)
        count, some = Signal(8), Signal()  # symbols of this length to come; there are
        span = Signal(9)           # entries of the first level that begin with a code of it

        w, valid = Signal.like(self.write), Signal()
        # Registered: the tables are far away.
        m.d.sync += [self.write.eq(w), self.write_valid.eq(valid & ~self.number[1])]
        hit, miss = w.entry.symbol.hit, w.entry.symbol.miss
        m.d.comb += [w.context.eq(self.context), w.ac.eq(self.ac), w.number.eq(self.number[0])]

        run, size = symbol[4:], symbol[:4]
        # Of the length at hand, which is there for two cycles when they are used.
        first, level_length = Signal(), Signal(range(1, LEVEL_BITS + 1))
        m.d.sync += [first.eq(length <= LEVEL_BITS),
                     level_length.eq(Mux(length <= LEVEL_BITS, length, length - LEVEL_BITS))]
        usable = Mux(self.ac, size <= 10, (run == 0) & (size <= 11))

        def put(level, pointer):
            """Write the symbol's entry, or none if it cannot occur in an image of 8 bits."""
            m.d.comb += [
                w.level.eq(level), w.index.eq(pointer),
                valid.eq(~pointer[LEVEL_BITS] & ~self.bad),
                hit.size.eq(size),
                hit.run.eq(Mux((size == 0) & (run != 15), 0, run)),
                hit.length.eq(level_length),
                w.entry.total.eq(Mux(usable, level_length + size, 0)),
            ]
            m.d.sync += [pointer.eq(pointer + 1), fill.eq(fill - 1)]
            with m.If(pointer[LEVEL_BITS]):
                m.d.sync += self.bad.eq(1)

        # The specification: written as it comes, while it is compared; symbols are then read again.
        index, left = Signal(9), Signal.like(self.symbols)
        place = Cat(self.number[0], self.ac, self.context)
        m.submodules.kept = kept = memory.Memory(
            shape=8, depth=self.contexts << (2 + len(index)), init=[])
        write, read = kept.write_port(), kept.read_port()
        taken, ahead = Signal(), Signal()   # a byte came; or was used
        after = Signal.like(index)
        known = Signal(4 * self.contexts)   # tables that are as their specification says
        same = Signal()
        m.d.comb += [
            taken.eq(self.i.valid & self.i.ready),
            write.addr.eq(Cat(index, place)), write.data.eq(self.i.payload), write.en.eq(taken),
            after.eq(index + (taken | ahead)), read.addr.eq(Cat(after, place)),
        ]
        m.d.sync += index.eq(after)
        with m.If(taken & (self.i.payload != read.data)):
            m.d.sync += same.eq(0)

        def keep(good):
            m.d.sync += [self.busy.eq(0), known.bit_select(place, 1).eq(good)]
            m.next = "Idle"

        with m.FSM():
            with m.State("Idle"):
                m.d.comb += after.eq(0)
                m.d.sync += [
                    same.eq(known.bit_select(place, 1)),
                    length.eq(1), codes.eq(2), span.eq(1 << (LEVEL_BITS - 1)),
                    root.eq(0), sub.eq(0), sub_left.eq(0),
                    self.symbols.eq(0), self.counted.eq(0),
                ]
                with m.If(self.start):
                    m.d.sync += [self.busy.eq(1), self.bad.eq(0),
                                 known.bit_select(place, 1).eq(0)]
                    m.next = "Counts"

            with m.State("Counts"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    total = self.symbols + self.i.payload
                    m.d.sync += [counts[index[:4]].eq(self.i.payload), self.symbols.eq(total),
                                 left.eq(total)]
                    with m.If(index == 15):
                        m.d.sync += self.counted.eq(1)
                        m.next = "Symbols"
                with m.Elif(self.abort):
                    m.d.sync += self.bad.eq(1)
                    keep(0)

            with m.State("Symbols"):
                m.d.comb += self.i.ready.eq(left != 0)
                with m.If(left == 0):
                    m.d.comb += after.eq(16)
                    m.next = "Length"
                    with m.If(same):
                        keep(1)
                with m.Elif(self.i.valid):
                    m.d.sync += left.eq(left - 1)
                with m.Elif(self.abort):
                    m.d.sync += self.bad.eq(1)
                    keep(0)

            with m.State("Length"):
                these = Signal(8)
                m.d.comb += these.eq(counts[(length - 1)[:4]])
                m.d.sync += [count.eq(these), some.eq(these != 0)]
                m.next = "Symbol"
                with m.If(length == 17):
                    m.next = "Rest of sub-table"

            with m.State("Symbol"):
                with m.If(~some):
                    # A code of this length may not be all ones, nor may there be too many.
                    m.d.sync += [length.eq(length + 1), codes.eq(codes << 1), span.eq(span >> 1)]
                    with m.If(codes <= 0):
                        m.d.sync += [self.bad.eq(1), codes.eq(0)]
                    m.next = "Length"
                with m.Else():
                    m.d.comb += ahead.eq(1)
                    m.d.sync += [symbol.eq(read.data), codes.eq(codes - 1),
                                 count.eq(count - 1), some.eq(count != 1)]
                    with m.If(~self.ac & (read.data > 15)):
                        m.d.sync += self.bad.eq(1)
                    with m.If(first):
                        m.d.sync += fill.eq(span)
                        m.next = "Fill first level"
                    with m.Elif(sub_left == 0):
                        m.d.sync += [
                            depth.eq(level_length), reach.eq(length),
                            space.eq(1 << level_length[:3]),
                        ]
                        m.next = "Depth"
                    with m.Else():
                        m.d.sync += fill.eq((1 << depth) >> level_length[:3])
                        m.next = "Fill second level"

            with m.State("Fill first level"):
                put(0, root)
                with m.If(fill == 1):
                    m.next = "Symbol"

            with m.State("Depth"):
                # `space` codes of length `reach` fit; deepen while fewer remain.
                # Of the length at hand, this one is not among those to come.
                these = Signal(9)
                m.d.comb += these.eq(Mux(reach == length, count + 1, counts[(reach - 1)[:4]]))
                with m.If((these >= space) | (reach == 16)):
                    m.next = "Sub-table"
                with m.Else():
                    m.d.sync += [
                        space.eq((space - these) << 1), reach.eq(reach + 1), depth.eq(depth + 1),
                    ]

            with m.State("Sub-table"):
                m.d.comb += [
                    w.level.eq(0), w.index.eq(root), w.entry.miss.eq(1),
                    w.entry.total.eq(LEVEL_BITS),
                    miss.base.eq(sub), miss.shift.eq(7 - depth),
                    valid.eq(~root[LEVEL_BITS] & ~self.bad),
                ]
                m.d.sync += [
                    root.eq(root + 1), sub_left.eq(1 << depth),
                    fill.eq((1 << depth) >> level_length[:3]),
                ]
                with m.If(root[LEVEL_BITS]):
                    m.d.sync += self.bad.eq(1)
                m.next = "Fill second level"

            with m.State("Fill second level"):
                put(1, sub)
                m.d.sync += sub_left.eq(sub_left - 1)
                with m.If((fill == 1) | (fill == 0)):
                    m.next = "Symbol"

            with m.State("Rest of sub-table"):
                with m.If((sub_left == 0) | sub[LEVEL_BITS]):
                    m.next = "Rest of first level"
                with m.Else():
                    m.d.comb += [
                        w.level.eq(1), w.index.eq(sub), valid.eq(~self.bad)]
                    m.d.sync += [sub.eq(sub + 1), sub_left.eq(sub_left - 1)]

            with m.State("Rest of first level"):
                with m.If(root[LEVEL_BITS]):
                    keep(~self.bad & ~self.number[1])
                with m.Else():
                    m.d.comb += [w.index.eq(root), valid.eq(~self.bad)]
                    m.d.sync += root.eq(root + 1)

        return m
