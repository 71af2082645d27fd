# SPDX-License-Identifier: Apache-2.0
"""The algebra of the CRC against zlib."""

import random
import zlib

import pytest

from headrace.hw.wire import crc


@pytest.mark.parametrize("size", [8, 64])
@pytest.mark.parametrize("skipped", [0, 2, 14])
def test_fold_is_crc32(size, skipped):
    rng = random.Random(size)
    fold = crc.Fold(size)
    skip = skipped % size
    for length in [1, size, size + 1, 3 * size - 2, 130]:
        message = rng.randbytes(length)
        checked = message + zlib.crc32(b"\xff" * 8 + message).to_bytes(4, "little")
        framed = bytes(skip) + checked
        state = fold.start(skip)
        for at in range(0, len(framed), size):
            state = fold.compute(state, framed[at:at + size].ljust(size, b"\0"))
        assert state == fold.end((len(framed) - 1) % size + 1)
        framed = bytes(skip) + message
        state = fold.start(skip)
        for at in range(0, len(framed), size):
            state = fold.compute(state, framed[at:at + size].ljust(size, b"\0"))
        state = crc.apply(fold.basis, state)
        state = crc.apply(crc.advance(-(-len(framed) % size)), state)
        assert state ^ 0xffffffff == zlib.crc32(b"\xff" * 8 + message)


def test_inverse_wrong():
    with pytest.raises(ValueError, match="^Matrix must be regular"):
        crc.inverse([1, 1])
