# SPDX-License-Identifier: Apache-2.0
"""Small cards on a cocotbext-axi bus."""

import pytest
from headrace.hw.card.card import Card
from headrace.hw.card.config import CardConfig
from runner import simulate


@pytest.mark.parametrize("port, contexts, image_lanes, text_lanes, stall", [
    (512, 1, 1, 0, 0), (512, 2, 2, 1, 0.3), (64, 1, 1, 1, 0.3)])
def test_black_box(port, contexts, image_lanes, text_lanes, stall):
    config = CardConfig(contexts=contexts, max_width=64, max_side=256, max_taps=64,
                        source_rows=32, intermediate_bits=10, output_bits=8, recipes=2,
                        image_lanes=image_lanes, text_lanes=text_lanes, max_ngram=2,
                        feature_rows=64, port=port)
    simulate(Card(config), "card_box", name=f"card_{contexts}_{port}",
             env={"HEADRACE_STALL": str(stall), "HEADRACE_TEXTS": str(text_lanes),
                  "HEADRACE_PAGES": str(config.pages), "HEADRACE_ROWS": str(config.feature_rows),
                  "HEADRACE_MAX_N": str(config.max_ngram)})


def test_config():
    with pytest.raises(ValueError, match=r"^Contexts must be within range\(1, 17\), not 17$"):
        CardConfig(contexts=17)
    for options in dict(port=128), dict(port=64, wire=512):
        with pytest.raises(ValueError, match=r"^Port must be 64 or 512, and not less than wire,"):
            CardConfig(**options)
    with pytest.raises(ValueError, match=r"^Text lanes must be within range\(17\), not -1$"):
        CardConfig(text_lanes=-1)
