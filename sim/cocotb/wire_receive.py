# SPDX-License-Identifier: Apache-2.0
"""The receiving side: what must come out, to the byte, and how often each outcome occurs."""

import os
import random
import struct

import cocotb
from cocotb.triggers import RisingEdge
from scapy.layers.inet import ICMP, UDP
from scapy.layers.inet import IP as IPv4
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from headrace.hw.wire.layout import Frame, Segment
from headrace.hw.wire.outcome import Outcome
from headrace.hw.stream.layout import Beat
from wire_bench import IP, MAC, PEER_IP, PEER_MAC, Bench, beats, frames_of, ip_text, mac_text
from wire_bench import pack, reset, unpack
from wire_model import OPCODES, Receiver, roce


WIDTH = int(os.environ.get("HEADRACE_WIDTH", "64"))
QUEUES, BASE, TIMEOUT = 8, 0x100, 14
SIZE = WIDTH // 8
FRAME, SEGMENT = Frame(WIDTH), Segment(WIDTH, QUEUES)
OPEN, CHECK = 0b01111111, 0b11110111   # queue 7 is closed, the CRC of queue 3 is not looked at


class Test(Bench):
    """A receiver and its model side by side."""

    def __init__(self, dut, **options):
        super().__init__(dut, ["i"], ["o_segment", "o"], **options)
        dut.mac.value, dut.ip.value, dut.queue_base.value = MAC, IP, BASE
        dut.open.value, dut.check.value = OPEN, CHECK
        self.model = Receiver(queue_base=BASE, queues=QUEUES, closed=[7], unchecked=[3])
        self.frames = 0

    def send(self, frame, error=False):
        """Queue a frame; returns what must become of it."""
        self.put["i"] += beats(FRAME, frame, error=error)
        self.frames += 1
        return self.model.frame(frame, error)

    def check_messages(self):
        """Segments that came out are those of the model."""
        events = iter(self.model.events)
        payload = b""
        fresh = {}
        expected = next(events, None)
        for value in self.take("o_segment"):
            s = unpack(SEGMENT, value)
            assert expected, f"something more than expected: {s}"
            if expected[0] == "lost":
                assert (s["lost"], s["last"], s["end"], s["first"], s["count"], s["queue"]) == \
                    (1, 1, 1, 0, 0, expected[1]), (s, expected)
                fresh[s["queue"]] = True
                expected = next(events, None)
                continue
            _, queue, opcode, immediate, mac, ip, port, data = expected
            begins, ends = opcode in (0x20, 0x24, 0x25), opcode in (0x22, 0x23, 0x24, 0x25)
            assert not s["lost"] and s["queue"] == queue, (s, expected)
            assert s["first"] == (begins and not payload), (s, expected)
            assert s["peer"] == {"mac": int.from_bytes(mac, "big"),
                                 "ip": int.from_bytes(ip, "big"),
                                 "port": int.from_bytes(port, "big")}
            assert s["count"] == SIZE or s["last"]
            payload += s["data"].to_bytes(SIZE, "little")[:s["count"]]
            assert s["last"] == (ends and s["end"])
            if s["end"]:
                assert payload == data, (s, len(payload), len(data))
                if s["last"]:
                    assert s["has_immediate"] == (immediate is not None)
                    assert s["immediate"] == (immediate or 0)
                payload = b""
                expected = next(events, None)
        assert expected is None, f"missing: {expected}"
        self.model.events = []

    def check_answers(self):
        """Frames that left are the answers to ARP and to echo requests, each kind in order."""
        frames = frames_of(Beat(WIDTH), self.take("o"))
        told = [frame for frame in frames if frame[12:14] == b"\x08\x06"]
        assert told == [bytes(
            Ether(dst=mac.hex(":"), src=mac_text(MAC))
            / ARP(op=2, hwsrc=mac_text(MAC), psrc=ip_text(IP), hwdst=mac.hex(":"),
                  pdst=ip_text(int.from_bytes(ip, "big")))).ljust(60, b"\0")
            for mac, ip in self.model.arp]
        echoes = [frame for frame in frames if frame not in told]
        assert len(echoes) == len(self.model.echo)
        for got, asked in zip(echoes, self.model.echo):
            right, want = Receiver.answer(asked)
            if not right:
                got, want = got[:36] + got[38:], want[:36] + want[38:]
            assert got == want, (got.hex(), want.hex(), right)
        self.model.arp, self.model.echo = [], []

    async def counters(self):
        counts = {}
        for outcome in Outcome:
            self.dut.index.value = outcome
            for _ in range(4):
                await RisingEdge(self.dut.clk)
            counts[outcome] = int(self.dut.count.value)
        return counts

    async def finish(self):
        """Everything has come out, and the counters are right."""
        await self.drain()
        self.check_messages()
        self.check_answers()
        counts = await self.counters()
        wanted = self.model.counters
        assert counts == wanted, {o.name: (counts[o], wanted[o]) for o in Outcome
                                  if counts[o] != wanted[o]}
        assert sum(n for o, n in counts.items() if o < Outcome.LOST) == self.frames

    def message(self, queue, psn, payload, *, mtu=256, immediate=None, **source):
        """Frames of a message, and the number that follows."""
        parts = [payload[at:at + mtu] for at in range(0, len(payload), mtu)] or [b""]
        for n, part in enumerate(parts):
            only, last = len(parts) == 1, n == len(parts) - 1
            kind = "only" if only else "last" if last else "first" if n == 0 else "middle"
            if last and immediate is not None:
                kind += "_imm"
            yield roce(OPCODES[kind], BASE + queue, psn, part,
                       immediate=immediate if last else None,
                       **{"source_port": 0xC000 + queue % QUEUES, **source})
            psn = (psn + 1) % 2 ** 24

    async def quiet(self, cycles):
        for _ in range(cycles):
            await self.step()


