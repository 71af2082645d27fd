# SPDX-License-Identifier: Apache-2.0
"""The command line, as the README has it."""

import contextlib
import json
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headrace
import vocabulary
from headrace import bench, bench_card, bench_host, bench_wire, cli, reference
from headrace.cpu import CpuCard
from headrace.recipe import Recipe


ROOT = Path(__file__).resolve().parents[2]
PHOTO = ROOT / "examples" / "teddies.jpg"
IMAGENET = ["--resize", "256", "--crop", "224", "--imagenet", "--dtype", "float16"]


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.jpg"
    with Image.open(PHOTO) as photo:
        photo.resize((90, 60)).save(path)
    return path


def test_cards(capsys):
    assert cli.main(["cards"]) == 0
    assert re.search(r"^cpu  ", capsys.readouterr().out, re.M)


@pytest.mark.parametrize("card", ["cpu", "sim"])
def test_run(small, tmp_path, card, capsys, request):
    if card == "sim":
        request.getfixturevalue("sim_built")
    out, preview = tmp_path / "batch.npy", tmp_path / "preview.png"
    assert cli.main(["run", str(small), str(small), *IMAGENET, "--card", card, "-o", str(out),
                     "--preview", str(preview)]) == 0
    batch = np.load(out)
    recipe = Recipe(256, 224, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "float16",
                    "CHW")
    expected = reference.process(recipe, small.read_bytes())
    assert batch.shape == (2, 3, 224, 224)
    for tensor in batch:
        np.testing.assert_array_equal(tensor, expected)
    with Image.open(preview) as picture:
        assert picture.size == (448, 224)
    assert "2 of 2 images" in capsys.readouterr().out


def test_run_names_bad_files(sim_built, small, tmp_path, capsys):
    bad, missing = tmp_path / "bad.jpg", tmp_path / "missing.jpg"
    bad.write_bytes(b"no image")
    out = tmp_path / "batch.npy"
    assert cli.main(["run", str(bad), str(small), str(missing), "--resize", "20", "--crop", "16",
                     "-o", str(out)]) == 1
    captured = capsys.readouterr()
    assert "bad.jpg: UnidentifiedImageError" in captured.err
    assert "missing.jpg: FileNotFoundError" in captured.err
    assert f"{out}: rows are of files 1, counted from 0: those" in captured.err
    assert np.load(out).shape == (1, 3, 16, 16)


@contextlib.contextmanager
def no_room(limit=100):
    """Files cannot grow beyond some bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("options, message", [
    (["--resize", "10", "-o", "batch.npy"], "Results differ in shape"),
    (["--crop", "8", "-o", "batch.npy"], "batch.npy could not be written: "),
    (["--crop", "8", "--preview", "x.png"], "x.png could not be written: ")])
def test_bad_files_are_named_whatever_follows(small, tmp_path, options, message, capsys,
                                              monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Image.open(small) as picture:
        picture.resize((40, 80)).save("tall.jpg")
    with no_room():
        assert cli.main(["run", str(small), "nothere.jpg", "tall.jpg", "--card", "cpu",
                         *options]) == 1
    error = capsys.readouterr().err
    assert "nothere.jpg: FileNotFoundError" in error and message in error


def test_bad_texts_are_named_whatever_follows(words, tmp_path, capsys):
    paths, tokenizer, _ = words
    for args in (["tokenize", "--tokenizer", str(tokenizer)], ["hash", "--features", "10"]):
        with no_room():
            assert cli.main([args[0], *map(str, paths), *args[1:], "--card", "cpu",
                             "-o", str(tmp_path / "x.npz")]) == 1
        error = capsys.readouterr().err
        assert "bad.txt: UnicodeDecodeError" in error and "x.npz could not be written" in error
        assert not (tmp_path / "x.npz").exists()


@pytest.mark.parametrize("args, message", [
    (["decode", "-o", "x.psd"], "Picture must end in a suffix that Pillow can write, such as .png, "
                                "not 'x.psd'"),
    (["decode", "-o", "x.xbm"], "Picture must end in"),     # has no colours
    (["decode", "-o", "x.nothing"], "Picture must end in"),
    (["decode", "-o", "x"], "Picture must end in"),
    (["run", "--preview", "p.psd"], "Picture must end in"),
    (["run", "--preview", "p.npy"], "Picture must end in"),
    (["run", "-o", "out.png"], "Output must end in .npy, not 'out.png'"),
    (["run", "-o", "out"], "Output must end in .npy, not 'out'"),
    (["tokenize", "--tokenizer", "t.json", "-o", "x.npy"], "Output must end in .npz, not 'x.npy'"),
    (["hash", "-o", "x.txt"], "Output must end in .npz, not 'x.txt'"),
])
def test_names_of_results(args, message, tmp_path, capsys, monkeypatch):
    """They are looked at before any card is opened, and before any file is read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(headrace, "open", None)
    assert cli.main([args[0], "missing", *args[1:]]) == 1
    assert capsys.readouterr().err.startswith(f"headrace: {message}")
    assert not list(tmp_path.iterdir())


