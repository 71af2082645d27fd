# SPDX-License-Identifier: Apache-2.0
"""Run a script with the simulated card as PYNQ's device: ``python -m headrace.pynq script.py``."""

import argparse
import runpy
import sys
from pathlib import Path

from headrace.errors import HeadraceError
from headrace.hw.command import INTERRUPTED, command


__all__ = ["main"]


def main():
    """Run the script that the arguments name, with the arguments behind it; its exceptions are
    shown as Python shows them."""
    script = prepare()
    if not isinstance(script, list):
        return script
    sys.argv[:] = script
    sys.path.insert(0, str(Path(script[0]).resolve().parent))
    try:
        runpy.run_path(script[0], run_name="__main__")
    except KeyboardInterrupt:
        print("pynq: interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


@command("pynq", HeadraceError)
def prepare():
    """Make the simulated card PYNQ's device; the script and its arguments, or an exit code."""
    parser = argparse.ArgumentParser(prog="python -m headrace.pynq", description=__doc__)
    parser.add_argument("script", help="that uses PYNQ, in Python")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="of the script")
    args = parser.parse_args()
    with open(args.script, "rb"):
        pass
    import pynq

    from headrace.pynq import SimDevice

    # Even if there is a board: who runs a script by this wants the simulated card.
    pynq.Device.active_device = SimDevice()
    return [args.script, *args.arguments]


if __name__ == "__main__":
    sys.exit(main())
