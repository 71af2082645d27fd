# SPDX-License-Identifier: Apache-2.0
"""Proofs of the card's bookkeeping by induction, for all inputs and all times."""

import pytest
from amaranth import *

from card_specs import GateSpec, SlotsSpec
from dispatch_spec import DispatcherSpec
from headrace.hw.card.dispatch import Dispatcher
from proof import needs_tools, run


CARDS = {
    "image": dict(contexts=1, image_lanes=2, text_lanes=0),
    "wire": dict(contexts=2, image_lanes=1, text_lanes=1, wire=64),
}

PARTS = {"gate": GateSpec, "slots": SlotsSpec}


@needs_tools
@pytest.mark.parametrize("name", CARDS)
@pytest.mark.parametrize("task", ["prove", "cover"])
def test_dispatcher(name, task, tmp_path):
    good, log = run(DispatcherSpec(**CARDS[name]), tmp_path, task, prove=1)
    assert good, log


@needs_tools
@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("task", ["prove", "cover"])
def test_part(name, task, tmp_path):
    good, log = run(PARTS[name](), tmp_path, task, prove=2)
    assert good, log


class Forgetful(Dispatcher):
    """Asks for a job and then does without it."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.i[0].ready.eq(1)
        return m


@needs_tools
def test_refutes_a_faulty_dispatcher(tmp_path):
    good, log = run(DispatcherSpec(Forgetful, **CARDS["image"]), tmp_path, "prove", prove=1)
    assert not good
    assert "Assert failed" in log, log
