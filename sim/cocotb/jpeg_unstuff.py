# SPDX-License-Identifier: Apache-2.0
"""Unstuffer against a parser of a few lines."""

import random

import cocotb
from cocotb.triggers import RisingEdge
from headrace.hw.jpeg.unstuff import FILL, Chunk
from streams import Sink, Source, begin


def segments(data):
    """Coded bytes up to each marker, fill byte without one, or the end; and its code."""
    result, coded, at = [], bytearray(), 0
    while at < len(data):
        if data[at] != 0xff:
            coded.append(data[at])
            at += 1
            continue
        begun = at
        while at < len(data) and data[at] == 0xff:
            at += 1
        if at < len(data) and data[at] == 0 and at == begun + 1:
            coded.append(0xff)
        elif at < len(data) and data[at] == 0:
            result.append((bytes(coded), FILL))
            coded.clear()
        elif at < len(data):
            result.append((bytes(coded), data[at]))
            coded.clear()
        at += 1
    return [*result, (bytes(coded), 0)]


async def scan(dut, source, sink, data):
    """One payload from end to end."""
    source.queue.extend(data)
    dut.ended.value = 0
    dut.enable.value = 1
    for coded, marker in segments(data):
        for _ in range(200 + 60 * len(data)):
            await RisingEdge(dut.clk)
            dut.ended.value = source.idle
            if dut.stopped.value:
                break
        else:
            raise AssertionError(f"no stop at {marker:#x} in {data.hex()}")
        assert dut.marker.value == marker, data.hex()
        while dut.o__valid.value:
            await RisingEdge(dut.clk)
        await RisingEdge(dut.clk)
        got = b""
        while sink.queue:
            chunk = Chunk.from_bits(sink.queue.popleft())
            assert not chunk.half or not sink.queue, "a half chunk that is not the last"
            got += chunk.bits.to_bytes(2, "big")[:1 if chunk.half else 2]
        assert got == coded, (data.hex(), got.hex(), coded.hex())
        if marker:
            dut.resume.value = 1
            await RisingEdge(dut.clk)
            dut.resume.value = 0
    dut.enable.value = 0
    await RisingEdge(dut.clk)


@cocotb.test()
@cocotb.parametrize(i_stall=[0.0, 0.6], o_stall=[0.0, 0.8])
async def scans_match(dut, i_stall, o_stall):
    await begin(dut)
    source, sink = Source(dut, "i", stall=i_stall), Sink(dut, "o", stall=o_stall)
    rng = random.Random(8)
    for n in range(150):
        # Much of what matters, little of the rest.
        data = bytes(rng.choice([0, 0xff, 0xff, 0xd0, 0xd9, rng.randrange(256), 1, 2])
                     for _ in range(n % 40))
        await scan(dut, source, sink, data)
    for data in (b"\xff", b"\xff\xff", b"a\xff", b"ab\xff\xff", b"\xff\x00", b"a\xff\x00\xff",
                 b"\xff\xff\x00", b"a\xff\xff\xff\x00b", b"\xff\x00\xff\x00\xff\xff\xd0"):
        await scan(dut, source, sink, data)


@cocotb.test()
async def a_scan_that_is_broken_off_leaves_nothing(dut):
    await begin(dut)
    source, sink = Source(dut, "i"), Sink(dut, "o")
    rng = random.Random(9)
    for n in range(40):
        sink.strict = False
        sink.stall = 1.0 if n % 2 else 0.0
        data = bytes(rng.choice([0xff, 0xd0, 0, 7]) for _ in range(20))
        source.queue.extend(data)
        dut.ended.value = 0
        dut.enable.value = 1
        for _ in range(n // 2 + 1):
            await RisingEdge(dut.clk)
        dut.enable.value = 0
        for _ in range(2):
            await RisingEdge(dut.clk)
        source.queue.clear()
        # The byte on offer is taken back only by a reset of its producer: let it through.
        sink.stall = 0.0
        dut.enable.value = 1
        while not source.idle:
            dut.resume.value = dut.stopped.value
            await RisingEdge(dut.clk)
        dut.resume.value = 0
        dut.enable.value = 0
        for _ in range(2):
            await RisingEdge(dut.clk)
        sink.queue.clear()
        sink.strict = True
        await scan(dut, source, sink, rng.randbytes(7))


@cocotb.test()
async def a_byte_a_cycle(dut):
    await begin(dut)
    source, sink = Source(dut, "i"), Sink(dut, "o")
    dut.ended.value = 0
    dut.enable.value = 1
    source.queue.extend([1, 2, 0xff, 0, 3] * 40)
    for _ in range(203):
        await RisingEdge(dut.clk)
    assert source.sent == 200 and len(sink.queue) == 80
