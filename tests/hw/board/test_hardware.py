# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""What surrounds the card: memory of the chip, the host's window on it, sizes of frames."""

import random
from collections import defaultdict

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.sim import Simulator

from headrace.hw.board.memory import OnChipMemory
from headrace.hw.board.plugin import Plugin
from headrace.hw.board.sizer import FrameSizer
from headrace.hw.board.window import PAGE, SIZE, WINDOW, AddressSpace
from headrace.hw.card import registers
from headrace.hw.card.config import PORTS, CardConfig
from headrace.hw.card.control import Control


BITS = 14


def simulate(dut, *processes):
    """Run test benches, which must all end within 100,000 cycles."""
    over = []

    def ending(process):
        async def bench(ctx):
            await process(ctx)
            over.append(process)
        return bench

    sim = Simulator(dut)
    sim.add_clock(10e-9)
    for process in processes:
        sim.add_testbench(ending(process))
    for _ in range(200_000):
        if not sim.advance():
            break
    assert len(over) == len(processes), "stuck"


class Bus:
    """The card's side of a memory: one burst at a time, with stalls."""

    def __init__(self, dut, rng):
        self.dut, self.rng = dut, rng

    async def stall(self, ctx):
        while self.rng.random() < 0.3:
            await ctx.tick()

    async def write(self, ctx, address, beats):
        """``beats`` are data and strobe; returns the response."""
        dut = self.dut
        ctx.set(dut.awaddr, address)
        ctx.set(dut.awlen, len(beats) - 1)
        ctx.set(dut.awvalid, 1)
        await ctx.tick().until(dut.awready)
        ctx.set(dut.awvalid, 0)
        for n, (value, strobe) in enumerate(beats, 1):
            await self.stall(ctx)
            ctx.set(dut.wdata, value)
            ctx.set(dut.wstrb, strobe)
            ctx.set(dut.wlast, n == len(beats))
            ctx.set(dut.wvalid, 1)
            await ctx.tick().until(dut.wready)
            ctx.set(dut.wvalid, 0)
        ctx.set(dut.bready, 1)
        (response,) = await ctx.tick().sample(dut.bresp).until(dut.bvalid)
        ctx.set(dut.bready, 0)
        return response

    async def read(self, ctx, address, count):
        """Data, and the response."""
        dut = self.dut
        ctx.set(dut.araddr, address)
        ctx.set(dut.arlen, count - 1)
        ctx.set(dut.arvalid, 1)
        await ctx.tick().until(dut.arready)
        ctx.set(dut.arvalid, 0)
        values = []
        for n in range(1, count + 1):
            await self.stall(ctx)
            ctx.set(dut.rready, 1)
            value, last, response = await ctx.tick().sample(
                dut.rdata, dut.rlast, dut.rresp).until(dut.rvalid)
            ctx.set(dut.rready, 0)
            values.append(value)
            assert last == (n == count)
        return values, response


class Lite:
    """The host's side of an address space."""

    def __init__(self, dut):
        self.dut = dut

    async def write(self, ctx, address, value):
        dut = self.dut
        ctx.set(dut.awaddr, address)
        ctx.set(dut.wdata, value)
        ctx.set(dut.awvalid, 1)
        ctx.set(dut.wvalid, 1)
        await ctx.tick().until(dut.awready & dut.wready)
        ctx.set(dut.awvalid, 0)
        ctx.set(dut.wvalid, 0)
        ctx.set(dut.bready, 1)
        (response,) = await ctx.tick().sample(dut.bresp).until(dut.bvalid)
        ctx.set(dut.bready, 0)
        return response

    async def read(self, ctx, address):
        dut = self.dut
        ctx.set(dut.araddr, address)
        ctx.set(dut.arvalid, 1)
        await ctx.tick().until(dut.arready)
        ctx.set(dut.arvalid, 0)
        ctx.set(dut.rready, 1)
        value, response = await ctx.tick().sample(dut.rdata, dut.rresp).until(dut.rvalid)
        ctx.set(dut.rready, 0)
        return value, response


class Host(wiring.Component):
    """An address space with registers and memory behind it, as in the plugin."""

    def __init__(self, bits):
        self.space, self.memory = AddressSpace(bits), OnChipMemory(bits)
        self.control = Control(defaultdict(int))
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.space = space = self.space
        m.submodules.memory = memory = self.memory
        m.submodules.control = control = self.control
        wiring.connect(m, space.window, memory.window)
        wiring.connect(m, memory.o, space.i)
        for name in ("awvalid", "awaddr", "wvalid", "wdata", "wstrb", "bready", "arvalid",
                     "araddr", "rready"):
            m.d.comb += getattr(control, name).eq(getattr(space, f"control_{name}"))
        for name in ("awready", "wready", "bvalid", "bresp", "arready", "rvalid", "rdata",
                     "rresp"):
            m.d.comb += getattr(space, f"control_{name}").eq(getattr(control, name))
        return m


