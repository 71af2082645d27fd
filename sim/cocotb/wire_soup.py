# SPDX-License-Identifier: Apache-2.0
"""Everything at once: messages of all queues, damage of all kinds, noise, stalls."""

import random
import struct

import cocotb

from headrace.hw.wire.outcome import Outcome
from wire_bench import IP, MAC, reset
from wire_receive import BASE, Test, with_checksum


def worsened(rng, frame):
    """A frame after what may happen to it on the way, mostly nothing."""
    if rng.random() < 0.1:
        frame = bytearray(frame)
        for _ in range(rng.choice([1, 1, 2, 5])):
            frame[rng.randrange(min(len(frame), 70))] = rng.randrange(256)
        if rng.random() < 0.5:
            frame = with_checksum(frame)
    if rng.random() < 0.05:
        frame = frame[:rng.randrange(len(frame) + 1)]
    if rng.random() < 0.05:
        frame = bytes(frame) + bytes(rng.randrange(40))
    return bytes(frame)


def noise(rng):
    """Random bytes, more or less like a frame for this station."""
    if rng.random() < 0.5:
        return rng.randbytes(rng.choice([rng.randrange(150)] * 20 + [9088, 9089, 12000]))
    frame = bytearray(MAC.to_bytes(6, "big") + rng.randbytes(6) + b"\x08\x00\x45"
                      + rng.randbytes(rng.randrange(40, 120)))
    length = rng.choice([len(frame) - 14, rng.randrange(160), rng.randrange(65536)])
    frame[16:18], frame[20:22] = struct.pack(">H", length), b"\x40\x00"
    frame[23], frame[30:34] = rng.choice([1, 17, 17, 17]), IP.to_bytes(4, "big")
    if frame[23] == 1:
        frame[34:36] = b"\x08\x00"
    else:
        frame[36:40] = struct.pack(">HH", 4791, max(0, length - 20))
        frame[42], frame[43] = rng.randrange(0x20, 0x26), frame[43] & 0x30
        frame[47:50] = (BASE + 3).to_bytes(3, "big")  # whose CRC is not looked at
    return with_checksum(frame)


@cocotb.test()
async def soup(dut):
    """Messages come out as the model has them, counters too, whatever is between them."""
    await reset(dut)
    t = Test(dut)
    for seed, (i_stall, o_stall) in enumerate([(0.0, 0.0), (0.3, 0.1), (0.0, 0.6)]):
        t.i_stall, t.o_stall["o_segment"] = i_stall, o_stall
        rng = random.Random(seed)
        psn = [1000 * seed] * 7
        for _ in range(60):
            queue = rng.randrange(7)
            if rng.random() < 0.3:
                t.send(noise(rng))
                continue
            size = rng.choice([0, 1, 5, 40, 64, 100, 700, 3000])
            for frame in t.message(queue, psn[queue], rng.randbytes(size),
                                   mtu=rng.choice([64, 256, 1024]),
                                   immediate=rng.choice([None, rng.getrandbits(32)])):
                t.send(worsened(rng, frame), error=rng.random() < 0.02)
                psn[queue] += 1
        await t.drain()
        t.check_messages()
        t.check_answers()
    # The next message of every queue is exact.
    for queue in range(7):
        for frame in t.message(queue, 9 * queue, bytes(range(200)), mtu=64, immediate=queue):
            assert t.send(frame) == Outcome.PACKET
    await t.finish()
    assert t.model.counters[Outcome.LOST] > 10
