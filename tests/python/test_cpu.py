# SPDX-License-Identifier: Apache-2.0
"""The verbs themselves, on the card that needs no hardware."""

import io
import pickle

import numpy as np
import pytest
from PIL import Image

import headrace as hr


@pytest.fixture(scope="module")
def card():
    with hr.open("cpu") as card:
        yield card


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(1).integers(0, 256, (37, 53, 3), np.uint8)


@pytest.fixture(scope="module")
def jpeg(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "jpeg")
    return file.getvalue()


def test_decode(card, jpeg):
    expected = np.array(Image.open(io.BytesIO(jpeg)))
    for data in jpeg, bytearray(jpeg), memoryview(jpeg), np.frombuffer(jpeg, np.uint8):
        np.testing.assert_array_equal(card.decode_jpeg(data), expected)
    many = card.decode_jpeg([jpeg, jpeg])
    assert isinstance(many, list) and all((one == expected).all() for one in many)
    assert card.decode_jpeg([]) == []


def test_decode_gray(card):
    file = io.BytesIO()
    Image.new("L", (5, 4), 77).save(file, "jpeg")
    assert (card.decode_jpeg(file.getvalue()) == np.full((4, 5, 3), 77)).all()


def test_decode_out(card, jpeg, pixels):
    out = np.empty_like(pixels)
    assert card.decode_jpeg(jpeg, out=out) is out
    assert (out == card.decode_jpeg(jpeg)).all()
    with pytest.raises(ValueError, match=r"^Out must be of shape \(37, 53, 3\), not \(1, 1, 3\)$"):
        card.decode_jpeg(jpeg, out=np.empty((1, 1, 3), np.uint8))
    with pytest.raises(ValueError, match=r"^Out must be of type uint8, not float32$"):
        card.decode_jpeg(jpeg, out=np.empty(pixels.shape, np.float32))
    with pytest.raises(ValueError, match=r"^Out must be C-contiguous and writable$"):
        card.decode_jpeg(jpeg, out=np.empty((37, 106, 3), np.uint8)[:, ::2])
    with pytest.raises(ValueError, match=r"^Out must hold 1 arrays, not 2$"):
        card.decode_jpeg([jpeg], out=[out, out])


@pytest.mark.parametrize("item", [7, None, [7], np.zeros((2, 2, 4), np.uint8),
                                  np.zeros((2, 2, 3), np.float32), np.zeros((0, 2, 3), np.uint8)])
def test_items_wrong(card, item):
    with pytest.raises(ValueError, match=r"^(item 0: )?(Item|Pixels) must be "):
        card.image(resize=4)(item)


@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
def test_resize(card, pixels, filter):
    expected = Image.fromarray(pixels).resize((20, 10), Image.Resampling[filter.upper()])
    np.testing.assert_array_equal(card.resize(pixels, (10, 20), filter), np.array(expected))
    gray = pixels[..., 0]
    many = card.resize([gray, pixels], (10, 20), filter)
    assert [one.shape for one in many] == [(10, 20), (10, 20, 3)]
    with pytest.raises(ValueError, match=r"^Size must be \(height, width\), not 10$"):
        card.resize(pixels, 10)


def test_image_shapes(card, jpeg, pixels):
    prep = card.image(resize=32, crop=(24, 20), mean=0.5, std=0.5, dtype="float16")
    assert prep.shape == (3, 24, 20) and prep.dtype == np.float16
    batch = prep([jpeg, pixels])
    assert batch.shape == (2, 3, 24, 20) and batch.dtype == np.float16
    assert (prep(jpeg) == batch[0]).all()
    assert prep([]).shape == (0, 3, 24, 20)
    many = card.image(resize=16, layout="HWC")([jpeg, pixels[:20]])
    assert [one.shape for one in many] == [(16, 22, 3), (16, 42, 3)]
    assert card.image(resize=16)([]) == []


def test_image_out(card, jpeg):
    prep = card.image(crop=8)
    out = np.zeros((2, 3, 8, 8), np.uint8)
    assert prep([jpeg, jpeg], out=out) is out
    assert (out == prep(jpeg)).all()
    with pytest.raises(ValueError, match=r"^Out must be of shape \(1, 3, 8, 8\), not"):
        prep([jpeg], out=out)


