# SPDX-License-Identifier: Apache-2.0
"""Parts of WordPiece, on the items of their cases in the file that ``HEADRACE_CASE`` names.

``items`` go in at ``i``; out of ``o`` must come ``expected``: values, each with a mask of the bits
that matter. ``writes`` load the table.
"""

import json
import os
from pathlib import Path

import cocotb
from cocotb.triggers import RisingEdge
from headrace.hw.text.units import Word
from headrace.hw.text.vocabulary import Geometry
from streams import collect, source, start


CASES = json.loads(Path(os.environ["HEADRACE_CASE"]).read_text())


async def part(dut, name):
    """Case of the part of that name, after its reset and with its table loaded."""
    await start(dut, **{f"{name}__i__valid": 0, f"{name}__o__ready": 0})
    case = CASES[name]
    for word in case.get("writes", []):
        getattr(dut, f"{name}__write").value = word
        getattr(dut, f"{name}__write_valid").value = 1
        await RisingEdge(dut.clk)
        getattr(dut, f"{name}__write_valid").value = 0
    return case


async def items_match(dut, name):
    case = await part(dut, name)
    for seed, (i_stall, o_stall, most) in enumerate(case["stalls"]):
        cocotb.start_soon(source(dut, f"{name}__i", case["items"], i_stall, seed))
        got, cycles = await collect(dut, f"{name}__o", None, len(case["expected"]),
                                    stall=o_stall, seed=seed)
        for n, (bits, (value, mask)) in enumerate(zip(got, case["expected"])):
            assert bits & mask == value, (n, hex(bits), hex(value), hex(mask))
        assert most is None or cycles <= most, cycles
        getattr(dut, f"{name}__o__ready").value = 1
        for _ in range(20):
            await RisingEdge(dut.clk)
            assert not getattr(dut, f"{name}__o__valid").value, "more than there should be"


async def words_match(dut):
    """Symbols of each word lie in the ring when it comes, and until it is let go."""
    case = await part(dut, "assembler")
    geometry = Geometry(**case["geometry"])
    layout, size = Word(geometry), 1 << geometry.ring_bits
    dut.assembler__longest.value = case["longest"]
    dut.assembler__unknown.value = case["unknown"]
    dut.assembler__tail.value = 0
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
        return True

    taken, keep = [], [0]
    cocotb.start_soon(memory())
    for seed, (stall, keep[0]) in enumerate(case["runs"]):
        words.clear()
        cocotb.start_soon(source(dut, "assembler__i", case["items"], stall, seed))
        await collect(dut, "assembler__o", None, len(case["expected"]), take, stall, seed)
        assert words == case["expected"], seed


@cocotb.test()
async def parts_match(dut):
    for name in ("serializer", "decomposer", "special"):
        await items_match(dut, name)
    await words_match(dut)
