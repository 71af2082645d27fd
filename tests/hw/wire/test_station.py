# amaranth: UnusedElaboratable=no

# SPDX-License-Identifier: Apache-2.0
"""The network kernels under Verilator; scapy builds what goes in and checks what comes out."""

import pytest

from headrace.hw.wire.receive import Receive
from headrace.hw.wire.transmit import Transmit


@pytest.mark.parametrize("width", [64, 512])
def test_station(width):
    pytest.importorskip("scapy.contrib.roce", reason="scapy builds the packets: pip install scapy")
    pytest.importorskip("cocotbext.eth", reason="the MACs are its: pip install cocotbext-eth")
    from runner import simulate
    from wire_bench import Ports

    modules = ["wire_receive", "wire_owners", "wire_soup", "wire_transmit", "wire_loop"]
    simulate(Ports(width, 8, timeout=14), modules,
             name=f"wire_{width}", env={"HEADRACE_WIDTH": str(width)})


def test_init_wrong():
    with pytest.raises(ValueError, match=r"^Width must be one of \(64, 512\), not 128$"):
        Receive(128)
    with pytest.raises(ValueError, match=r"^Queues must be within range\(2, 257\), not 1$"):
        Receive(64, 1)
    with pytest.raises(ValueError, match=r"^Buffer must be a power of two from 13632 on, not 1$"):
        Receive(64, buffer=1)
    with pytest.raises(ValueError, match=r"^Frames must be a power of two from 16 on, not 33$"):
        Receive(64, frames=33)
    with pytest.raises(ValueError, match=r"^Timeout must be 1 or more, not 0$"):
        Receive(64, timeout=0)
    with pytest.raises(ValueError, match=r"^Width must be one of \(64, 512\), not 32$"):
        Transmit(32)
    with pytest.raises(ValueError, match=r"^Queues must be within range\(2, 257\), not 257$"):
        Transmit(64, 257)
