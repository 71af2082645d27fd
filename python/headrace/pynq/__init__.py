# SPDX-License-Identifier: Apache-2.0
"""PYNQ: the simulated card and Alveo cards as devices of it, and a driver for the kernel on any.

Importing this is all that PYNQ needs. ``python -m headrace.pynq script.py`` does it for a script
that knows nothing of headrace.
"""

import importlib.util

from headrace.hw.command import lacking

if importlib.util.find_spec("pynq") is None:
    lacking("PYNQ", "pynq", __name__)

from headrace.pynq.device import SimDevice, XrtDevice
from headrace.pynq.driver import Headrace
from headrace.pynq.memory import SimMemory, XrtMemory
from headrace.pynq.records import COMPLETION, JOB


__all__ = ["SimDevice", "XrtDevice", "SimMemory", "XrtMemory", "Headrace", "JOB", "COMPLETION"]
