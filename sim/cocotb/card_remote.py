# SPDX-License-Identifier: Apache-2.0
"""A board without a host: the driver is at the other end of the wire; what comes is Pillow's."""

import collections
import dataclasses
import io
import os
import random
import types

import cocotb
import numpy as np
from PIL import Image
from cocotb.clock import Clock
from cocotb.task import bridge, resume
from cocotb.triggers import ClockCycles, Event, First, Timer
from cocotb.utils import get_sim_time
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource

import headrace.remote
from card_box import jpeg, stalls
from headrace import Recipe, wire
from headrace.bus_card import BusCard
from headrace.errors import CardError
from headrace.hw.card import registers
from headrace.hw.card.commands import COMMAND, QUEUE_PAIR, Command
from headrace.hw.card.config import BUS
from headrace.hw.status import Detail, Status
from headrace.remote import RemoteCard, RemoteTransport
from resized import resized


MAC, IP, MEMORY_BITS, FREE = (int(os.environ[f"HEADRACE_{name}"]) for name in (
    "MAC", "IP", "MEMORY_BITS", "FREE"))
BOARD = wire.Station.of(MAC, IP, 4791)
HERE = wire.Station("02:00:00:00:00:01", "10.0.0.9", 0xC123)
STRANGER = wire.Station("02:00:00:00:00:66", "10.0.0.66", 0xC666)
#: The queue pair here that data comes to.
DATA = 0x700


class Link:
    """Frames of the board's port, for a driver as if it were a socket. Faults on request."""

    def __init__(self, dut, *, loss=0.0, duplication=0.0, stall=0.0):
        self.dut, self.rng = dut, random.Random(5)
        self.loss, self.duplication = loss, duplication
        ports = dut.ap_clk, dut.ap_rst_n
        self.rx = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis_rx"), *ports,
                                  reset_active_level=False)
        self.tx = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis_tx"), *ports,
                                reset_active_level=False)
        for port in self.rx, self.tx:
            port.log.setLevel("WARNING")
        if stall:
            self.rx.set_pause_generator(stalls(stall, 20))
            self.tx.set_pause_generator(stalls(stall, 21))
        self.packets = collections.defaultdict(list)    # by queue pair
        self.overheard = []                             # answers to a stranger
        self.heard = Event()
        self.lost = 0
        cocotb.start_soon(self._listen())

    def _fate(self):
        """How often a frame comes."""
        if self.rng.random() < self.loss:
            self.lost += 1
            return 0
        return 1 + (self.rng.random() < self.duplication)

    async def _listen(self):
        while True:
            frame = bytes((await self.tx.recv()).tdata)
            packet = wire.from_frame(frame)
            assert (packet.source.mac, packet.source.ip) == (BOARD.mac, BOARD.ip)
            if packet.destination == STRANGER:
                self.overheard.append(packet)
                continue
            assert packet.destination == HERE
            self.packets[packet.queue_pair] += [packet] * self._fate()
            self.heard.set()

    # As a PacketSocket

    def send(self, packet):
        frame = wire.to_frame(dataclasses.replace(packet, source=HERE, destination=BOARD))
        for _ in range(self._fate()):
            resume(self.rx.send)(AxiStreamFrame(frame))
        return True

    def receive(self):
        packets, self.packets[QUEUE_PAIR] = self.packets[QUEUE_PAIR], []
        return packets, False

    def wait(self, seconds):
        resume(self._wait)(seconds)

    async def _wait(self, seconds):
        self.heard.clear()
        await First(self.heard.wait(), Timer(max(1, round(seconds * 1e9)), "ns"))


class BoardCard(RemoteCard):
    """The driver, with the simulator's time."""

    def __init__(self, link, **options):
        headrace.remote.time = types.SimpleNamespace(
            monotonic=lambda: get_sim_time("ns") * 1e-9, sleep=link.wait)
        headrace.remote.CLOSING = 100e-6
        BusCard.__init__(self, "board", "raise")
        self._options, self._queues, self._lapsed = dict(queue_pair=QUEUE_PAIR), {}, False
        transport = RemoteTransport(
            link, wire.Sender(QUEUE_PAIR, segment=512), timeout=200e-6, retries=20,
            patience=0.02, **options)
        transport.wait()
        self._connect(transport.config(), transport)

    def _close(self):
        BusCard._close(self)    # there is no socket


