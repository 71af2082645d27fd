# SPDX-License-Identifier: Apache-2.0
"""The simulated card against Pillow, and against the corpus."""

import contextlib
import hashlib
import io
import pickle
import random
import threading
import weakref

import numpy as np
import pytest
from PIL import Image

import corpus
import headrace as hr
from headrace import results
from headrace.bus_card import pack_recipe
from headrace.hw.card.config import BUS
from headrace.hw.card.jobs import COMPLETION, JOB, RECIPE_BYTES, Kind
from headrace.hw.status import Detail, Status
from headrace.sim import SimTransport


pytestmark = pytest.mark.usefixtures("sim_built")


@pytest.fixture(scope="module")
def strict():
    with hr.open("sim", fallback="raise") as card:
        yield card


@pytest.fixture(scope="module")
def sim():
    with hr.open("sim") as card:
        yield card


@pytest.fixture(scope="module")
def cpu():
    with hr.open("cpu") as card:
        yield card


def outcome(function, *args):
    """Result, or type and text of the exception (without addresses of objects)."""
    try:
        return function(*args)
    except Exception as error:
        return type(error), str(error).split(" at 0x")[0]


def equal(one, other):
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=True)
    return isinstance(one, tuple) and one == other


# Decoding: the corpus

@pytest.mark.parametrize("entry", corpus.params(corpus.entries("exact", "core")))
def test_core_files_are_exact(strict, entry):
    pixels = strict.decode_jpeg(corpus.data(entry))
    assert pixels.shape == (entry["height"], entry["width"], 3)
    assert hashlib.sha256(pixels).hexdigest() == entry["pillow"]["sha256_rgb"]


@pytest.mark.parametrize("entry", corpus.params(
    [entry for entry in corpus.entries() if entry["profile"] != "core"]))
def test_other_files_are_as_pillow_has_them(sim, cpu, entry):
    data = corpus.data(entry)
    assert equal(outcome(sim.decode_jpeg, data), outcome(cpu.decode_jpeg, data))
    [report] = sim.last
    if entry["expected"] == "unsupported":
        assert report.status is not hr.Status.OK
    if report.status is hr.Status.OK:
        assert entry["pillow"]["error"] is None
    else:
        assert report.fallback and report.detail is not hr.Detail.NONE


