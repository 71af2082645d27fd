# SPDX-License-Identifier: Apache-2.0
from headrace.hw.jpeg.dequantize import Dequantizer
from runner import simulate


def test_dequantize():
    simulate(Dequantizer(2), "jpeg_dequantize", name="jpeg_dequantize")
