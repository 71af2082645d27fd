# SPDX-License-Identifier: Apache-2.0
"""Plan and Resize against Pillow, under Verilator."""

import json

import pytest
from image_bench import Bench
from runner import simulate


LIMITS = dict(max_width=64, source_rows=32, intermediate_bits=7, output_bits=7, transit=4,
              max_side=512, max_taps=32)


def job(height, width, filter=0, size=None, shorter=None, crop=(0, 0), planar=0, context=0,
        **more):
    rule, size = (1, size) if size else (2, (shorter, 0)) if shorter else (0, (0, 0))
    return dict(context=context, height=height, width=width,
                recipe=[filter, rule, *size, *crop, planar], **more)


def run(name, jobs, *, contexts=1, limits=LIMITS, **options):
    case = dict(name=name, jobs=jobs, contexts=contexts, limits=limits, **options)
    simulate(Bench(contexts, **limits), "image_resize", name=f"image_resize_{name}",
             env={"HEADRACE_CASE": json.dumps(case)})


def test_shapes():
    run("shapes", [
        job(20, 24, 1, (10, 12)), job(20, 24, 2, (10, 12)), job(5, 7, 2, (20, 30)),
        job(9, 40, 1, (9, 40)), job(9, 40), job(60, 30, 1, (7, 29)), job(60, 30, 2, (9, 40)),
    ])
