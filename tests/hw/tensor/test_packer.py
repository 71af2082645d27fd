# SPDX-License-Identifier: Apache-2.0
from headrace.hw.tensor.packer import RowPacker
from runner import simulate


def test_packer():
    simulate(RowPacker(3), "tensor_packer", name="tensor_packer")
