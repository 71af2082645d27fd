# SPDX-License-Identifier: Apache-2.0
"""Bitstream of a card on a board: ``python -m headrace.hw.board BOARD -o FOLDER``.

Writes what the board's tools need, then runs them if they are there. Without a name it lists the
boards. Exit codes: 0 built (or listed, or written with ``--files``), 1 there is no such board or a
tool failed, 2 wrong usage, 3 all is written but the tools are not here.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .boards import BOARDS, PLANNED, generate


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


def table():
    """The boards, a line each."""
    rows = [(name, board.title, f"{board.part.name}, {board.clock} MHz, "
             f"needs {' '.join((*board.tools, *(f'${name}' for name in board.folders)))}")
            for name, board in BOARDS.items()]
    rows += [(name, "not there yet", what) for name, what in PLANNED.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(f"{name:{widths[0]}}  {title:{widths[1]}}  {rest}"
                     for name, title, rest in rows)


def main(argv=None, environment=None):
    """Run the command; return its exit code."""
    environment = os.environ if environment is None else environment
    parser = argparse.ArgumentParser(prog="python -m headrace.hw.board",
                                     description=__doc__.split("\n\n")[0])
    parser.add_argument("board", nargs="?", help=f"one of {', '.join(BOARDS)}")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER",
                        help="default: build/BOARD")
    parser.add_argument("--files", action="store_true", help="write the files only")
    args = parser.parse_args(argv)
    if not args.board:
        print(table())
        return BUILT
    if args.board in PLANNED:
        print(f"board: {args.board} is not there yet: {PLANNED[args.board]}", file=sys.stderr)
        return FAILED
    if args.board not in BOARDS:
        print(f"board: Board must be one of {', '.join(BOARDS)}, not {args.board!r}",
              file=sys.stderr)
        return FAILED
    board = BOARDS[args.board]
    folder = (args.output or Path("build") / board.name).resolve()
    print(f"{board.title}: writing {board.part.name}'s files, the Verilog takes minutes",
          flush=True)
    print("ready:", *generate(board, folder), sep="\n  ", flush=True)
    if args.files:
        return BUILT
    command = folder / "build.sh"
    if lacks := missing(board, environment):
        print("missing:", *lacks, sep="\n  ")
        print(f"to build, where these are, of this folder or a copy:\n  {command}\n"
              f"result:\n  {result(board, folder)}")
        return NO_TOOLS
    code = subprocess.run([command], env=environment).returncode
    if code:
        print(f"board: {command} failed with exit code {code}, see above", file=sys.stderr)
        return FAILED
    print(f"built: {result(board, folder)}")
    return BUILT


def result(board, folder):
    """Where the bitstream is."""
    return board.result if board.result.startswith("$") else str(folder / board.result)


if __name__ == "__main__":
    sys.exit(main())
