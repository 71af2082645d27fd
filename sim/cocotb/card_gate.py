# SPDX-License-Identifier: Apache-2.0
"""Frames are let in as a whole or not at all, whenever the gate opens and shuts."""

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from headrace.hw.wire.layout import Frame
from wire_bench import Bench, beats, frames_of


FRAME = Frame(64)


@cocotb.test()
async def whole_frames(dut):
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    dut.open.value = 0
    bench = Bench(dut, ["i"], ["o"], seed=2, i_stall=0.3, o_stall=0.4)
    dut.rst.value = 1
    for _ in range(3):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    frames = [bench.rng.randbytes(bench.rng.randrange(1, 80)) for _ in range(400)]
    starts = {}         # beats to come when a frame begins
    for frame in frames:
        starts[len(bench.put["i"])] = frame
        bench.put["i"] += beats(FRAME, frame, error=0)
    total, begun, wanted = len(bench.put["i"]), 0, []
    while bench.put["i"] or bench.offered["i"] is not None:
        await bench.step()
        is_open = bench.rng.randrange(2)
        dut.open.value = is_open
        offered = total - len(bench.put["i"])
        # What counts is the cycle in which a frame is first offered.
        if offered > begun:
            if begun in starts and is_open:
                wanted.append(starts[begun])
            begun = offered
    await bench.drain()
    assert 100 < len(wanted) < 300
    assert frames_of(FRAME, bench.take("o")) == wanted
