# SPDX-License-Identifier: Apache-2.0
from headrace.hw.jpeg.bytes import ByteReader
from runner import simulate


def test_bytes():
    simulate(ByteReader(), "jpeg_bytes", name="jpeg_bytes")
