# SPDX-License-Identifier: Apache-2.0
"""ReadDma in front of a memory that answers late: requests to their ends, and those given up."""

import os
import random
from collections import deque

import cocotb
from cocotb import start_soon
from cocotb.triggers import ReadOnly, RisingEdge
from headrace.hw.card.read_dma import ReadBeat, ReadDma, ReadRequest
from streams import Sink, Source, begin, field, pack


CLIENTS, PORT = (int(os.environ[f"HEADRACE_{name}"]) for name in ("CLIENTS", "PORT"))
DMA = ReadDma(CLIENTS, port=PORT)
REQUEST, BEAT = ReadRequest(PORT), ReadBeat(PORT)
ADDRESS = DMA.ar.payload.shape()
ANSWER = DMA.r.payload.shape()


class Memory:
    """Answers bursts in order; a beat holds its own address. ``asked``: all beats, in order."""

    def __init__(self, dut, stall, latency):
        self.dut, self.latency = dut, latency
        self.bursts = Sink(dut, "ar", stall=stall)
        self.beats = Source(dut, "r", stall=stall)
        self.asked, self.waiting, self.time = [], deque(), 0
        start_soon(self._run())

    async def _run(self):
        while True:
            await RisingEdge(self.dut.clk)
            self.time += 1
            while self.bursts.queue:
                burst = self.bursts.queue.popleft()
                first, beats = field(ADDRESS, burst, "address"), field(ADDRESS, burst, "beats")
                assert 1 <= beats <= DMA.BURST
                assert first // DMA.BURST == (first + beats - 1) // DMA.BURST, "not aligned"
                self.asked += range(first, first + beats)
                self.waiting.append((self.time + self.latency, first, beats))
            while self.waiting and self.waiting[0][0] <= self.time:
                _, first, beats = self.waiting.popleft()
                self.beats.queue.extend(
                    pack(ANSWER, beat=dict(data=first + n, error=0), last=n == beats - 1)
                    for n in range(beats))


class Client:
    """One of the clients: asks for beats, takes all of them or some."""

    def __init__(self, dut, number, stall):
        self.dut, self.number = dut, number
        self.requests = Source(dut, f"request__{number}", seed=number)
        self.beats = Sink(dut, f"o__{number}", stall=stall, seed=number)
        self.rng = random.Random(number)

    def drop(self, value):
        """Strobes of all clients share a port."""
        handle = self.dut.drop
        bit = 1 << self.number
        Client.dropping = Client.dropping & ~bit | bit * value
        handle.value = Client.dropping

    async def ask(self, address, beats):
        self.requests.queue.append(pack(REQUEST, address=address, beats=beats))
        await self.requests.drained()

    async def whole(self, address, beats):
        await self.ask(address, beats)
        for n in range(beats):
            beat = await self.beats.take()
            assert field(BEAT, beat, "data") == address + n, self.number

    async def given_up(self, address, beats, wanted):
        """Take a few, then no more; nothing of it may come later."""
        await self.ask(address, beats)
        for n in range(wanted):
            assert field(BEAT, await self.beats.take(), "data") == address + n, self.number
        self.beats.strict = False
        self.drop(1)
        for cycle in range(10000):
            await RisingEdge(self.dut.clk)
            await ReadOnly()
            if cycle > 1 and int(self.dut.empty.value) >> self.number & 1:
                break
        else:
            raise AssertionError("never empty")
        assert not getattr(self.dut, f"o__{self.number}__valid").value
        await RisingEdge(self.dut.clk)
        self.drop(0)
        self.beats.strict = True
        self.beats.queue.clear()


async def start(dut, stall, latency):
    Client.dropping = 0
    dut.drop.value = 0
    await begin(dut)
    return Memory(dut, stall, latency)


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.4], latency=[0, 60])
async def requests_follow_each_other(dut, stall, latency):
    """Whole ones and those given up, of all clients at once."""
    memory = await start(dut, stall, latency)

    async def work(client):
        rng = client.rng
        for turn in range(25):
            address = (client.number << 20) + (turn << 12) + rng.randrange(64)
            beats = rng.choice([1, 2, 7, 8, 9, 40, 200])
            if rng.random() < 0.5:
                await client.whole(address, beats)
            else:
                await client.given_up(address, beats, min(beats, rng.choice([0, 1, 5, 30])))

    tasks = [start_soon(work(Client(dut, n, stall))) for n in range(CLIENTS)]
    for task in tasks:
        await task
    assert len(set(memory.asked)) == len(memory.asked), "a beat was read twice"


@cocotb.test()
@cocotb.parametrize(latency=[0, 100])
async def what_is_given_up_is_not_read(dut, latency):
    memory = await start(dut, 0.0, latency)
    client = Client(dut, 0, 0.0)
    await client.given_up(0, 100000, 3)
    # What fits the FIFO, what was taken from it, and what the FIFO has room for again.
    assert len(memory.asked) <= 2 * DMA.depth + 3 + latency, len(memory.asked)
    await client.whole(1 << 20, 50)
