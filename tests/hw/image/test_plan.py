# SPDX-License-Identifier: Apache-2.0
"""What a resizer is told to do."""

import json

from headrace.hw.image.layout import Geometry
from headrace.hw.image.plan import Plan
from runner import simulate


def test_plan():
    limits = dict(max_width=256, source_rows=64, intermediate_bits=10, output_bits=4, transit=4,
                  max_side=512, max_taps=32)
    simulate(Plan(Geometry(2, **limits)), "image_plan", name="image_plan",
             env={"HEADRACE_CASE": json.dumps(limits)})
