# SPDX-License-Identifier: Apache-2.0
"""Proofs of the card's bookkeeping by induction, for all inputs and all times."""

import pytest

from dispatch_spec import DispatcherSpec
from proof import needs_tools, run


CARDS = {
    "image": dict(contexts=1, text_lanes=0),
    "text": dict(contexts=2, image_lanes=2, text_lanes=1),
    "wire": dict(contexts=2, image_lanes=2, text_lanes=1, wire=64),
}


@needs_tools
@pytest.mark.parametrize("name", CARDS)
@pytest.mark.parametrize("task", ["prove", "cover"])
def test_dispatcher(name, task, tmp_path):
    good, log = run(DispatcherSpec(**CARDS[name]), tmp_path, task, prove=2)
    assert good, log
