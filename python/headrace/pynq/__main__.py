# SPDX-License-Identifier: Apache-2.0
"""Run a script with the simulated card as PYNQ's device: ``python -m headrace.pynq script.py``."""

import runpy
import sys
from pathlib import Path

from headrace.pynq import SimDevice


__all__ = ["main"]


def main():
    """Run the script that the arguments name, with the arguments behind it."""
    if len(sys.argv) < 2:
        print("usage: python -m headrace.pynq script.py [arguments]", file=sys.stderr)
        return 2
    import pynq

    # Even if there is a board: who runs a script by this wants the simulated card.
    pynq.Device.active_device = SimDevice()
    del sys.argv[0]
    sys.path.insert(0, str(Path(sys.argv[0]).resolve().parent))
    runpy.run_path(sys.argv[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
