# SPDX-License-Identifier: Apache-2.0
"""The decoder under Verilator against the pixels that Pillow gives."""

import hashlib
import random
import subprocess
from collections import namedtuple
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import corpus
from headrace.hw.jpeg.decoder import Decoder
from headrace.hw.status import Detail, Status
from verilated import compile_bench


HERE = Path(__file__).resolve().parent
MAX_WIDTH = 2304

Result = namedtuple("Result", "status detail rgb cycles")

needs_corpus = pytest.mark.skipif(not corpus.entries(), reason=f"no corpus at {corpus.FOLDER}")


@pytest.fixture(scope="module", params=[(1, 3, 1, 8), (2, 2, 4, 16), (4, 4, 2, 8)],
                ids="contexts{0[0]}".format)
def decode(request, tmp_path_factory):
    """``decode(paths, stall=…)`` yields a result for each file, through one Verilated decoder."""
    contexts, turns, lines, pixels = request.param
    bench = compile_bench(Decoder(contexts, MAX_WIDTH, lines, turns, pixels), HERE / "decoder.cpp",
                          tmp_path_factory.mktemp("decoder"),
                          defines=[f"CONTEXTS={contexts}", f"PIXELS={pixels}"])

    def decode(paths, *, stall=0.0, seed=1):
        out = tmp_path_factory.mktemp("out")
        run = subprocess.run(
            [bench, str(stall), str(seed), out, *paths],
            capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        results = []
        for n in range(len(paths)):
            raw = (out / str(n)).read_bytes()
            status, detail, width, height, _, cycles = np.frombuffer(raw[:24], np.int32)
            rgb = np.frombuffer(raw[24:], np.uint8).reshape(height, -(-width // pixels) * pixels, 3)
            results.append(Result(Status(status), Detail(detail), rgb[:, :width], cycles))
        return results

    return decode


def sha256(rgb):
    return hashlib.sha256(np.ascontiguousarray(rgb).tobytes()).hexdigest()


def paths_of(entries):
    return [corpus.FOLDER / entry["file"] for entry in entries]


@needs_corpus
def test_core_files(decode):
    entries = corpus.entries("exact", "core")
    assert len(entries) >= 100
    for entry, result in zip(entries, decode(paths_of(entries))):
        assert (result.status, result.detail) == (Status.OK, Detail.NONE), entry["file"]
        assert sha256(result.rgb) == entry["pillow"]["sha256_rgb"], entry["file"]


@needs_corpus
@pytest.mark.parametrize("stall", [0.1, 0.6])
def test_stalls_and_order_do_not_matter(decode, stall):
    entries = [e for e in corpus.entries("exact", "core") if e["bytes"] < 15000]
    for seed in range(2):
        random.Random(seed).shuffle(entries)
        for entry, result in zip(entries, decode(paths_of(entries), stall=stall, seed=seed)):
            assert result.status == Status.OK, entry["file"]
            assert sha256(result.rgb) == entry["pillow"]["sha256_rgb"], entry["file"]


@needs_corpus
def test_other_files_do_not_harm(decode):
    """Files that are not core: handed back or exact, with good files in between."""
    good = min(corpus.entries("exact", "core"), key=lambda e: e["bytes"])
    others = [e for e in corpus.entries() if (e["expected"], e["profile"]) != ("exact", "core")]
    entries = [e for other in others for e in (other, good)]
    for entry, result in zip(entries, decode(paths_of(entries))):
        if entry is good:
            assert result.status == Status.OK
        if entry["expected"] == "corrupt":
            assert result.status != Status.OK, entry["file"]
        if entry["expected"] == "unsupported":
            assert result.status != Status.OK, entry["file"]
        if result.status == Status.OK:
            assert sha256(result.rgb) == entry["pillow"]["sha256_rgb"], entry["file"]


@needs_corpus
def test_truncated_and_mutated_files(decode, tmp_path):
    """Damage ends with a status, or with the pixels that Pillow gives; never with others."""
    rng = random.Random(7)
    sources = [e for e in corpus.entries("exact", "core") if e["bytes"] < 6000]
    paths, intact = [], []
    for n in range(240):
        entry = rng.choice(sources)
        data = bytearray(corpus.data(entry))
        kind = n % 4
        if kind == 0:
            del data[rng.randrange(len(data)):]
        elif kind in (1, 2):
            for _ in range(rng.choice([1, 1, 2, 8])):
                data[rng.randrange(2, len(data))] = rng.randrange(256)
        paths.append(tmp_path / f"{n}.jpg")
        paths[-1].write_bytes(data)
        intact.append(kind == 3)
    for path, whole, result in zip(paths, intact, decode(paths)):
        if whole:
            assert result.status == Status.OK
        if result.status == Status.OK:
            pixels = np.asarray(Image.open(BytesIO(path.read_bytes())).convert("RGB"))
            np.testing.assert_array_equal(result.rgb, pixels, err_msg=str(path))
