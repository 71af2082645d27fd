# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""FeatureTable against its model: small tables that fill up, stalls, limits."""

import random

import pytest
from headrace.hw.status import Detail, Status
from headrace.hw.text.features import FeatureTable
from headrace.hw.text.layout import TextError
from headrace.hw.text.tables import column_config


#: Of the kernel in conftest.py; counts have 5 bits.
ROWS, LIMIT = 64, 200


def items(occurrences, features, error=TextError.NONE):
    """A text's stream."""
    scale = column_config(features, True, ROWS)["scale"]
    text = [dict(column=column, home=column * scale >> 32, negative=sign < 0, valid=1, last=0,
                 error=TextError.NONE) for column, sign in occurrences]
    if not text or error != TextError.NONE:
        text.append(dict(column=0, home=0, negative=0, valid=0, last=0, error=TextError.NONE))
    text[-1].update(last=1, error=error)
    return text


def fits(occurrences):
    """No count is out of range on the way."""
    counts = {}
    for column, sign in occurrences:
        counts[column] = counts.get(column, 0) + sign
        if not -16 <= counts[column] < 16:
            return False
    return True


def run(kernels, texts, stall):
    """(status, detail, [(column, count)]) of each text, and the cycles of all."""
    o, o_done = kernels.run("features", stall, i=[item for text in texts for item in text])
    found, text = [], []
    for beat, cycle in o:
        assert beat.bytes == 8 or (beat.bytes == 0 and beat.last and not text)
        if beat.bytes:
            count = beat.data >> 32
            text.append((beat.data & 0xffffffff, count - (count >> 31 << 32)))
        if beat.last:
            done, done_cycle = o_done[len(found)]
            assert done_cycle > cycle
            found.append((Status(done.status), Detail(done.detail), text))
            text = []
    assert not text and len(o_done) == len(found) == len(texts)
    # No beat of a text before the one before is done.
    ends = [cycle for _, cycle in o_done]
    begins = [o[0][1]] + [after[1] for before, after in zip(o, o[1:]) if before[0].last]
    assert all(end <= begin for end, begin in zip(ends, begins[1:]))
    return found, ends[-1]


@pytest.mark.parametrize("stall", [0.0, 0.3, 0.7])
def test_equals_model(kernels, stall):
    rng = random.Random(8)
    texts, expected = [], []
    for n in range(300):
        features = rng.choice([1, 3, 31, 32, 33, 1000, 1 << 20, (1 << 31) - 1])
        # Few columns, many, and such that crowd in one place.
        size = rng.choice([0, 1, 2, 5, 20, 150, 190])
        center = rng.randrange(features)
        width = rng.choice([features, max(1, features // 40), 3])
        columns = [min(features - 1, center + rng.randrange(width)) for _ in range(size)]
        occurrences = [(rng.choice(columns), rng.choice([1, -1]))
                       for _ in range(rng.randrange(1, 2 * size))] if size else []
        if n % 3 == 0:
            rng.shuffle(columns)
            occurrences = [(column, 1) for column in columns]
        model = FeatureTable.compute(occurrences)
        if not fits(occurrences) or len(model) > LIMIT:
            continue
        texts.append(items(occurrences, features))
        expected.append(model)
    assert len(texts) > 150
    found, _ = run(kernels, texts, stall)
    for text, model in zip(found, expected):
        # Towards the end of the table a crowd may run out of rows.
        if text[0] != Status.OK:
            assert text == (Status.TOO_LARGE, Detail.FEATURES, []) and len(model) > 100
        else:
            assert text == (Status.OK, Detail.NONE, model)
    assert sum(status == Status.OK for status, *_ in found) > 140


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_limits(kernels, stall):
    features = 1 << 20
    spread = [(n * 5000, 1) for n in range(LIMIT + 1)]
    cases = [
        (items(spread[:LIMIT], features), (Status.OK, Detail.NONE, spread[:LIMIT])),
        (items(spread, features), (Status.TOO_LARGE, Detail.FEATURES, [])),
        (items([(5, 1)], features), (Status.OK, Detail.NONE, [(5, 1)])),
        (items([(5, 1)] * 15, features), (Status.OK, Detail.NONE, [(5, 15)])),
        (items([(5, 1)] * 16, features), (Status.TOO_LARGE, Detail.COUNT, [])),
        (items([(5, -1)] * 16, features), (Status.OK, Detail.NONE, [(5, -16)])),
        (items([(5, -1)] * 17, features), (Status.TOO_LARGE, Detail.COUNT, [])),
        (items([(5, 1), (5, -1)], features), (Status.OK, Detail.NONE, [(5, 0)])),
        (items([(5, 1)], features, TextError.UTF8), (Status.CORRUPT, Detail.UTF8, [])),
        (items([], features, TextError.SIGMA), (Status.UNSUPPORTED, Detail.SIGMA, [])),
        (items([], features), (Status.OK, Detail.NONE, [])),
        # Behind the last home there are 32 rows.
        (items([(features - 1 - n, 1) for n in range(33 * 4)], features),
         (Status.OK, Detail.NONE, [(features - 132 + n, 1) for n in range(33 * 4)])),
        (items([(features - 1 - n, 1) for n in range(33 * 4 + 1)], features),
         (Status.TOO_LARGE, Detail.FEATURES, [])),
        (items([(9, 1)], features), (Status.OK, Detail.NONE, [(9, 1)])),
    ]
    found, _ = run(kernels, [text for text, _ in cases] * 2, stall)
    assert found == [result for _, result in cases] * 2


def test_speed(kernels):
    """One occurrence and one column per cycle, and the pause that the docstring allows."""
    spread = [(n << 15, 1) for n in range(32)]  # a row for each
    texts = [items(spread, 1 << 20)] * 50
    _, cycles = run(kernels, texts, 0.0)
    assert cycles <= 50 * (32 + 6) + 64


@pytest.mark.parametrize("arguments, message", [
    (dict(rows=32), "Rows must be a multiple of 32 within"),
    (dict(rows=100), "Rows must be a multiple of 32 within"),
    (dict(limit=4096), r"Limit must be within range\(1, 4096\), not 4096"),
    (dict(count_bits=33), r"Count_bits must be within range\(2, 33\), not 33"),
])
def test_parameters(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        FeatureTable(**arguments)
