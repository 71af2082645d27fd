# SPDX-License-Identifier: Apache-2.0
import pytest
from headrace.hw.card.config import PORTS
from headrace.hw.tensor.packer import RowPacker
from runner import simulate


@pytest.mark.parametrize("chunk", [32, 48])
@pytest.mark.parametrize("port", PORTS)
def test_packer(port, chunk):
    simulate(RowPacker(3, port, chunk), "tensor_packer", name=f"tensor_packer_{port}_{chunk}",
             env={"HEADRACE_PORT": str(port), "HEADRACE_CHUNK": str(chunk)})
