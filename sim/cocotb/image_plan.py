# SPDX-License-Identifier: Apache-2.0
"""Plan against the model: sizes, order of passes, windows, and what it refuses."""

import json
import os
import random

import cocotb
from headrace.hw.image import model
from headrace.hw.image.layout import Geometry, Recipe
from headrace.hw.image.order import vertical_first
from headrace.hw.status import Detail, Status
from headrace.hw.stream.layout import Frame
from streams import Sink, Source, begin, pack


GEOMETRY = Geometry(2, **json.loads(os.environ.get("HEADRACE_CASE", "{}")))
NAMES = ("filter", "rule", "height", "width", "crop_height", "crop_width", "planar")


def taps(size_in, size_out, filter, begin, count):
    """First tap, its distance, the last tap of outputs begin to begin + count; most taps."""
    first, weights = model.window(size_in, size_out, filter)
    support = 2 * max(size_in, size_out) * (2 if filter == "bicubic" else 1)
    x = int(first[begin])
    t = (2 * x + 1) * size_out - (2 * begin + 1) * size_in
    last = begin + count - 1
    end = max(x for x in range(int(first[last]), min(int(first[last]) + weights.shape[1], size_in))
              if abs((2 * x + 1) * size_out - (2 * last + 1) * size_in) < support)
    return x, t, end, weights.shape[1]


def size_of(height, width, recipe):
    filter, rule, h, w = recipe[:4]
    if not filter or not rule:
        return height, width
    return model.resized_size(height, width, **({"size": (h, w)} if rule == 1 else
                                                {"shorter": h}))


def refusal(height, width, recipe):
    """Status and detail, in the order in which they are looked for; None if it may be done."""
    g = GEOMETRY
    if not height or not width:
        return Status.BAD_JOB, Detail.EMPTY
    if width > g.max_width:
        return Status.TOO_LARGE, Detail.WIDTH
    size = size_of(height, width, recipe)
    if max(height, *size) > g.max_side:
        return Status.TOO_LARGE, Detail.SIDE
    if not all(size):
        return Status.BAD_JOB, Detail.EMPTY
    crop = recipe[4] or size[0], recipe[5] or size[1]
    if crop[0] > size[0] or crop[1] > size[1]:
        return Status.UNSUPPORTED, Detail.CROP
    return None


