# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""The command: messages and exit codes, with and without tools."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.hw.board import __main__ as command
from headrace.hw.board.boards import BOARDS


ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def quick(monkeypatch):
    """Files without Verilog: what the tools do with them is the scripts' affair here."""
    def generate(board, folder, *, config=None):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "build.sh").write_text(
            "#!/bin/sh\nset -eu\n" + "".join(f"{tool} here\n" for tool in board.tools))
        (folder / "build.sh").chmod(0o755)
        return [folder / "build.sh"]
    monkeypatch.setattr(command, "generate", generate)


@pytest.fixture
def tools(tmp_path):
    """An environment with programs of these names, and folders in these variables."""
    def make(board, code=0):
        home = tmp_path / "bin"
        home.mkdir()
        for tool in board.tools:
            (home / tool).write_text(f"#!/bin/sh\necho {tool} >> {tmp_path}/log\nexit {code}\n")
            (home / tool).chmod(0o755)
        return {"PATH": f"{home}:/bin:/usr/bin", **dict.fromkeys(board.folders, str(tmp_path))}
    return make


def test_list(capsys):
    assert command.main([]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == [*BOARDS]
    assert "xcu55c-fsvh2892-2L-e" in listed[0]


def test_key(monkeypatch, tmp_path, capsys):
    """The key goes into the card of a board without a host, and nowhere else."""
    given = []
    monkeypatch.setattr(command, "generate", lambda board, folder, **options: (
        given.append((board.name, options)), [])[1])
    arguments = "--files", "-o", str(tmp_path), "--key"
    assert command.main(["ecpix5", *arguments, "0123456789abcdef" * 2]) == 0
    assert given == [("ecpix5", {"key": bytes.fromhex("0123456789abcdef" * 2)})]
    for wrong in "12", "x" * 32, "", "0" * 32:
        assert command.main(["ecpix5", *arguments, wrong]) == 1
        assert "Key must" in capsys.readouterr().err
    assert command.main(["u55c", *arguments, "1" * 32]) == 1
    assert "takes no key: its host decides" in capsys.readouterr().err
    assert len(given) == 1


def test_unknown(capsys):
    assert command.main(["u55d"]) == 1
    assert capsys.readouterr().err == \
        f"board: Board must be one of {', '.join(BOARDS)}, not 'u55d'\n"
    with pytest.raises(SystemExit, match="^2$"):
        command.main(["u55c", "--nothing"])


@pytest.mark.parametrize("name", BOARDS)
def test_without_tools(quick, name, tmp_path, capsys):
    board = BOARDS[name]
    assert command.main([name, "-o", str(tmp_path)], {"PATH": "/nowhere"}) == 3
    text = capsys.readouterr().out
    ready, lacks, how, where = re.split("^(?:missing|to build.*|result):$", text, flags=re.M)
    if board.install:
        lacks, get = lacks.split("to get these programs:\n")
        assert get == f"  {board.install}\n"
    assert str(tmp_path / "build.sh") in ready
    for tool in board.tools:
        assert f"  {tool} (not on PATH)\n" in lacks
    for variable, what in board.folders.items():
        assert f"  {variable} (not set; it names {what})\n" in lacks
    assert how == f"\n  {tmp_path / 'build.sh'}\n"
    assert board.result.split("/")[-1] in where


def test_folder_is_missing(quick, tools, tmp_path, capsys):
    environment = {**tools(BOARDS["u55c"]), "VNX": "/nowhere"}
    assert command.main(["u55c", "-o", str(tmp_path)], environment) == 3
    assert "missing:\n  VNX (no such folder: /nowhere)\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", BOARDS)
def test_with_tools(quick, tools, name, tmp_path, capsys):
    board = BOARDS[name]
    assert command.main([name, "-o", str(tmp_path)], tools(board)) == 0
    assert (tmp_path / "log").read_text().split() == list(board.tools)
    assert "built: " in capsys.readouterr().out


@pytest.fixture(params=["u55c", "opennic"])
def relative(request, tools, tmp_path):
    """A board, where a build is called, and an environment in which a folder is relative to that;
    the tools log where they run, how they are called, and that folder."""
    board = BOARDS[request.param]
    [variable] = board.folders
    environment = {**tools(board), variable: "../clone"}
    for tool in board.tools:
        (tmp_path / "bin" / tool).write_text(
            f'#!/bin/sh\necho "{tool} in $PWD: $@ ${variable}" >> {tmp_path}/log\n')
    for folder in "calls", "clone/Ethernet", "clone/script":
        (tmp_path / folder).mkdir(parents=True)
    return board, tmp_path / "calls", environment