def test_decode(sim_built, small, tmp_path):
    with Image.open(small) as picture:
        expected = np.array(picture)
    for name in "photo.png", "photo.npy":
        out = tmp_path / name
        assert cli.main(["decode", str(small), "-o", str(out)]) == 0
        if out.suffix == ".npy":
            pixels = np.load(out)
        else:
            with Image.open(out) as picture:
                pixels = np.array(picture)
        np.testing.assert_array_equal(pixels, expected)


def test_bench(sim_built, small, capsys):
    assert cli.main(["bench", "jpeg", str(small), "--json"]) == 0
    [entry] = json.loads(capsys.readouterr().out)
    assert entry["pixels"] == 90 * 60 and entry["symbols"] > 0
    assert entry["cycles"] >= entry["symbols"]
    shares = entry["starved"] + entry["stalled"] + entry["idle"] + entry["symbols_per_cycle"]
    assert abs(shares - 1) < 1e-9
    assert cli.main(["bench", "jpeg", str(small), str(ROOT / "README.md")]) == 0
    text = capsys.readouterr().out
    assert "small.jpg" in text and "NOT_JPEG" not in text and "SOI" in text
    assert "together" not in text
    assert cli.main(["bench", "jpeg", str(small), str(small), "--json"]) == 0
    *alone, together = json.loads(capsys.readouterr().out)
    assert together["file"] == "together" and together["symbols"] == alone[0]["symbols"]
    assert together["pixels"] == 90 * 60 and together["bits"] == alone[0]["bits"]


@pytest.mark.parametrize("card", ["cpu", "xrt:0", "udp://127.0.0.1", "none"])
def test_bench_is_of_simulated_cards(small, card, capsys):
    assert cli.main(["bench", "jpeg", str(small), "--card", card]) == 1
    assert re.search(rf"^headrace: Card must be a simulated one \(sim, .*\), not '{card}'$",
                     capsys.readouterr().err)


def test_bench_card(sim_built, small, monkeypatch, capsys):
    # A card that is not built is named with the command.
    monkeypatch.setattr(bench_card, "CARDS", ("sim", "sim2"))
    monkeypatch.setitem(sys.modules, "headrace._sim2", None)
    args = ["bench", "card", str(small), "--copies", "2"]
    assert cli.main(["bench", "card", "--json", "--copies", "2", str(small)]) == 0
    one, missing = json.loads(capsys.readouterr().out)
    assert one["card"] == "sim" and one["lanes"] == 1 and one["images"] == 2 and one["ratio"] == 1
    assert one["images_per_megacycle"] == 2e6 / one["cycles"]
    assert 0 < one["read_beats_per_cycle"] < 1 and 0 < one["write_beats_per_cycle"] < 1
    assert missing["lanes"] == 2 and "cmake.define.CARDS=" in missing["missing"]
    assert cli.main([*args[:3], str(ROOT / "README.md"), *args[3:]]) == 0
    text = capsys.readouterr().out
    assert "estimate" in text and "SOI" in text and "cmake.define.CARDS=" in text
    assert cli.main(["bench", "card"]) == 1
    assert "Give files" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["sim2", "sim4"])
def test_bench_card_scales(sim_built, tmp_path, name, monkeypatch):
    pytest.importorskip(f"headrace._{name}", reason=f"the simulated card {name} is not built",
                        exc_type=ImportError)
    monkeypatch.setattr(bench_card, "CARDS", ("sim", name))
    with Image.open(PHOTO) as photo:
        photo.resize((400, 300)).save(tmp_path / "photo.jpg")
    one, more = bench_card.scaling([tmp_path / "photo.jpg"], copies=4)
    assert more["lanes"] == int(name[-1]) and more["images"] == 4 * more["lanes"]
    assert more["ratio"] >= 0.95 * more["lanes"] and more["limit"] == "image lanes"


