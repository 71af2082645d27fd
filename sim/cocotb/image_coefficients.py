# SPDX-License-Identifier: Apache-2.0
"""Coefficients, driven by the commands of the case in ``HEADRACE_CASE``."""

import json
import os

import cocotb
from cocotb.triggers import RisingEdge
from headrace.hw.image import model
from headrace.hw.image.coefficients import Coefficients
from headrace.hw.image.layout import Geometry
from streams import Source, begin, pack


CASES = [tuple(case) for case in json.loads(os.environ.get("HEADRACE_CASE", "[]"))]
#: Of sides that are long enough for coarse coefficients.
GEOMETRY = Geometry(1, max_side=8192)
COMMAND = GEOMETRY.command
TAP = Coefficients(GEOMETRY).o.shape()


def expected(size_in, size_out, filter, begin, count, repeat):
    """Taps ``(k, x, first, last, tie)`` of outputs ``begin`` to ``begin + count``."""
    first, k, tie = model.coefficients(size_in, size_out, filter)
    support = 2 * max(size_in, size_out) * (2 if filter == "bicubic" else 1)
    taps = []
    for o in range(begin, begin + count):
        xs = [x for x in range(int(first[o]), min(int(first[o]) + k.shape[1], size_in))
              if abs((2 * x + 1) * size_out - (2 * o + 1) * size_in) < support]
        taps += [(int(k[o, n]), x, n == 0, n == len(xs) - 1, bool(tie[o, n]))
                 for n, x in enumerate(xs)] * repeat
    return taps


@cocotb.test()
async def coefficients_match(dut):
    """Every tap of every command, in order; the cycles are few more than the taps."""
    await begin(dut)
    source = Source(dut, "i")
    for size_in, size_out, filter, first, count, repeat in CASES:
        x = int(model.window(size_in, size_out, filter)[0][first])
        t = (2 * x + 1) * size_out - (2 * first + 1) * size_in
        source.queue.append(pack(COMMAND, size_in=size_in, size_out=size_out,
                                 bicubic=filter == "bicubic", x=x, t=t, count=count,
                                 repeat=repeat))
    wanted = [(case, n, tap) for case in CASES for n, tap in enumerate(expected(*case))]
    cycles = begun = 0
    for case, n, (k, x, first, last, tie) in wanted:
        for _ in range(1000):
            await RisingEdge(dut.clk)
            cycles += 1
            if dut.o_valid.value:
                break
        else:
            raise AssertionError(f"stuck in {case}")
        begun = begun or cycles
        o = TAP.from_bits(int(dut.o.value))
        got = (o.k, o.x, o.first, o.last, o.tie)
        assert got == (k, x, first, last, tie), f"tap {n} of {case}: {got}"
    cycles -= begun
    dut._log.info(f"{len(wanted)} taps in {cycles} cycles")
    if os.environ.get("HEADRACE_GAPLESS"):
        assert cycles <= len(wanted) + 8 * len(CASES)
