# SPDX-License-Identifier: Apache-2.0
"""A text lane, without the rest of the card."""

from headrace.hw.card.config import CardConfig
from headrace.hw.card.text_lane import TextLane
from runner import simulate


def test_text_lane():
    simulate(TextLane(CardConfig(max_ngram=1, feature_rows=64)), "card_text_lane",
             name="text_lane")
