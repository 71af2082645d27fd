# SPDX-License-Identifier: Apache-2.0
"""ByteReader against a position in a payload: reading, skipping, draining, payload by payload."""

import random

import cocotb
from cocotb.triggers import RisingEdge
from headrace.hw.stream.layout import PayloadWord
from streams import Source, begin, pack


def words(payload, empty=False):
    """A payload in words; ``empty``: the last one has no bytes."""
    cut = [payload[n:n + 8] for n in range(0, len(payload), 8)]
    if empty and len(payload) % 8 == 0 or not cut:
        cut.append(b"")
    return [pack(PayloadWord, data=int.from_bytes(part.ljust(8, b"\xEE"), "little"),
                 count=len(part), last=n == len(cut) - 1) for n, part in enumerate(cut)]


class Reader:
    """The component with the payload that it must be reading."""

    def __init__(self, dut, stall, seed):
        self.dut, self.stall = dut, stall
        self.rng = random.Random(seed)
        self.payload, self.position, self.cycles = b"", 0, 0
        self.held = None

    async def cycle(self, *, ready=0, skip=None, drain=0, next=0):
        """One cycle with these inputs; whether the byte, or the skip, was taken."""
        dut = self.dut
        dut.o__ready.value = ready
        dut.skip__valid.value = skip is not None
        if skip is not None:
            dut.skip__payload.value = skip
        dut.drain.value = drain
        dut.next.value = next
        await RisingEdge(dut.clk)
        self.cycles += 1
        valid = int(dut.o__valid.value)
        self.ended = ended = int(dut.ended.value)
        assert not (valid and ended)
        assert not ended or self.position >= len(self.payload), "ended too early"
        if valid:
            byte = int(dut.o__payload.value)
            assert byte == self.payload[self.position], f"byte {self.position}"
            assert not drain
        else:
            assert self.held is None or drain, "a byte was taken back"
        taken = bool(valid and ready)
        skipped = skip is not None and bool(dut.skip__ready.value)
        self.held = self.position if valid and not taken and not skipped else None
        if taken:
            self.position += 1
        if skipped:
            self.position = min(self.position + skip, len(self.payload))
        return skipped if skip is not None else taken

    async def read(self, count):
        goal = min(self.position + count, len(self.payload))
        limit = self.cycles + 50 * count + 20000
        while self.position < goal:
            await self.cycle(ready=self.rng.random() >= self.stall)
            assert self.cycles < limit, "stuck"

    async def skip(self, count):
        for _ in range(20000):
            if await self.cycle(skip=count):
                return
        raise AssertionError("a skip was not taken")

    async def until_ended(self, limit, **inputs):
        for n in range(limit):
            await self.cycle(**inputs)
            if self.ended:
                return n
        raise AssertionError(f"no end of {len(self.payload)} bytes")


@cocotb.test()
@cocotb.parametrize(i_stall=[0.0, 0.6], o_stall=[0.0, 0.6])
async def bytes_match(dut, i_stall, o_stall):
    await begin(dut)
    source, reader = Source(dut, "i", stall=i_stall), Reader(dut, o_stall, 5)
    rng = random.Random(3)
    payloads = [rng.randbytes(length) for length in
                [*range(25), *(rng.randint(0, 400) for _ in range(40))]]
    for payload in payloads:   # all at once: the next one waits at the door
        source.queue.extend(words(payload, rng.random() < 0.5))
    for n, payload in enumerate(payloads):
        reader.payload, reader.position = payload, 0
        while reader.position < len(payload):
            kind = rng.random()
            if kind < 0.5:
                await reader.read(rng.choice([1, 2, 7, rng.randint(1, 60)]))
            elif kind < 0.9:
                # Also nothing, and more than there is.
                await reader.skip(rng.choice([0, 1, 7, 8, 9, 16, rng.randint(0, 120), 65535]))
            elif kind < 0.95:
                for _ in range(rng.randint(1, 5)):
                    await reader.cycle()
            else:
                reader.position = len(payload)
                await reader.until_ended(2000, drain=1)
        await reader.until_ended(2000, drain=n % 2)
        sent = source.sent
        if n % 3 == 0:   # beyond the end there is nothing to wait for
            await reader.skip(9)
            await reader.skip(9)
        for _ in range(rng.randint(0, 6)):
            await reader.cycle(ready=1)
        assert reader.ended and source.sent == sent, "nothing is taken before next"
        await reader.cycle(next=1)
    assert source.idle


@cocotb.test()
async def speed(dut):
    """A byte a cycle; skips and drains eight a cycle."""
    await begin(dut)
    source, reader = Source(dut, "i"), Reader(dut, 0, 1)
    reader.payload = random.Random(1).randbytes(1000)
    source.queue.extend(words(reader.payload))
    await reader.read(1)
    start = reader.cycles
    await reader.read(200)
    assert reader.cycles - start == 200
    start = reader.cycles
    await reader.skip(400)
    await reader.read(1)
    assert reader.cycles - start <= 400 // 8 + 10
    reader.position = 1000
    assert await reader.until_ended(100, drain=1) <= 398 // 8 + 4
