# SPDX-License-Identifier: Apache-2.0
"""Bitstream of a card on a board: ``python -m headrace.hw.board BOARD -o FOLDER``.

Writes what the board's tools need, then runs them if they are there; with ``--program`` it loads
what was built before. Without a name it lists the boards. Exit codes: 0 done (or listed), 1 there
is no such board, nothing was built that could be loaded, or a tool failed, 2 wrong usage, 3 the
tools are not here (all else is written then).
"""

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from ..card.commands import NO_KEY, key_of
from ..command import check_folder, command, lacking

if importlib.util.find_spec("amaranth") is None:
    lacking("Amaranth", "hw", __name__)

from .boards import BOARDS, generate


__all__ = ["BUILT", "FAILED", "NO_TOOLS", "main", "missing"]


#: Exit codes.
BUILT, FAILED, NO_TOOLS = 0, 1, 3


def missing(board, environment):
    """What a board's build lacks, each a line for a reader."""
    found = [f"{tool} (not on PATH)" for tool in board.tools
             if not shutil.which(tool, path=environment.get("PATH", ""))]
    for name, what in board.folders.items():
        if not environment.get(name):
            found.append(f"{name} (not set; it names {what})")
        elif not Path(environment[name]).is_dir():
            found.append(f"{name} (no such folder: {environment[name]})")
    return found


def absolute(board, environment):
    """An environment in which the folders that a board's build needs do not depend on where it
    runs."""
    return {**environment, **{name: str(Path(environment[name]).resolve())
                              for name in board.folders}}


def here(environment):
    """An environment in which the programs beside this Python are found, too."""
    path = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    return {**environment, "PATH": path}


def table():
    """The boards, a line each."""
    rows = [(name, board.title, f"{board.part.name}, {board.clock} MHz, "
             f"needs {' '.join((*board.tools, *(f'${name}' for name in board.folders)))}")
            for name, board in BOARDS.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(f"{name:{widths[0]}}  {title:{widths[1]}}  {rest}"
                     for name, title, rest in rows)


def board_key(digits):
    """The key that an argument is.

    Raises
    ------
    ValueError
        If it is none.
    """
    key = key_of(digits)
    if key == NO_KEY:
        raise ValueError("Key must not be all zero: leave it out to build without one")
    return key


@command("board")
def main(argv=None, environment=None):
    """Run the command; return its exit code."""
    environment = here(os.environ) if environment is None else environment
    parser = argparse.ArgumentParser(prog="python -m headrace.hw.board",
                                     description=__doc__.split("\n\n")[0])
    parser.add_argument("board", nargs="?", help=f"one of {', '.join(BOARDS)}")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER",
                        help="default: build/BOARD")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--files", action="store_true", help="write the files only")
    what.add_argument("--program", action="store_true", help="load what was built")
    parser.add_argument("--key", metavar="HEX",
                        help="32 hexadecimal digits, without which nobody takes a board that has "
                             "no host")
    args = parser.parse_args(argv)
    if not args.board:
        print(table())
        return BUILT
    if args.board not in BOARDS:
        raise ValueError(f"Board must be one of {', '.join(BOARDS)}, not {args.board!r}")
    board = BOARDS[args.board]
    folder = (args.output or Path("build") / board.name).resolve()
    if args.program:
        return program(board, folder, environment)
    check_folder(folder)
    options = {}
    if args.key is not None:
        options["key"] = board_key(args.key)
        if not board.config.remote:
            print(f"board: {board.title} takes no key: its host decides who may use it",
                  file=sys.stderr)
            return FAILED
    print(f"{board.title}: writing {board.part.name}'s files, which takes minutes", flush=True)
    print("ready:", *generate(board, folder, **options), sep="\n  ", flush=True)
    if args.files:
        return BUILT
    build = folder / "build.sh"
    if lacks := missing(board, environment):
        print("missing:", *lacks, sep="\n  ")
        if board.install:
            print(f"to get these programs:\n  {board.install}")
        print(f"to build, where these are, of this folder or a copy:\n  {build}\n"
              f"result:\n  {result(board, folder)}")
        return NO_TOOLS
    code = subprocess.run([build], env=absolute(board, environment)).returncode
    if code:
        print(f"board: {build} failed with exit code {code}, see above", file=sys.stderr)
        return FAILED
    print(f"built: {result(board, folder)}")
    return BUILT


def program(board, folder, environment):
    """Load what was built; the exit code."""
    file = folder / board.result
    if not board.program:
        print(f"board: {board.title} is not programmed from here, see docs/boards.md",
              file=sys.stderr)
        return FAILED
    if not file.is_file():
        print(f"board: {file} is not there: make bitstream BOARD={board.name} builds it",
              file=sys.stderr)
        return FAILED
    tool = board.program[0]
    if not shutil.which(tool, path=environment.get("PATH", "")):
        print(f"board: {tool} is not on PATH: install it (in Debian, Ubuntu, Fedora and Homebrew "
              f"the package is {tool.lower()})", file=sys.stderr)
        return NO_TOOLS
    code = subprocess.run([*board.program, file], env=environment).returncode
    if code:
        print(f"board: {tool} failed with exit code {code}, see above", file=sys.stderr)
        return FAILED
    return BUILT


def result(board, folder):
    """Where the bitstream is."""
    return board.result if board.result.startswith("$") else str(folder / board.result)


if __name__ == "__main__":
    sys.exit(main())
