# SPDX-License-Identifier: Apache-2.0
"""Items of images in all their forms, and what is wrong with one of a batch."""

import array
import ctypes
import io
import mmap
import pathlib

import numpy as np
import pytest
from PIL import Image

import headrace as hr
from headrace.client import Client
from headrace.errors import NoAnswer, of_item
from soft_nic import serving


RECIPE = dict(resize=(8, 6), layout="HWC")


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(1).integers(0, 256, (37, 53, 3), np.uint8)


@pytest.fixture(scope="module")
def jpeg(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "jpeg")
    return file.getvalue()


@pytest.fixture(params=["cpu", "sim", "network"])
def card(request):
    """Cards of all kinds, by name."""
    if request.param == "network":
        with serving() as (server, _), Client(*server.address, timeout=2) as card:
            yield card
        return
    if request.param == "sim":
        request.getfixturevalue("sim_built")
    with hr.open(request.param) as card:
        yield card


class Only:
    """An object that offers some of another's attributes and nothing else."""

    def __init__(self, thing, *names):
        self.__dict__.update({name: getattr(thing, name) for name in names})


class DLPack:
    """A tensor: one that only DLPack makes an array of."""

    def __init__(self, array, device=(1, 0)):
        self.array, self.device = array, device

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.device


class Lazy:
    """Becomes an array when asked, and only then."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


def strided(data):
    """A view of every third byte, which are ``data``."""
    return memoryview(bytes(byte for value in data for byte in (value, 0, 0)))[::3]


def files(data, path):
    """A file in every form that one has."""
    path.write_bytes(data)
    there = io.BytesIO(b"before" + data)
    there.seek(6)
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return {"bytearray": bytearray(data), "memoryview": memoryview(data), "path": path,
            "str": str(path), "pure path": pathlib.PurePosixPath(path), "np.str_": np.str_(path),
            "BytesIO": there, "file": open(path, "rb"), "raw file": open(path, "rb", buffering=0),
            "mmap": mapped, "array": array.array("B", data),
            "characters": memoryview(data).cast("c"),
            "signed": array.array("b", np.frombuffer(data, np.int8).tolist()),
            "ctypes": (ctypes.c_ubyte * len(data))(*data), "strided memoryview": strided(data),
            "backwards": memoryview(data[::-1])[::-1], "np.bytes_": np.bytes_(data),
            "ndarray": np.frombuffer(data, np.uint8),
            "strided ndarray": np.frombuffer(data, np.uint8).repeat(2)[::2],
            "DLPack": DLPack(np.frombuffer(bytearray(data), np.uint8)),
            "interface": Only(np.frombuffer(data, np.uint8), "__array_interface__")}


def arrays(pixels):
    """Pixels in every form that they have."""
    wide = np.zeros((37, 2 * 53, 3), np.uint8)
    wide[:, ::2] = pixels
    return {"memoryview": memoryview(pixels), "strided": wide[:, ::2],
            "strided memoryview": memoryview(wide[:, ::2]), "flipped": pixels[:, ::-1][:, ::-1],
            "channels first": np.ascontiguousarray(pixels.transpose(2, 0, 1)).transpose(1, 2, 0),
            "DLPack": DLPack(pixels), "strided DLPack": DLPack(wide[:, ::2]),
            "interface": Only(pixels, "__array_interface__"),
            "__array__": Lazy(pixels),
            "PIL": Image.fromarray(pixels)}


def check_forms(do, forms, expected, batch):
    """Each form alone, and what may be batched in one batch."""
    for name, item in forms.items():
        if not hasattr(item, "read") or isinstance(item, mmap.mmap):
            np.testing.assert_array_equal(do(item), expected, name)
    for result in batch(iter(forms.values())):
        np.testing.assert_array_equal(result, expected)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_files(card, jpeg, tmp_path):
    forms = files(jpeg, tmp_path / "photo.jpg")
    expected = hr.open("cpu").image(**RECIPE)(jpeg)
    prep = card.image(**RECIPE)
    check_forms(prep, forms, expected, prep)
    forms = files(jpeg, tmp_path / "photo.jpg")
    check_forms(card.decode_jpeg, forms, hr.open("cpu").decode_jpeg(jpeg), card.decode_jpeg)
    for make in (io.BytesIO, lambda data: open(tmp_path / "photo.jpg", "rb")):
        np.testing.assert_array_equal(prep(make(jpeg)), expected)
        with make(jpeg) as file:  # read to its end
            prep([file])
            assert file.tell() == len(jpeg)


@pytest.mark.parametrize("name", ["cpu", "sim"])
def test_pixels(name, pixels, request):
    if name == "sim":
        request.getfixturevalue("sim_built")
    with hr.open(name) as card, hr.open("cpu") as cpu:
        prep = card.image(**RECIPE)
        check_forms(prep, arrays(pixels), cpu.image(**RECIPE)(pixels), prep)

        def resize(item):
            return card.resize(item, (8, 6))
        expected = np.array(Image.fromarray(pixels).resize((6, 8), Image.Resampling.BILINEAR))
        check_forms(resize, arrays(pixels), expected, resize)
        batch = np.stack([pixels, 255 - pixels])
        for form in batch, memoryview(batch), DLPack(batch), Only(batch, "__array_interface__"):
            np.testing.assert_array_equal(prep(form), prep(list(batch)))
            np.testing.assert_array_equal(resize(form), resize(list(batch)))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_pil_images_are_rgb(mode, pixels):
    """As ``convert("RGB")`` has them, whatever they are."""
    image = Image.fromarray(pixels).convert("L" if mode == "I;16" else mode)
    image = image.convert(mode)
    with hr.open("cpu") as card:
        result = card.resize(image, (9, 7), "bicubic")
        rgb = image.convert("RGB")
        np.testing.assert_array_equal(
            result, np.array(rgb.resize((7, 9), Image.Resampling.BICUBIC)))
        np.testing.assert_array_equal(card.image(layout="HWC")([image])[0], np.array(rgb))


def test_pil_image_of_a_damaged_file(jpeg, pixels):
    """It is read when its pixels are needed."""
    with hr.open("cpu") as card:
        image = Image.open(io.BytesIO(jpeg[:len(jpeg) // 2]))
        results = card.image(crop=8)([image, pixels], errors="return")
        assert isinstance(results[0], OSError) and results[1].shape == (3, 8, 8)


def test_names_in_arrays(jpeg, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg)
    with hr.open("cpu") as card:
        prep = card.image(crop=8)
        for paths in np.array([str(path)] * 2), np.array([path] * 2), {1: path}.values():
            for result in prep(paths):
                np.testing.assert_array_equal(result, prep(jpeg))


#: Items that nothing can be made of, and what is said of them.
WRONG = [
    (None, "^Item must be an encoded file .*, not NoneType$"),
    (7, "not int$"), (7.5, "not float$"), (np.uint8(5), "not uint8$"), (object(), "not object$"),
    (np.ndarray, "not type$"), (print, "not builtin_function_or_method$"),
    (io.StringIO("text"), r"^File object must give bytes, not str: open it as open\(path,"),
    (Only(io.StringIO("text"), "read"), "must give bytes"),
    (Only(io.BytesIO, "read"), "read"),
    ("nothere.jpg", "No such file or directory: 'nothere.jpg'"), ("a\0b", "null"),
    (pathlib.Path("/"), "Is a directory"),
    (np.zeros(()), r"give what it holds, \.item\(\)$"),
    (np.array(b"file"), r"give what it holds, \.item\(\)$"),
    (np.zeros(5), "^Pixels must be uint8 of shape"),
    (array.array("i", [1, 2]), "not int32 of shape"),
    (np.zeros((2, 2, 3), np.float32), "not float32 of shape"),
    (np.zeros((2, 2, 3), bool), "not bool of shape"),
    (np.zeros((0, 2, 3), np.uint8), r"of shape \(0, 2, 3\)$"),
    (np.zeros((9, 9), np.uint8), r"np\.stack\(\[pixels\] \* 3, axis=-1\)$"),
    (np.zeros((9, 9, 1), np.uint8), r"pixels\.repeat\(3, 2\)$"),
    (np.zeros((9, 9, 4), np.uint8), r"leave alpha out, pixels\[\.\.\., :3\]$"),
    (np.zeros((3, 9, 9), np.uint8), r"pixels\.transpose\(1, 2, 0\)$"),
    (DLPack(np.zeros((9, 9, 3), np.uint8), (2, 0)),
     r"^Pixels must be in the host's memory, .*\.cpu\(\) or \.get\(\)$"),
    (DLPack(np.zeros((9, 9, 3), "datetime64[s]")), "^Pixels must be uint8, .* DLPack has of this"),
    (type("Cuda", (), {"__cuda_array_interface__": {}})(), "host's memory"),
    (type("Broken", (), {"__array__": lambda self: 1 // 0})(), "zero"),
    (b"", "cannot identify"), (b"no image", "cannot identify"),
]


@pytest.mark.parametrize("item, message", WRONG,
                         ids=[f"{n}-{type(item).__name__}" for n, (item, _) in enumerate(WRONG)])
def test_one_wrong_item(card, item, message, jpeg):
    """It fails alone, and the exception says which one it is."""
    prep = card.image(**RECIPE)
    good = prep(jpeg)
    if not card.takes_pixels:
        message = f"{message}|not an array of|not an encoded file"
    with pytest.raises(Exception, match=message):
        prep(item)
    assert isinstance(prep(item, errors="return"), Exception)
    first, middle, last = prep([jpeg, item, jpeg], errors="return")
    np.testing.assert_array_equal([first, last], [good, good])
    assert middle.index == 1
    assert "item 1" in "".join([str(middle), *getattr(middle, "__notes__", ["item 1"])])
    assert [report.error is None for report in card.last] == [True, False, True]
    out = np.zeros((3, *good.shape), good.dtype)
    with pytest.raises(type(middle)) as caught:
        prep([jpeg, item, jpeg], out=out)
    assert caught.value.index == 1
    np.testing.assert_array_equal(out, [good, np.zeros_like(good), good])


def test_wrong_items_of_other_verbs(card, jpeg, pixels):
    first, *wrong, last = card.decode_jpeg(
        [jpeg, None, pixels, Image.fromarray(pixels), "nothere.jpg", b"x", jpeg], errors="return")
    np.testing.assert_array_equal(first, last)
    assert [error.index for error in wrong] == [1, 2, 3, 4, 5]
    for error in wrong[1:3]:
        assert str(error).endswith("give the file that it comes from, or encode it")
    assert isinstance(card.decode_jpeg(None, errors="return"), ValueError)
    if not card.takes_pixels:
        with pytest.raises(ValueError, match="^A card in the network must be given encoded files"):
            card.resize(pixels, (4, 4), errors="return")
        return
    first, *wrong, last = card.resize(
        [pixels, jpeg, None, pixels[..., :2], pixels[..., 0]], (4, 5), errors="return")
    assert first.shape == (4, 5, 3) and last.shape == (4, 5)
    assert [error.index for error in wrong] == [1, 2, 3]
    assert "not an encoded file" in str(wrong[0])
    with pytest.raises(ValueError, match="^item 1: Item must be pixels .* encoded file: decode it"):
        card.resize([pixels, jpeg, None], (4, 5))


def test_pixels_are_no_files_for_the_network(jpeg, pixels):
    with serving() as (server, _), Client(*server.address, timeout=2) as card:
        prep = card.image(**RECIPE)
        for item in pixels, Image.fromarray(pixels), DLPack(pixels), memoryview(pixels):
            with pytest.raises(ValueError, match="^Item must be an encoded file .*, or encode it$"):
                prep(item)
            results = prep([item, jpeg], errors="return")
            assert results[0].index == 0 and results[1].shape == (8, 6, 3)
        assert card.counters()["sent"] == 4


@pytest.mark.parametrize("batch, remedy", [
    ({1, 2}, r"sorted\(…\)"), (frozenset(), r"sorted\(…\)"),
    ({"a.jpg": b""}, r"list\(….values\(\)\)")])
def test_batches_without_order(card, batch, remedy):
    with pytest.raises(ValueError, match=f"^Batch must be a list .*, not {type(batch).__name__}: "
                                         f"give {remedy}$"):
        card.image(**RECIPE)(batch, errors="return")


def test_batches_that_are_no_lists(jpeg):
    with hr.open("cpu") as card:
        prep = card.image(**RECIPE)
        for make in tuple, iter, reversed, lambda items: (item for item in items):
            assert prep(make([jpeg, jpeg])).shape == (2, 8, 6, 3)
        assert prep(iter([])).shape == (0, 8, 6, 3) and card.decode_jpeg(iter([])) == []


def test_handed_back_behind_wrong_items(sim_built, jpeg):
    """Its index is that of the caller's list."""
    with hr.open("sim", fallback="raise") as card:
        results = card.image(**RECIPE)([None, jpeg, b"no image"], errors="return")
        assert [type(result) for result in results] == [ValueError, np.ndarray, hr.ItemError]
        assert results[2].index == 2 and str(results[2]).startswith("item 2: CORRUPT")
        assert card.counters()["failures"] == 2 and card.counters()["items"] == 3
        with pytest.raises(ValueError, match="^item 0: Item must be"):
            card.image(**RECIPE)([None, b"no image"])


def test_nothing_is_read_for_wrong_arguments(jpeg):
    file = io.BytesIO(jpeg)
    with hr.open("cpu") as card:
        with pytest.raises(ValueError, match="^Errors must be one of"):
            card.decode_jpeg(file, errors="skip")
        with pytest.raises(ValueError, match="^Errors must be one of"):
            card.resize(np.zeros((4, 4, 3), np.uint8), (2, 2), errors=None)
    with pytest.raises(hr.CardError, match="^Card must be open"):
        card.image(**RECIPE)([file], errors="return")
    assert file.tell() == 0


def test_errors_of_items():
    error = of_item(NoAnswer(3, 2, 1.0), 7)
    assert isinstance(error, NoAnswer)
    assert (error.index, error.times, error.seconds) == (7, 2, 1.0)
    error = of_item(Image.UnidentifiedImageError("what Pillow says"), 7)
    assert str(error) == "what Pillow says" and error.index == 7
    assert getattr(error, "__notes__", ["item 7"]) == ["item 7"]
    error = of_item(ValueError("what we say"), 7)
    assert str(error) == "item 7: what we say" and error.index == 7
    lost = hr.CardError("gone")
    assert of_item(lost, 7) is lost and str(lost) == "gone"
