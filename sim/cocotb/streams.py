# SPDX-License-Identifier: Apache-2.0
"""Sources and sinks of Amaranth's streams, with stalls; they check the rules of the streams."""

import random

from amaranth.lib import data
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge
import cocotb


__all__ = ["PATIENCE", "start", "source", "collect"]


#: Cycles without a transfer after which a sink gives up.
PATIENCE = 2000


async def start(dut, **inputs):
    """Start the clock, unless it runs, and reset ``dut`` with ``inputs`` applied."""
    clock = getattr(start, "clock", None)
    if clock is None or clock.done():
        start.clock = cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    for name, value in inputs.items():
        getattr(dut, name).value = value
    dut.rst.value = 1
    for _ in range(3):
        await RisingEdge(dut.clk)
    dut.rst.value = 0


async def source(dut, port, items, stall=0.0, seed=0):
    """Offer ``items``, ints, at stream ``port``; idle with probability ``stall`` in a cycle."""
    rng = random.Random(seed)
    valid, ready = getattr(dut, f"{port}__valid"), getattr(dut, f"{port}__ready")
    payload = getattr(dut, f"{port}__payload")
    for item in items:
        while stall and rng.random() < stall:
            valid.value = 0
            await RisingEdge(dut.clk)
        payload.value = item
        valid.value = 1
        while True:
            await FallingEdge(dut.clk)
            taken = int(ready.value)
            await RisingEdge(dut.clk)
            if taken:
                break
    valid.value = 0


async def collect(dut, port, shape, count, last=lambda item: True, stall=0.0, seed=0):
    """Take items of stream ``port`` until ``last`` was true of ``count`` of them.

    Returns them as constants of ``shape``, or ints, and the cycles from the first to the last.
    """
    rng = random.Random(seed + 1)
    valid, ready = getattr(dut, f"{port}__valid"), getattr(dut, f"{port}__ready")
    payload = getattr(dut, f"{port}__payload")
    items, waiting, idle, cycles, first = [], None, 0, 0, None
    while count:
        ready.value = int(not (stall and rng.random() < stall))
        await FallingEdge(dut.clk)
        cycles += 1
        idle += 1
        assert idle < PATIENCE, f"{port}: nothing comes, after {len(items)} items"
        if int(valid.value):
            bits = int(payload.value)
            assert waiting in (None, bits), f"{port}: payload changed while it waited"
            waiting = bits
            if int(ready.value):
                idle, waiting = 0, None
                first = first or cycles
                item = shape.from_bits(bits) if isinstance(shape, data.Layout) else bits
                items.append(item)
                count -= bool(last(item))
        else:
            assert waiting is None, f"{port}: valid fell before ready"
        await RisingEdge(dut.clk)
    ready.value = 0
    return items, cycles - (first or 0) + 1
