# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""Idct against its model, for every number of lines."""

import pytest
from headrace.hw.jpeg.idct import Idct
from runner import simulate


@pytest.mark.parametrize("lines", [1, 2, 4])
def test_blocks(lines):
    simulate(Idct(lines), "jpeg_idct", name=f"jpeg_idct_{lines}",
             env={"HEADRACE_LINES": str(lines)})


def test_lines():
    with pytest.raises(ValueError, match="^Lines must be 1, 2, 4 or 8, not 3$"):
        Idct(3)
