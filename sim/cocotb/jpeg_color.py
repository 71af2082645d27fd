# SPDX-License-Identifier: Apache-2.0
"""ColorTransform against libjpeg's equations, for every pair of chroma samples."""

from collections import deque

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from headrace.hw.jpeg.rows import Step
from headrace.hw.stream.layout import PixelWord
from streams import begin, field, pack


CONTEXTS = 2
LATENCY = 3
WORD = PixelWord(CONTEXTS)


def transform(ycc):
    """libjpeg's ``jdcolor.c``."""
    y, b, r = np.moveaxis(ycc.astype(np.int64), -1, 0)
    b, r = b - 128, r - 128
    return np.clip(np.stack([
        y + (91881 * r + 32768 >> 16),
        y + (-22554 * b - 46802 * r + 32768 >> 16),
        y + (116130 * b + 32768 >> 16)], axis=-1), 0, 255).astype(np.uint8)


def pairs(luma):
    """Words of eight pixels with every pair of chroma samples."""
    b, r = np.divmod(np.arange(1 << 16), 256)
    return np.stack([luma, b, r], axis=-1).astype(np.uint8).reshape(-1, 8, 3)


@cocotb.test()
async def every_pair_matches(dut):
    await begin(dut)
    rng = np.random.default_rng(1)
    words = np.concatenate([pairs(luma) for luma in (
        np.zeros(1 << 16), np.full(1 << 16, 255), rng.integers(0, 256, 1 << 16),
        rng.integers(0, 256, 1 << 16))])
    steps = [dict(context=int(c), rgb=int(rgb), row_last=int(row), last=int(last))
             for c, rgb, row, last in rng.integers(0, 2, (16, 4))]
    packed = [pack(Step(CONTEXTS), **step) for step in steps]
    wanted = transform(words)
    expected = deque([None] * LATENCY)
    for n in [*range(len(words)), *[None] * LATENCY]:
        gap = n is not None and n % 50 == 7
        for m in ([None, n] if gap else [n]):
            dut.i_valid.value = m is not None
            if m is not None:
                dut.i.value = int.from_bytes(words[m].tobytes(), "little")
                dut.i_step.value = packed[m // 3 % 16]
            expected.append(m)
            await RisingEdge(dut.clk)
            m = expected.popleft()
            assert bool(dut.o_valid.value) == (m is not None)
            if m is None:
                continue
            o, step = int(dut.o.value), steps[m // 3 % 16]
            right = words[m] if step["rgb"] else wanted[m]
            assert field(WORD, o, "pixels").to_bytes(24, "little") == right.tobytes(), words[m]
            assert [field(WORD, o, name) for name in ("context", "row_last", "last")] == [
                step["context"], step["row_last"], step["last"]]