@pytest.mark.parametrize("latency", [1, 2, 4])
@pytest.mark.parametrize("port", PORTS)
def test_memory(latency, port):
    """Bursts against a bytearray, while a host reads and writes its own part."""
    dut, size = OnChipMemory(BITS, latency, port=port), port // 8
    ones = (1 << size) - 1
    rng = random.Random(latency)
    model = bytearray(1 << BITS)
    half = 1 << BITS - 1
    words, over = {}, []

    async def card(ctx):
        bus = Bus(dut, rng)
        for _ in range(60):
            count = rng.randint(1, 16)
            beat = rng.randrange(half // size - count)
            address = beat * size
            if rng.random() < 0.5:
                beats = [(rng.getrandbits(port), rng.choice([ones, rng.getrandbits(size)]))
                         for _ in range(count)]
                assert await bus.write(ctx, address, beats) == 0
                for n, (value, strobe) in enumerate(beats):
                    for k, byte in enumerate(value.to_bytes(size, "little")):
                        if strobe >> k & 1:
                            model[address + n * size + k] = byte
            else:
                values, response = await bus.read(ctx, address, count)
                assert response == 0
                assert b"".join(v.to_bytes(size, "little") for v in values) == \
                    model[address:address + count * size]
        # Behind the end: an error, and nothing changes.
        assert await bus.write(ctx, 1 << BITS, [(1, ones)]) == 2
        assert (await bus.read(ctx, 1 << 40, 2))[1] == 2
        values, response = await bus.read(ctx, 0, 1)
        assert (values[0].to_bytes(size, "little"), response) == (model[:size], 0)
        over.append(True)

    async def host(ctx):
        mine = random.Random(7)
        while not over:
            word, write = mine.randrange(half // 4, half // 2), mine.random() < 0.5
            value = mine.getrandbits(32)
            ctx.set(dut.window.payload, {"word": word, "data": value, "write": write})
            ctx.set(dut.window.valid, 1)
            await ctx.tick().until(dut.window.ready)
            ctx.set(dut.window.valid, 0)
            if write:
                words[word] = value
            else:
                (read,) = await ctx.tick().sample(dut.o.payload).until(dut.o.valid)
                assert read == words.get(word, 0)

    simulate(dut, card, host)
    assert len(words) > 100


def test_memory_throughput():
    dut = OnChipMemory(BITS)

    async def card(ctx):
        ctx.set(dut.arlen, 15)
        ctx.set(dut.rready, 1)
        ctx.set(dut.arvalid, 1)
        beats = cycles = 0
        while beats < 160:
            _, _, valid = await ctx.tick().sample(dut.rvalid)
            beats += valid
            cycles += 1
        assert cycles < 160 + 10 + 10

    simulate(dut, card)


def test_memory_size():
    with pytest.raises(ValueError, match=r"^Address bits must be within range\(12, 33\), not 33$"):
        OnChipMemory(33)


@pytest.mark.parametrize("bits", [BITS, 20])
def test_address_space(bits):
    dut = Host(bits)

    async def host(ctx):
        lite = Lite(dut.space)
        await ctx.tick()
        # Registers of the card, with its answers
        address, _ = registers.ARGUMENTS["count"]
        assert await lite.write(ctx, address, 0x12345678) == 0
        assert ctx.get(dut.control.count) == 0x12345678
        assert await lite.read(ctx, address) == (0x12345678, 0)
        assert await lite.write(ctx, 0xFFC, 1) == 2
        assert (await lite.read(ctx, 0xFFC))[1] == 2
        # The window, on each page
        assert await lite.read(ctx, SIZE) == (1 << bits, 0)
        pages = max(1, (1 << bits) // WINDOW)
        for page in range(pages):
            assert await lite.write(ctx, PAGE, page) == 0
            assert await lite.read(ctx, PAGE) == (page, 0)
            for offset in 0, 4, 60, 64, min(1 << bits, WINDOW) - 4:
                value = 0x10203040 * (page + 1) ^ offset
                assert await lite.write(ctx, WINDOW + offset, value) == 0
        for page in range(pages):
            await lite.write(ctx, PAGE, page)
            for offset in 0, 4, 60, 64, min(1 << bits, WINDOW) - 4:
                assert await lite.read(ctx, WINDOW + offset) == (
                    0x10203040 * (page + 1) ^ offset, 0)
            assert await lite.read(ctx, WINDOW + 8) == (0, 0)
        # Nothing is there
        assert await lite.read(ctx, 0x2000) == (0, 0)

    simulate(dut, host)


def test_frame_sizer():
    dut = FrameSizer(16)
    rng = random.Random(3)
    sizes = [1, 60, 63, 64, 65, 127, 128, 16 * 64] + [rng.randint(1, 1000) for _ in range(60)]
    frames = [rng.randbytes(size) for size in sizes]

    async def source(ctx):
        for frame in frames:
            for at in range(0, len(frame), 64):
                part = frame[at:at + 64]
                while rng.random() < 0.2:
                    await ctx.tick()
                ctx.set(dut.i.payload, {
                    "data": int.from_bytes(part, "little"), "keep": (1 << len(part)) - 1,
                    "last": at + 64 >= len(frame)})
                ctx.set(dut.i.valid, 1)
                await ctx.tick().until(dut.i.ready)
                ctx.set(dut.i.valid, 0)

    async def sink(ctx):
        for frame in frames:
            got = b""
            while True:
                while rng.random() < 0.2:
                    await ctx.tick()
                ctx.set(dut.o.ready, 1)
                (beat,) = await ctx.tick().sample(dut.o.payload).until(dut.o.valid)
                ctx.set(dut.o.ready, 0)
                assert beat.size == len(frame)
                got += beat.data.to_bytes(64, "little")[:beat.keep.bit_count()]
                if beat.last:
                    break
            assert got == frame

    simulate(dut, sink, source)


def test_plugin():
    with pytest.raises(ValueError, match=r"^Wire must be 512, not 64$"):
        Plugin(CardConfig(wire=64))
