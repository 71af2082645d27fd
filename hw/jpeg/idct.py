# SPDX-License-Identifier: Apache-2.0
"""The inverse DCT of libjpeg's ``jidctint.c`` ("islow")."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
import numpy as np

from .blocks import COLUMN


__all__ = ["transform", "Idct1D", "Idct"]


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
    transform a cycle.

    Parameters
    ----------
    width : int
        Bits of the inputs.
    shift : int
        11 for the first pass over a block, 18 for the second.

    Members
    -------
    i : :py:`In(ArrayLayout(signed(width), 8))`
    o : :py:`Out(ArrayLayout(signed(36 - shift), 8))`
    """

    def __init__(self, width, shift):
        self.width = width
        self.shift = shift
        super().__init__({
            "i": In(data.ArrayLayout(signed(width), 8)),
            "o": Out(data.ArrayLayout(signed(36 - shift), 8)),
        })

    def compute(self, i):
        """Model: int64 ndarray whose last axis has the 8 outputs for the 8 inputs ``i``."""
        return transform(i, self.shift)

    def elaborate(self, platform):
        m = Module()

        def reg(value, width):
            signal = Signal(signed(width))
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

        # 3, 4, 5: sums of products. 36 bits hold the sum of any eight 16-bit inputs.
        t0, t1 = reg(t0, 36), reg(t1, 36)
        e2, e3 = reg(p26 - p6, 36), reg(p26 + p2, 36)
        z3, z4 = reg(z5 - z3, 36), reg(z5 - z4, 36)
        b0, b1, b2, b3 = reg(p7 - z1, 36), reg(p5 - z2, 36), reg(p3 - z2, 36), reg(p1 - z1, 36)
        even = [reg(t0 + e3, 36), reg(t1 + e2, 36), reg(t1 - e2, 36), reg(t0 - e3, 36)]
        odd = [reg(b3 + z4, 36), reg(b2 + z3, 36), reg(b1 + z4, 36), reg(b0 + z3, 36)]
        out = [reg(e + o, 36) for e, o in zip(even, odd)]
        out += [reg(e - o, 36) for e, o in zip(even[::-1], odd[::-1])]
        for n in range(8):
            m.d.sync += self.o[n].eq((out[n] + (1 << (self.shift - 1))) >> self.shift)
        return m


class Idct(wiring.Component):
    """Two-dimensional inverse DCT, level shift and clamp: a block every 8 cycles.

    The columns of a block come in consecutive cycles; its rows leave in consecutive cycles, 22
    cycles later. There is no back-pressure. A first-pass result over 16 bits or a second-pass one
    outside ``range(-512, 512)`` occurs in damaged files only; libjpeg-turbo's own implementations
    then differ from each other, so it is reported.

    Members
    -------
    i, i_valid : :py:`In(COLUMN)`
        Columns of coefficients.
    o, o_valid : :py:`Out(64)`
        Rows of samples, the left one in the low bits.
    row : :py:`Out(3)`
        Number of the row within its block.
    overflow : :py:`Out(1)`
        With ``o_valid``: the block is not exact. Not on every row of it.
    """

    i: In(COLUMN)
    i_valid: In(1)
    o: Out(64)
    o_valid: Out(1)
    row: Out(3)
    overflow: Out(1)

    LATENCY = 6

    def compute(self, blocks):
        """Model: int ndarray (..., 8, 8) of coefficients to uint8 samples."""
        columns = transform(np.swapaxes(blocks, -1, -2), 11)
        rows = transform(np.swapaxes(columns, -1, -2), 18)
        return np.clip(rows + 128, 0, 255).astype(np.uint8)

    def elaborate(self, platform):
        m = Module()
        m.submodules.columns = columns = Idct1D(13, 11)
        m.submodules.rows = rows = Idct1D(16, 18)
        m.d.comb += columns.i.eq(self.i)

        def delay(signal, cycles):
            for _ in range(cycles):
                later = Signal.like(signal)
                m.d.sync += later.eq(signal)
                signal = later
            return signal

        # The transposer: two squares, one filled by columns while the other is read by rows.
        valid = delay(self.i_valid, self.LATENCY)
        squares = [[[Signal(signed(16), name=f"square_{s}_{r}_{c}") for c in range(8)]
                    for r in range(8)] for s in range(2)]
        half = Signal()
        column = Signal(3)
        wide = Signal()
        wide_block = Signal()
        narrow = Signal(8)
        m.d.comb += narrow.eq(Cat(columns.o[r] == columns.o[r][:16].as_signed() for r in range(8)))
        reading = Signal()
        row = Signal(3)
        with m.If(valid):
            m.d.sync += [column.eq(column + 1), wide.eq(wide | ~narrow.all())]
            for s in range(2):
                with m.If(half == s):
                    with m.Switch(column):
                        for c in range(8):
                            with m.Case(c):
                                m.d.sync += [squares[s][r][c].eq(columns.o[r]) for r in range(8)]
        with m.If(reading):
            m.d.sync += row.eq(row + 1)
            with m.If(row == 7):
                m.d.sync += reading.eq(0)
        with m.If(valid & (column == 7)):
            m.d.sync += [
                half.eq(~half), reading.eq(1), row.eq(0),
                wide.eq(0), wide_block.eq(wide | ~narrow.all()),
            ]
        with m.Switch(Cat(row, ~half)):
            for s in range(2):
                for r in range(8):
                    with m.Case(8 * s + r):
                        m.d.comb += [rows.i[c].eq(squares[s][r][c]) for c in range(8)]

        # Level shift and clamp
        row_valid = delay(reading, self.LATENCY)
        row_number = delay(row, self.LATENCY)
        row_wide = delay(wide_block, self.LATENCY)
        outside = Signal(8)
        for n in range(8):
            r = rows.o[n]
            m.d.comb += outside[n].eq(r != r[:10].as_signed())
            sample = self.o.word_select(n, 8)
            m.d.sync += sample.eq(r[:8] ^ 0x80)
            with m.If(r < -128):
                m.d.sync += sample.eq(0)
            with m.Elif(r > 127):
                m.d.sync += sample.eq(255)
        m.d.sync += [
            self.o_valid.eq(row_valid), self.row.eq(row_number),
            self.overflow.eq(row_valid & (row_wide | outside.any())),
        ]
        return m
