# SPDX-License-Identifier: Apache-2.0
"""Parts of WordPiece, on the items of their cases in the file that ``HEADRACE_CASE`` names.

``items`` go in at ``i``; out of ``o`` must come ``expected``: values, each with a mask of the bits
that matter. ``writes`` load the table.
"""

import json
import os
from pathlib import Path

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from headrace.hw.text.units import Word
from headrace.hw.text.vocabulary import Geometry
from streams import Sink, Source, begin


#: Cycles without an item after which something is stuck.
PATIENCE = 2000

CASES = json.loads(Path(os.environ["HEADRACE_CASE"]).read_text())


async def load(dut, name):
    """Case of the part of that name, with its table loaded."""
    case = CASES[name]
    for word in case.get("writes", []):
        getattr(dut, f"{name}__write").value = word
        getattr(dut, f"{name}__write_valid").value = 1
        await RisingEdge(dut.clk)
        getattr(dut, f"{name}__write_valid").value = 0
    return case


async def collect(dut, sink, count, take):
    """Give ``count`` items of a sink to ``take`` as they come; cycles from the first to the
    last."""
    first = cycles = idle = 0
    while count:
        await RisingEdge(dut.clk)
        cycles += 1
        idle += 1
        assert idle < PATIENCE, f"{sink.name}: nothing comes"
        while sink.queue:
            take(sink.queue.popleft())
            first, idle, count = first or cycles, 0, count - 1
    return cycles - first + 1


async def items_match(dut, name, source, sink):
    case = await load(dut, name)
    for source.stall, sink.stall, most in case["stalls"]:
        got = []
        source.queue.extend(case["items"])
        cycles = await collect(dut, sink, len(case["expected"]), got.append)
        for n, (bits, (value, mask)) in enumerate(zip(got, case["expected"])):
            assert bits & mask == value, (n, hex(bits), hex(value), hex(mask))
        assert most is None or cycles <= most, cycles
        await ClockCycles(dut.clk, 50)
        assert not sink.queue, "more than there should be"


async def words_match(dut, case, source, sink):
    """Symbols of each word lie in the ring when it comes, and until it is let go."""
    geometry = Geometry(**case["geometry"])
    layout, size = Word(geometry), 1 << geometry.ring_bits
    dut.assembler__longest.value = case["longest"]
    dut.assembler__unknown.value = case["unknown"]
    ring = [None] * size
    words, tails = [], []

    async def memory():
        """The ring, and the words in it, which go after a while."""
        while True:
            await RisingEdge(dut.clk)
            if dut.assembler__write.value:
                ring[int(dut.assembler__address.value)] = int(dut.assembler__symbol.value)
            if len(tails) > keep[0]:
                dut.assembler__tail.value = tails.pop(0)

    def take(item):
        word = layout.from_bits(item)
        if word.length:
            symbols = [ring[(word.at + n) % size] for n in range(word.length)]
            # Those of the words before it are still as they were.
            for at, before in taken[-len(tails):] if tails else []:
                assert before == [ring[(at + n) % size] for n in range(len(before))]
            taken.append((word.at, symbols))
            tails.append((word.at + word.length) % size)
            words.append(symbols)
        else:
            words.append({"end": word.end} if word.end else {"token": word.token})

    taken, keep = [], [0]
    task = cocotb.start_soon(memory())
    for source.stall, keep[0] in case["runs"]:
        words.clear()
        sink.stall = source.stall
        source.queue.extend(case["items"])
        await collect(dut, sink, len(case["expected"]), take)
        assert words == case["expected"]
    task.cancel()


@cocotb.test()
async def parts_match(dut):
    names = "serializer", "decomposer", "special", "assembler"
    ends = {name: (Source(dut, f"{name}__i"), Sink(dut, f"{name}__o")) for name in names}
    dut.assembler__tail.value = 0
    await begin(dut)
    for name in names[:3]:
        await items_match(dut, name, *ends[name])
    for case in CASES["assembler"]:
        await words_match(dut, case, *ends["assembler"])
