# SPDX-License-Identifier: Apache-2.0
"""Upsampler against libjpeg's triangle filter, row by row, fed as RowBuffer feeds it."""

import random
from collections import deque

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from headrace.hw.jpeg.rows import Step
from streams import begin, field, pack


STEP = Step(2)


def vertical(chroma, height):
    """Rows at four times the scale, and the rounding of even and odd rows."""
    near = np.arange(height) >> 1
    far = np.clip(near + np.where(np.arange(height) % 2, 1, -1), 0, len(chroma) - 1)
    return 3 * chroma[near] + chroma[far]


def upsample(chroma, width, height, h2, v2):
    """libjpeg's ``jdsample.c``: replication if at most 2 samples are halved in width."""
    chroma = chroma.astype(np.int64)
    if h2 and chroma.shape[1] <= 2:
        return chroma.repeat(2, 1).repeat(2 if v2 else 1, 0)[:height, :width]
    if not h2:
        if not v2:
            return chroma
        return vertical(chroma, height) + np.where(np.arange(height) % 2, 2, 1)[:, None] >> 2
    rows = vertical(chroma, height) if v2 else chroma
    left = np.concatenate([rows[:, :1], rows[:, :-1]], 1)
    right = np.concatenate([rows[:, 1:], rows[:, -1:]], 1)
    biases, shift = ((8, 7), 4) if v2 else ((1, 2), 2)
    out = np.stack([3 * rows + left + biases[0] >> shift, 3 * rows + right + biases[1] >> shift],
                   axis=-1)
    return out.reshape(height, -1)[:, :width]


class Image:
    """Random samples, some of them only black and white; padding is random."""

    def __init__(self, rng, width, height, h2, v2, color):
        self.width, self.height, self.h2, self.v2, self.color = width, height, h2, v2, color
        self.words = -(-width // 8)
        self.chroma_width, self.chroma_height = width + h2 >> h2, height + v2 >> v2
        self.luma = rng.integers(0, 256, (height, 8 * self.words), np.uint8)
        self.chroma = rng.integers(0, 256, (
            2, self.chroma_height, -(-self.chroma_width // 8) * 8 + 8), np.uint8)
        if rng.integers(2):
            self.chroma = self.chroma // 128 * np.uint8(255)

    def expected(self):
        """Luma and chroma, uint8 (height, width, 3)."""
        planes = [self.luma[:, :self.width]]
        for chroma in self.chroma:
            plane = upsample(chroma[:, :self.chroma_width], self.width, self.height,
                             self.h2, self.v2)
            planes.append(plane if self.color else np.full_like(plane, 128))
        return np.stack(planes, axis=-1).astype(np.uint8)

    def steps(self, context):
        """What the row buffers give: (step, luma word, chroma words by component and bank)."""
        for y in range(self.height):
            near = far = y
            if self.v2:
                near = y >> 1
                far = min(max(near + (1 if y % 2 else -1), 0), self.chroma_height - 1)
            for index in range(self.words + 2):
                j = index - 2
                last = self.chroma_width - 1
                step = dict(
                    context=context, chroma=index % 2 == 0 if self.h2 else 1, luma=j >= 0,
                    near=near % 2, blend=near != far, left=j == 0, right=last // 8 == j >> 1,
                    edge=last % 8, odd_word=j % 2, odd_row=y % 2, h2=self.h2, v2=self.v2,
                    fancy=not self.h2 or last > 1, color=self.color,
                    row_last=j == self.words - 1,
                    last=j == self.words - 1 and y == self.height - 1)
                word = index // 2 if self.h2 else max(index - 1, 0)
                at = slice(8 * word, 8 * word + 8)
                rows = (near if near % 2 == bank else far for bank in range(2))
                banks = [self.chroma[:, row, at] for row in rows]
                yield step, self.luma[y, 8 * max(j, 0):8 * max(j, 0) + 8], banks


def bits(samples):
    return int.from_bytes(samples.tobytes(), "little")


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.5])
async def rows_match(dut, stall):
    await begin(dut)
    rng, stalls = np.random.default_rng(2), random.Random(3)
    expected, latency = deque([None] * 2), 2
    images = [Image(rng, width, height, h2, v2, color=1)
              for h2 in range(2) for v2 in range(2)
              for width, height in [(1, 1), (2, 2), (3, 3), (4, 1), (5, 2), (8, 3), (15, 4),
                                    (16, 1), (17, 5), (18, 2), (33, 3), (40, 4), (64, 2)]]
    images += [Image(rng, 19, 2, 0, 0, color=0)]
    for n, image in enumerate(images):
        result = image.expected()
        words = iter([(y, j) for y in range(image.height) for j in range(image.words)])
        steps = list(image.steps(n % 2))
        if image is images[-1]:
            steps += [None] * latency
        for step in steps:
            while step is not None and stalls.random() < stall:
                dut.i_valid.value = 0
                expected.append(None)
                await RisingEdge(dut.clk)
                check(dut, expected.popleft())
            if step is None:
                dut.i_valid.value = 0
                expected.append(None)
            else:
                fields, luma, banks = step
                dut.i.value = pack(STEP, **{k: int(v) for k, v in fields.items()})
                dut.i_valid.value = 1
                dut.luma.value = bits(luma)
                for bank in range(2):
                    getattr(dut, f"blue__{bank}").value = bits(banks[bank][0])
                    getattr(dut, f"red__{bank}").value = bits(banks[bank][1])
                wanted = None
                if fields["luma"]:
                    y, j = next(words)
                    wanted = fields, result[y, 8 * j:8 * j + 8]
                expected.append(wanted)
            await RisingEdge(dut.clk)
            check(dut, expected.popleft())


def check(dut, wanted):
    assert bool(dut.o_valid.value) == (wanted is not None)
    if wanted is None:
        return
    fields, pixels = wanted
    got = np.frombuffer(int(dut.o.value).to_bytes(24, "little"), np.uint8).reshape(8, 3)
    np.testing.assert_array_equal(got[:len(pixels)], pixels, err_msg=str(fields))
    step = int(dut.o_step.value)
    for name in ("context", "row_last", "last"):
        assert field(STEP, step, name) == fields[name], name
