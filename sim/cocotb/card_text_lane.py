# SPDX-License-Identifier: Apache-2.0
"""A text lane without tables: when texts end, and as what."""

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from headrace.hw.card.completion import Completion
from headrace.hw.card.jobs import Kernel
from headrace.hw.card.text_lane import TextJob
from headrace.hw.status import Detail, Status
from headrace.hw.stream.layout import PayloadWord
from streams import Sink, Source, begin, field, pack


@cocotb.test()
async def texts_that_end_early(dut):
    """A completion comes behind the last word of its payload, with the fault of no other text."""
    jobs, words = Source(dut, "i_job"), Source(dut, "i")
    completions, _ = Sink(dut, "o_completion"), Sink(dut, "o")
    dut.fault.value = dut.write_valid.value = 0
    await begin(dut)
    for n in range(12):
        good, faulty = n % 2 == 0, n % 3 == 1
        word = int.from_bytes((b"a" if good else b"\xff") * 8, "little")
        jobs.queue.append(pack(TextJob, request=n, recipe=dict(
            kernel=list(Kernel)[n // 2 % 2], min_n=1, max_n=1)))
        await jobs.drained()
        words.queue.append(pack(PayloadWord, data=word, count=8))
        await ClockCycles(dut.clk, 200)
        assert not completions.queue, f"text {n} is over, and its payload is not"
        dut.fault.value = faulty
        await RisingEdge(dut.clk)
        dut.fault.value = 0
        words.queue.append(pack(PayloadWord, data=word, count=8, last=1))
        done = await completions.take()
        assert [field(Completion, done, name) for name in ("request", "status", "detail")] == [
            n, *((Status.BAD_JOB, Detail.BUS) if faulty else
                 (Status.OK, Detail.NONE) if good else (Status.CORRUPT, Detail.UTF8))]