async def begin(dut, **options):
    """Clock and reset; the link to the board. Nobody but the board itself sets it up."""
    cocotb.start_soon(Clock(dut.ap_clk, 10, "ns").start())
    dut.ap_rst_n.value = 0
    await ClockCycles(dut.ap_clk, 10)
    link = Link(dut, **options)
    dut.ap_rst_n.value = 1
    await ClockCycles(dut.ap_clk, 10)
    while not dut.booted.value:
        await ClockCycles(dut.ap_clk, 1)
    return link


def picture(rng, size=(20, 29)):
    file = jpeg(rng.integers(0, 256, (*size, 3), np.uint8))
    return file, np.array(Image.open(io.BytesIO(file)))


def verbs(link):
    """Registers, memory, and a batch of images by the verbs of every card."""
    rng = np.random.default_rng(2)
    card = BoardCard(link)
    bus = card._bus
    assert (bus.start, bus.stop) == (FREE, 1 << MEMORY_BITS)
    assert card.config.slots == 4 and card.config.wire == 64
    data = rng.integers(0, 256, 3000, np.uint8).tobytes()
    bus.memory.write(FREE + 5, data)
    found = bytearray(len(data) + 10)
    bus.memory.read_into(FREE, found)
    assert found[5:-5] == data
    try:
        bus.read_register(0xF00)
    except CardError as error:
        assert "refuses" in str(error)
    else:
        raise AssertionError("a register that is not there was read")
    files, wanted = zip(*(picture(rng, (10 + n, 29 - n)) for n in range(3)))
    # Twice: the recipe is there the second time.
    for _ in range(2):
        for array, reference in zip(card.image(layout="HWC")(list(files)), wanted, strict=True):
            np.testing.assert_array_equal(array, reference)
    small = card.image(resize=(9, 13), layout="HWC")(files[0])
    reference = resized(Image.fromarray(wanted[0]), (13, 9), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(small, np.array(reference))
    counters = bus.counters()
    assert counters["status_ok"] >= bus.counts["asked"] and counters["messages"] > 20
    return card


@cocotb.test()
async def by_registers_and_memory(dut):
    link = await begin(dut)
    card = await bridge(verbs)(link)
    assert card._bus.counts["retried"] == 0


@cocotb.test()
async def over_a_bad_wire(dut):
    """Frames are lost and come twice, in both directions, and the wire stalls."""
    link = await begin(dut, loss=0.05, duplication=0.05, stall=0.3)
    card = await bridge(verbs)(link)
    assert link.lost > 5 and card._bus.counts["retried"] > 5


@cocotb.test()
async def a_stranger(dut):
    """Who does not know the session is denied and counted, whatever the numbers of messages."""
    link = await begin(dut)
    card = await bridge(BoardCard)(link)
    bus, rng = card._bus, np.random.default_rng(6)
    bus._numbers = iter(range(1000, 1 << 20))
    sender, assembler, denied = wire.Sender(QUEUE_PAIR, STRANGER, BOARD), wire.Reassembler(), 0
    scratch = (1 << MEMORY_BITS) - BUS
    memory = await bridge(bus.load)(scratch, 1)
    for n in range(3):
        file, wanted = picture(rng, (16, 16))
        array = await bridge(lambda file=file: card.image(layout="HWC")(file))()
        np.testing.assert_array_equal(array, wanted)
        latest = next(bus._numbers)
        for first in (dict(command=Command.TAG, value=latest + 200),
                      dict(command=Command.TAG, value=latest + 1, address=n),
                      dict(command=Command.TAKE, address=n)):
            payload = COMMAND.pack(**first) + COMMAND.pack(
                command=Command.WRITE_MEMORY, value=1, address=scratch) + bytes(BUS)
            for frame in sender.frames(payload, latest + 1):
                await link.rx.send(AxiStreamFrame(frame))
            while not link.overheard:
                await ClockCycles(dut.ap_clk, 10)
            completion, _ = wire.from_response(assembler.feed(link.overheard.pop()))
            assert (completion["status"], completion["detail"]) == (Status.BAD_JOB, Detail.OWNER)
            denied += 1
    assert await bridge(bus.load)(scratch, 1) == memory
    assert (await bridge(bus.counters)())["denied"] == denied
    # Whoever comes next finds it free, and no sooner.
    try:
        await bridge(BoardCard)(link)
    except CardError as error:
        assert "another driver" in str(error)
    else:
        raise AssertionError("there are two drivers")
    await bridge(card.close)()
    other = await bridge(BoardCard)(link)
    assert other._bus.counts["retried"] == 0
    # The way in can be closed for good.
    await bridge(other.shut)()
    try:
        await bridge(BoardCard)(link)
    except CardError as error:
        assert "No answer" in str(error)
    else:
        raise AssertionError("it is still open")


@cocotb.test()
async def data(dut):
    """A queue pair for images, opened from afar: files go in as messages, tensors come out."""
    link = await begin(dut)
    rng = np.random.default_rng(8)
    card = await bridge(BoardCard)(link)
    number = await bridge(card.listen)(Recipe(layout="HWC"), queue_pair=DATA)
    queues = card.config.queues
    assert registers.queue_number(QUEUE_PAIR, queues, 1, 0) == QUEUE_PAIR + 1
    assert (number - QUEUE_PAIR) % (1 << (queues - 1).bit_length()) == 1
    sender, assembler = wire.Sender(number, HERE, BOARD, segment=1024), wire.Reassembler()

    async def response():
        while True:
            while link.packets[DATA]:
                message = assembler.feed(link.packets[DATA].pop(0))
                if message:
                    return wire.from_response(message)
            link.heard.clear()
            await First(link.heard.wait(), Timer(3, "ms"))
            assert link.packets[DATA], "no answer"

    for n in range(5):
        file, wanted = picture(rng, (8 + n, 20))
        for frame in sender.frames(file, n):
            await link.rx.send(AxiStreamFrame(frame))
        # Control goes on meanwhile.
        assert await bridge(card._bus.read_register)(registers.CTRL) & registers.IDLE
        completion, result = await response()
        assert (completion["request"], completion["status"]) == (n, Status.OK)
        assert result == wanted.tobytes()
    # Images of both ways at once.
    for frame in sender.frames(file, 9):
        await link.rx.send(AxiStreamFrame(frame))
    array = await bridge(lambda: card.image(layout="HWC")(file))()
    np.testing.assert_array_equal(array, wanted)
    assert (await response())[1] == wanted.tobytes()

    # Commands are not for queue pairs of images, nor images for the control queue pair.
    for frame in sender.frames(bytes(BUS), 10):
        await link.rx.send(AxiStreamFrame(frame))
    assert (await response())[0]["status"] == Status.CORRUPT
    stray = wire.Sender(QUEUE_PAIR, HERE, BOARD)
    assembler = wire.Reassembler()
    for payload, detail in (file, Detail.LENGTH), (bytes(3 * BUS), Detail.KIND):
        for frame in stray.frames(payload, 11):
            await link.rx.send(AxiStreamFrame(frame))
        while not link.packets[QUEUE_PAIR]:
            await ClockCycles(dut.ap_clk, 10)
        completion, _ = wire.from_response(assembler.feed(link.packets[QUEUE_PAIR].pop()))
        assert (completion["status"], completion["detail"]) == (Status.BAD_JOB, detail)
    # What a stranger sends to it is not answered.
    stranger = wire.Sender(number, dataclasses.replace(HERE, port=HERE.port + 1), BOARD)
    for frame in stranger.frames(file, 13):
        await link.rx.send(AxiStreamFrame(frame))
    # Closed, it takes nothing, and is there for something else, by another number.
    await bridge(card.unlisten)(number)
    again = await bridge(card.listen)(Recipe(resize=(9, 13), layout="HWC"), queue_pair=DATA)
    assert again != number
    for frame in sender.frames(file, 14):
        await link.rx.send(AxiStreamFrame(frame))
    sender.queue_pair, assembler = again, wire.Reassembler()
    for frame in sender.frames(file, 12):
        await link.rx.send(AxiStreamFrame(frame))
    small = resized(Image.fromarray(wanted), (13, 9), Image.Resampling.BILINEAR)
    assert (await response())[1] == np.array(small).tobytes()
