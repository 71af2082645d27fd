# SPDX-License-Identifier: Apache-2.0
from headrace.hw.card.row_queue import RowQueue
from runner import simulate


def test_row_queue():
    simulate(RowQueue(3), "card_rows", name="row_queue")
