# SPDX-License-Identifier: Apache-2.0
from headrace.hw.card.row_buffer import RowBuffer
from runner import simulate


def test_row_buffer():
    simulate(RowBuffer(3), "card_rows", name="row_buffer")
