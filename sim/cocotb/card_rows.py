# SPDX-License-Identifier: Apache-2.0
"""RowBuffer: rows leave as they came, cut into pieces that have no pauses inside."""

import random

import cocotb
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge
from headrace.hw.card.row_buffer import RowBeat, RowBuffer
from headrace.hw.tensor.packer import ResultBeat
from streams import Sink, Source, begin, field, pack


CONTEXTS = 3
IN, OUT = ResultBeat(CONTEXTS), RowBeat(CONTEXTS)


def rows(rng, count):
    """Fields of the beats of rows of many lengths."""
    for _ in range(count):
        context, address = rng.randrange(CONTEXTS), rng.getrandbits(58)
        length = rng.choice([1, 2, RowBuffer.PIECE, RowBuffer.PIECE + 1, rng.randint(1, 80)])
        for n in range(length):
            yield dict(context=context, address=(address + n) % (1 << 58),
                       data=rng.getrandbits(512), strobe=rng.getrandbits(64),
                       end=n == length - 1)


def lasts(beats):
    """What ``last`` must be: at the end of a row and of each full piece."""
    count = 0
    for beat in beats:
        count += 1
        last = beat["end"] or count == RowBuffer.PIECE
        count = 0 if last else count
        yield last


async def run(dut, seed, i_stall, o_stall):
    await begin(dut)
    beats = list(rows(random.Random(seed), 200))
    source = Source(dut, "i", stall=i_stall, seed=seed)
    sink = Sink(dut, "o", stall=o_stall, seed=seed)
    source.queue.extend(pack(IN, **beat) for beat in beats)
    inside, pauses = False, 0
    while len(sink.queue) < len(beats):
        await ReadOnly()
        valid = bool(dut.o__valid.value)
        pauses += inside and not valid
        if valid and dut.o__ready.value:
            inside = not field(OUT, int(dut.o__payload.value), "last")
        await RisingEdge(dut.clk)
    assert pauses == 0
    expected = [pack(OUT, **beat, last=last) for beat, last in zip(beats, lasts(beats))]
    assert list(sink.queue) == expected
    await ClockCycles(dut.clk, 20)
    assert not dut.o__valid.value and source.idle


@cocotb.test()
async def slow_producer(dut):
    await run(dut, 1, 0.75, 0.0)


@cocotb.test()
async def slow_consumer(dut):
    await run(dut, 2, 0.0, 0.75)


@cocotb.test()
async def both(dut):
    await run(dut, 3, 0.4, 0.4)


@cocotb.test()
async def full_throughput(dut):
    """A beat a cycle, once the first piece is there."""
    await begin(dut)
    source, sink = Source(dut, "i"), Sink(dut, "o")
    beats = [dict(address=n, end=n % 40 == 39) for n in range(400)]
    source.queue.extend(pack(IN, **beat) for beat in beats)
    cycles = 0
    while len(sink.queue) < len(beats):
        await RisingEdge(dut.clk)
        cycles += 1
    assert cycles <= len(beats) + RowBuffer.PIECE + 8
