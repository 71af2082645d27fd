# SPDX-License-Identifier: Apache-2.0
"""Blocks in windows, some of them empty, against the model of libjpeg's transform."""

import os

import cocotb
import numpy as np
from cocotb.triggers import ReadOnly, RisingEdge
from headrace.hw.jpeg.idct import Idct
from streams import begin


LINES = int(os.environ["HEADRACE_LINES"])
WINDOW = 8 // LINES


def blocks():
    """Coefficients: noise of several strengths, single ones, extremes; None for empty windows."""
    rng = np.random.default_rng(4)
    for n in range(300):
        if rng.random() < 0.2:
            yield None
        scale = (3, 30, 120, 4095)[n % 4]
        block = rng.integers(-scale, scale + 1, (8, 8))
        if n % 3 == 0:
            block *= rng.random((8, 8)) < 0.1
        yield block
    for value in (-4096, 4095):
        yield np.full((8, 8), value)
        for row in range(8):
            single = np.zeros((8, 8), int)
            single[row, (5 * row + 1) % 8] = value
            yield single


def columns_of(block, step):
    """Bits of ``LINES`` columns."""
    columns = block[:, step * LINES:(step + 1) * LINES].T.reshape(-1)
    return sum((int(value) & 0x1FFF) << 13 * n for n, value in enumerate(columns))


@cocotb.test()
async def blocks_are_exact(dut):
    model = Idct(LINES)
    sent = list(blocks())
    dut.i_start.value = dut.i_valid.value = 0
    await begin(dut)
    rows, overflows = [], []

    async def watch():
        while True:
            await RisingEdge(dut.clk)
            await ReadOnly()
            if dut.o_valid.value:
                assert int(dut.row.value) == LINES * len(rows) % 8
                rows.append(int(dut.o.value).to_bytes(8 * LINES, "little"))
                overflows.append(bool(dut.overflow.value))

    cocotb.start_soon(watch())
    for block in sent + [None] * (16 // WINDOW + 2):
        for step in range(WINDOW):
            dut.i_start.value = int(step == 0)
            dut.i_valid.value = int(block is not None)
            # What is there in empty windows does not matter.
            dut.i.value = (columns_of(block, step) if block is not None
                           else (1 << 13 * 8 * LINES) // 3)
            await RisingEdge(dut.clk)
    full = [block for block in sent if block is not None]
    assert len(rows) == len(full) * WINDOW
    exact = 0
    for n, block in enumerate(full):
        part = slice(n * WINDOW, (n + 1) * WINDOW)
        raw, outside = model.passes(block)
        assert any(overflows[part]) == outside, n
        if not outside:
            exact += 1
            found = np.frombuffer(b"".join(rows[part]), np.uint8).reshape(8, 8)
            np.testing.assert_array_equal(found, model.compute(block), err_msg=str(n))
    assert 50 < exact < len(full)
