# SPDX-License-Identifier: Apache-2.0
"""A board without a host from pin to pin, with a station at the other end of its cable."""

import io
import os

import cocotb
import numpy as np
from PIL import Image
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, Timer, with_timeout
from cocotb.utils import get_sim_time
from cocotbext.eth import GmiiFrame, RgmiiPhy
from scapy.layers.inet import ICMP
from scapy.layers.inet import IP as IPv4
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from card_box import jpeg
from headrace import wire
from headrace.hw.board.ecpix5_top import IP, MAC
from headrace.hw.card import registers
from headrace.hw.card.commands import COMMAND, NO_KEY, QUEUE_PAIR, Command, key_words
from headrace.hw.card.config import BUS
from headrace.hw.card.jobs import COMPLETION, JOB, RECIPE, RECIPE_BYTES, Kind
from headrace.hw.card.registers import Mode
from headrace.hw.status import Detail, Status
from headrace.hw.wire.headers import ROCE_PORT
from headrace.hw.wire.outcome import Outcome
from resized import resized
from wire_bench import PEER_IP, PEER_MAC, ip_text, mac_text


#: Where the driver's part of the memory begins, and ns until the PHY is let go.
FREE, PHY_RESET = int(os.environ["HEADRACE_FREE"]), int(os.environ["HEADRACE_PHY_RESET"])
CARD = wire.Station.of(MAC, IP, ROCE_PORT)
CLIENT = wire.Station.of(PEER_MAC, PEER_IP, 0xC123)
OK = Status.OK, Detail.NONE
IMAGES = 1      # index of the queue pair for images
KEY, SESSION = bytes.fromhex(os.environ["HEADRACE_KEY"]), 0x0123456789ABCDEF


