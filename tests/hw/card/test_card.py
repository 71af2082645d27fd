# SPDX-License-Identifier: Apache-2.0
"""The smallest card on a cocotbext-axi bus."""

import pytest
from headrace.hw.card.card import Card
from headrace.hw.card.config import CardConfig
from runner import simulate


@pytest.mark.parametrize("contexts, stall", [(1, 0), (2, 0.4)])
def test_black_box(contexts, stall):
    config = CardConfig(contexts=contexts, max_width=64, max_side=256, max_taps=64,
                        source_rows=32, intermediate_bits=10, output_bits=8, recipes=2)
    simulate(Card(config), "card_box", name=f"card_{contexts}",
             env={"HEADRACE_STALL": str(stall)})


def test_config():
    with pytest.raises(ValueError, match=r"^Contexts must be within range\(1, 17\), not 17$"):
        CardConfig(contexts=17)
