# amaranth: UnusedElaboratable=no

# SPDX-License-Identifier: Apache-2.0
"""The plugin of OpenNIC's box as a whole."""

import pytest

from headrace.hw.board.plugin import Plugin
from headrace.hw.card.config import CardConfig


def test_plugin():
    pytest.importorskip("scapy.layers.l2", reason="scapy builds packets: pip install scapy")
    from runner import simulate

    config = CardConfig(contexts=1, lines=1, max_width=64, max_side=256, max_taps=64,
                        source_rows=32, intermediate_bits=10, output_bits=8, recipes=2,
                        text_lanes=0, queues=2, slots=4, wire=512)
    simulate(Plugin(config, 14), "board_plugin", name="board_plugin")