def test_wide_card(tmp_path):
    """A picture of few symbols: exact, and at more pixels a cycle than other cards have."""
    pytest.importorskip("headrace._wide", reason="the simulated card wide is not built",
                        exc_type=ImportError)
    file = tmp_path / "flat.jpg"
    with Image.open(PHOTO) as photo:
        photo.resize((633, 479)).save(file, quality=5, subsampling="4:2:2")
    with headrace.open("wide", fallback="raise") as card, headrace.open("cpu") as reference:
        for recipe in (dict(layout="HWC"), bench.LANE):
            items = 4 * [file.read_bytes()]
            np.testing.assert_array_equal(card.image(**recipe)(items),
                                          reference.image(**recipe)(items))
    [figures] = bench.jpeg([file], card="wide")
    assert figures["pixels_per_cycle"] > 8


def test_bench_wire(nic_built, small, monkeypatch, capsys):
    monkeypatch.setattr(bench_wire, "ARRIVING", (256, 8896))
    monkeypatch.setattr(bench_wire, "LEAVING", (1024,))
    figures = bench_wire.ports([small], copies=2, amount=1 << 14)
    arriving, leaving, through = (
        [entry for entry in figures if entry["direction"] == direction]
        for direction in ("in", "out", "through"))
    assert len(arriving) == 5 and len(leaving) == 2 and len(through) == 1
    for entry in arriving:
        # A beat of 64 bytes a cycle, and nothing between frames.
        assert entry["cycles"] == entry["frames"] * -(-entry["frame_bytes"] // 64)
    for entry in arriving + leaving:
        assert 0 < entry["bytes_per_cycle"] <= 64
        share = entry["share_of_100g"] * entry["clock_for_100g"]
        assert share == pytest.approx(bench.CLOCK) and entry["share_of_1g"] == pytest.approx(
            100 * entry["share_of_100g"])
        assert entry["limit"] in ("a beat a cycle", "reading results")
    [entry] = through
    assert entry["images"] == 2 and entry["status"] == "OK" and entry["limit"] == "image lane"
    assert entry["bytes_out"] > 2 * 2 * 3 * 224 * 224 and 0.5 < entry["lane_busy"] <= 1
    monkeypatch.setattr(bench_wire, "ports", lambda paths, copies: figures)
    assert cli.main(["bench", "wire"]) == 0
    text = capsys.readouterr().out
    assert "estimate" in text and "small.jpg" in text
    assert cli.main(["bench", "wire", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == figures


def test_bench_host(sim_built, monkeypatch, capsys):
    figures = bench_host.host(requests=4, repeats=2)
    assert {"decode_jpeg", "image"} <= {entry["verb"] for entry in figures}
    for entry in figures:
        assert 0 < entry["host_us"] <= entry["median_us"] and 0 < entry["around_us"]
        assert entry["share"] == entry["host_us"] / entry["card_us"]
    monkeypatch.setattr(bench_host, "host", lambda: figures)
    assert cli.main(["bench", "host"]) == 0
    assert "decode_jpeg         4" in capsys.readouterr().out
    assert cli.main(["bench", "host", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == figures


@pytest.fixture
def words(tmp_path):
    """Two texts and a file that is none; a tokenizer."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    paths = [tmp_path / name for name in ("one.txt", "two.txt", "bad.txt")]
    for path, data in zip(paths, [b"the word of a piece", "hello caf\u00e9".encode(), b"\xff"]):
        path.write_bytes(data)
    tokenizer = vocabulary.tokenizer(vocabulary.small())
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return paths, tmp_path / "tokenizer.json", tokenizer


@pytest.mark.parametrize("card", ["cpu", "sim"])
def test_tokenize(words, tmp_path, card, capsys, request):
    if card == "sim":
        request.getfixturevalue("sim_built")
    paths, path, tokenizer = words
    out = tmp_path / "ids.npz"
    assert cli.main(["tokenize", *map(str, paths), "--tokenizer", str(path), "--card", card,
                     "-o", str(out)]) == 1
    assert "bad.txt: UnicodeDecodeError" in capsys.readouterr().err
    with np.load(out) as file:
        found = dict(file)
    expected = [tokenizer.encode(text.read_text("utf-8"), add_special_tokens=False).ids
                for text in paths[:2]]
    assert found["ids"].tolist() == sum(expected, [])
    assert found["offsets"].tolist() == [0, len(expected[0]), len(expected[0] + expected[1])]
    assert found["index"].tolist() == [0, 1]


@pytest.mark.parametrize("content, message", [
    (None, "No such file or directory: 'tokens.json'"),
    (b"hello", "headrace: Tokenizer must be a tokenizer.json, not tokens.json: "),
    (b'{"version":"1.0"}', "headrace: Tokenizer must be a tokenizer.json, not tokens.json: "),
    (b"\xff", "headrace: Tokenizer must be a tokenizer.json, not tokens.json: 'utf-8' codec"),
])
def test_tokenizers_that_are_none(words, content, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("tokens.json").write_bytes(content)
    assert cli.main(["tokenize", "one.txt", "--tokenizer", "tokens.json", "--card", "cpu"]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("card", ["cpu", "sim"])
def test_hash(words, tmp_path, card, capsys, request):
    if card == "sim":
        request.getfixturevalue("sim_built")
    from scipy import sparse
    from sklearn.feature_extraction.text import HashingVectorizer
    paths, _, _ = words
    out = tmp_path / "features.npz"
    assert cli.main(["hash", *map(str, paths), "--features", "1000", "--ngrams", "1,2",
                     "--card", card, "-o", str(out)]) == 1
    assert "bad.txt: UnicodeDecodeError" in capsys.readouterr().err
    found = sparse.load_npz(out)
    expected = HashingVectorizer(n_features=1000, ngram_range=(1, 2)).transform(
        path.read_bytes() for path in paths[:2])
    assert (found != expected).nnz == 0 and found.shape == expected.shape
    assert cli.main(["hash", *map(str, paths[::-1]), "--card", card, "-o", str(out)]) == 1
    with np.load(out) as file:
        assert file["index"].tolist() == [1, 2]


def test_bench_text(sim_built, words, capsys):
    paths, file, _ = words
    args = ["bench", "text", *map(str, paths[:2]), "--tokenizer", str(file)]
    assert cli.main([*args, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert [entry["kernel"] for entry in figures] == 2 * ["hashing 1-1", "hashing 1-2",
                                                          "wordpiece"]
    for entry in figures:
        assert entry["cycles"] > 0 and entry["redone"] == 0 and entry["elements"] > 0
        assert entry["bytes_per_cycle"] == entry["bytes"] / entry["cycles"]
    assert cli.main(args) == 0
    assert "estimate" in capsys.readouterr().out


def test_demo(sim_built, tmp_path, capsys):
    assert cli.main(["demo", str(PHOTO), "-o", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("yes, every bit") == 3
    assert np.load(tmp_path / "tensor.npy").shape == (3, 224, 224)
    assert (tmp_path / "demo.png").exists()


@pytest.mark.parametrize("name", ["xrt:0", "udp://10.0.0.2"])
def test_demo_on_other_cards(small, tmp_path, name, capsys, monkeypatch):
    """Those that are in no list, as there are many of their kind."""
    monkeypatch.setattr(headrace, "open", lambda name: CpuCard(name, "cpu"))
    assert cli.main(["demo", str(small), "-o", str(tmp_path), "--card", name]) == 0
    text = capsys.readouterr().out
    assert f" {name}: " in text and text.count("yes, every bit") == 3
    with pytest.raises(SystemExit):
        cli.main(["demo", "--help"])
    assert "default: the simulated card" in " ".join(capsys.readouterr().out.split())


def test_export(tmp_path):
    def export(*args):
        return subprocess.run([sys.executable, "-m", "headrace.hw.export", *args],
                              capture_output=True, text=True)

    assert "jpeg.decoder" in export("--list").stdout.split()
    out = tmp_path / "idct.v"
    assert export("jpeg.idct", "-o", str(out)).returncode == 0
    assert re.search(r"^module idct\(", out.read_text(), re.M)
    wrong = export("jpeg.nothing")
    assert wrong.returncode == 1 and "Name must be one of" in wrong.stderr