def test_relative_folder(quick, relative, tmp_path, monkeypatch):
    board, folder, environment = relative
    monkeypatch.chdir(folder)
    assert command.main([board.name, "-o", str(tmp_path)], environment) == 0
    for line in (tmp_path / "log").read_text().splitlines():
        assert line.endswith(f" {tmp_path / 'clone'}")


def test_relative_folder_of_script(relative, tmp_path):
    board, folder, environment = relative
    script = tmp_path / "out" / "build.sh"
    script.parent.mkdir()
    script.write_text(board.files(board, board.top(board.config))["build.sh"])
    script.chmod(0o755)
    subprocess.run(["../out/build.sh"], cwd=folder, env=environment, check=True)
    ran = (tmp_path / "log").read_text()
    assert ".." not in ran
    for called in {"u55c": (f"make in {tmp_path}/out: -C {tmp_path}/clone/Ethernet all",
                            f"={tmp_path}/clone/Ethernet/post_sys_link.tcl",
                            f" {tmp_path}/clone/Ethernet/_x."),
                   "opennic": (f"vivado in {tmp_path}/clone/script: ",
                               f"-user_plugin {tmp_path}/out/plugin ")}[board.name]:
        assert called in ran


def test_tool_fails(quick, tools, tmp_path, capsys):
    environment = tools(BOARDS["kv260"], code=9)
    assert command.main(["kv260", "-o", str(tmp_path)], environment) == 1
    assert re.search(r"^board: .*build\.sh failed with exit code 9", capsys.readouterr().err)


def test_files_only(quick, tmp_path, capsys):
    assert command.main(["kv260", "--files", "-o", str(tmp_path)], {"PATH": "/nowhere"}) == 0
    assert "missing" not in capsys.readouterr().out


def test_module():
    run = subprocess.run([sys.executable, "-m", "headrace.hw.board"], capture_output=True,
                         text=True, env=os.environ)
    assert run.returncode == 0 and run.stdout.startswith("u55c")


def test_make():
    recipe = (ROOT / "Makefile").read_text()
    assert "\t@$(BIN)/python -m headrace.hw.board $(BOARD)" in recipe


def test_boards():
    for name, board in BOARDS.items():
        assert board.name == name and not board.config.gated
        # A board with other tools than Vivado's has none of its parts.
        assert board.part.name.startswith("xc") == ("vivado" in board.tools)
        assert min(board.part.lut, board.part.ff, board.part.dsp, board.part.bram36) > 0


@pytest.fixture
def loader(tmp_path):
    """An environment with a program that loads, which notes how it is called."""
    def make(board, code=0):
        home = tmp_path / "bin"
        home.mkdir()
        path = home / board.program[0]
        path.write_text(f'#!/bin/sh\necho "$0 $@" > {tmp_path}/log\nexit {code}\n')
        path.chmod(0o755)
        return {"PATH": str(home)}
    return make


def test_program(loader, tmp_path, capsys):
    board = BOARDS["ecpix5"]
    file = tmp_path / board.result
    arguments = ["ecpix5", "--program", "-o", str(tmp_path)]
    # What is missing is said, and nothing is built.
    assert command.main(arguments, {"PATH": "/nowhere"}) == 1
    assert capsys.readouterr().err == \
        f"board: {file} is not there: make bitstream BOARD=ecpix5 builds it\n"
    file.write_bytes(b"bits")
    assert command.main(arguments, {"PATH": "/nowhere"}) == 3
    assert capsys.readouterr().err.startswith("board: openFPGALoader is not on PATH: install it")
    environment = loader(board)
    assert command.main(arguments, environment) == 0
    assert (tmp_path / "log").read_text() == \
        f"{tmp_path}/bin/openFPGALoader -b ecpix5 {file}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", board.result, "log"]


def test_program_fails(loader, tmp_path, capsys):
    board = BOARDS["ecpix5"]
    (tmp_path / board.result).write_bytes(b"bits")
    assert command.main(["ecpix5", "--program", "-o", str(tmp_path)], loader(board, 4)) == 1
    assert capsys.readouterr().err == \
        "board: openFPGALoader failed with exit code 4, see above\n"
    assert command.main(["kv260", "--program", "-o", str(tmp_path)], {"PATH": "/nowhere"}) == 1
    assert "is not programmed from here" in capsys.readouterr().err


def test_here():
    """Programs of pip are beside this Python, which need not be on PATH."""
    assert command.here({"PATH": "/nowhere", "A": "b"}) == {
        "PATH": f"{Path(sys.executable).parent}:/nowhere", "A": "b"}


def test_make_program():
    recipe = (ROOT / "Makefile").read_text()
    assert "\t@$(BIN)/python -m headrace.hw.board $(BOARD) --program" in recipe
