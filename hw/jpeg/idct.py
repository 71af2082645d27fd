# SPDX-License-Identifier: Apache-2.0
"""The inverse DCT of libjpeg's ``jidctint.c`` ("islow")."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
import numpy as np

from .blocks import COLUMN


__all__ = ["transform", "Idct1D", "Transposer", "Idct"]


def transform(i, shift):
    """Model of :class:`Idct1D`: ``i`` is an integer ndarray whose last axis has the 8 inputs."""
    i = np.asarray(i, np.int64)
    c0, c1, c2, c3, c4, c5, c6, c7 = (i[..., n] for n in range(8))
    z1 = (c2 + c6) * 4433
    e2, e3 = z1 - c6 * 15137, z1 + c2 * 6270
    t0, t1 = (c0 + c4) << 13, (c0 - c4) << 13
    even = t0 + e3, t1 + e2, t1 - e2, t0 - e3
    z5 = (c1 + c3 + c5 + c7) * 9633
    z1, z2 = (c7 + c1) * 7373, (c5 + c3) * 20995
    z3, z4 = z5 - (c7 + c3) * 16069, z5 - (c5 + c1) * 3196
    odd = (c1 * 12299 - z1 + z4, c3 * 25172 - z2 + z3,
           c5 * 16819 - z2 + z4, c7 * 2446 - z1 + z3)
    out = [e + o for e, o in zip(even, odd)] + [e - o for e, o in zip(even, odd)][::-1]
    return (np.stack(out, -1) + (1 << (shift - 1))) >> shift


class Idct1D(wiring.Component):
    """Eight-point inverse DCT with 12 multiplications by constants of 13 fractional bits
    (Loeffler, Ligtenberg and Moschytz, as in ``jidctint.c``).

    ``o = (transform(i) + 2 ** (shift - 1)) >> shift``. Latency is 6 cycles, throughput one
    transform a cycle. Sums are kept to ``width + 16`` bits: the absolute values of a row of the
    transform's matrix sum to less than ``2 ** 16``, so every result fits, and intermediates may
    wrap.

    Parameters
    ----------
    width : int
        Bits of the inputs.
    shift : int
        11 for the first pass over a block, 18 for the second.

    Members
    -------
    i : :py:`In(ArrayLayout(signed(width), 8))`
    o : :py:`Out(ArrayLayout(signed(width + 16 - shift), 8))`
    """

    def __init__(self, width, shift):
        self.width = width
        self.shift = shift
        super().__init__({
            "i": In(data.ArrayLayout(signed(width), 8)),
            "o": Out(data.ArrayLayout(signed(width + 16 - shift), 8)),
        })

    def compute(self, i):
        """Model: int64 ndarray whose last axis has the 8 outputs for the 8 inputs ``i``."""
        return transform(i, self.shift)

    def elaborate(self, platform):
        m = Module()

        def reg(value, width):
            signal = Signal(signed(width), reset_less=True)
            m.d.sync += signal.eq(value)
            return signal

        w = self.width
        c = [self.i[n] for n in range(8)]
        # 1: sums of inputs
        s04, d04 = reg(c[0] + c[4], w + 1), reg(c[0] - c[4], w + 1)
        s26, r2, r6 = reg(c[2] + c[6], w + 1), reg(c[2], w), reg(c[6], w)
        r1, r3, r5, r7 = (reg(c[n], w) for n in (1, 3, 5, 7))
        s71, s53 = reg(c[7] + c[1], w + 1), reg(c[5] + c[3], w + 1)
        s73, s51 = reg(c[7] + c[3], w + 1), reg(c[5] + c[1], w + 1)
        s_odd = reg((c[7] + c[3]) + (c[5] + c[1]), w + 2)

        # 2: products
        def times(value, constant):
            return reg(value * C(constant, signed(16)), w + 18)

        t0, t1 = reg(s04 << 13, w + 15), reg(d04 << 13, w + 15)
        p26, p2, p6 = times(s26, 4433), times(r2, 6270), times(r6, 15137)
        p7, p5, p3, p1 = times(r7, 2446), times(r5, 16819), times(r3, 25172), times(r1, 12299)
        z1, z2, z3, z4 = times(s71, 7373), times(s53, 20995), times(s73, 16069), times(s51, 3196)
        z5 = times(s_odd, 9633)

        # 3, 4, 5: sums of products
        n = w + 16
        t0, t1 = reg(t0, n), reg(t1, n)
        e2, e3 = reg(p26 - p6, n), reg(p26 + p2, n)
        z3, z4 = reg(z5 - z3, n), reg(z5 - z4, n)
        b0, b1, b2, b3 = reg(p7 - z1, n), reg(p5 - z2, n), reg(p3 - z2, n), reg(p1 - z1, n)
        even = [reg(t0 + e3, n), reg(t1 + e2, n), reg(t1 - e2, n), reg(t0 - e3, n)]
        odd = [reg(b3 + z4, n), reg(b2 + z3, n), reg(b1 + z4, n), reg(b0 + z3, n)]
        out = [reg(e + o, n) for e, o in zip(even, odd)]
        out += [reg(e - o, n) for e, o in zip(even[::-1], odd[::-1])]
        for k in range(8):
            m.d.sync += self.o[k].eq((out[k] + (1 << (self.shift - 1))) >> self.shift)
        return m


class Transposer(wiring.Component):
    """Transposes squares of 8 x 8 values: ``lines`` columns in, ``lines`` rows out a cycle.

    One square of registers that shifts to the right while it takes one block and downwards while
    it takes the next: as columns go in at one side, the rows of the block before leave at the
    other. A block takes a window of ``8 // lines`` cycles; windows follow each other without
    pause, full or not. The rows of a block leave in the window behind its own.

    Members
    -------
    start : :py:`In(1)`
        Strobe in the first cycle of every window.
    i : :py:`In(ArrayLayout(ArrayLayout(signed(16), 8), lines))`
        Neighbouring columns, the left one first.
    o : :py:`Out(...)`
        Neighbouring rows, the upper one first. Combinational from registers.
    """

    def __init__(self, lines):
        self.lines = lines
        line = data.ArrayLayout(data.ArrayLayout(signed(16), 8), lines)
        super().__init__({"start": In(1), "i": In(line), "o": Out(line)})

    def elaborate(self, platform):
        m = Module()
        # In a window to the right, sample (r, c) of its block comes to rest in square[7-r][7-c],
        # in a window downwards in square[7-c][7-r].
        square = [[Signal(signed(16), name=f"square_{r}_{c}", reset_less=True)
                   for c in range(8)] for r in range(8)]
        held, down = Signal(), Signal()
        m.d.comb += down.eq(held ^ self.start)
        m.d.sync += held.eq(down)
        n = self.lines
        for r in range(8):
            for c in range(8):
                left = square[r][c - n] if c >= n else self.i[n - 1 - c][7 - r]
                above = square[r - n][c] if r >= n else self.i[n - 1 - r][7 - c]
                m.d.sync += square[r][c].eq(Mux(down, above, left))
        for k in range(n):
            for c in range(8):
                m.d.comb += self.o[k][c].eq(Mux(down, square[7 - k][7 - c],
                                                square[7 - c][7 - k]))
        return m


class Idct(wiring.Component):
    """Two-dimensional inverse DCT, level shift and clamp: a block every ``8 // lines`` cycles.

    A block's columns come in one window of ``8 // lines`` cycles; its rows leave in consecutive
    cycles, the first of them 13 cycles and a window later. There is no back-pressure. A first-pass
    result over 16 bits or a second-pass one outside ``range(-512, 512)`` occurs in damaged files
    only; libjpeg-turbo's own implementations then differ from each other, so it is reported.

    Parameters
    ----------
    lines : int
        Columns taken, and rows given, in a cycle: 1, 2, 4 or 8.

    Members
    -------
    i_start : :py:`In(1)`
        Strobe in the first cycle of every window, with or without a block.
    i, i_valid : :py:`In(ArrayLayout(COLUMN, lines))`
        Columns of coefficients, for a whole window.
    o, o_valid : :py:`Out(ArrayLayout(64, lines))`
        Rows of samples, the left one in the low bits.
    row : :py:`Out(3)`
        Number of the first of the rows within their block.
    overflow : :py:`Out(1)`
        With ``o_valid``: the block is not exact. Not on every row of it.

    Raises
    ------
    :exc:`ValueError`
        If ``lines`` does not divide a block.
    """

    #: Cycles of one pass.
    LATENCY = 6

    def __init__(self, lines=1):
        if lines not in (1, 2, 4, 8):
            raise ValueError(f"Lines must be 1, 2, 4 or 8, not {lines!r}")
        self.lines = lines
        super().__init__({
            "i_start": In(1), "i": In(data.ArrayLayout(COLUMN, lines)), "i_valid": In(1),
            "o": Out(data.ArrayLayout(64, lines)), "o_valid": Out(1),
            "row": Out(3), "overflow": Out(1),
        })

    def passes(self, block):
        """Model: samples of a block before level shift and clamp, and whether they overflow."""
        columns = transform(np.swapaxes(block, -1, -2), 11)
        rows = transform(np.swapaxes(columns, -1, -2), 18)
        wide = (columns != columns.astype(np.int16)).any()
        return rows, bool(wide or ((rows < -512) | (rows > 511)).any())

    def compute(self, blocks):
        """Model: int ndarray (..., 8, 8) of coefficients to uint8 samples."""
        return np.clip(self.passes(blocks)[0] + 128, 0, 255).astype(np.uint8)

    def elaborate(self, platform):
        m = Module()
        m.submodules.transposer = transposer = Transposer(self.lines)

        def delay(signal, cycles):
            for _ in range(cycles):
                later = Signal.like(signal)
                m.d.sync += later.eq(signal)
                signal = later
            return signal

        # Columns
        start = delay(self.i_start, self.LATENCY)
        valid = delay(self.i_valid, self.LATENCY)
        narrow = Signal(self.lines)
        m.d.comb += transposer.start.eq(start)
        for k in range(self.lines):
            m.submodules[f"columns_{k}"] = columns = Idct1D(13, 11)
            m.d.comb += [
                columns.i.eq(self.i[k]),
                *(i.eq(o) for i, o in zip(transposer.i[k], columns.o)),
                narrow[k].eq(Cat(o == o[:16].as_signed() for o in columns.o).all()),
            ]
        wide, row, full, row_wide = Signal(), Signal(3), Signal(), Signal()
        m.d.sync += [wide.eq((wide & ~start) | ~narrow.all()), row.eq(row + self.lines)]
        # As a window begins, what came in the one before leaves.
        came = Signal()
        m.d.sync += came.eq(valid)
        rows_valid, rows_wide, rows_number = Signal(), Signal(), Signal(3)
        m.d.comb += [rows_valid.eq(full), rows_wide.eq(row_wide), rows_number.eq(row)]
        with m.If(start):
            m.d.comb += [rows_valid.eq(came), rows_wide.eq(wide), rows_number.eq(0)]
            m.d.sync += [full.eq(came), row_wide.eq(wide), row.eq(self.lines)]

        # Rows: level shift and clamp
        outside = Signal(8 * self.lines)
        for k in range(self.lines):
            m.submodules[f"rows_{k}"] = rows = Idct1D(16, 18)
            m.d.comb += rows.i.eq(transposer.o[k])
            for n, r in enumerate(rows.o):
                m.d.comb += outside[8 * k + n].eq(r != r[:10].as_signed())
                sample = self.o[k].word_select(n, 8)
                m.d.sync += sample.eq(r[:8] ^ 0x80)
                with m.If(r < -128):
                    m.d.sync += sample.eq(0)
                with m.Elif(r > 127):
                    m.d.sync += sample.eq(255)
        late_valid = delay(rows_valid, self.LATENCY)
        m.d.sync += [
            self.o_valid.eq(late_valid), self.row.eq(delay(rows_number, self.LATENCY)),
            self.overflow.eq(late_valid & (delay(rows_wide, self.LATENCY) | outside.any())),
        ]
        return m
