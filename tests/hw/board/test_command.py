# SPDX-License-Identifier: Apache-2.0
"""The command: messages and exit codes, with and without tools."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.hw.board import __main__ as command
from headrace.hw.board.boards import BOARDS, PLANNED


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
    assert [line.split()[0] for line in listed] == [*BOARDS, *PLANNED]
    assert "xcu55c-fsvh2892-2L-e" in listed[0]


def test_unknown(capsys):
    assert command.main(["u55d"]) == 1
    assert capsys.readouterr().err == \
        f"board: Board must be one of {', '.join(BOARDS)}, not 'u55d'\n"
    assert command.main(["ecpix5"]) == 1
    assert capsys.readouterr().err.startswith("board: ecpix5 is not there yet: ")
    with pytest.raises(SystemExit, match="^2$"):
        command.main(["u55c", "--nothing"])


@pytest.mark.parametrize("name", BOARDS)
def test_without_tools(quick, name, tmp_path, capsys):
    board = BOARDS[name]
    assert command.main([name, "-o", str(tmp_path)], {"PATH": "/nowhere"}) == 3
    text = capsys.readouterr().out
    ready, lacks, how, where = re.split("^(?:missing|to build.*|result):$", text, flags=re.M)
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
        assert board.part.name.startswith("xc") and "vivado" in board.tools
        assert min(board.part.lut, board.part.ff, board.part.dsp, board.part.bram36) > 0