def check(plan, height, width, recipe):
    wrong = refusal(height, width, recipe)
    if wrong:
        assert (plan.status, plan.detail) == wrong, (height, width, recipe)
        return plan.status, plan.detail
    size = size_of(height, width, recipe)
    crop = recipe[4] or size[0], recipe[5] or size[1]
    offset = [model.crop_offset(s, c) for s, c in zip(size, crop)]
    filter = "bicubic" if recipe[0] == 2 else "bilinear"
    bypass = size == (height, width) == crop
    axes = [taps(i, o, filter, *rest) for i, o, *rest in zip((height, width), size, offset, crop)]
    if not bypass and max(axes[0][3], axes[1][3]) > GEOMETRY.max_taps:
        assert (plan.status, plan.detail) == (Status.TOO_LARGE, Detail.WINDOW)
        return plan.status, plan.detail
    if plan.status != Status.OK:
        # Whether the memories suffice depends on how Resize uses them: its own tests.
        assert (plan.status, plan.detail) in ((Status.TOO_LARGE, Detail.WINDOW),
                                              (Status.TOO_LARGE, Detail.OUTPUT_WIDTH))
        return plan.status, plan.detail
    assert (plan.height, plan.width) == crop
    assert plan.bypass == bypass
    assert plan.repeat == (3 if recipe[6] else 1)
    down_first = vertical_first(height, width, *size)
    for number in range(2):
        axis = number if down_first else 1 - number   # the first pass goes down, or across
        x, t, end, _ = axes[axis]
        got = plan.passes[number]
        assert got.vertical == (axis == 0)
        assert (got.size_in, got.size_out, got.count, got.x, got.t) == (
            (height, width)[axis], size[axis], crop[axis], x, t), (height, width, recipe)
        assert got.bicubic == (filter == "bicubic")
    (top, _, bottom, _), (left, _, right, _) = axes
    first, second = plan.passes[0], plan.passes[1]
    if down_first:     # the columns that the horizontal pass needs
        assert (first.word, first.words) == (left // 8, right // 8 - left // 8 + 1)
        assert (second.first, second.end) == (0, crop[0])
    else:              # the rows that the vertical pass needs
        assert (first.first, first.end) == (top // 8 * 8, bottom + 1)
        assert (second.word, second.words) == (0, -(-crop[1] // 8))
    return Status.OK, Detail.NONE


def jobs(rng):
    side, width = GEOMETRY.max_side, GEOMETRY.max_width

    def recipe(filter=0, size=None, shorter=None, crop=(0, 0), planar=0):
        rule, size = (1, size) if size else (2, (shorter, rng.getrandbits(16))) if shorter \
            else (0, (rng.getrandbits(16), rng.getrandbits(16)))
        return [filter, rule, *size, *crop, planar]

    yield 7, 9, recipe()
    yield 7, 9, recipe(1, (7, 9))
    yield 7, 9, recipe(0, (3, 3))                     # without a filter the size stays
    yield 7, 9, recipe(2, crop=(3, 4))
    for size in (1, 1), (1, width), (side, 1):        # sides of one pixel
        yield *size, recipe(1, (1, 1))
        yield *size, recipe(2, (5, 3))
        yield *size, recipe(1, shorter=1)
    yield 40, 40, recipe(1, (20, 30))                 # where the order of the passes turns
    yield 40, 40, recipe(1, (19, 30))
    yield 41, 40, recipe(1, (20, 30))
    yield 20, 50, recipe(2, (19, 50))
    for spare in range(8):                            # halves are rounded to even
        yield 30, 50, recipe(1, (20 + spare, 16 + spare), crop=(20, 16))
    yield 0, 5, recipe()
    yield 5, 0, recipe(1, (3, 3))
    yield 5, width + 1, recipe()
    yield side + 1, 5, recipe()
    yield 5, 5, recipe(1, (side + 1, 5))
    yield 5, 5, recipe(1, (5, side + 1))
    yield 2, width, recipe(1, shorter=side)
    yield 5, 5, recipe(1, (0, 5))
    yield 5, 5, recipe(1, (5, 0))
    yield 20, 20, recipe(1, (8, 8), crop=(9, 2))
    yield 20, 20, recipe(1, (8, 8), crop=(2, 9))
    yield side, 4, recipe(2, (1, 4))
    for n in range(150):
        filter = rng.randrange(3)
        height, w = rng.randint(1, side), rng.randint(1, width)
        if n % 2:
            height = rng.randint(1, 100)
        size = (rng.randint(1, 100), rng.randint(1, 100)) if n % 3 else None
        shorter = None if size else rng.randint(1, 60)
        r = recipe(filter, size, shorter, planar=n % 2)
        result = size_of(height, w, r)
        if rng.random() < 0.6:
            r[4:6] = [rng.randint(0, s + (n % 25 == 0)) for s in result]
        yield height, w, r


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.5])
async def plans_match(dut, stall):
    await begin(dut)
    source, sink = Source(dut, "i", stall=stall), Sink(dut, "o", stall=stall)
    rng = random.Random(5)
    seen = {}
    for n, (height, width, recipe) in enumerate(jobs(rng)):
        context = n % 2
        getattr(dut, f"recipe__{context}").value = pack(Recipe, **dict(zip(NAMES, recipe)))
        source.queue.append(pack(Frame(2), context=context, height=height, width=width))
        plan = GEOMETRY.plan.from_bits(await sink.take(600))
        assert plan.context == context
        outcome = check(plan, height, width, recipe)
        seen[outcome] = seen.get(outcome, 0) + 1
    dut._log.info(f"{seen}")
    assert seen[Status.OK, Detail.NONE] > 80
    assert {detail for _, detail in seen} == {
        Detail.NONE, Detail.EMPTY, Detail.WIDTH, Detail.SIDE, Detail.CROP, Detail.WINDOW,
        Detail.OUTPUT_WIDTH}
