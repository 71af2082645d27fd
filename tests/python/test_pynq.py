# SPDX-License-Identifier: Apache-2.0
"""PYNQ itself, on the simulated card."""

import gc
import importlib.util
import os
import pickle
import re
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

import headrace as hr
from headrace import overlay
from headrace.bench_host import vocabulary
from headrace.bus_card import pack_recipe
from headrace.hw.board.identity import VLNV
from headrace.hw.card import registers
from headrace.hw.card.config import CONFIGS
from headrace.hw.card.jobs import Kind
from headrace.hw.command import install
from pictures import jpeg

if importlib.util.find_spec("pynq") is None:
    pytest.skip(f"PYNQ is not installed: {install('pynq')}", allow_module_level=True)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PYNQ's own
    import pynq
    from pynq.pl_server.device import Device

    import headrace.pynq as hp


pytestmark = [pytest.mark.usefixtures("sim_built"), pytest.mark.filterwarnings("ignore")]

ROOT = Path(__file__).resolve().parents[2]
FILES = {"alveo": "headrace.xclbin", "zynq": "headrace.bit"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Both overlays."""
    path = tmp_path_factory.mktemp("overlay")
    for kind in overlay.KINDS:
        overlay.write(path, kind)
    return path


@pytest.fixture(scope="module")
def device():
    """A simulated card, PYNQ's default device meanwhile."""
    before = Device.active_device
    Device.active_device = hp.SimDevice()
    yield Device.active_device
    Device.active_device = before


@pytest.fixture(scope="module", params=FILES)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def loaded(folder, device, kind):
    return pynq.Overlay(str(folder / FILES[kind]))


@pytest.fixture
def ip(loaded):
    return loaded.headrace_1


@pytest.fixture(scope="module")
def cpu():
    with hr.open("cpu") as card:
        yield card


def filled(data):
    """A buffer with these bytes, synced."""
    buffer = pynq.allocate(len(data), "u1")
    buffer[:] = np.frombuffer(data, "u1")
    buffer.sync_to_device()
    return buffer


class Batch:
    """The buffers of one image, decoded and put to float32."""

    recipe = hr.Recipe(resize=(24, 32), dtype="float32", layout="CHW")

    def __init__(self, seed=0):
        self.data = jpeg(40, 56, seed)
        self.table, self.file = filled(pack_recipe(self.recipe)), filled(self.data)
        self.result = pynq.allocate(self.recipe.fixed_shape, "f4")
        self.jobs = pynq.allocate(2, hp.JOB)
        for n, job in enumerate((
                dict(kind=Kind.LOAD, payload=self.table.device_address, length=self.table.nbytes),
                dict(kind=Kind.IMAGE, payload=self.file.device_address, length=self.file.nbytes,
                     result=self.result.device_address, capacity=self.result.nbytes))):
            self.jobs[n]["request"] = n
            for name, value in job.items():
                self.jobs[n][name] = value
        self.completions = pynq.allocate(2, hp.COMPLETION)
        self.jobs.sync_to_device()

    @property
    def arguments(self):
        return self.jobs, 2, self.completions

    def check(self, cpu):
        self.completions.sync_from_device()
        self.result.sync_from_device()
        assert sorted(self.completions["request"]) == [0, 1]
        assert not self.completions["status"].any()
        expected = cpu.image(resize=(24, 32), dtype="float32")(self.data)
        np.testing.assert_array_equal(np.array(self.result), expected)


# Overlays

def test_overlay_is_of_the_register_table(loaded, ip, kind):
    description = loaded.ip_dict["headrace_1"]
    assert description["type"] == VLNV and isinstance(ip, hp.Headrace)
    found = description["registers"]
    assert found["CTRL"]["address_offset"] == registers.CTRL
    for field, bit in ("AP_START", registers.START), ("AP_DONE", registers.DONE), (
            "AP_IDLE", registers.IDLE), ("AP_READY", registers.READY):
        assert 1 << found["CTRL"]["fields"][field]["bit_offset"] == bit
    for name, (address, bits) in registers.ARGUMENTS.items():
        if kind == "alveo":
            assert found[name]["address_offset"] == address and found[name]["size"] == bits
            assert ("memory" in found[name]) == (bits == 64)
        else:
            first = name if bits == 32 else f"{name}_1"
            assert found[first]["address_offset"] == address and found[first]["size"] == 32
    if kind == "zynq":
        for name, address in registers.CAPABILITIES.items():
            assert found[name]["address_offset"] == address
        for name, address in registers.COUNTERS.items():
            assert found[f"{name}_2"]["address_offset"] == address + 4
            assert found[f"{name}_2"]["access"] == "read-only"


def test_register_map(ip, kind):
    assert ip.register_map.CTRL.AP_IDLE == 1
    ip.register_map.count = 7
    assert int(ip.register_map.count) == 7 == ip.read(registers.ARGUMENTS["count"][0])
    if kind == "zynq":
        assert int(ip.register_map.identity) == registers.IDENTITY
        for name in registers.LIMITS:
            assert int(getattr(ip.register_map, name)) == int(getattr(CONFIGS["sim"], name))
    else:
        ip.register_map.jobs = 0x1_2345_6789
        assert int(ip.register_map.jobs) == 0x1_2345_6789


# Scripts

def test_start_and_call(ip, cpu):
    batch = Batch()
    ip.call(*batch.arguments)
    batch.check(cpu)
    batch = Batch(1)
    ip.start(jobs=batch.jobs, completions=batch.completions, count=2).wait()
    batch.check(cpu)


def test_without_our_driver(loaded, device, kind, cpu):
    stock = pynq.DefaultIP({**loaded.ip_dict["headrace_1"], "device": device})
    batch = Batch(2)
    if kind == "alveo" and hasattr(stock, "call"):  # PYNQ 3.0
        stock.call(*batch.arguments)
    else:
        map = stock.register_map
        map.count = 2
        for name, buffer in ("jobs", batch.jobs), ("completions", batch.completions):
            if kind == "alveo":
                setattr(map, name, buffer.device_address)
            else:
                setattr(map, f"{name}_1", buffer.device_address & 0xFFFFFFFF)
                setattr(map, f"{name}_2", buffer.device_address >> 32)
        map.CTRL.AP_START = 1
        while not map.CTRL.AP_IDLE:
            pass
    batch.check(cpu)


SCRIPT = """
import sys
import numpy as np
import pynq

ol = pynq.Overlay(sys.argv[1])
job = np.dtype({"names": ["kind", "payload", "length"], "formats": ["u1", "<u8", "<u4"],
                "offsets": [0, 8, 16], "itemsize": 64})
jobs = pynq.allocate(1, job)
jobs[0] = (9, 0, 0)     # there is no such kind
jobs.sync_to_device()
with pynq.allocate((1, 64), "u1") as completions:
    ol.headrace_1.call(jobs, 1, completions)
    completions.sync_from_device()
    print(completions[0, 4])
"""


def search_path():
    """Where this headrace is, for another interpreter."""
    return os.pathsep.join([str(Path(hr.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])


def headless(*arguments):
    """Output of a script on its own, by ``python -m headrace.pynq``."""
    done = subprocess.run([sys.executable, "-m", "headrace.pynq", *map(str, arguments)],
                          env={**os.environ, "PYTHONPATH": search_path()},
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_script_that_knows_nothing_of_headrace(folder, kind, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    assert headless(script, folder / FILES[kind]) == [str(int(hr.Status.BAD_JOB))]


def test_example(folder):
    example = ROOT / "examples"
    printed = headless(example / "pynq_batch.py", folder / FILES["alveo"], example / "teddies.jpg")
    assert printed == ["float16", "(3,", "224,", "224)", "True"]


def test_scripts_that_are_none(tmp_path):
    """One line, and no traceback."""
    for name in "nothere.py", str(tmp_path):
        done = subprocess.run([sys.executable, "-m", "headrace.pynq", name], cwd=tmp_path,
                              env={**os.environ, "PYTHONPATH": search_path()},
                              capture_output=True, text=True, timeout=300)
        assert done.returncode == 1 and re.fullmatch(r"pynq: \[Errno .*\n", done.stderr)


def test_notebook(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    import nbformat
    monkeypatch.setenv("PYTHONPATH", search_path())
    (tmp_path / "teddies.jpg").write_bytes((ROOT / "examples/teddies.jpg").read_bytes())
    notebook = nbformat.read(ROOT / "examples/pynq.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=300,
                            resources={"metadata": {"path": str(tmp_path)}}).execute()


def test_default_device():
    # No board is here, so it is the simulated card.
    probed = [found for found in Device.devices if isinstance(found, hp.SimDevice)]
    if Device.devices[0] is not probed[0]:
        pytest.skip("there is a board")
    assert len(probed) == 1


# The verbs

def test_one_wrong_item(ip):
    good = jpeg(40, 30)
    for verb in ip.image(resize=(8, 8)), ip.decode_jpeg:
        first, wrong, last = verb([good, None, good], errors="return")
        np.testing.assert_array_equal(first, last)
        assert wrong.index == 1 and str(wrong).startswith("item 1: Item must be ")
    assert ip.resize([first, good], (4, 4), errors="return")[1].index == 1


@pytest.mark.parametrize("options", [
    dict(resize=32, crop=24, mean=hr.IMAGENET_MEAN, std=hr.IMAGENET_STD, dtype="float16"),
    dict(resize=(20, 30), filter="bicubic", layout="HWC"),
    dict(crop=16, dtype="bfloat16"),
], ids=str)
def test_image(ip, cpu, options):
    data = [jpeg(48, 64, n, quality=90 - 10 * n) for n in range(3)] + [
        np.random.default_rng(1).integers(0, 256, (40, 50, 3), np.uint8)]
    prep = ip.image(**options)
    np.testing.assert_array_equal(prep(data), cpu.image(**options)(data))
    assert [report.status for report in prep.last] == [hr.Status.OK] * 4


def test_equals_open(ip, folder):
    data = jpeg(120, 200)
    with hr.open("sim", fallback="raise") as card:
        np.testing.assert_array_equal(ip.decode_jpeg(data), card.decode_jpeg(data))


def test_fallback(ip, cpu):
    data = jpeg(40, 40, progressive=True)
    np.testing.assert_array_equal(ip.decode_jpeg(data), cpu.decode_jpeg(data))
    assert ip.card.last[0].fallback and ip.counters()["fallbacks"] >= 1


def test_texts(ip, cpu):
    pytest.importorskip("sklearn", reason="scikit-learn, the reference, is not installed")
    texts = ["One text, two texts", "", "Straße und ÄÖÜ"]
    options = dict(n_features=2**16, ngram_range=(1, 2))
    one, other = (card.hashing_vectorizer(**options).transform(texts) for card in (ip, cpu))
    assert (one != other).nnz == 0


def test_resize(ip, cpu):
    rng = np.random.default_rng(1)
    for shape in (40, 50, 3), (33, 21):
        pixels = rng.integers(0, 256, shape, np.uint8)
        for filter in "bilinear", "bicubic":
            np.testing.assert_array_equal(ip.resize(pixels, (20, 30), filter),
                                          cpu.resize(pixels, (20, 30), filter))
            assert not ip.card.last[0].fallback


def test_tokenizer(ip, cpu):
    pytest.importorskip("tokenizers", reason="tokenizers, the reference, is not installed")
    words = vocabulary()
    texts = ["A river carries WATER", "", "corn-mills turned; 12 cards", "\N{SNOWMAN}"]
    for one, other in zip(ip.tokenizer(words).each(texts), cpu.tokenizer(words).each(texts),
                          strict=True):
        np.testing.assert_array_equal(one, other)
    assert [report.fallback for report in ip.card.last] == [False] * 4


def test_card_with_network_port(folder, cpu, nic_built):
    device = hp.SimDevice("nic")
    ip = pynq.Overlay(str(folder / FILES["alveo"]), device=device).headrace_1
    assert ip.read(registers.CAPABILITIES["wire"]) == CONFIGS["nic"].wire
    address, _ = registers.NETWORK["segment"]
    ip.write(address, 2048)
    data = jpeg(48, 64)
    np.testing.assert_array_equal(ip.image(resize=16)(data), cpu.image(resize=16)(data))
    assert ip.card.last[0].status is hr.Status.OK and ip.read(address) == 2048


def test_batches_and_verbs_mix(ip, cpu):
    data = jpeg(48, 64)
    expected = cpu.image(resize=16)(data)
    for seed in range(2):
        np.testing.assert_array_equal(ip.image(resize=16)(data), expected)
        batch = Batch(seed)  # its recipe takes the place of the other
        running = ip.start(*batch.arguments)
        np.testing.assert_array_equal(ip.image(resize=16)(data), expected)
        running.wait()
        batch.check(cpu)


def test_threads(ip, cpu):
    data = jpeg(48, 64)
    prep, expected = ip.image(resize=16), cpu.image(resize=16)(data)
    batches, failures = [Batch(seed) for seed in range(4)], []

    def verbs():
        for _ in range(4):
            if not np.array_equal(prep(data), expected):
                failures.append(prep)

    threads = [threading.Thread(target=verbs) for _ in range(2)]
    for thread in threads:
        thread.start()
    for batch in batches:
        ip.call(*batch.arguments)
    for thread in threads:
        thread.join()
    assert not failures
    for batch in batches:
        batch.check(cpu)


def test_download_again(folder, kind, cpu):
    data = jpeg(48, 64)
    loaded = pynq.Overlay(str(folder / FILES[kind]), device=hp.SimDevice())
    prep = loaded.headrace_1.image(resize=16)
    expected = cpu.image(resize=16)(data)
    np.testing.assert_array_equal(prep(data), expected)
    loaded.download()
    np.testing.assert_array_equal(prep(data), expected)
    loaded.free()


def test_stalls_do_not_matter(folder, cpu):
    device = hp.SimDevice(stalls=0.5, latency=100, memory=1 << 27)
    ip = pynq.Overlay(str(folder / FILES["alveo"]), device=device).headrace_1
    data = jpeg(48, 64)
    np.testing.assert_array_equal(ip.image(resize=16)(data), cpu.image(resize=16)(data))
    assert ip.card.last[0].status is hr.Status.OK


def test_pickle(ip):
    with pytest.raises(TypeError, match="^A card behind PYNQ cannot be pickled"):
        pickle.dumps(ip.card)


# Memory

def test_memories_are_separate(ip, cpu):
    batch = Batch()
    batch.result[:] = 5
    ip.call(*batch.arguments)
    assert (batch.result == 5).all()                # not synced from the device
    batch.check(cpu)

    good = np.array(batch.file)
    batch.file[:] = 0                               # not synced to the device
    ip.call(*batch.arguments)
    batch.check(cpu)
    batch.file.sync_to_device()
    ip.call(*batch.arguments)
    batch.completions.sync_from_device()
    assert hr.Status.CORRUPT in batch.completions["status"]
    batch.file[:] = good


def test_part_of_a_buffer(device):
    buffer = pynq.allocate((4, 64), "u4")
    buffer[:] = np.arange(256).reshape(4, 64)
    buffer.sync_to_device()
    buffer[:] = 0
    buffer[2].sync_from_device()
    assert buffer[2, 0] == 128 and not buffer[:2].any() and not buffer[3].any()
    assert buffer[2].device_address == buffer.device_address + 512


def test_buffers_are_freed(device):
    gc.collect()
    before = device.memory.num_buffers
    buffers = [pynq.allocate(5000, "u1") for _ in range(3)]
    assert len({buffer.device_address for buffer in buffers}) == 3
    addresses = [buffer.device_address for buffer in buffers]
    del buffers[1]
    gc.collect()
    assert pynq.allocate(8192, "u1").device_address == addresses[1]
    with pynq.allocate(4, "u1") as buffer:
        assert buffer.device_address not in (addresses[0], addresses[2])
    with pytest.raises(ValueError, match="^Buffer must be one that is not freed"):
        buffer.sync_to_device()
    del buffers, buffer
    gc.collect()
    assert device.memory.num_buffers == before


def test_no_room(device):
    with pytest.raises(MemoryError, match="^The card's memory of 268435456 bytes has no room"):
        pynq.allocate(1 << 28, "u1")


# Errors

def test_arguments(ip):
    batch = Batch()
    jobs, count, completions = batch.arguments
    for wrong, error, message in (
            ((5, 2, completions), TypeError, "^Jobs must be a buffer of pynq.allocate, not int"),
            ((np.array(jobs), 2, completions), TypeError, "^Jobs must be a buffer"),
            ((jobs, 2, b""), TypeError, "^Completions must be a buffer"),
            ((jobs, "2", completions), TypeError, "^Count must be an int, not '2'"),
            ((jobs, 0, completions), ValueError, "^Count must be within range"),
            ((jobs, 3, completions), ValueError, "^Jobs must hold 3 x 64 bytes, not 128"),
            ((jobs, 2, completions[:1]), ValueError, "^Completions must hold 2 x 64 bytes, not 64"),
            ((jobs, 1, pynq.allocate(100, "u1")[1:]), ValueError,
             "^Completions must begin at a multiple of 64"),
            ((jobs, 1, pynq.allocate((8, 80), "u1")[:, :64]), ValueError,
             "^Completions must be contiguous"),
            ((jobs, 2), TypeError, "missing a required argument: 'completions'")):
        with pytest.raises(error, match=message):
            ip.start(*wrong)
    elsewhere = pynq.allocate(2, hp.JOB, target=hp.SimDevice())
    with pytest.raises(ValueError, match="^Jobs must be in the memory of this device"):
        ip.start(elsewhere, 2, completions)
    assert ip.register_map.CTRL.AP_IDLE == 1


def test_result_of_an_expression(device):
    buffer = pynq.allocate(64, "u1")
    with pytest.raises(ValueError, match="^Buffer must be one of pynq.allocate or a part of one"):
        (buffer + 1).sync_to_device()


def test_too_small_a_result(ip):
    batch = Batch()
    batch.jobs[1]["capacity"] = 100
    batch.jobs.sync_to_device()
    ip.call(*batch.arguments)
    batch.completions.sync_from_device()
    assert hr.Status.NO_ROOM in batch.completions["status"]


def test_registers_that_are_not_there(ip):
    with pytest.raises(IndexError, match="^Register read must name a register, not 48"):
        ip.read(0x30)
    with pytest.raises(IndexError, match="^Register write must name a register, not 48"):
        ip.write(0x30, 1)


def test_other_overlays(folder, tmp_path):
    device = hp.SimDevice()
    lone = tmp_path / "lone.bit"
    lone.write_bytes((folder / "headrace.bit").read_bytes())
    with pytest.raises(hr.CardError, match=r"^Overlay must be an \.xclbin, or have an \.hwh"):
        pynq.Overlay(str(lone), device=device)
    for name in "other.bit", "other.hwh":
        (tmp_path / name).write_bytes((folder / f"headrace{Path(name).suffix}").read_bytes()
                                      .replace(VLNV.encode(), b"some:other:kernel:1.0"))
    with pytest.raises(hr.CardError, match="^Overlay must hold one headrace:kernel:headrace:1.0"):
        pynq.Overlay(str(tmp_path / "other.bit"), device=device)


def test_before_download():
    with pytest.raises(hr.CardError, match="^An overlay must be downloaded"):
        hp.SimDevice().read_registers(0, 4)


def test_after_a_fork(folder):
    """The device is its parent's: a clear error in the child at once, whoever has it there."""
    program = f"""
import os, signal, sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, {str(ROOT / "tests")!r})
import numpy as np
import pynq
import headrace as hr
import headrace.pynq as hp
from pictures import jpeg, pillow
from pynq.pl_server.device import Device
Device.active_device = hp.SimDevice()
kernel = pynq.Overlay({str(folder / FILES["alveo"])!r}).headrace_1

def right(n):
    return np.array_equal(kernel.decode_jpeg(jpeg(40, 56, n)), pillow(jpeg(40, 56, n)))

assert right(1)
kernel._making.acquire()
kernel.device._lock.acquire()
for work in (lambda: right(2), lambda: kernel.counters(), lambda: kernel.mmio.read(0x40)):
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        code = 1
        try:
            work()
        except hr.CardError as error:
            code = 0 if "process that opened it" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
kernel._making.release()
kernel.device._lock.release()
assert right(3)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stderr
