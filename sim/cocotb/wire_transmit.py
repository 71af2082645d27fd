# SPDX-License-Identifier: Apache-2.0
"""The sending side: every frame must be the bytes that scapy builds of the same fields."""

import os
import random
import struct

import cocotb
from cocotb.triggers import RisingEdge
from scapy.contrib.roce import BTH
from scapy.layers.inet import IP as IPv4
from scapy.layers.inet import ICMP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from headrace.hw.stream.layout import Beat
from headrace.hw.wire.layout import Frame, Message
from wire_bench import IP, MAC, Bench, beats, frames_of, ip_text, mac_text, pack, reset


WIDTH = int(os.environ.get("HEADRACE_WIDTH", "64"))
QUEUES, SIZE = 8, WIDTH // 8
MESSAGE, BEAT = Message(QUEUES), Beat(WIDTH)


class Test(Bench):
    """A transmitter, and the frames that it must send."""

    def __init__(self, dut, segment=256, **options):
        super().__init__(dut, ["i_message", "i_data", "i"], ["o"], **options)
        dut.mac.value, dut.ip.value = MAC, IP
        dut.restart.value = 0
        self.frames, self.others = [], []
        self.psn = [0] * QUEUES
        self.cut(segment)

    def cut(self, segment):
        self.segment = segment // 64 * 64 or 64
        self.dut.segment.value = segment

    def send(self, payload, queue=0, *, immediate=None, queue_pair=0x1234, peer=None):
        peer = peer or {"mac": 0x020000000077, "ip": 0x0A000077, "port": 4791}
        self.put["i_message"].append(pack(
            MESSAGE, queue=queue, queue_pair=queue_pair, length=len(payload), peer=peer,
            has_immediate=immediate is not None, immediate=immediate or 0))
        for at in range(0, len(payload), SIZE):
            part = payload[at:at + SIZE].ljust(SIZE, b"\xA5")
            self.put["i_data"].append(int.from_bytes(part, "little"))
        parts = [payload[at:at + self.segment]
                 for at in range(0, len(payload), self.segment)] or [b""]
        for n, part in enumerate(parts):
            first, last = n == 0, n == len(parts) - 1
            opcode = {(0, 0): 0x21, (1, 0): 0x20, (0, 1): 0x22, (1, 1): 0x24}[first, last]
            pad = -len(part) % 4
            body = part + bytes(pad)
            if last and immediate is not None:
                opcode += 1
                body = struct.pack("!I", immediate) + body
            frame = bytes(
                Ether(dst=mac_text(peer["mac"]), src=mac_text(MAC))
                / IPv4(dst=ip_text(peer["ip"]), src=ip_text(IP), id=0, flags="DF", ttl=64)
                / UDP(sport=0xC000 + queue, dport=peer["port"], chksum=0)
                / BTH(opcode=opcode, dqpn=queue_pair, psn=self.psn[queue], padcount=pad)
                / Raw(body)) if peer["port"] == 4791 else None
            if frame is not None:
                frame = frame.ljust(60, b"\0")
            self.frames.append(frame)
            self.psn[queue] = (self.psn[queue] + 1) % 2 ** 24

    def check(self):
        """Frames are those expected, in order; answers may be anywhere between them."""
        got = frames_of(BEAT, self.take("o"))
        others = list(self.others)
        messages = []
        for frame in got:
            if frame in others:
                others.remove(frame)
            else:
                messages.append(frame)
        assert not others, "an answer is missing"
        for n, (frame, want) in enumerate(zip(messages, self.frames)):
            assert frame == want, (n, frame.hex(), want.hex())
        assert len(messages) == len(self.frames), (len(messages), len(self.frames))
        self.frames, self.others = [], []

    async def finish(self):
        await self.drain()
        self.check()


@cocotb.test()
async def every_length(dut):
    """Payloads of every length modulo the beat, with and without immediate."""
    await reset(dut)
    for stall in 0.0, 0.3:
        t = Test(dut, 4096, i_stall=stall, o_stall=stall)
        t.dut.restart.value = 0xff
        await RisingEdge(dut.clk)
        t.dut.restart.value = 0
        rng = random.Random(1)
        for length in [*range(0, 135), 255, 256, 257, 1000]:
            t.send(rng.randbytes(length), length % QUEUES,
                   immediate=rng.getrandbits(32) if length % 3 else None,
                   queue_pair=rng.getrandbits(24),
                   peer={"mac": rng.getrandbits(48), "ip": rng.getrandbits(32), "port": 4791})
        await t.finish()


