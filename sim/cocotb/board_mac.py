# SPDX-License-Identifier: Apache-2.0
"""A gigabit port between a PHY and the card's streams."""

import os
import random
import zlib

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource
from cocotbext.eth import GmiiFrame, RgmiiPhy


#: Picoseconds of the card's clock, and how often its side pauses.
PERIOD = int(os.environ.get("HEADRACE_PERIOD", "12800"))
STALL = float(os.environ.get("HEADRACE_STALL", "0"))
EVERY = int(os.environ.get("HEADRACE_EVERY", "1"))

#: A frame between two others begins at least so many ns behind the end of the one before it.
GAP = 12 * 8
LENGTHS = range(60, 1515)


def stalls(rate, seed):
    rng = random.Random(seed)
    while True:
        yield rng.random() < rate


def with_check(frame, flip=0):
    return bytes(frame) + (zlib.crc32(frame) ^ flip).to_bytes(4, "little")


class Port:
    """Both sides of a port; ``sent`` and ``heard`` are of the wire, frames with check sequence."""

    def __init__(self, dut, *, stall=STALL):
        self.dut, self.rng = dut, random.Random(5)
        self.phy = RgmiiPhy(dut.tx_data, dut.tx_ctl, dut.tx_clk,
                            dut.rx_data, dut.rx_ctl, dut.rx_clk)
        # Seen from the card.
        self.arrives = AxiStreamSink(AxiStreamBus.from_prefix(dut, "s_axis_rx"), dut.clk, dut.rst)
        self.leaves = AxiStreamSource(AxiStreamBus.from_prefix(dut, "m_axis_tx"), dut.clk, dut.rst)
        for part in self.phy.rx, self.phy.tx, self.arrives, self.leaves:
            part.log.setLevel("ERROR")
        if stall:
            self.arrives.set_pause_generator(stalls(stall, 1))
            self.leaves.set_pause_generator(stalls(stall, 2))

    async def begin(self):
        dut = self.dut
        dut.rst.value = dut.reset.value = 1
        cocotb.start_soon(Clock(dut.clk125, 8, "ns").start())
        cocotb.start_soon(Clock(dut.clk, PERIOD, "ps", period_high=PERIOD // 2).start())
        await ClockCycles(dut.clk, 20)
        dut.rst.value = dut.reset.value = 0
        await ClockCycles(dut.clk, 20)

    def frame(self, length):
        return self.rng.randbytes(length)

    def send(self, frame, *, preamble=b"\x55" * 7 + b"\xd5", error=None):
        """Put a frame, with its check sequence, on the wire; ``error`` is of one of its bytes."""
        raw = preamble + bytes(frame)
        flags = [0] * len(raw)
        if error is not None:
            flags[len(preamble) + error] = 1
        self.phy.rx.send_nowait(GmiiFrame(raw, flags))

    async def receive(self):
        """What the card gets next: bytes, and whether they are damaged."""
        frame = await self.arrives.recv()
        return bytes(frame.tdata), bool(frame.tuser[-1] if isinstance(frame.tuser, list)
                                        else frame.tuser)

    async def quiet(self):
        """Wait until all has arrived."""
        await self.phy.rx.wait()
        await ClockCycles(self.dut.clk, 200)

    async def heard(self):
        """The next frame on the wire, and when it began and ended."""
        frame = await self.phy.tx.recv()
        assert frame.data[:8] == b"\x55" * 7 + b"\xd5"
        assert not frame.error
        return bytes(frame.data[8:]), frame.sim_time_start, frame.sim_time_end


async def within(port, scenario, milliseconds=60):
    await port.begin()
    await with_timeout(scenario(port), milliseconds, "ms")


@cocotb.test()
async def every_length(dut):
    """Back to back in both directions, at line rate."""
    await within(Port(dut), lengths)


async def lengths(port):
    frames = [port.frame(length) for length in LENGTHS[::EVERY]]
    port.rng.shuffle(frames)
    for frame in frames:
        port.send(with_check(frame))
        port.leaves.send_nowait(AxiStreamFrame(frame))

    async def arrive():
        for frame in frames:
            assert await port.receive() == (frame, False)

    arriving = cocotb.start_soon(arrive())
    ends = None
    for frame in frames:
        heard, begin, end = await port.heard()
        assert heard == with_check(frame)
        if ends is not None:
            # Time is in ps, and what comes out is ready long before.
            assert begin - ends == 1000 * GAP, (begin, ends)
        ends = end
    await arriving
    assert port.phy.tx.empty() and port.arrives.empty()


@cocotb.test()
async def short_ones(dut):
    """What the card sends is filled up with zeros."""
    await within(Port(dut), short)


async def short(port):
    frames = [port.frame(length) for length in range(1, 70)]
    for frame in frames:
        await port.leaves.send(AxiStreamFrame(frame))
    for frame in frames:
        heard, _, _ = await port.heard()
        assert heard == with_check(frame.ljust(60, b"\0"))


@cocotb.test()
async def slow_card(dut):
    """A frame that is given with long pauses leaves without any."""
    await within(Port(dut, stall=0.95), slow)


async def slow(port):
    frames = [port.frame(port.rng.choice([60, 61, 700, 1514])) for _ in range(20)]
    for frame in frames:
        port.leaves.send_nowait(AxiStreamFrame(frame))
    for frame in frames:
        heard, begin, end = await port.heard()
        assert heard == with_check(frame)
        assert end - begin == 8000 * (8 + len(heard))


@cocotb.test()
async def too_long_to_leave(dut):
    """A frame that is longer than the queue takes leaves with a wrong check sequence."""
    await within(Port(dut), long)


async def long(port):
    for length in 1521, 4096, 9000, 20000:
        frames = [port.frame(n) for n in (100, length, 1514)]
        for frame in frames:
            port.leaves.send_nowait(AxiStreamFrame(frame))
        assert (await port.heard())[0] == with_check(frames[0])
        heard, _, _ = await port.heard()
        assert heard == with_check(frames[1][:1520], flip=0xFFFFFFFF)
        assert (await port.heard())[0] == with_check(frames[2])


@cocotb.test()
async def damaged_ones(dut):
    """Whatever is wrong with a frame is told at its end, and the next one is not touched."""
    await within(Port(dut), damaged)


async def damaged(port):
    async def check(expected, **options):
        """``expected`` come of what was sent, and a good frame behind it."""
        good = port.frame(60 + port.rng.randrange(9))
        port.send(with_check(good))
        for frame in expected:
            assert await port.receive() == (frame, True)
        assert await port.receive() == (good, False)
        await port.quiet()
        assert port.arrives.empty()

    for length in 60, 63, 64, 65, 1514:
        for bit in 0, 17, 31:
            frame = port.frame(length)
            port.send(with_check(frame, flip=1 << bit))
            await check([frame])
        frame = port.frame(length)
        wrong = bytearray(with_check(frame))
        wrong[length // 2] ^= 4
        port.send(wrong)
        await check([bytes(wrong[:length])])
        for error in 0, length // 2, length, length + 3:
            port.send(with_check(frame), error=error)
            await check([frame])
    # Too short with a right check sequence; nothing at all of those without a byte before it.
    for length in range(60):
        frame = port.frame(length)
        port.send(with_check(frame))
        await check([frame] if frame else [])
    for length in range(4):
        port.send(bytes(length))
        await check([])
    # Too long: the frame ends damaged, early.
    for length in 1515, 1516, 1600, 4000, 9000:
        frame = port.frame(length)
        port.send(with_check(frame))
        good = port.frame(77)
        port.send(with_check(good))
        cut, error = await port.receive()
        assert error and len(cut) <= 1520 and cut[:1504] == frame[:1504]
        assert await port.receive() == (good, False)
    # No frame begins here.
    for preamble in b"", b"\xd4", b"\x55" * 7, b"\x55\x55\x00\x55\xd5", b"\x00\xd5":
        body = with_check(bytes([1]) + port.frame(99))
        port.send(body, preamble=preamble)
        await check([])
    port.send(with_check(port.frame(100)), error=-3)    # in the preamble
    await check([])
    # A PHY may take some of the preamble away.
    for count in range(7):
        frame = port.frame(60)
        port.send(with_check(frame), preamble=b"\x55" * count + b"\xd5")
        assert await port.receive() == (frame, False)
    # And leave less than the gap between frames.
    for gap in range(1, 12):
        port.phy.rx.ifg = gap
        frames = [port.frame(60 + n) for n in range(9)]
        for frame in frames:
            port.send(with_check(frame))
        for frame in frames:
            assert await port.receive() == (frame, False)


@cocotb.test()
async def no_room(dut):
    """Without room a frame is lost, or ends damaged; no part of it is taken for a frame."""
    await within(Port(dut, stall=0), overrun)


async def overrun(port):
    for round_ in range(6):
        frames = [port.frame(port.rng.choice([60, 64, 65, 100, 1514])) for _ in range(60)]
        port.arrives.pause = round_ % 2 == 0
        if round_ % 2:
            # Less than the wire brings.
            port.arrives.set_pause_generator(stalls(1 - PERIOD / 8000 / 30, round_))
        for frame in frames:
            port.send(with_check(frame))
        await port.phy.rx.wait()
        port.arrives.clear_pause_generator()
        port.arrives.pause = False
        await ClockCycles(port.dut.clk, 1000)
        good, bad, sent = 0, 0, iter(frames)
        while not port.arrives.empty():
            frame, error = await port.receive()
            if error:
                bad += 1
                continue
            assert frame in sent    # and those behind it: the order stays
            good += 1
        assert good + bad < len(frames) and good, (good, bad)
        last = port.frame(200)
        port.send(with_check(last))
        assert await port.receive() == (last, False)


@cocotb.test()
async def reset_amid_frames(dut):
    """Both sides begin anew, with whole frames."""
    await within(Port(dut), again)


async def again(port):
    for n in range(4):
        for _ in range(4):
            port.send(with_check(port.frame(1000)))
            port.leaves.send_nowait(AxiStreamFrame(port.frame(1000)))
        await ClockCycles(port.dut.clk, 300 + 77 * n)
        port.dut.rst.value = port.dut.reset.value = 1
        await ClockCycles(port.dut.clk, 5)
        port.dut.rst.value = port.dut.reset.value = 0
        await port.phy.rx.wait()
        await ClockCycles(port.dut.clk, 4000)
        while not port.arrives.empty():
            await port.receive()
        while not port.phy.tx.empty():
            await port.phy.tx.recv()
        frame, out = port.frame(300), port.frame(301)
        port.send(with_check(frame))
        await port.leaves.send(AxiStreamFrame(out))
        assert await port.receive() == (frame, False)
        assert (await port.heard())[0] == with_check(out)
