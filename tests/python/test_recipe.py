# SPDX-License-Identifier: Apache-2.0
"""Options and what follows from them."""

import numpy as np
import pytest

import headrace as hr
from headrace.recipe import Recipe, bfloat16


@pytest.mark.parametrize("options, message", [
    (dict(resize=0), r"Resize must be within range\(1, 65536\), not 0$"),
    (dict(resize="big"), r"Resize must be within range\(1, 65536\), not 'big'$"),
    (dict(resize=True), r"Resize must be within range\(1, 65536\), not True$"),
    (dict(resize=(1, 2, 3)), r"Resize must be an int or \(height, width\), not \(1, 2, 3\)$"),
    (dict(resize=(4, 0)), r"Resize width must be within range\(1, 65536\), not 0$"),
    (dict(crop=-1), r"Crop must be within range\(1, 65536\), not -1$"),
    (dict(crop=(70000, 1)), r"Crop height must be within range\(1, 65536\), not 70000$"),
    (dict(filter="box"), r"Filter must be one of bilinear, bicubic, not 'box'$"),
    (dict(layout="NCHW"), r"Layout must be one of CHW, HWC, not 'NCHW'$"),
    (dict(dtype="int8"), r"Dtype must be one of uint8, float16, bfloat16, float32, not 'int8'$"),
    (dict(mean=0.5), r"Mean and std must be given together, not 0\.5 and None$"),
    (dict(mean=(1, 2), std=(1, 1, 1)), r"Mean must be three finite numbers, not \(1, 2\)$"),
    (dict(mean=0, std=np.nan, dtype="float32"), r"Std must be three finite numbers, not nan$"),
    (dict(mean=0, std=0, dtype="float32"), r"Std must be other than zero, not"),
    (dict(mean=0, std=1), r"Dtype must be a float type when mean and std are given"),
])
def test_wrong(options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Recipe(**options)


def test_dtype_objects():
    assert Recipe(dtype=np.float16).dtype == "float16"
    assert Recipe(dtype=np.dtype("uint8")).dtype == "uint8"


def test_resized():
    assert Recipe(resize=256).resized(480, 640) == (256, 341)
    assert Recipe(resize=256).resized(640, 480) == (341, 256)
    assert Recipe(resize=(7, 9)).resized(640, 480) == (7, 9)
    assert Recipe().resized(640, 480) == (640, 480)


def test_shapes():
    assert Recipe(256, 224).fixed_shape == (224, 224, 3)
    assert Recipe(256, 224, layout="CHW").fixed_shape == (3, 224, 224)
    assert Recipe((5, 6), layout="CHW").fixed_shape == (3, 5, 6)
    assert Recipe(256).fixed_shape is None


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_table(dtype):
    # The arithmetic of torch, one operation at a time.
    table = Recipe(mean=hr.IMAGENET_MEAN, std=hr.IMAGENET_STD, dtype=dtype).table()
    for channel in range(3):
        for x in range(256):
            value = np.float32(x) / np.float32(255)
            value = value - np.float32(hr.IMAGENET_MEAN[channel])
            value = value / np.float32(hr.IMAGENET_STD[channel])
            expected = bfloat16(value) if dtype == "bfloat16" else value.astype(dtype)
            assert table[channel, x] == expected


def test_table_overflows_to_infinity():
    assert np.isinf(Recipe(mean=0, std=1e-6, dtype="float16").table()[0, 255])


def test_bfloat16_rounds_to_nearest_even():
    bits = np.uint32([0x3f800000, 0x3f808000, 0x3f808001, 0x3f818000, 0xbf817fff, 0x7f7fffff,
                      0x7f800000, 0xff800000])
    assert [hex(value) for value in bfloat16(bits.view(np.float32))] == [
        "0x3f80", "0x3f80", "0x3f81", "0x3f82", "0xbf81", "0x7f80", "0x7f80", "0xff80"]
    assert bfloat16(np.float32([np.nan]))[0] == 0x7fc0
