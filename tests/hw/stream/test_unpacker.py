# SPDX-License-Identifier: Apache-2.0
from headrace.hw.stream.unpacker import Unpacker
from runner import simulate


def test_unpacker():
    simulate(Unpacker(), "stream_unpacker", name="stream_unpacker")
