# SPDX-License-Identifier: Apache-2.0
from headrace.hw.jpeg.unstuff import Unstuffer
from runner import simulate


def test_unstuff():
    simulate(Unstuffer(), "jpeg_unstuff", name="jpeg_unstuff")
