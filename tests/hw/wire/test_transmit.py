# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""Transmit under Verilator, compared with scapy's packets."""

import pytest

from headrace.hw.wire.transmit import Transmit
from runner import simulate


@pytest.mark.parametrize("width", [64, 512])
def test_transmit(width):
    pytest.importorskip("scapy.contrib.roce", reason="scapy builds the packets: pip install scapy")
    simulate(Transmit(width, 8), "wire_transmit", name=f"wire_transmit_{width}",
             env={"HEADRACE_WIDTH": str(width)})


def test_init_wrong():
    with pytest.raises(ValueError, match=r"^Width must be one of \(64, 512\), not 32$"):
        Transmit(32)
    with pytest.raises(ValueError, match=r"^Queues must be within range\(2, 257\), not 257$"):
        Transmit(64, 257)
