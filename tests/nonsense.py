# SPDX-License-Identifier: Apache-2.0
"""Frames that are wrong."""

from headrace import wire
from headrace.hw.wire.headers import MAX_FRAME


__all__ = ["mutated"]


def mutated(frame, rng):
    """A frame that is not quite right, or not at all."""
    frame = bytearray(frame)
    kind = rng.randrange(8)
    if kind == 0:
        for _ in range(rng.randrange(1, 4)):
            frame[rng.randrange(len(frame))] ^= 1 << rng.randrange(8)
    elif kind == 1:  # within the headers
        frame[rng.randrange(min(58, len(frame)))] = rng.randrange(256)
    elif kind == 2:
        del frame[rng.randrange(1, len(frame)):]
    elif kind == 3:
        frame = bytearray(rng.randbytes(rng.choice([1, 13, 14, 33, 59, 60, 64, 65, 1514, MAX_FRAME,
                                                    MAX_FRAME + 1, 12_000])))
    elif kind == 4:
        frame += rng.randbytes(rng.randrange(1, 200))
    elif kind == 5:  # other lengths, with all checksums right
        frame[16:18] = rng.choice([0, 20, 28, 40, 43, 44, len(frame), 0xFFFF,
                                   rng.randrange(1 << 16)]).to_bytes(2, "big")
        if rng.random() < 0.7:
            frame[38:40] = (int.from_bytes(frame[16:18], "big") - 20 & 0xFFFF).to_bytes(2, "big")
        resealed(frame)
    elif kind == 6:  # another opcode, queue pair, sequence number or padding, with the CRC right
        place, values = rng.choice([(42, range(256)), (49, range(256)), (53, range(256)),
                                    (43, (0x10, 0x20, 0x30, 0x0f))])
        frame[place] = rng.choice(values)
        resealed(frame)
    else:  # the same headers in front of anything
        frame[54:] = rng.randbytes(rng.randrange(0, 300))
        frame[16:18] = (len(frame) - 14).to_bytes(2, "big")
        frame[38:40] = (len(frame) - 34).to_bytes(2, "big")
        resealed(frame)
    return bytes(frame)


def resealed(frame):
    """Write the IPv4 checksum and the CRC anew, where the lengths allow it."""
    frame[24:26] = bytes(2)
    frame[24:26] = wire.checksum(frame[14:34]).to_bytes(2, "big")
    end = 14 + int.from_bytes(frame[16:18], "big")
    if 58 <= end <= len(frame):
        frame[end - 4:end] = wire.icrc(frame[:end - 4])
