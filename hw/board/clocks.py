# SPDX-License-Identifier: Apache-2.0
"""Clocks that place-and-route finds for a board that pip's tools build."""

import json
import subprocess

from ..report import run
from .boards import generate


__all__ = ["read_clocks", "place", "best"]


def read_clocks(folder):
    """Clocks of the board that was built in ``folder``: MHz asked for and reached, by name; none
    if it was not."""
    path = folder / "timing.json"
    if not path.is_file():
        return {}
    return {name: (clock["constraint"], clock["achieved"])
            for name, clock in json.loads(path.read_text())["fmax"].items()}


def place(board, folder, seeds):
    """Build a board in ``folder`` with several placements.

    Returns
    -------
    dict
        What :func:`read_clocks` finds, by seed, whether or not the clocks suffice.

    Raises
    ------
    subprocess.CalledProcessError
        If it ends before clocks are known; its log is in ``folder``.
    """
    generate(board, folder)
    found = {}
    for seed in seeds:
        (folder / "timing.json").unlink(missing_ok=True)
        try:
            run(["env", f"SEED={seed}", "./build.sh"], folder, f"build-{seed}.log")
        except subprocess.CalledProcessError:
            # It fails if a clock is too slow.
            if not read_clocks(folder):
                raise
        found[seed] = read_clocks(folder)
    return found


def best(placements):
    """Those clocks of :func:`place` of which the one that is most behind is least so."""
    return max(placements.values(),
               key=lambda clocks: min(reached / asked for asked, reached in clocks.values()))
