# SPDX-License-Identifier: Apache-2.0
"""Clocks of several placements, by scripts in place of tools."""

import dataclasses
import subprocess

import pytest

from headrace.hw.board import clocks
from headrace.hw.board.boards import BOARDS
from headrace.hw.text.utf8 import Utf8Decoder


SCRIPT = """\
#!/bin/sh
test -f headrace.il -a -f ecpix5.lpf
test "$SEED" != 9 || exit 1
printf '{"fmax": {"card": {"constraint": 80, "achieved": 8%s}}}' "$SEED" > timing.json
test "$SEED" != 1 || exit 1
"""


def test_place(tmp_path):
    """Clocks that are too slow are clocks; those of another seed are not taken for it."""
    board = dataclasses.replace(
        BOARDS["ecpix5"], top=lambda config: Utf8Decoder(),
        files=lambda board, component: {"build.sh": SCRIPT})
    assert clocks.read_clocks(tmp_path / "new") == {}
    found = clocks.place(board, tmp_path / "new", [1, 3])
    assert found == {1: {"card": (80, 81)}, 3: {"card": (80, 83)}}
    assert clocks.read_clocks(tmp_path / "new") == found[3]
    with pytest.raises(subprocess.CalledProcessError):
        clocks.place(board, tmp_path / "new", [3, 9])


def test_best():
    """The clock that is most behind what was asked for decides."""
    slow = {"card": (80, 79), "rx": (125, 200)}
    late = {"card": (80, 90), "rx": (125, 110)}
    assert clocks.best({1: slow, 2: late}) is slow