@pytest.mark.parametrize("options", [{}, dict(restart_marker_blocks=5)], ids=str)
def test_fill_bytes(strict, cpu, options):
    """Before a marker they are nothing; before a stuffed byte, damage. libjpeg's fast path, which
    is taken where much is left of the file, and its slow one differ there."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (96, 160), np.uint8)).save(
        file, "jpeg", quality=90, **options)
    data, stuffed, markers = file.getvalue(), [], []
    at = data.index(b"\xff\xda")
    while (at := data.find(b"\xff", at + 2)) >= 0:
        (markers if data[at + 1] else stuffed).append(at)
    files = [[data[:at] + b"\xff" + data[at:] + more for at in spots[::len(spots) // 6 or 1]]
             for spots in (stuffed, markers) for more in (b"", bytes(4000))]
    assert len(files[0]) >= 6
    for result in strict.image()([*files[0], *files[1]], errors="return"):
        assert isinstance(result, hr.ItemError) and result.detail is hr.Detail.FILL
    for pixels in strict.decode_jpeg([*files[2], *files[3]]):
        np.testing.assert_array_equal(pixels, cpu.decode_jpeg(data))


def test_bytes_behind_the_end(sim, cpu):
    """They cost nothing: they are not read, of good files and of bad ones."""
    file = io.BytesIO()
    Image.effect_noise((40, 30), 90).save(file, "jpeg")
    film = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 4096
    for data in file.getvalue(), file.getvalue()[:-200] + b"\xff\xff\0", b"\xff\xd8\xff\1":
        found = []
        for item in data, data + film:
            before = sim.counters()["read_beats"]
            assert equal(outcome(sim.decode_jpeg, item), outcome(cpu.decode_jpeg, item))
            [report] = sim.last
            found.append((report.cycles, sim.counters()["read_beats"] - before, report.status))
        (cycles, beats, status), (more_cycles, more_beats, same) = found
        assert more_cycles < 2 * cycles + 500 and more_beats < beats + 100, found
        assert (status is hr.Status.OK) == (same is hr.Status.OK)


def test_memory_that_does_not_answer():
    """A file that begins in the card's memory and goes on behind it fails as that, whatever its
    bytes look like."""
    size = 1 << 16
    transport = SimTransport(memory=size)
    file = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(file, "jpeg", quality=90)
    recipe = pack_recipe(hr.Recipe())
    for data in file.getvalue(), b"\xff\xd8" + bytes(64):
        at = size - 64 * (len(data) // 128)
        transport.memory.write(0, JOB.pack(kind=Kind.LOAD, payload=4096, length=RECIPE_BYTES)
                               + JOB.pack(kind=Kind.IMAGE, request=1, payload=at, result=16384,
                                          length=len(data), capacity=16384))
        transport.memory.write(4096, recipe)
        transport.memory.write(at, data[:size - at])
        with pytest.raises(hr.CardError, match="read outside the card's memory"):
            transport.run(0, 2, 2048)   # which ends all the same
        raw = np.empty(128, np.uint8)
        transport.memory.read_into(2048, raw)
        done = raw.view(COMPLETION.dtype)
        assert done["request"].tolist() == [0, 1]
        assert (done["status"][1], done["detail"][1]) == (hr.Status.BAD_JOB, hr.Detail.BUS)


# Preparing

RECIPES = [
    dict(resize=256, crop=224, mean=hr.IMAGENET_MEAN, std=hr.IMAGENET_STD, dtype="float32"),
    dict(resize=256, crop=224, mean=hr.IMAGENET_MEAN, std=hr.IMAGENET_STD, dtype="float16",
         filter="bicubic"),
    dict(resize=128, crop=(96, 112), dtype="bfloat16", mean=0.5, std=0.25, layout="HWC"),
    dict(resize=(60, 80), dtype="uint8", layout="CHW", filter="bicubic"),
    dict(resize=100, dtype="uint8", layout="HWC"),
    dict(crop=40, dtype="float32"),
]


@pytest.mark.parametrize("options", RECIPES, ids=str)
def test_photos(sim, cpu, photos, options):
    rng = random.Random(str(options))
    data = rng.sample(photos, min(len(photos), 42))
    results = sim.image(**options)(data, errors="return")
    for result, expected in zip(results, cpu.image(**options)(data, errors="return")):
        assert equal(result, expected)
    delivered = sum(report.status is hr.Status.OK for report in sim.last)
    assert delivered >= 0.9 * len(data), [report.detail for report in sim.last]


@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
def test_raw_pixels(sim, filter):
    rng = np.random.default_rng(5)
    for _ in range(20):
        height, width = rng.integers(1, 200, 2)
        size = tuple(int(side) for side in rng.integers(1, 150, 2))
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        expected = Image.fromarray(pixels).resize(size[::-1], Image.Resampling[filter.upper()])
        np.testing.assert_array_equal(sim.resize(pixels, size, filter), np.array(expected))
        gray = np.ascontiguousarray(pixels[..., 0])
        np.testing.assert_array_equal(sim.resize(gray, size, filter),
                                      np.array(expected)[..., 0])
    assert sim.counters()["items"]


def test_older_pillow(sim, strict, monkeypatch):
    """What Pillow before 13 would resize in another order than a card is left to it. (That results
    are equal then is what the other tests say, where it is installed.)"""
    monkeypatch.setattr(results, "ROWS_ALWAYS_FIRST", True)
    tall, wide = (np.arange(3 * 60 * 40, dtype=np.uint8).reshape(shape) for shape in (
        (60, 40, 3), (40, 60, 3)))
    files = []
    for pixels in tall, wide:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "jpeg")
        files.append(file.getvalue())
    for items in ([tall, wide], files):
        batch = sim.image(resize=(20, 30))(items)
        assert [report.status for report in sim.last] == [hr.Status.UNSUPPORTED, hr.Status.OK]
        assert sim.last[0].detail is hr.Detail.ORDER and sim.last[0].fallback
        np.testing.assert_array_equal(batch, hr.open("cpu").image(resize=(20, 30))(items))
    # Height shrinks by just twice what width does; nothing is resized.
    for options in dict(resize=(20, 20)), dict(crop=20):
        sim.image(**options)([tall])
        assert sim.last[0].status is hr.Status.OK
    with pytest.raises(hr.ItemError, match="Pillow, older than 13"):
        strict.resize(tall, (20, 30))


def test_every_value_of_every_type(strict):
    ramp = np.stack([np.arange(256, dtype=np.uint8).reshape(16, 16)] * 3, axis=2)
    for dtype in "uint8", "float16", "bfloat16", "float32":
        norm = {} if dtype == "uint8" else dict(mean=hr.IMAGENET_MEAN, std=hr.IMAGENET_STD)
        for layout in "CHW", "HWC":
            prep = strict.image(crop=16, dtype=dtype, layout=layout, **norm)
            expected = prep.recipe.table().reshape(3, 16, 16)
            if layout == "HWC":
                expected = expected.transpose(1, 2, 0)
            np.testing.assert_array_equal(prep(ramp), expected)


# Independence

def test_order_does_not_matter(sim, photos):
    prep = sim.image(resize=64, crop=56)
    expected = prep(photos[:12])
    rng = random.Random(2)
    for _ in range(3):
        order = rng.sample(range(12), 12)
        np.testing.assert_array_equal(prep([photos[n] for n in order]), expected[order])


@pytest.mark.parametrize("stalls", [0.1, 0.5, (0, 0.9, 0, 0, 0), (0, 0, 0.9, 0.9, 0.9)])
def test_stalls_do_not_matter(cpu, photos, stalls):
    options = dict(resize=64, crop=56, dtype="float16")
    with hr.open("sim", fallback="raise", stalls=stalls, latency=100, seed=3) as card:
        np.testing.assert_array_equal(card.image(**options)(photos[:6]),
                                      cpu.image(**options)(photos[:6]))


def test_bad_items_spoil_no_others(sim, cpu, photos):
    rng = random.Random(4)
    data = []
    for photo in photos[:10]:
        mutated = bytearray(photo)
        for _ in range(5):
            mutated[rng.randrange(len(mutated))] = rng.randrange(256)
        data += [photo, photo[:rng.randrange(len(photo))], bytes(mutated),
                 rng.randbytes(rng.randrange(300)), photo + b"after the end"]
    rng.shuffle(data)
    prep = sim.image(resize=48, crop=40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("PIL.Image.MAX_IMAGE_PIXELS", None)
        results = prep(data, errors="return")
        for item, result, report in zip(data, results, prep.last):
            [expected] = cpu.image(resize=48, crop=40)([item], errors="return")
            if isinstance(expected, Exception):
                assert type(result) is type(expected)
                assert report.status is not hr.Status.OK
            else:
                np.testing.assert_array_equal(result, expected)


def test_truncated_everywhere(sim, cpu):
    file = io.BytesIO()
    Image.effect_noise((24, 16), 50).convert("RGB").save(file, "jpeg")
    data = file.getvalue()
    items = [data[:length] for length in range(0, len(data), 3)]
    expected = [outcome(cpu.decode_jpeg, item) for item in items]
    prep = sim.image(layout="HWC")
    for result, other in zip(prep(items, errors="return"), expected):
        if isinstance(result, Exception):
            result = type(result), str(result).split(" at 0x")[0]
        assert equal(result, other)
    scan = data.index(b"\xff\xda")
    assert {report.status for item, report in zip(items, prep.last) if len(item) > scan + 14} <= {
        hr.Status.TRUNCATED, hr.Status.OK}


def test_threads(sim, cpu, photos):
    expected = cpu.image(crop=32)(photos[:8])
    failures = []

    def work(seed):
        order = random.Random(seed).sample(range(8), 8)
        if not (sim.image(crop=32)([photos[n] for n in order]) == expected[order]).all():
            failures.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_several_cards(cpu, photos):
    with hr.open("sim") as one, hr.open("sim") as other:
        a = one.image(crop=16)(photos[0])
        b = other.image(crop=16)(photos[0])
        assert (a == b).all() and (a == cpu.image(crop=16)(photos[0])).all()
        assert one.counters()["items"] == other.counters()["items"] == 1


def test_pickle(sim, photos):
    prep = sim.image(crop=16)
    copy = pickle.loads(pickle.dumps(prep))
    with copy.card:
        assert copy.card.name == "sim" and (copy(photos[0]) == prep(photos[0])).all()


# Limits

def test_fallback_raise():
    with hr.open("sim", fallback="raise") as card:
        with pytest.raises(hr.ItemError, match="^item 1: CORRUPT: does not start with an SOI"):
            card.image(crop=4)([np.zeros((4, 4, 3), np.uint8), b"no JPEG at all"])
        with pytest.raises(hr.ItemError) as caught:
            card.decode_jpeg(b"no JPEG at all")
        assert caught.value.index is None and caught.value.detail is hr.Detail.NOT_JPEG
        assert card.counters()["failures"] == 2
        assert card.counters()["statuses"] == {"CORRUPT/NOT_JPEG": 2}


def test_longest_sides(sim):
    """What the card could not be given is handed back, and costs the others nothing."""
    small = np.full((10, 12, 3), 200, np.uint8)
    items = [small, np.zeros((70000, 1, 3), np.uint8), np.zeros((1, 65529, 3), np.uint8), small]
    sim.image(resize=(3, 4))(items)
    assert [(report.status.name, report.fallback) for report in sim.last] == [
        ("OK", False), ("TOO_LARGE", True), ("TOO_LARGE", True), ("OK", False)]


@pytest.mark.parametrize("size", [24, 60, 132])
def test_files_that_fail_at_once_among_pixels(strict, size):
    """The file ends in its header; ``size`` decides when that is."""
    file = io.BytesIO()
    Image.fromarray(np.arange(768, dtype=np.uint8).reshape(16, 16, 3)).save(file, "jpeg")
    data = file.getvalue()
    comment = b"\xff\xfe" + (2 + 8 * size).to_bytes(2, "big") + bytes(8 * size)
    bad = data[:2] + comment + data[2:data.index(b"\xff\xda") + 14] + b"\xff\xd9"
    pixels = [np.full((8, 8, 3), n, np.uint8) for n in range(24)]
    found = strict.image(resize=(8, 8), layout="HWC")([bad, *pixels], errors="return")
    assert isinstance(found[0], hr.ItemError) and found[0].index == 0
    np.testing.assert_array_equal(found[1:], pixels)


def test_bicubic_of_long_sides(sim, strict):
    """Of a pair of sizes at which the card's own result differs from Pillow's by one."""
    pixels = np.zeros((7643, 8, 3), np.uint8)
    pixels[6814:6818] = np.array([33, 85, 73, 133], np.uint8)[:, None, None]
    expected = Image.fromarray(pixels).resize((8, 7610), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(sim.resize(pixels, (7610, 8), "bicubic"), expected)
    assert sim.last[0].detail is hr.Detail.TIE and sim.last[0].fallback
    if not results.ROWS_ALWAYS_FIRST:  # else they are handed back, for another reason
        strict.resize(pixels, (7610, 8))
        strict.resize(pixels[:4096], (4000, 8), "bicubic")


def test_recipe_that_was_not_loaded():
    """A request that ends half way leaves no number for what the card does not hold."""
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    with hr.open("sim") as card, hr.open("cpu") as cpu:
        for side in range(5, 5 + card.config.recipes):      # all numbers are in use
            card.image(resize=side)(pixels)
        write, calls = card._rounds.memory.write, []

        def cut(address, data):
            calls.append(address)
            if len(calls) == 2:     # behind the recipe itself come the jobs
                raise KeyboardInterrupt
            write(address, data)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(card._rounds, "memory", Other(card._rounds.memory, write=cut))
            patch.setattr(card._bus, "memory", Other(card._bus.memory, write=cut))
            with pytest.raises(KeyboardInterrupt):
                card.image(resize=4)(pixels)
        for side in 4, 5, 6:
            np.testing.assert_array_equal(card.image(resize=side)(pixels),
                                          cpu.image(resize=side)(pixels))
            assert card.last[0].status is hr.Status.OK


@pytest.mark.parametrize("kind", [Kind.IMAGE, Kind.TEXT])
def test_result_behind_the_memory(kind):
    """A result that the memory refuses is not OK, and the next one is as ever."""
    pixels = np.random.default_rng(1).integers(0, 256, (8, 16, 3), np.uint8)
    with hr.open("sim", memory=1 << 22, fallback="raise") as card:
        card.resize(pixels, (8, 16))
        card.hashing_vectorizer().transform(["a word"])
        bus, payload = card._bus, pixels.tobytes() if kind == Kind.IMAGE else b"some words"
        sides = dict(height=8, width=16) if kind == Kind.IMAGE else {}

        def run(*results):
            bus.memory.write(0, b"".join(JOB.pack(
                kind=kind, request=n + 1, payload=0x1000, length=len(payload), result=result,
                capacity=1024, **sides) for n, result in enumerate(results)) + bytes(512))
            bus.memory.write(0x1000, payload)
            with contextlib.nullcontext() if max(results) < 1 << 22 else pytest.raises(
                    hr.CardError, match="write outside the card's memory at address 0x400000"):
                bus.run(0, len(results), BUS * len(results))
            records = np.zeros(len(results), COMPLETION.dtype)
            bus.memory.read_into(BUS * len(results), records.view(np.uint8))
            records.sort(order="request")
            return list(zip(records["status"].tolist(), records["detail"].tolist()))

        assert run(0x8000) == [(Status.OK, Detail.NONE)]
        errors = card.counters()["bus_errors"]
        assert run(1 << 22) == [(Status.BAD_JOB, Detail.BUS)]
        assert card.counters()["bus_errors"] > errors
        assert run(0x8000) == [(Status.OK, Detail.NONE)]
        several = run(0x8000, 0x9000, 1 << 22, 0xA000, 0xB000)
        assert several[2] == (Status.BAD_JOB, Detail.BUS)
        assert set(several) <= {(Status.OK, Detail.NONE), (Status.BAD_JOB, Detail.BUS)}
        assert run(0x8000, 0x9000) == [(Status.OK, Detail.NONE)] * 2


class Other:
    """An object with some attributes changed."""

    def __init__(self, object, **changes):
        self.__dict__.update(changes, _object=object)

    def __getattr__(self, name):
        return getattr(self._object, name)


def test_closed_card_is_freed():
    card = hr.open("sim")
    card.resize(np.zeros((4, 4, 3), np.uint8), (2, 2))
    card.close()
    memory = weakref.ref(card)
    del card
    assert memory() is None


def test_crop_larger_than_image(sim, cpu, photos):
    small = np.full((10, 12, 3), 200, np.uint8)
    for item in small, photos[0]:
        options = dict(crop=(500, 900), mean=0.5, std=0.5, dtype="float32")
        np.testing.assert_array_equal(sim.image(**options)(item), cpu.image(**options)(item))


def test_memory_in_several_rounds(cpu, photos):
    options = dict(resize=64, crop=56, dtype="float32")
    with hr.open("sim", fallback="raise", memory=1 << 19) as card:
        np.testing.assert_array_equal(card.image(**options)(photos[:16]),
                                      cpu.image(**options)(photos[:16]))


def test_more_than_the_memory_holds(sim, cpu):
    pixels = np.zeros((700, 500, 3), np.uint8)
    with hr.open("sim", memory=1 << 19) as card:
        assert (card.resize(pixels, (4, 4)) == cpu.resize(pixels, (4, 4))).all()
        assert card.last[0].fallback


def test_many_recipes(strict, cpu):
    # More than the card holds at a time.
    pixels = np.random.default_rng(1).integers(0, 256, (12, 12, 3), np.uint8)
    for _ in range(2):
        for side in range(1, 12):
            options = dict(resize=side, dtype="float32", mean=side, std=side)
            assert (strict.image(**options)(pixels) == cpu.image(**options)(pixels)).all()


def test_cycles_are_counted(sim, photos):
    before = sim.counters()["cycles"]
    sim.decode_jpeg(photos[0])
    assert 0 < sim.last[0].cycles <= sim.counters()["cycles"] - before
