# SPDX-License-Identifier: Apache-2.0
"""Unpacker: payloads of many lengths, back to back, under every combination of stalls."""

import os
import random

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from headrace.hw.stream.layout import PayloadWord
from streams import Sink, Source, begin


SIZE = int(os.environ["HEADRACE_PORT"]) // 8


def words(payload):
    """What must come of a payload: (bytes, last)."""
    cut = [payload[n:n + 8] for n in range(0, len(payload), 8)] or [b""]
    return [(part, n == len(cut) - 1) for n, part in enumerate(cut)]


@cocotb.test()
@cocotb.parametrize(i_stall=[0.0, 0.6], o_stall=[0.0, 0.6])
async def payloads_are_cut_into_words(dut, i_stall, o_stall):
    await begin(dut)
    beats, out = Source(dut, "i", stall=i_stall), Sink(dut, "o", stall=o_stall)
    rng = random.Random(2)
    lengths = [*range(201), *(rng.randrange(300) for _ in range(40))]
    rng.shuffle(lengths)
    used = 0
    for length in lengths:
        payload = rng.randbytes(length)
        used += -(-length // SIZE)
        # What lies behind a payload is no part of it.
        padded = payload + rng.randbytes(-length % SIZE)
        beats.queue.extend(int.from_bytes(padded[n:n + SIZE], "little")
                           for n in range(0, length, SIZE))
        dut.length.value = length
        dut.start.value = 1
        await RisingEdge(dut.clk)
        dut.start.value = 0
        dut.length.value = rng.getrandbits(32)
        for part, last in words(payload):
            word = PayloadWord.from_bits(await out.take())
            got = word.data.to_bytes(8, "little")[:word.count]
            assert (got, word.last) == (part, last), f"{length} bytes"
        await beats.drained(10)
        assert beats.sent == used


@cocotb.test()
@cocotb.parametrize(o_stall=[0.0, 0.6])
async def stopped_payloads_leave_nothing(dut, o_stall):
    """One that is stopped gives no further word, and the next one begins at its beginning."""
    await begin(dut)
    beats, out = Source(dut, "i"), Sink(dut, "o", stall=o_stall)
    rng = random.Random(5)
    for wait in range(60):
        payload = rng.randbytes(5 * SIZE - 3)
        padded = payload + bytes(3)
        for stopped in True, False:
            beats.queue.extend(int.from_bytes(padded[n:n + SIZE], "little")
                               for n in range(0, len(payload), SIZE))
            dut.length.value = len(payload)
            dut.start.value = 1
            await RisingEdge(dut.clk)
            dut.start.value = 0
            if stopped:
                out.strict = False
                await ClockCycles(dut.clk, wait + 1)
                dut.stop.value = 1
                await ClockCycles(dut.clk, 2)
                assert dut.idle.value
                sent = beats.sent
                out.queue.clear()
                await ClockCycles(dut.clk, 3)
                assert not out.queue and beats.sent == sent and dut.idle.value
                beats.drop()
                dut.stop.value = 0
                out.strict = True
                await RisingEdge(dut.clk)
        for part, last in words(payload):
            word = PayloadWord.from_bits(await out.take())
            assert (word.data.to_bytes(8, "little")[:word.count], word.last) == (part, last)
        await beats.drained(10)


@cocotb.test()
async def a_word_a_cycle(dut):
    await begin(dut)
    beats, out = Source(dut, "i"), Sink(dut, "o")
    beats.queue.extend([0] * (640 // SIZE))
    await RisingEdge(dut.clk)
    dut.length.value = 640
    dut.start.value = 1
    await RisingEdge(dut.clk)
    dut.start.value = 0
    for _ in range(81):
        await RisingEdge(dut.clk)
    assert len(out.queue) == 80
