# amaranth: UnusedElaboratable=no

# SPDX-License-Identifier: Apache-2.0
"""What the proofs do not cover: parameters, latencies, and the delay line."""

import pytest
from amaranth.lib import data
from amaranth.sim import Simulator

from headrace.hw.stream.arbiter import Arbiter
from headrace.hw.stream.delay import Delay
from headrace.hw.stream.fifo import Fifo
from headrace.hw.stream.register import Register
from headrace.hw.stream.width import Narrower, Widener


def run(dut, testbench):
    sim = Simulator(dut)
    sim.add_clock(10e-9)
    sim.add_testbench(testbench)
    sim.run()


@pytest.mark.parametrize("cycles", [2, 3, 4, 5, 9])
def test_delay(cycles):
    dut = Delay(8, cycles)

    async def testbench(ctx):
        past = []
        for n in range(60):
            enable = n % 7 not in (2, 5)
            ctx.set(dut.enable, enable)
            ctx.set(dut.i, 3 * n & 255)
            await ctx.tick()
            if enable:
                past.append(3 * n & 255)
            if len(past) > cycles:
                assert ctx.get(dut.o) == past[-cycles]

    run(dut, testbench)


@pytest.mark.parametrize("dut, latency", [(Register(8), 1), (Fifo(8, 4), 3)])
def test_latency_and_throughput(dut, latency):
    async def testbench(ctx):
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.i.valid, 1)
        got = []
        for n in range(20):
            ctx.set(dut.i.payload, n)
            _, _, valid, payload, ready = await ctx.tick().sample(
                dut.o.valid, dut.o.payload, dut.i.ready)
            assert ready
            if valid:
                got.append(payload)
        assert got == list(range(20 - latency))

    run(dut, testbench)


def test_init_wrong():
    packet = data.StructLayout({"last": 1})
    with pytest.raises(ValueError, match="^Depth must be a power of two from 2 on, not 6$"):
        Fifo(8, 6)
    with pytest.raises(ValueError, match="^Inputs must be two or more, not 1$"):
        Arbiter(packet, 1)
    with pytest.raises(ValueError, match="^Cycles must be two or more, not 1$"):
        Delay(8, 1)
    with pytest.raises(ValueError, match="^Widener must go between multiples of bytes, not 12"):
        Widener(12, 24)
    with pytest.raises(ValueError, match="^Narrower must go between multiples of bytes, not 16"):
        Narrower(24, 16)
