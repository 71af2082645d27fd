# SPDX-License-Identifier: Apache-2.0
import pytest

from headrace.hw.tensor.tables import Tables
from runner import simulate


@pytest.mark.parametrize("pixels", [8, 16])
def test_tables(pixels):
    simulate(Tables(2, 2, pixels), "tensor_tables", name=f"tensor_tables_{pixels}",
             env={"HEADRACE_PIXELS": str(pixels)})
