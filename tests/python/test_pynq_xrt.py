# SPDX-License-Identifier: Apache-2.0
"""PYNQ on an Alveo card, behind a stand-in of XRT's Python module whose card is simulated."""

import gc
import importlib.util
import warnings

import numpy as np
import pytest

import headrace as hr
from headrace import overlay
from headrace.bus_card import pack_recipe
from headrace.hw.card import registers
from headrace.hw.card.jobs import Kind
from headrace.hw.command import install
from fake_pyxrt import Machine
from pictures import jpeg

if importlib.util.find_spec("pynq") is None:
    pytest.skip(f"PYNQ is not installed: {install('pynq')}", allow_module_level=True)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PYNQ's own
    import pynq

    import headrace.pynq as hp


pytestmark = [pytest.mark.usefixtures("sim_built"), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(params=[True, False], ids=["registers", "no_registers"])
def machine(request, monkeypatch):
    return Machine(request.param).install(monkeypatch)


@pytest.fixture
def path(tmp_path):
    return str(overlay.write(tmp_path, "alveo")[0])


@pytest.fixture
def ip(machine, path):
    device = hp.XrtDevice()
    yield pynq.Overlay(path, device=device).headrace_1
    device.close()


def test_verbs(ip, machine):
    data = [jpeg(40, 56, n) for n in range(3)]
    with hr.open("cpu") as cpu:
        expected = cpu.image(resize=(24, 32), dtype="float32")(data)
        again = cpu.resize(expected[0, 0].astype(np.uint8), (5, 7))
    np.testing.assert_array_equal(ip.image(resize=(24, 32), dtype="float32")(data), expected)
    np.testing.assert_array_equal(ip.resize(expected[0, 0].astype(np.uint8), (5, 7)), again)
    assert not ip.card.last[0].fallback
    assert ("cycles" in ip.counters()) == machine.readable


def test_batch(ip):
    """A batch of one's own: its buffers are XRT's."""
    recipe, data = hr.Recipe(resize=(24, 32), dtype="float32"), jpeg(40, 56)
    device = ip.device
    table, file = (pynq.allocate(len(part), "u1", target=device)
                   for part in (pack_recipe(recipe), data))
    table[:], file[:] = (np.frombuffer(part, "u1") for part in (pack_recipe(recipe), data))
    result = pynq.allocate(recipe.fixed_shape, "f4", target=device)
    jobs, completions = (pynq.allocate(3, kind, target=device) for kind in (hp.JOB, hp.COMPLETION))
    for n, (kind, payload, target) in enumerate((
            (Kind.LOAD, table, None), (Kind.IMAGE, file, result)), start=1):
        jobs[n]["kind"], jobs[n]["request"] = kind, n
        jobs[n]["payload"], jobs[n]["length"] = payload.device_address, payload.nbytes
        if target is not None:
            jobs[n]["result"], jobs[n]["capacity"] = target.device_address, target.nbytes
    for buffer in table, file, jobs:
        buffer.sync_to_device()
    ip.call(jobs[1:], 2, completions[:2])  # a part of a buffer
    completions.sync_from_device()
    result.sync_from_device()
    assert not completions["status"][:2].any()
    with hr.open("cpu") as cpu:
        expected = cpu.image(resize=(24, 32), dtype="float32", layout="HWC")(data)
    np.testing.assert_array_equal(np.array(result), expected)


def test_registers(ip, machine):
    ip.register_map.jobs = 0x1_2345_6789
    assert int(ip.register_map.jobs) == 0x1_2345_6789 and ip.register_map.CTRL.AP_IDLE == 1
    identity = registers.CAPABILITIES["identity"]
    if machine.readable:
        assert ip.read(identity) == registers.IDENTITY
    else:
        with pytest.raises(hr.CardError, match="^Register 0x40 cannot be reached"):
            ip.read(identity)
        with pytest.raises(IndexError, match="^Register write must name one of a batch, not 64"):
            ip.write(identity, 0)


def test_memory(ip, machine):
    taken = machine.cards[0].taken
    before = len(taken)
    with pynq.allocate(100, "u4", target=ip.device) as buffer:
        buffer[:] = np.arange(100)
        buffer.sync_to_device()
        buffer[:] = 0
        buffer[50:60].sync_from_device()
        assert buffer[50] == 50 and not buffer[:50].any() and len(taken) == before + 1
    with pytest.raises(ValueError, match="^Buffer must be one that is not freed"):
        buffer.sync_to_device()
    del buffer
    gc.collect()
    assert len(taken) == before
    with pytest.raises(hr.CardError, match="^XRT cannot allocate 1073741824 bytes"):
        pynq.allocate(1 << 30, "u1", target=ip.device)
    with pytest.raises(ValueError, match="^Address range must lie within a buffer"):
        ip.device.memory.part(0, 64)


def test_another_overlay(machine, path):
    device = hp.XrtDevice("0000:3b:00.1")
    with pytest.raises(hr.CardError, match="^An overlay must be downloaded before memory"):
        pynq.allocate(4, target=device)
    loaded = pynq.Overlay(path, device=device)
    buffer = pynq.allocate(4, target=device)
    with pytest.raises(hr.CardError, match="^Buffers of the overlay before must be freed, not 1"):
        loaded.download()
    buffer.freebuffer()
    loaded.download()
    data = jpeg(16, 16)
    with hr.open("cpu") as cpu:
        np.testing.assert_array_equal(loaded.headrace_1.decode_jpeg(data), cpu.decode_jpeg(data))
