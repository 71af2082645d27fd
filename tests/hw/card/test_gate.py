# SPDX-License-Identifier: Apache-2.0
"""The gate, opened and shut at random."""

from headrace.hw.card.gate import Gate
from runner import simulate


def test_gate():
    simulate(Gate(64), "card_gate", name="gate")
