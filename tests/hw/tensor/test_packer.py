# SPDX-License-Identifier: Apache-2.0
import pytest
from headrace.hw.card.config import PORTS
from headrace.hw.tensor.packer import RowPacker
from runner import simulate


@pytest.mark.parametrize("port", PORTS)
def test_packer(port):
    simulate(RowPacker(3, port), "tensor_packer", name=f"tensor_packer_{port}",
             env={"HEADRACE_PORT": str(port)})
