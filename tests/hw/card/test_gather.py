# SPDX-License-Identifier: Apache-2.0
"""Gather, with slots and the write DMA, against a model of messages."""

import pytest
from runner import simulate


@pytest.mark.parametrize("width, port", [(64, 64), (64, 512), (512, 512)])
def test_gather(width, port):
    from card_gather import Ports

    simulate(Ports(width, port), "card_gather", name=f"gather_{width}_{port}",
             env={"HEADRACE_WIDTH": str(width), "HEADRACE_PORT": str(port)})
