# SPDX-License-Identifier: Apache-2.0
"""Tables against numpy's look-up, for every kind of tensor."""

import os
import random

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from headrace.hw.image.layout import PlaneWord
from headrace.hw.tensor.layout import Chunk, Elements, TableWrite
from streams import Sink, Source, begin, pack


CONTEXTS, RECIPES = 2, 2
PIXELS = int(os.environ.get("HEADRACE_PIXELS", 8))  # of a word
TABLES = np.random.default_rng(1).integers(0, 1 << 32, (RECIPES, 3, 256), np.uint32)
SIZE = max(32, 3 * PIXELS)   # of a chunk
WORD, CHUNK = PlaneWord(CONTEXTS, PIXELS), Chunk(CONTEXTS, SIZE)
CONFIG = Elements(RECIPES)
SHIFT = WORD["pixels"].offset


async def load(dut):
    for recipe, channel, value in np.ndindex(TABLES.shape):
        dut.write.value = pack(
            TableWrite(RECIPES), recipe=recipe, channel=channel, value=value,
            element=int(TABLES[recipe, channel, value]))
        dut.write_valid.value = 1
        await RisingEdge(dut.clk)
    dut.write_valid.value = 0


def rows(pixels, config):
    """Rows as they leave: (plane, bytes)."""
    if config["raw"]:
        return [(0, row.tobytes()) for row in pixels]
    elements = TABLES[config["recipe"]][np.arange(3), pixels].astype(f"<u{1 << config['element']}")
    if config["interleaved"]:
        return [(0, row.tobytes()) for row in elements]
    return [(p, row[:, p].tobytes()) for row in elements for p in range(3)]


def words(context, row, plane, rng):
    """Words of a row of pixels; what is beyond the width may be anything."""
    count = -(-len(row) // PIXELS)
    size = 3 * PIXELS
    data = row.tobytes() + rng.randbytes(size * count - 3 * len(row))
    base = pack(WORD, context=context, plane=plane)
    for n in range(count):
        yield (base | int.from_bytes(data[size * n:size * n + size], "little") << SHIFT
               | (n == count - 1) << WORD["row_last"].offset)


def configs():
    for element in range(3):
        for interleaved in range(2):
            yield dict(element=element, interleaved=interleaved, raw=0)
    yield dict(element=0, interleaved=1, raw=1)


@cocotb.test()
@cocotb.parametrize(i_stall=[0.0, 0.6], o_stall=[0.0, 0.6])
async def rows_match(dut, i_stall, o_stall):
    """Rows of two images with different recipes in turns, for every pair of configurations."""
    await begin(dut)
    await load(dut)
    source, sink = Source(dut, "i", stall=i_stall), Sink(dut, "o", stall=o_stall)
    rng, generator = random.Random(4), np.random.default_rng(4)
    kinds = list(configs())
    for n in range(len(kinds)):
        images, wanted, queues = [], [], []
        for context, kind in enumerate((kinds[n], kinds[n // 2])):
            config = dict(kind, recipe=rng.randrange(RECIPES))
            pixels = generator.integers(0, 256, (3, rng.randint(1, 40), 3), np.uint8)
            if context:
                pixels = pixels // 128 * np.uint8(255)
            getattr(dut, f"config__{context}").value = pack(CONFIG, **config)
            getattr(dut, f"width__{context}").value = pixels.shape[1]
            planes = 1 if config["interleaved"] else 3
            wanted.append(rows(pixels, config))
            queues.append([(row, plane) for row in pixels for plane in range(planes)])
            images.append(config)
        order = [c for c in range(CONTEXTS) for _ in queues[c]]
        rng.shuffle(order)
        for c in order:
            row, plane = queues[c].pop(0)
            source.queue.extend(words(c, row, plane, rng))
        for c in order:
            plane, data = wanted[c].pop(0)
            got, last = b"", 0
            while not last:
                chunk = CHUNK.from_bits(await sink.take())
                assert (chunk.context, chunk.plane) == (c, plane), images
                assert 0 < chunk.count <= SIZE
                got += chunk.data.to_bytes(SIZE, "little")[:chunk.count]
                last = chunk.last
            assert got == data, (images[c], len(got), len(data))
        await source.drained(10)


@cocotb.test()
@cocotb.parametrize(planar=[True, False])
async def eight_elements_a_cycle(dut, planar):
    await begin(dut)
    source, sink = Source(dut, "i"), Sink(dut, "o")
    dut.config__0.value = pack(CONFIG, interleaved=not planar, element=1)
    dut.width__0.value = 160
    row = np.zeros((160, 3), np.uint8)
    for plane in range(3 if planar else 1):
        source.queue.extend(words(0, row, plane, random.Random(1)))
    while not sink.queue:
        await RisingEdge(dut.clk)
    for _ in range(59):
        await RisingEdge(dut.clk)
    assert len(sink.queue) == 60
