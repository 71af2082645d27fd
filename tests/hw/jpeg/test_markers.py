# SPDX-License-Identifier: Apache-2.0
from headrace.hw.jpeg.markers import Markers
from runner import simulate


def test_markers():
    simulate(Markers(2, max_width=64), "jpeg_markers", name="jpeg_markers")
