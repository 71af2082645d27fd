# SPDX-License-Identifier: Apache-2.0
import pytest
from headrace.hw.jpeg.decoder import Decoder
from runner import simulate


@pytest.mark.parametrize("contexts, stall", [(1, 0), (3, 0.4)])
def test_black_box(contexts, stall):
    simulate(Decoder(contexts, max_width=64), "jpeg_decoder", name=f"jpeg_decoder_{contexts}",
             env={"HEADRACE_CONTEXTS": str(contexts), "HEADRACE_STALL": str(stall)})
