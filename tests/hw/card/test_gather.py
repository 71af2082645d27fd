# SPDX-License-Identifier: Apache-2.0
"""Gather, with slots and the write DMA, against a model of messages."""

import pytest
from runner import simulate


@pytest.mark.parametrize("width", [64, 512])
def test_gather(width):
    from card_gather import Ports

    simulate(Ports(width), "card_gather", name=f"gather_{width}",
             env={"HEADRACE_WIDTH": str(width)})
