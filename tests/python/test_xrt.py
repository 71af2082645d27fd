# SPDX-License-Identifier: Apache-2.0
"""Alveo cards, on a stand-in of XRT's Python module whose card is simulated."""

import gc
import pickle
import sys

import numpy as np
import pytest
from PIL import Image

import headrace as hr
from headrace import cli, overlay, xrt
from headrace.hw.card import registers
from fake_pyxrt import Machine, State
from pictures import jpeg, pillow


pytestmark = pytest.mark.usefixtures("sim_built")

RUNNING, ERROR = State.RUNNING, State.ERT_CMD_STATE_ERROR


@pytest.fixture
def xclbin(tmp_path, monkeypatch):
    monkeypatch.delenv(xrt.XCLBIN, raising=False)
    return overlay.write(tmp_path, "alveo")[0]


@pytest.fixture(params=[True, False], ids=["registers", "no_registers"])
def machine(request, monkeypatch):
    return Machine(request.param).install(monkeypatch)


@pytest.fixture
def alveo(machine):
    return machine.cards[0]


@pytest.fixture
def card(machine, xclbin):
    with hr.open("xrt:0", xclbin=xclbin, fallback="raise") as card:
        yield card


def test_images(card):
    data = [jpeg(40, 56, n) for n in range(3)]
    for got, item in zip(card.decode_jpeg(data), data):
        np.testing.assert_array_equal(got, pillow(item))
    out = np.zeros((24, 32, 3), np.uint8)
    card.resize(pillow(data[0]), (24, 32), out=out)
    np.testing.assert_array_equal(out, np.asarray(
        Image.fromarray(pillow(data[0])).resize((32, 24), Image.BILINEAR)))
    assert card.last[0].status is hr.Status.OK
    prep = card.image(resize=32, crop=24, mean=hr.IMAGENET_MEAN, std=hr.IMAGENET_STD,
                      dtype="float16")
    with hr.open("cpu") as cpu:
        expected = cpu.image(resize=32, crop=24, mean=hr.IMAGENET_MEAN, std=hr.IMAGENET_STD,
                             dtype="float16")(data)
    np.testing.assert_array_equal(prep(data), expected)


def test_texts(card):
    text = pytest.importorskip("sklearn.feature_extraction.text",
                               reason="scikit-learn, the reference, is not installed")
    texts = ["One text, two texts", "", "Straße und ÄÖÜ"]
    options = dict(n_features=2**16, ngram_range=(1, 2))
    found = card.hashing_vectorizer(**options).transform(texts)
    assert (found != text.HashingVectorizer(**options).transform(texts)).nnz == 0


def test_counters(card, machine):
    card.decode_jpeg(jpeg(16, 16))
    counters = card.counters()
    assert counters["items"] == 1
    # Those of the card itself are read from its registers.
    assert counters.get("requests", 0) == 2 * machine.readable
    if not machine.readable:
        with pytest.raises(hr.CardError, match="^Register 0x40 cannot be reached: pyxrt of this"):
            card._bus.read_register(0x40)


def test_by_address_and_environment(machine, xclbin, monkeypatch):
    monkeypatch.setenv(xrt.XCLBIN, str(xclbin))
    data = jpeg(16, 24)
    with hr.open("xrt:0000:3b:00.1") as card:
        np.testing.assert_array_equal(card.decode_jpeg(data), pillow(data))
    assert card.name == "xrt:0000:3b:00.1"
    with pickle.loads(pickle.dumps(card)) as other:
        np.testing.assert_array_equal(other.decode_jpeg(data), pillow(data))


def test_command(machine, xclbin, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(xrt.XCLBIN, str(xclbin))
    data = jpeg(16, 24)
    (tmp_path / "a.jpg").write_bytes(data)
    assert cli.main(["decode", str(tmp_path / "a.jpg"), "-o", str(tmp_path / "a.npy"), "--card",
                     "xrt:0", "--fallback", "raise"]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), pillow(data))
    capsys.readouterr()
    assert cli.main(["cards"]) == 0
    assert "xrt:N" in capsys.readouterr().out


def test_close_frees_everything(alveo, xclbin):
    for _ in range(3):
        card = hr.open("xrt:0", xclbin=xclbin)
        card.decode_jpeg(jpeg(16, 16))
        assert len(alveo.taken) == 1
        card.close()
        gc.collect()
        assert not alveo.taken and alveo.owner() is None
    with pytest.raises(hr.CardError, match="^Card must be open, not closed"):
        card.decode_jpeg(jpeg(16, 16))


