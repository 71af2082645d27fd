# SPDX-License-Identifier: Apache-2.0
"""A small card as OpenNIC's plugin: the shell is a few coroutines."""

import pytest
from headrace.hw.board.plugin import Plugin
from headrace.hw.card.config import CardConfig
from runner import simulate


def test_plugin():
    pytest.importorskip("scapy.contrib.roce", reason="scapy builds packets: pip install scapy")
    config = CardConfig(contexts=1, lines=1, max_width=64, max_side=256, max_taps=64,
                        source_rows=32, intermediate_bits=10, output_bits=8, recipes=2,
                        text_lanes=0, wire=512, queues=2, slots=4)
    simulate(Plugin(config, 16), "board_plugin", name="board_plugin")