class Cable:
    """The pins, and a station at the other end of the cable."""

    def __init__(self, dut):
        self.dut = dut
        self.phy = RgmiiPhy(dut.eth_tx_data, dut.eth_tx_ctl, dut.eth_tx_clk,
                            dut.eth_rx_data, dut.eth_rx_ctl, dut.eth_rx_clk)
        for part in self.phy.rx, self.phy.tx:
            part.log.setLevel("ERROR")
        self.number = 0
        self.senders = {number: wire.Sender(QUEUE_PAIR + number, CLIENT, CARD)
                        for number in (0, IMAGES)}
        self.assemblers = {number: wire.Reassembler() for number in self.senders}

    async def begin(self):
        dut = self.dut
        dut.rst_n.value = dut.eth_mdio.value = 0
        cocotb.start_soon(Clock(dut.clk100, 10, "ns").start())
        await Timer(1000, "ns")
        assert not dut.eth_rst_n.value and not int(dut.led_r.value) & 8
        dut.rst_n.value = 1
        start = get_sim_time("ns")
        await RisingEdge(dut.eth_rst_n)
        assert abs(get_sim_time("ns") - start - PHY_RESET) < 300
        await Timer(20, "us")
        # Lit are none, but the one that blinks slowly may be.
        assert int(dut.led_r.value) == int(dut.led_b.value) == 0xF

    def send(self, frame):
        self.phy.rx.send_nowait(GmiiFrame.from_payload(bytes(frame)))

    async def heard(self):
        """The next frame that leaves, without its check sequence, which is right."""
        frame = await self.phy.tx.recv()
        assert frame.check_fcs() and not frame.error
        assert 60 <= len(frame.get_payload()) <= 1514
        return bytes(frame.get_payload())

    async def ask(self, number, payload, request=None):
        """Status and detail, and result, of a message to a queue pair."""
        self.number += 1
        for frame in self.senders[number].frames(payload, request or self.number):
            self.send(frame)
        while True:
            packet = wire.from_frame(await self.heard())
            assert packet.destination == CLIENT and packet.source.ip == CARD.ip
            assert packet.queue_pair == QUEUE_PAIR + number
            message = self.assemblers[number].feed(packet)
            if message:
                completion, result = wire.from_response(message)
                assert completion["request"] == (request or self.number)
                return (completion["status"], completion["detail"]), result

    async def take(self, key):
        """Status and detail of an attempt to take the control queue pair."""
        status, _ = await self.ask(0, COMMAND.pack(command=Command.TAKE, address=SESSION,
                                                   **key_words(key)))
        return status

    async def tell(self, *commands):
        """Results of commands to the control queue pair, each a dict and blocks behind it."""
        blocks = [COMMAND.pack(command=Command.TAG, value=self.number, address=SESSION)]
        for fields, data in commands:
            blocks += [COMMAND.pack(**fields), data.ljust(-(-len(data) // BUS) * BUS, b"\0")]
        status, result = await self.ask(0, b"".join(blocks))
        assert status == OK, status
        return result

    async def write(self, **values):
        """Registers of the network or the arguments, in order."""
        commands = []
        for name, value in values.items():
            address, bits = {**registers.ARGUMENTS, **registers.NETWORK}[name]
            commands += [register(address + n // 8, value >> n & 0xFFFFFFFF)
                         for n in range(0, bits, 32)]
        await self.tell(*commands)

    async def read(self, address):
        result = await self.tell((dict(command=Command.READ_REGISTER, address=address), b""))
        return int.from_bytes(result[:4], "little")

    async def store(self, address, data):
        await self.tell((dict(command=Command.WRITE_MEMORY, address=address,
                              value=-(-len(data) // BUS)), data))

    async def fetch(self, address, size):
        return await self.tell((dict(command=Command.READ_MEMORY, address=address,
                                     value=size // BUS), b""))


def register(address, value):
    return dict(command=Command.WRITE_REGISTER, address=address, value=value), b""


async def within(dut, scenario, milliseconds=20):
    cable = Cable(dut)
    await cable.begin()
    await with_timeout(scenario(cable), milliseconds, "ms")


@cocotb.test()
async def neighbours(dut):
    """Who has the address, and is it there? With any length, back to back."""
    await within(dut, arp_and_ping)


def arp(target):
    return Ether(src=mac_text(PEER_MAC), dst="ff:ff:ff:ff:ff:ff") / ARP(
        op=1, hwsrc=mac_text(PEER_MAC), psrc=ip_text(PEER_IP), pdst=ip_text(target))


def ping(number, size, target=MAC):
    return Ether(src=mac_text(PEER_MAC), dst=mac_text(target)) / IPv4(
        src=ip_text(PEER_IP), dst=ip_text(IP)) / ICMP(id=number, seq=number + 1) / Raw(
            bytes(n * number & 0xFF for n in range(size)))


async def arp_and_ping(cable):
    for _ in range(2):
        cable.send(arp(IP))
        answer = await cable.heard()
        assert len(answer) == 60
        frame = Ether(answer)
        assert (frame.dst, frame.src) == (mac_text(PEER_MAC), mac_text(MAC))
        assert (frame[ARP].op, frame[ARP].hwsrc, frame[ARP].psrc, frame[ARP].hwdst,
                frame[ARP].pdst) == (2, mac_text(MAC), ip_text(IP), mac_text(PEER_MAC),
                                     ip_text(PEER_IP))
    assert cable.dut.led_b.value == 0xF & ~0b0110   # both directions
    sizes = [0, 1, 17, 18, 19, 56, 100, 1471, 1472]
    # Others than us are asked, or the frame was damaged: nothing leaves.
    cable.send(arp(IP + 1))
    cable.send(ping(1, 100, MAC + 1))
    damaged = GmiiFrame.from_payload(bytes(ping(1, 100)))
    damaged.data[60] ^= 1
    cable.phy.rx.send_nowait(damaged)
    for number, size in enumerate(sizes):
        cable.send(ping(number, size))
    for number, size in enumerate(sizes):
        frame = Ether(await cable.heard())
        assert (frame.dst, frame.src) == (mac_text(PEER_MAC), mac_text(MAC))
        assert (frame[IPv4].src, frame[IPv4].dst) == (ip_text(IP), ip_text(PEER_IP))
        assert (frame[ICMP].type, frame[ICMP].id, frame[ICMP].seq) == (0, number, number + 1)
        assert bytes(frame[IPv4].payload)[8:frame[IPv4].len - 20] == bytes(
            n * number & 0xFF for n in range(size))
        # Checksums are what scapy makes of the same fields.
        chk = frame[IPv4].chksum, frame[ICMP].chksum
        size = frame[IPv4].len
        again = IPv4(bytes(frame[IPv4])[:size])
        del again.chksum, again[ICMP].chksum
        again = IPv4(bytes(again))
        assert (again.chksum, again[ICMP].chksum) == chk
    await Timer(50, "us")
    assert cable.phy.tx.empty()


@cocotb.test()
async def images(dut):
    """A recipe is loaded over the cable, and JPEG files become tensors."""
    await within(dut, jpegs)


async def jpegs(cable):
    # Nobody reads anything who does not have the board's key.
    for key in NO_KEY, KEY[::-1]:
        assert await cable.take(key) == (Status.BAD_JOB, Detail.KEY)
    status, _ = await cable.ask(0, COMMAND.pack(command=Command.TAG, address=SESSION))
    assert status == (Status.BAD_JOB, Detail.OWNER)
    assert await cable.take(KEY) == OK
    assert await cable.read(registers.CAPABILITIES["identity"]) == registers.IDENTITY
    rng = np.random.default_rng(4)
    table = rng.integers(0, 1 << 16, (3, 256))
    recipe = RECIPE.pack(filter=1, rule=1, height=9, width=13, element=1) \
        + table.astype("<u4").tobytes()
    assert len(recipe) == RECIPE_BYTES
    await cable.store(FREE, recipe)
    assert await cable.fetch(FREE, 256) == recipe[:256]
    job, done = FREE + -(-len(recipe) // BUS) * BUS, FREE + 4096
    await cable.store(job, JOB.pack(kind=Kind.LOAD, recipe=0, request=5, payload=FREE,
                                    length=RECIPE_BYTES))
    await cable.write(jobs=job, count=1, completions=done)
    await cable.tell(register(registers.CTRL, registers.START))
    while not await cable.read(registers.CTRL) & registers.DONE:
        pass
    completion = COMPLETION.unpack(await cable.fetch(done, BUS))
    assert (completion["request"], completion["status"]) == (5, Status.OK)
    await cable.write(queue=IMAGES, queue_pair=QUEUE_PAIR + IMAGES,
                      queue_options=registers.queue_options(
                          open=1, check=1, reply_port=1, mode=Mode.REPLY, kind=Kind.IMAGE))
    await cable.tell(register(registers.COMMIT, registers.SET | registers.RESTART))

    for shape in (30, 31, 3), (17, 9, 3), (20, 26, 3):
        file = jpeg(rng.integers(0, 256, shape, np.uint8))
        small = np.array(resized(
            Image.open(io.BytesIO(file)), (13, 9), Image.Resampling.BILINEAR))
        want = table[np.arange(3), small].transpose(2, 0, 1).astype("<u2").tobytes()
        status, result = await cable.ask(IMAGES, file)
        assert (status, result) == (OK, want)
    # A packet is damaged: the next message says that one is lost.
    frames = cable.senders[IMAGES].frames(file, 77)
    frame = GmiiFrame.from_payload(frames[-1])
    frame.data[100] ^= 0x10
    for other in frames[:-1]:
        cable.send(other)
    cable.phy.rx.send_nowait(frame)
    await Timer(30, "us")
    await cable.write(index=int(Outcome.DAMAGED))
    assert await cable.read(registers.COUNT) == 1