def test_memory(alveo, xclbin):
    with pytest.raises(hr.CardError, match="^XRT cannot allocate 268435456 bytes of the card's"):
        hr.open("xrt:0", xclbin=xclbin, memory=1 << 28)
    gc.collect()
    assert not alveo.taken and alveo.owner() is None
    # In several rounds, and what never fits is done by the CPU.
    with hr.open("xrt:0", xclbin=xclbin, memory=1 << 18) as card:
        data = [jpeg(64, 64, n) for n in range(30)] + [jpeg(400, 400)]
        before = alveo.runs
        for got, item in zip(card.decode_jpeg(data), data):
            np.testing.assert_array_equal(got, pillow(item))
        assert alveo.runs - before > 1
        assert [report.fallback for report in card.last] == [False] * 30 + [True]


def test_slow_card(card, alveo):
    data = jpeg(16, 16)
    alveo.states = [RUNNING, State.ERT_CMD_STATE_QUEUED, State.ERT_CMD_STATE_COMPLETED]
    np.testing.assert_array_equal(card.decode_jpeg(data), pillow(data))


def test_hung_card(card, alveo, monkeypatch):
    monkeypatch.setattr(xrt, "PATIENCE", 0.1)
    alveo.states = [RUNNING]
    data = jpeg(16, 16)
    for _ in range(2):
        with pytest.raises(hr.CardError, match="reset it by `xbutil reset`"):
            card.decode_jpeg(data)
    assert alveo.runs == 1


def test_failed_batch(card, alveo):
    alveo.states = [ERROR]
    with pytest.raises(hr.CardError, match=r"^XRT gave up a batch \(ERT_CMD_STATE_ERROR\)"):
        card.decode_jpeg(jpeg(16, 16))


@pytest.mark.parametrize("lost", ["start", "memory", "completions"])
def test_what_was_lost(card, alveo, monkeypatch, lost):
    """A start or a copy that never came to the card: an error, not the result of the last batch."""
    data = [jpeg(16, 16, n) for n in range(3)]
    card.decode_jpeg(data[:2])
    bus = alveo.bus
    with monkeypatch.context() as context:
        if lost == "start":
            write = bus.write_register
            context.setattr(bus, "write_register", lambda address, value: (
                address == registers.CTRL or write(address, value)))
            context.setattr(bus, "wait", lambda: None)
        elif lost == "memory":
            context.setattr(card._bus.memory, "push", lambda offset, length: None)
        else:
            write = bus.write_argument
            context.setattr(bus, "write_argument", lambda name, value: write(
                name, value + (1 << 20 if name == "completions" else 0)))
        with pytest.raises(hr.CardError, match="^The card did not do what it was told"):
            card.decode_jpeg(data[1:])
    for array, item in zip(card.decode_jpeg(data), data):
        np.testing.assert_array_equal(array, pillow(item))


# What is not there

def test_without_pyxrt(monkeypatch, xclbin):
    monkeypatch.setitem(sys.modules, "pyxrt", None)
    with pytest.raises(hr.CardError, match="^pyxrt cannot be imported .* part of XRT, not of PyPI"):
        hr.open("xrt:0", xclbin=xclbin)
    monkeypatch.delitem(sys.modules, "pyxrt")
    if "xrt:N" in hr.cards():
        pytest.skip("XRT is installed")


def test_files(machine, xclbin, tmp_path):
    with pytest.raises(hr.CardError, match="^An Alveo card needs its file .xclbin"):
        hr.open("xrt:0")
    with pytest.raises(hr.CardError, match=r"^The card's file \.xclbin must be there: /nowhere"):
        hr.open("xrt:0", xclbin="/nowhere")
    other = tmp_path / "other.xclbin"
    other.write_bytes(b"nothing of that kind")
    with pytest.raises(hr.CardError, match="^XRT cannot read .* not a valid xclbin"):
        hr.open("xrt:0", xclbin=other)
    other.write_bytes(xclbin.read_bytes().replace(b'<kernel name="headrace"',
                                                  b'<kernel name="addition"'))
    with pytest.raises(hr.CardError, match="must hold the kernel headrace, not addition$"):
        hr.open("xrt:0", xclbin=other)


def test_no_such_card(machine, xclbin):
    with pytest.raises(hr.CardError, match="^XRT cannot open card 5: No such device '5'"):
        hr.open("xrt:5", xclbin=xclbin)
    for name in "xrt:", "xrt:N", "xrt:one":
        with pytest.raises(ValueError, match="^Card must be one of"):
            hr.open(name, xclbin=xclbin)


def test_one_process_at_a_time(card, xclbin):
    with pytest.raises(hr.CardError, match="^XRT cannot open the kernel headrace, which one"):
        hr.open("xrt:0", xclbin=xclbin)


def test_another_version(machine, alveo, xclbin, monkeypatch):
    if not machine.readable:
        pytest.skip("registers cannot be read")
    version = registers.VERSION
    monkeypatch.setattr("headrace.hw.card.registers.VERSION", 99)
    with pytest.raises(hr.CardError, match="^The card's interface must be of version 99, "
                                           f"not {version}"):
        hr.open("xrt:0", xclbin=xclbin)
    gc.collect()
    assert not alveo.taken and alveo.owner() is None
