# SPDX-License-Identifier: Apache-2.0
"""The whole station: between MACs of cocotbext-eth, without room, and talking to itself."""

import os
import random

import cocotb
from cocotbext.eth import EthMacFrame, EthMacRx, EthMacTx
from cocotbext.eth.eth_mac import AxiStreamBus

from headrace import wire
from headrace.hw.stream.layout import Beat
from headrace.hw.wire.layout import Frame, Message, Segment
from headrace.hw.wire.outcome import Outcome
from wire_bench import IP, MAC, PEER_IP, PEER_MAC, Bench, beats, frames_of, pack, reset, unpack
from wire_receive import Test as Receiving


WIDTH = int(os.environ.get("HEADRACE_WIDTH", "64"))
QUEUES, BASE, SIZE = 8, 0x100, WIDTH // 8
HERE, PEER = wire.Station.of(MAC, IP, 4791), wire.Station.of(PEER_MAC, PEER_IP, 0xC001)


def messages_of(payloads):
    """Messages in beats of segments: queue, immediate, bytes; lost ones are left out."""
    layout, parts, messages = Segment(WIDTH, QUEUES), {}, []
    for payload in payloads:
        s = unpack(layout, payload)
        queue = s["queue"]
        assert s["first"] != (queue in parts)
        part = parts.pop(queue, b"") + s["data"].to_bytes(SIZE, "little")[:s["count"]]
        if not s["last"]:
            parts[queue] = part
        elif not s["lost"]:
            messages.append((queue, s["immediate"] if s["has_immediate"] else None, part))
    assert not parts
    return messages


def configure(dut):
    dut.mac.value, dut.ip.value, dut.queue_base.value = MAC, IP, BASE
    dut.open.value = dut.check.value = 0xff
    dut.segment.value = 1024


@cocotb.test()
async def between_macs(dut):
    """A MAC sends whether the station is ready or not, and takes a frame at the line's speed."""
    await reset(dut)
    configure(dut)
    dut.lossy.value = 1
    speed = 5e9 if WIDTH == 64 else 40e9  # the clock is 100 MHz
    mac_rx = EthMacRx(AxiStreamBus.from_prefix(dut, "s_axis_rx"), dut.clk, dut.rst, speed=speed)
    mac_tx = EthMacTx(AxiStreamBus.from_prefix(dut, "m_axis_tx"), dut.clk, dut.rst, speed=speed)
    bench = Bench(dut, ["i_message", "i_data"], ["o_segment"], o_stall=0.1)
    rng = random.Random(3)
    sender = wire.Sender(BASE + 1, PEER, HERE, segment=512)
    wanted = [(1, n, rng.randbytes(rng.randrange(2000))) for n in range(12)]
    for _, number, payload in wanted:
        for frame in sender.frames(payload, number):
            await mac_rx.send(EthMacFrame.from_raw_payload(frame))
        bench.put["i_message"].append(pack(
            Message(QUEUES), queue=2, queue_pair=7, length=len(payload), has_immediate=1,
            immediate=number, peer=dict(mac=PEER_MAC, ip=PEER_IP, port=4791)))
        bench.put["i_data"] += [int.from_bytes(payload[at:at + SIZE], "little")
                                for at in range(0, len(payload), SIZE)]
    while not mac_rx.idle() or not mac_tx.idle() or bench.put["i_data"]:
        await bench.step()
    await bench.drain(quiet=400)
    assert messages_of(bench.take("o_segment")) == wanted
    assembler, got = wire.Reassembler(), []
    while not mac_tx.empty():
        message = assembler.feed(wire.from_frame(mac_tx.recv_nowait().data))
        if message:
            got.append((message.immediate, message.payload))
    assert got == [(number, payload) for _, number, payload in wanted]


@cocotb.test()
async def no_room(dut):
    """Without room frames are dropped and counted, and messages are whole or lost."""
    await reset(dut)
    configure(dut)
    dut.lossy.value = 1
    t = Receiving(dut)
    configure(dut)
    rng = random.Random(4)
    sender = wire.Sender(BASE + 1, PEER, HERE, segment=4096)
    sent = {}
    t.o_stall["o_segment"] = 1.0
    for number in range(120):
        size = rng.randrange(300) if number % 10 < 8 else rng.randrange(3000, 9000)
        sent[number] = rng.randbytes(size)
        for frame in sender.frames(sent[number], number):
            t.put["i"] += beats(Frame(WIDTH), frame)
            t.frames += 1
        if number % 40 == 25:
            while t.put["i"]:
                await t.step()
            t.o_stall["o_segment"] = 0.0
            await t.drain()
            t.o_stall["o_segment"] = 1.0
            await t.step()
    while t.put["i"]:
        await t.step()
    t.o_stall["o_segment"] = 0.0
    for frame in sender.frames(b"and now there is room", 1000):
        await t.drain()
        t.put["i"] += beats(Frame(WIDTH), frame)
        t.frames += 1
    await t.drain()
    assert t.gone["i"][-1] - t.gone["i"][0] < t.cycle
    got = messages_of(t.take("o_segment"))
    for _, number, payload in got[:-1]:
        assert payload == sent[number]
    assert got[-1] == (1, 1000, b"and now there is room")
    counts = await t.counters()
    assert counts[Outcome.OVERFLOW] > 5 and len(got) > 40
    assert sum(n for outcome, n in counts.items() if outcome < Outcome.LOST) == t.frames
    dut._log.info(f"{counts[Outcome.OVERFLOW]} of {t.frames} frames without room, {len(got)} "
                  f"messages, {counts[Outcome.LOST]} lost")


@cocotb.test()
async def to_itself(dut):
    """What the sending side makes of messages, the receiving side turns back into them."""
    await reset(dut)
    configure(dut)
    bench = Bench(dut, ["i", "i_message", "i_data"], ["o", "o_segment"], i_stall=0.1, o_stall=0.1)
    rng = random.Random(5)
    wanted = []
    for segment in 64, 448, 4096, 8896:
        dut.segment.value = segment
        for n in range(12):
            payload = rng.randbytes(rng.randrange(5 * segment if segment < 1000 else 9000))
            queue, number = rng.randrange(QUEUES), rng.getrandbits(32)
            immediate = number if n % 3 else None
            wanted.append((queue, immediate, payload))
            bench.put["i_message"].append(pack(
                Message(QUEUES), queue=queue, queue_pair=BASE + queue, length=len(payload),
                has_immediate=immediate is not None, immediate=number,
                peer=dict(mac=MAC, ip=IP, port=4791)))
            bench.put["i_data"] += [int.from_bytes(payload[at:at + SIZE], "little")
                                    for at in range(0, len(payload), SIZE)]
        await bench.drain(quiet=100)
        for frame in frames_of(Beat(WIDTH), bench.take("o")):
            bench.put["i"] += beats(Frame(WIDTH), frame)
        await bench.drain(quiet=100)
    assert messages_of(bench.take("o_segment")) == wanted
