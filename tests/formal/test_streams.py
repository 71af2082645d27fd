# SPDX-License-Identifier: Apache-2.0
"""Proofs of the stream components by induction, for all inputs and all times."""

import pytest
from amaranth import *

from headrace.hw.stream.register import Register
from proof import needs_tools, run
from specs import SPECS


@needs_tools
@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("task", ["prove", "cover"])
def test_holds(name, task, tmp_path):
    good, log = run(SPECS[name](), tmp_path, task)
    assert good, log


class Leaky(Register):
    """Takes a payload that it has no room for."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.i.ready.eq(1)
        return m


@needs_tools
def test_refutes_a_faulty_component(tmp_path):
    good, log = run(SPECS["register"](Leaky), tmp_path, "prove")
    assert not good
    assert "Assert failed" in log, log