@cocotb.test()
async def every_length(dut):
    """Payloads of every length modulo the beat, with and without immediate, padded or not."""
    await reset(dut)
    t = Test(dut, i_stall=0.1, o_stall=0.1)
    rng = random.Random(1)
    psn = 0xFFFFF0  # wraps around
    for length in [*range(0, 135), 255, 256, 257, 1000, 1459]:
        frame, = t.message(1, psn, rng.randbytes(length), mtu=2048,
                           immediate=rng.getrandbits(32) if length % 3 else None)
        if length % 2:
            frame = frame.ljust(60, b"\xEE")  # what a MAC adds
        assert t.send(frame) == Outcome.PACKET
        psn = (psn + 1) % 2 ** 24
    await t.finish()
    assert t.model.counters[Outcome.GAP] == 0


@cocotb.test()
async def interleaved_messages(dut):
    """Messages of several packets, of several queues in turn; packets up to the longest."""
    await reset(dut)
    t = Test(dut)
    for seed, stall in enumerate([0.0, 0.4]):
        t.i_stall, t.o_stall = stall, dict.fromkeys(t.o_stall, stall)
        rng = random.Random(seed)
        queues = {}
        for queue, mtu in enumerate([256, 512, 1024, 64, 4096, 8896, 320]):
            size = rng.randrange(2 * mtu, 3 * mtu) if mtu > 2000 else rng.randrange(5 * mtu)
            queues[queue] = [frame for at in (0, 100) for frame in t.message(
                queue, 100 * seed + at, rng.randbytes(size), mtu=mtu,
                immediate=rng.getrandbits(32))]
        while queues:
            queue = rng.choice(list(queues))
            t.send(queues[queue].pop(0))
            if not queues[queue]:
                del queues[queue]
        await t.finish()


