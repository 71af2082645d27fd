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


@pytest.mark.parametrize("engines, multiplier, pace, pixels", [(1, 18, 2, 8), (2, 27, 1, 16)])
def test_shapes(engines, multiplier, pace, pixels):
    run(f"shapes_{engines}", [
        job(20, 24, 1, (10, 12)), job(20, 24, 2, (10, 12)), job(5, 7, 2, (20, 30)),
        job(9, 40, 1, (9, 40)), job(9, 40), job(60, 30, 1, (7, 29)), job(60, 30, 2, (9, 40)),
    ], limits=dict(LIMITS, engines=engines, multiplier=multiplier, pace=pace, pixels=pixels))


@pytest.mark.parametrize("engines, multiplier, pace, pixels", [(1, 27, 2, 8), (2, 18, 1, 16)])
def test_contexts_stalls_aborts_and_refusals(engines, multiplier, pace, pixels):
    """Several images at once, dropped ones among them: what follows on the context is exact."""
    jobs = []
    for n in range(24):
        height, width = 6 + 5 * n % 37, 5 + 11 * n % 58
        more = {"abort": 40 + 90 * n} if n % 4 == 1 else {}
        if n % 6 == 3:
            jobs.append(job(height, width, context=n % 2, planar=n % 2, **more))
        else:
            jobs.append(job(height, width, 1 + n % 2, (7 + n, 40 - n), context=n % 2,
                            planar=n // 2 % 2, **more))
    jobs.append(job(20, 65, status=4, detail=64))              # wider than the rows
    jobs.append(job(20, 30, 1, (8, 8), crop=(9, 2), status=1, detail=69))
    jobs.append(job(20, 30, 1, (8, 8)))
    run(f"contexts_{engines}", jobs, contexts=2, i_stall=0.2, o_stall=0.3,
        limits=dict(LIMITS, source_rows=64, intermediate_bits=9, engines=engines,
                    multiplier=multiplier, pace=pace, pixels=pixels))


def test_more_rows_than_lines():
    """A memory that holds more narrow rows than an image of the longest side has."""
    run("narrow", [job(12, 8, 1, (9, 13)), job(15, 4, 2, (11, 6)), job(12, 8)],
        limits=dict(LIMITS, source_rows=128, intermediate_bits=11, output_bits=10, max_side=64))
