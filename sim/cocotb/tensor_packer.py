# SPDX-License-Identifier: Apache-2.0
"""RowPacker: every byte of a row goes to its place, once, and none beside it."""

import os
import random

import cocotb
from cocotb.triggers import RisingEdge
from headrace.hw.tensor.layout import Chunk
from headrace.hw.tensor.packer import ResultBeat
from streams import Sink, Source, begin, pack


CONTEXTS = 3
PORT = int(os.environ["HEADRACE_PORT"])
MOST = int(os.environ["HEADRACE_CHUNK"])    # bytes of a chunk
CHUNK, BEAT, SIZE = Chunk(CONTEXTS, MOST), ResultBeat(CONTEXTS, PORT), PORT // 8


def chunks(context, plane, row, rng, size=None):
    """A row, cut into chunks; what lies behind the bytes of the last one may be anything."""
    cut, at = [], 0
    while at < len(row):
        count = min(size or rng.randint(1, MOST), len(row) - at)
        junk = rng.randbytes(MOST - count) if at + count == len(row) else b""
        cut.append(pack(CHUNK, context=context, plane=plane, count=count,
                        data=int.from_bytes(row[at:at + count] + junk, "little"),
                        last=at + count == len(row)))
        at += count
    return cut


def beats(address, row):
    """What must come of a row: (address, strobe, bytes under it, end)."""
    result = []
    end = address + len(row)
    for beat in range(address // SIZE, (end - 1) // SIZE + 1):
        low, high = max(address, SIZE * beat), min(end, SIZE * beat + SIZE)
        strobe = (1 << high - low) - 1 << low % SIZE
        result.append((beat % ((1 << 64) // SIZE), strobe, row[low - address:high - address],
                       high == end))
    return result


class Image:
    """Where the rows of a context go."""

    def __init__(self, rng):
        self.addresses = [rng.choice([rng.getrandbits(20), rng.getrandbits(63)])
                          for _ in range(3)]
        self.stride = rng.choice([0, 1, 64, rng.getrandbits(9), (1 << 20) - 1])
        self.last = 0   # beats up to its last one, of all images

    def place(self, plane):
        address = self.addresses[plane]
        self.addresses[plane] += self.stride
        return address


async def start(dut, context, image):
    dut.start.value = 1 << context
    for plane, address in enumerate(image.addresses):
        getattr(dut, f"address__{plane}").value = address
    dut.stride.value = image.stride
    await RisingEdge(dut.clk)
    dut.start.value = 0


async def expect(sink, context, address, row):
    for place, strobe, data, end in beats(address, row):
        beat = BEAT.from_bits(await sink.take())
        assert (beat.context, beat.address, beat.strobe, beat.end) == (
            context, place, strobe, end), (address % SIZE, len(row))
        got = bytes(byte for n, byte in enumerate(beat.data.to_bytes(SIZE, "little"))
                    if beat.strobe >> n & 1)
        assert got == data, (address % SIZE, len(row))


@cocotb.test()
@cocotb.parametrize(i_stall=[0.0, 0.6], o_stall=[0.0, 0.6])
async def rows_go_to_their_place(dut, i_stall, o_stall):
    """Rows of several images in turns; images begin while rows of others are under way."""
    await begin(dut)
    source, sink = Source(dut, "i", stall=i_stall), Sink(dut, "o", stall=o_stall)
    rng = random.Random(6)
    images, queued, wanted = [None] * CONTEXTS, 0, []
    for _ in range(250):
        context = rng.randrange(CONTEXTS)
        if images[context] is None or rng.random() < 0.2:
            while images[context] and len(sink.queue) < images[context].last:
                await RisingEdge(dut.clk)
            images[context] = Image(rng)
            await start(dut, context, images[context])
        image = images[context]
        plane = rng.randrange(3)
        row = rng.randbytes(rng.choice([1, 2, 31, 32, 33, 64, rng.randint(1, 200)]))
        cut = chunks(context, plane, row, rng, rng.choice([None, MOST, 24, 8]))
        source.queue.extend(cut)
        address = image.place(plane)
        queued += len(beats(address, row))
        image.last = queued
        wanted.append((context, address, row))
        while len(source.queue) > 40:
            await RisingEdge(dut.clk)
    for context, address, row in wanted:
        await expect(sink, context, address, row)
    await source.drained(10)
    assert not sink.queue


@cocotb.test()
async def every_alignment_and_length(dut):
    """A row of every length at every byte of a beat; one chunk, or piece of one, a cycle, and one
    more if it spills behind the beat of its last one."""
    await begin(dut)
    source, sink = Source(dut, "i"), Sink(dut, "o")
    rng = random.Random(7)
    image = Image(rng)
    image.addresses, image.stride = [0, 0, 0], 197
    await start(dut, 0, image)
    wanted, cycles = [], 0
    for n in range(64 * 5):
        row = rng.randbytes(1 + n % 67)
        address = image.place(1)
        source.queue.extend(chunks(0, 1, row, rng, MOST))
        piece = min(MOST, SIZE)
        last = (len(row) - 1) // piece * piece
        cycles += last // piece + 1 + ((address + last) % SIZE + len(row) - last > SIZE)
        wanted.append((address, row))
    for _ in range(2):
        await RisingEdge(dut.clk)
    for _ in range(cycles + 2):
        await RisingEdge(dut.clk)
    assert len(sink.queue) == sum(len(beats(*w)) for w in wanted)
    for address, row in wanted:
        await expect(sink, 0, address, row)