@cocotb.test()
async def segments(dut):
    """Messages of all numbers of packets, up to the longest packets there are, and if no length
    was set."""
    await reset(dut)
    t = Test(dut, i_stall=0.1, o_stall=0.2)
    rng = random.Random(2)
    for segment in [0, 63, 64, 128, 256, 300, 1024, 4096, 8896, 8999]:
        t.cut(segment)
        for packets in (1, 2, 3, 5) if segment < 2000 else (1, 2):
            for extra in (-70, -1, 0, 1) if segment < 2000 else (-33,):
                length = max(0, packets * t.segment + extra)
                t.send(rng.randbytes(length), rng.randrange(QUEUES),
                       immediate=rng.getrandbits(32) if rng.random() < 0.7 else None)
        await t.finish()


@cocotb.test()
async def no_bubbles(dut):
    """Small messages behind one another: a frame of one beat in each cycle, or of eight in 8."""
    await reset(dut)
    t = Test(dut)
    count = 500 if WIDTH == 512 else 150
    for n in range(count):
        length = n % 6 % 5
        t.send(bytes([n & 255]) * length, n % QUEUES, immediate=None if length else n)
    await t.drain()
    gone, got = t.gone["i_message"], [cycle for cycle, _ in t.got["o"]]
    assert len(got) == count * 64 // SIZE
    assert got[-1] - got[0] == len(got) - 1, "the output paused"
    dut._log.info(f"{count} frames, {len(got)} beats in {got[-1] - got[0] + 1} cycles, "
                  f"latency {got[0] - gone[0]} cycles")
    t.check()
    for _ in range(5):
        t.cut(4096)
        t.send(bytes(range(256)) * 48)
    await t.drain()
    got = [cycle for cycle, _ in t.got["o"]]
    assert got[-1] - got[0] == len(got) - 1
    t.check()


@cocotb.test()
async def answers_in_between(dut):
    """ARP answers and echoes take turns with packets."""
    await reset(dut)
    t = Test(dut, 256, i_stall=0.3, o_stall=0.2)
    rng = random.Random(3)
    for n in range(1, 61):
        t.send(rng.randbytes(rng.randrange(1000)), n % QUEUES, immediate=n)
        mac, ip = rng.getrandbits(48) | 1, rng.getrandbits(32)
        request = Ether(dst=mac_text(MAC), src=mac_text(mac)) / ARP(
            op=1, hwsrc=mac_text(mac), psrc=ip_text(ip), pdst=ip_text(IP))
        t.put["i"] += beats(Frame(WIDTH), bytes(request))
        t.others.append(bytes(
            Ether(dst=mac_text(mac), src=mac_text(MAC))
            / ARP(op=2, hwsrc=mac_text(MAC), psrc=ip_text(IP), hwdst=mac_text(mac),
                  pdst=ip_text(ip))).ljust(60, b"\0"))
        body = ICMP(id=n) / Raw(rng.randbytes(rng.randrange(20, 200)))
        request = (Ether(dst=mac_text(MAC), src=mac_text(mac))
                   / IPv4(dst=ip_text(IP), src=ip_text(ip), ttl=n) / body)
        t.put["i"] += beats(Frame(WIDTH), bytes(request))
        body.type = 0
        t.others.append(bytes(Ether(dst=mac_text(mac), src=mac_text(MAC))
                              / IPv4(dst=ip_text(ip), src=ip_text(IP), ttl=64) / body))
        while t.put["i_message"] or t.put["i"]:
            await t.step()
    await t.finish()


@cocotb.test()
async def other_ports(dut):
    """The UDP port is that of the peer; numbers restart when told to."""
    await reset(dut)
    t = Test(dut)
    t.send(b"x" * 100, 1, immediate=5)
    await t.finish()
    t.send(b"hello", 1, peer={"mac": 1, "ip": 2, "port": 50000})
    await t.drain()
    frame, = frames_of(BEAT, t.take("o"))
    packet = Ether(frame)
    assert packet[UDP].dport == 50000 and packet[UDP].sport == 0xC001
    bth = BTH(bytes(packet[UDP].payload))
    assert (bth.psn, bth.dqpn, bth.opcode, bth.padcount) == (1, 0x1234, 0x24, 3)
    rebuilt = packet[IPv4].copy()
    rebuilt[UDP].remove_payload()
    rebuilt = rebuilt / bth
    rebuilt[BTH].icrc = None
    del rebuilt[IPv4].chksum
    assert bytes(rebuilt) == frame[14:14 + packet[IPv4].len]
    t.frames = []
    dut.restart.value = 2
    await t.step()
    await t.step()
    dut.restart.value = 0
    t.psn[1] = 0
    t.send(b"again", 1)
    t.send(b"other", 2)
    await t.finish()