def test_image_out_over_items(card, pixels):
    """Results that overwrite items: those to come are as they were."""
    prep = card.image(resize=pixels.shape[:2], layout="HWC", filter="bicubic")
    buffer = np.stack([pixels, pixels[::-1], pixels // 2, pixels])
    expected = prep(buffer[:3].copy())
    prep(buffer[:3], out=buffer[1:])
    np.testing.assert_array_equal(buffer[1:], expected)
    buffer = np.stack([pixels, pixels[::-1]])
    expected = card.resize(list(buffer.copy()), pixels.shape[:2])
    card.resize(list(buffer), pixels.shape[:2], out=[buffer[1], buffer[0]])
    np.testing.assert_array_equal(buffer[::-1], expected)


def test_items_in_arrays(card, jpeg):
    """Arrays of files are lists of them; the memory of numbers is no file."""
    prep = card.image(crop=8)
    for items in np.array([jpeg, jpeg], object), np.array([jpeg, jpeg]), [np.bytes_(jpeg)] * 2:
        np.testing.assert_array_equal(prep(items), prep([jpeg, jpeg]))
    np.testing.assert_array_equal(prep(np.frombuffer(jpeg, np.uint8)), prep(jpeg))
    for item in np.uint8(5), np.array(5), np.zeros(5), [np.int64(3)]:
        with pytest.raises(ValueError, match="^(item 0: )?(Item|Pixels) must be "):
            prep(item)


def test_crop_larger_than_image_is_padded_with_black(card):
    white = np.full((3, 6, 3), 255, np.uint8)
    result = card.image(crop=(6, 4), layout="HWC")(white)
    assert result[1:4].min() == 255 and result[:1].max() == 0 and result[4:].max() == 0


def test_crop_rounds_half_to_even(card):
    ramp = np.repeat(np.arange(9, dtype=np.uint8), 3).reshape(1, 9, 3)
    assert card.image(crop=(1, 4), layout="HWC")(ramp)[0, 0, 0] == 2   # 2.5 -> 2
    assert card.image(crop=(1, 2), layout="HWC")(ramp)[0, 0, 0] == 4   # 3.5 -> 4


def test_one_bad_item_spoils_no_other(card, jpeg):
    prep = card.image(crop=8)
    results = prep([jpeg, b"no image", jpeg], errors="return")
    assert isinstance(results[1], Image.UnidentifiedImageError)
    assert (results[0] == results[2]).all()
    assert [report.error is None for report in prep.last] == [True, False, True]
    out = np.zeros((2, 3, 8, 8), np.uint8)
    with pytest.raises(Image.UnidentifiedImageError):
        prep([b"", jpeg], out=out)
    assert (out[1] == results[0]).all()
    with pytest.raises(ValueError, match=r"^Errors must be one of raise, return, not 'skip'$"):
        prep([jpeg], errors="skip")


def test_pickle(card, jpeg):
    prep = card.image(crop=8, dtype="float32")
    copy = pickle.loads(pickle.dumps(prep))
    assert copy.card is not card and (copy(jpeg) == prep(jpeg)).all()


def test_close(jpeg):
    card = hr.open("cpu")
    with card:
        card.decode_jpeg(jpeg)
    assert card.closed and card.counters()["items"] == 1
    card.close()
    with pytest.raises(hr.CardError, match="^Card must be open, not closed"):
        card.decode_jpeg(jpeg)


def test_open_wrong():
    with pytest.raises(ValueError, match=r"^Card must be one of sim, cpu, nic, .* not 'u55c'$"):
        hr.open("u55c")
    with pytest.raises(ValueError, match=r"^Fallback must be one of cpu, raise, not 'gpu'$"):
        hr.open("cpu", fallback="gpu")
    assert "cpu" in hr.cards()


def test_all_is_strings():
    assert all(isinstance(name, str) and hasattr(hr, name) for name in hr.__all__)
