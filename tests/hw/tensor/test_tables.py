# SPDX-License-Identifier: Apache-2.0
from headrace.hw.tensor.tables import Tables
from runner import simulate


def test_tables():
    simulate(Tables(2, 2), "tensor_tables", name="tensor_tables")
