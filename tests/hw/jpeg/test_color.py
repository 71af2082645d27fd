# SPDX-License-Identifier: Apache-2.0
from headrace.hw.jpeg.color import ColorTransform, Upsampler
from runner import simulate


def test_color_transform():
    simulate(ColorTransform(2), "jpeg_color", name="jpeg_color")


def test_upsampler():
    simulate(Upsampler(2), "jpeg_upsampler", name="jpeg_upsampler")
