# SPDX-License-Identifier: Apache-2.0
import pytest
from headrace.hw.card.read_dma import ReadDma
from runner import simulate


@pytest.mark.parametrize("clients, port", [(1, 64), (3, 512)])
def test_read_dma(clients, port):
    simulate(ReadDma(clients, port=port), "card_reads", name=f"card_reads_{clients}_{port}",
             env={"HEADRACE_CLIENTS": str(clients), "HEADRACE_PORT": str(port)})
