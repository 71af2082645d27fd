# SPDX-License-Identifier: Apache-2.0
import pytest
from headrace.hw.card.config import PORTS
from headrace.hw.stream.unpacker import Unpacker
from runner import simulate


@pytest.mark.parametrize("port", PORTS)
def test_unpacker(port):
    simulate(Unpacker(port), "stream_unpacker", name=f"stream_unpacker_{port}",
             env={"HEADRACE_PORT": str(port)})
