# SPDX-License-Identifier: Apache-2.0
"""The size in a file's header."""

import random

import pytest

import corpus
from headrace.header import image_size


@pytest.mark.parametrize("entry", corpus.params(corpus.entries("exact")))
def test_corpus(entry):
    assert image_size(corpus.data(entry)) == (entry["height"], entry["width"])


def test_no_header():
    for data in b"", b"\xff", b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xda\0\0\0\0\0\0\0", b"\xff" * 99:
        assert image_size(data) is None


def test_long_runs():
    """Of bytes that are no marker, of what fills the space before one, without SOI."""
    frame = b"\xff\xc0\0\x11\x08\0\x30\0\x40\3" + bytes(9)
    for between in bytes(10**7), b"\xff" * 10**7, b"\xff\0" * 99:
        assert image_size(b"\xff\xd8" + between + frame) == (48, 64)
        assert image_size(b"\xff\xd8" + between) is None
        assert image_size(between + frame) is None


def test_any_bytes():
    rng = random.Random(1)
    for length in range(300):
        image_size(bytes(rng.choice(b"\xff\xd8\xc0\xc4\0\1\5") for _ in range(length)))