@cocotb.test()
async def no_bubbles(dut):
    """Frames of the smallest size behind one another: a beat goes in and out in each cycle."""
    await reset(dut)
    t = Test(dut)
    while not dut.ready.value:
        await t.step()
    # 58 to 62 bytes: 1 beat or 8.
    count = 500 if WIDTH == 512 else 150
    for n in range(count):
        length = n % 6 % 5
        assert t.send(*t.message(n % 4, n // 4, bytes([n & 255]) * length,
                                 immediate=None if length else n)) == Outcome.PACKET
    await t.drain(quiet=20)
    gone, got = t.gone["i"], [cycle for cycle, _ in t.got["o_segment"]]
    per_frame = 64 // SIZE
    assert len(gone) == count * per_frame and len(got) == count
    assert gone[-1] - gone[0] == len(gone) - 1, "the input waited"
    steps = {b - a for a, b in zip(got, got[1:])}
    assert steps <= {per_frame - 1, per_frame, per_frame + 1} and \
        got[-1] - got[0] == (count - 1) * per_frame, steps
    dut._log.info(f"{count} frames, {len(gone)} beats in {gone[-1] - gone[0] + 1} cycles, "
                  f"latency {got[0] - gone[per_frame - 1]} cycles")
    t.check_messages()
    # Long packets: payload beats follow each other.
    for n in range(12):
        t.send(*t.message(0, count + n, bytes(4096), mtu=4096))
    before = len(t.gone["i"])
    await t.drain()
    gone, got = t.gone["i"][before:], [cycle for cycle, _ in t.got["o_segment"]]
    assert gone[-1] - gone[0] == len(gone) - 1
    for n in range(12):
        part = got[n * 4096 // SIZE:(n + 1) * 4096 // SIZE]
        assert part[-1] - part[0] == len(part) - 1
    t.check_messages()


@cocotb.test()
async def sequences(dut):
    """Lost, repeated and exchanged packets, messages begun anew: as the rules have it."""
    await reset(dut)
    t = Test(dut, i_stall=0.2, o_stall=0.2)
    rng = random.Random(5)
    psn = dict.fromkeys(range(4), 7)
    for _ in range(250):
        queue = rng.randrange(4)
        frames = list(t.message(queue, psn[queue], rng.randbytes(rng.randrange(400)), mtu=64,
                                immediate=rng.getrandbits(32)))
        psn[queue] += len(frames)
        fate = rng.randrange(8)
        at = rng.randrange(len(frames))
        if fate == 0:
            del frames[at]
        elif fate == 1:
            frames.insert(at, frames[at])
        elif fate == 2:
            rng.shuffle(frames)
        elif fate == 3:
            del frames[at:]
        elif fate == 4:
            damaged = bytearray(frames[at])
            damaged[54 + rng.randrange(len(damaged) - 54)] ^= 1 << rng.randrange(8)
            frames[at] = bytes(damaged)
        for frame in frames:
            t.send(frame)
    await t.finish()
    assert min(t.model.counters[o] for o in (
        Outcome.SEQUENCE, Outcome.LOST, Outcome.GAP, Outcome.ICRC)) > 5
    # The next message is exact.
    for queue in range(4):
        for frame in t.message(queue, psn[queue] + 9, rng.randbytes(300), mtu=64, immediate=queue):
            assert t.send(frame) == Outcome.PACKET
    await t.finish()


def mutants(rng, frame, bytes_of_header):
    """Each byte of the header with one bit and with all bits changed, and other damage."""
    for position in range(min(bytes_of_header, len(frame))):
        for change in (1 << rng.randrange(8), rng.randrange(1, 256)):
            mutant = bytearray(frame)
            mutant[position] ^= change
            yield bytes(mutant)
            if 14 <= position < 34:  # past the checksum
                yield with_checksum(mutant)
    for length in [*range(0, 70), len(frame) - 1]:
        yield frame[:length]
    yield frame + bytes(40)


def with_checksum(frame):
    frame = bytearray(frame)
    frame[24:26] = bytes(2)
    total = sum(struct.unpack(">10H", frame[14:34]))
    total = (total & 0xffff) + (total >> 16)
    frame[24:26] = struct.pack(">H", ~((total & 0xffff) + (total >> 16)) & 0xffff)
    return bytes(frame)


@cocotb.test()
async def damaged_frames(dut):
    """Every byte of every header changed, every length: each has the outcome that it must have."""
    await reset(dut)
    t = Test(dut, i_stall=0.05, o_stall=0.1)
    rng = random.Random(11)
    good = [
        roce(0x25, BASE, 5, rng.randbytes(70), immediate=77),
        roce(0x24, BASE + 1, 6, rng.randbytes(61)),
        roce(0x24, BASE + 3, 6, rng.randbytes(9)),       # its CRC is not looked at
        roce(0x20, BASE + 2, 7, rng.randbytes(64)),
        bytes(Ether(dst="ff:ff:ff:ff:ff:ff", src=mac_text(PEER_MAC))
              / ARP(op=1, hwsrc=mac_text(PEER_MAC), psrc=ip_text(PEER_IP), pdst=ip_text(IP))
              / Raw(bytes(18))),
        bytes(Ether(dst=mac_text(MAC), src=mac_text(PEER_MAC))
              / IPv4(dst=ip_text(IP), src=ip_text(PEER_IP), ttl=9) / ICMP(id=3, seq=4)
              / Raw(rng.randbytes(51))),
    ]
    for frame in good:
        outcomes = set()
        for mutant in mutants(rng, frame, 62):
            outcomes.add(t.send(mutant, error=rng.random() < 0.02))
            await t.drain(quiet=20)  # answers must not pile up
        dut._log.info(" ".join(sorted(outcome.name for outcome in outcomes)))
        for queue in range(7):  # messages that are open must not end by themselves
            t.send(roce(0x24, BASE + queue, 500, b"close"))
    for pad in range(4):  # padding that does not fit the length, and opcodes of all kinds
        t.send(roce(0x24, BASE, 9, bytes(8 - pad), pad=pad))
        t.send(roce(0x24, BASE, 9, b"", pad=pad))
        t.send(roce(0x20, BASE, 9, bytes(64 - pad), pad=pad))
        t.send(roce(0x21, BASE, 10, bytes(64 + 4 * pad)))
    for opcode in range(256):
        t.send(roce(opcode, BASE + 4, 9, rng.randbytes(64)))
    t.send(roce(0x24, BASE + 7, 9, b"closed"))
    t.send(roce(0x24, BASE, 9, b"short")[:-1])
    t.send(bytes(9089))
    t.send(bytes(12000))
    t.send(roce(0x24, BASE, 9, bytes(9000)))  # exactly as long as it may be, or longer
    t.send(roce(0x24, BASE, 9, bytes(9088 - 58 - 2)) + b"")
    t.send(bytes(Ether(dst=mac_text(MAC)) / IPv4(dst=ip_text(IP)) / UDP(dport=53) / b"query"))
    for queue in range(7):
        t.send(roce(0x25, BASE + queue, 1000, rng.randbytes(100), immediate=queue))
    await t.finish()
    seen = {outcome for outcome, n in t.model.counters.items() if n}
    # Queue pairs are anyone's here.
    missing = set(Outcome) - seen - {
        Outcome.OVERFLOW, Outcome.BUSY, Outcome.STRANGER, Outcome.FAR}
    assert not missing, missing


@cocotb.test()
async def answers(dut):
    """Echoes of every length; answers that find no way out are dropped and hold up nothing."""
    await reset(dut)
    t = Test(dut, i_stall=0.1)
    rng = random.Random(2)

    def echo(length):
        return bytes(Ether(dst=mac_text(MAC), src=mac_text(PEER_MAC))
                     / IPv4(dst=ip_text(IP), src=ip_text(PEER_IP), ttl=rng.randrange(256),
                            tos=rng.randrange(256), id=rng.randrange(65536))
                     / ICMP(id=rng.randrange(65536), seq=rng.randrange(65536))
                     / Raw(rng.randbytes(length)))

    # What ARP says of the sender counts, whoever passed it on.
    request = bytes(Ether(dst="ff:ff:ff:ff:ff:ff", src=mac_text(PEER_MAC + 1))
                    / ARP(op=1, hwsrc=mac_text(PEER_MAC), psrc=ip_text(PEER_IP),
                          pdst=ip_text(IP)))
    for length in [*range(0, 70), 1472]:
        assert t.send(echo(length)) == Outcome.ECHO_ANSWERED
        if length % 9 == 0:
            assert t.send(request) == Outcome.ARP_ANSWERED
        await t.drain(quiet=20)
    await t.finish()

    # No room is kept for a last beat without bytes, or in the end there would be none.
    frame = echo(64 - 42)
    for _ in range(2048 // SIZE + 1):
        t.put["i"] += [*beats(FRAME, frame + b"\0")][:-1] + [pack(FRAME, last=1)]
        t.frames += 1
        assert t.model.frame(frame) == Outcome.ECHO_ANSWERED
        await t.drain(quiet=20)
    await t.finish()

    # Shut the way out: what does not fit is BUSY, messages get through.
    t.o_stall["o"] = 1.0
    await t.quiet(2)
    for n in range(40):
        t.send(echo(100))
        t.send(request)
        t.send(roce(0x25, BASE, n, rng.randbytes(99), immediate=n))
    await t.drain()
    t.check_messages()
    t.o_stall["o"] = 0.0
    await t.drain()
    kinds = [frame[12:14] for frame in frames_of(Beat(WIDTH), t.take("o"))]
    asked, echoes = kinds.count(b"\x08\x06"), kinds.count(b"\x08\x00")
    assert 4 <= asked < 10 and echoes == 2048 // SIZE // -(-142 // SIZE)
    counts = await t.counters()
    assert counts[Outcome.BUSY] == 80 - asked - echoes
    t.model.arp, t.model.echo = [], []
    t.send(echo(50))
    t.send(request)
    await t.drain()
    t.check_answers()


@cocotb.test()
async def messages_that_never_end(dut):
    """Silence for long enough, or a closed queue, ends a message as lost."""
    await reset(dut)
    t = Test(dut, o_stall=0.1)
    for way in "timeout", "close":
        for frame in list(t.message(2, 0, bytes(300), mtu=64))[:3]:
            t.send(frame)
        await t.drain(quiet=30)
        psn = 3
        if way == "timeout":
            await t.quiet(2 ** (TIMEOUT - 1))
            assert not any(unpack(SEGMENT, value)["lost"] for _, value in t.got["o_segment"])
            await t.quiet(2 ** (TIMEOUT + 1))
        else:
            dut.open.value = OPEN & ~4
            await t.quiet(30)
        if way == "timeout":
            t.model.lose(2)
        else:
            t.model.close(2)
        t.check_messages()
        for frame in list(t.message(2, 0, bytes(300), mtu=64))[3:]:
            assert t.send(frame) == (Outcome.SEQUENCE if way == "timeout" else Outcome.QUEUE)
            psn += 1
        await t.drain()
        dut.open.value = OPEN
        t.model.closed = {7}
        for frame in t.message(2, psn, bytes(range(200)), mtu=64, immediate=1):
            assert t.send(frame) == Outcome.PACKET
        await t.finish()


@cocotb.test()
async def closed_for_a_cycle(dut):
    """That is enough to end an open message, and a frame that is under way."""
    await reset(dut)
    t = Test(dut, o_stall=0.1)

    async def close():
        dut.open.value = OPEN & ~4
        await t.step()
        dut.open.value = OPEN

    frames = list(t.message(2, 0, bytes(300), mtu=64))
    for frame in frames[:3]:
        assert t.send(frame) == Outcome.PACKET
    await t.drain()
    await close()
    t.model.close(2)
    t.model.closed.remove(2)
    for frame in frames[3:]:
        assert t.send(frame) == Outcome.SEQUENCE
    await t.finish()

    t.model.close(2)
    frame, = t.message(2, 5, bytes(2000), mtu=2000)
    assert t.send(frame) == Outcome.QUEUE
    t.model.closed.remove(2)
    while len(t.put["i"]) > 1000 // SIZE:
        await t.step()
    await close()
    frame, = t.message(2, 6, bytes(range(200)), mtu=256)
    assert t.send(frame) == Outcome.PACKET
    await t.finish()


@cocotb.test()
async def reset_in_between(dut):
    """Whatever was under way, nothing of it is left after a reset."""
    await reset(dut)
    t = Test(dut, o_stall=0.9)
    for frame in t.message(0, 0, bytes(2000), mtu=512):
        t.send(frame)
    await t.quiet(60)
    dut.rst.value = 1
    dut.i__valid.value = 0
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    t = Test(dut)
    await RisingEdge(dut.clk)
    for frame in t.message(0, 70, bytes(range(250)), mtu=128, immediate=3):
        assert t.send(frame) == Outcome.PACKET
    await t.finish()
