# amaranth: UnusedElaboratable=no

# SPDX-License-Identifier: Apache-2.0
"""The gigabit port under Verilator, from the pins to the card's streams."""

from pathlib import Path

import pytest

from headrace.hw.board.ethernet import Ethernet
from headrace.hw.board.frame_fifo import FrameFifo


CELLS = Path(__file__).with_name("ecp5_cells.v")


@pytest.mark.parametrize("period, stall, every", [(12800, 0, 1), (5000, 0.2, 19), (30000, 0, 19)])
def test_mac(period, stall, every):
    pytest.importorskip("cocotbext.eth", reason="the PHY is its: pip install cocotbext-eth")
    from runner import simulate

    simulate(Ethernet(tx_delay=2.0), "board_mac", name=f"board_mac_{period}", cells=[CELLS],
             env={"HEADRACE_PERIOD": str(period), "HEADRACE_STALL": str(stall),
                  "HEADRACE_EVERY": str(every)})


def test_frame_fifo():
    with pytest.raises(ValueError, match=r"^Longest must be within range\(2, 65\), not 65$"):
        FrameFifo("sync", "tx", depth=64, longest=65)
