# SPDX-License-Identifier: Apache-2.0
"""The hashing kernel under Verilator against scikit-learn's HashingVectorizer."""

import bz2
import itertools
import random
import re

import numpy as np
import pytest

import corpus
from headrace.hw.status import Detail, Status
from headrace.hw.text.tables import EntryBits, TableImage, hashing_config, hashing_entries
from hashing_bench import check


pytest.importorskip("sklearn", reason="scikit-learn, the reference, is not installed")

TEXTS = corpus.FOLDER.parent / "text"
needs_corpus = pytest.mark.skipif(not TEXTS.exists(), reason=f"no corpus at {TEXTS}")

#: What the bench's kernel may hand back.
REFUSALS = [Detail.SIGMA, Detail.FEATURES]

#: Every option, and its extremes.
OPTIONS = [
    {}, {"features": 1000}, {"features": (1 << 31) - 1}, {"features": 1}, {"features": 2},
    {"features": 3 << 29}, {"features": 993}, {"features": 65537, "alternate_sign": False},
    {"lowercase": False}, {"ngram_range": (1, 2)}, {"ngram_range": (2, 2), "features": 1000},
    {"ngram_range": (1, 3), "features": 12345}, {"ngram_range": (2, 3), "lowercase": False},
    {"ngram_range": (3, 3), "alternate_sign": False},
]


@pytest.fixture
def bench(hashing_bench):
    return hashing_bench


def files():
    for path in sorted(TEXTS.glob("*.txt")):
        yield path.name, path.read_bytes()
    with bz2.open(TEXTS / "unicode15_NormalizationTest.txt.bz2") as file:
        yield "unicode15_NormalizationTest.txt", file.read()


@needs_corpus
def test_corpus_whole(bench):
    texts = [(data, {}) for _, data in files()]
    assert len(texts) > 50
    refused = check(texts, bench.run(texts), REFUSALS)
    # A table of characters of two megabytes has more words than the card counts.
    assert refused <= 2


@needs_corpus
@pytest.mark.parametrize("stall", [0.0, 0.3])
def test_corpus_lines(bench, stall):
    """Every line, with the options taking turns; stalls change nothing."""
    lines = [line for name, data in files() for line in data.split(b"\n")
             if "unicode15" not in name or len(line) % 4 == 0]
    texts = list(zip(lines, itertools.cycle(OPTIONS)))
    assert check(texts, bench.run(texts, stall=stall, seed=3), REFUSALS) < len(texts) // 1000


#: Characters that lower case or words treat in their own way.
TRAPS = [
    "\u03a3", "\u03a3", "\u03a3\u03a3", "\u0130", "\u212a", "\u212b", "\u023a", "\u023e", "\u1e9e",
    "\u0345", "\u02b0", "\u2019", "\u0301", "\u00ad", "\u200d", "\u00df", "\u0149", "\u01c5",
    "\ufb01", "\u2c62", "\ua7ae", "\u13a0", "\u10a0", "\U00010400", "\U0001e900", "\U0001f600",
    "\U000e0041", "\U000e0100", "\uff21", "\u0660", "_", "'", ".", ":", "^", "`", " ", "-", "A",
    "b", "9", "\u00e9", "\u4e2d", "\uac00", "\u0e01\u0e31", "\u0903", "\u2160", "\u24b6", "\u00aa",
]


def dense(rng, length):
    """Text of traps."""
    return "".join(rng.choice(TRAPS) for _ in range(rng.randrange(length))).encode()


def anywhere(rng, length):
    """Text of all planes."""
    text = ""
    for _ in range(rng.randrange(length)):
        code = rng.randrange(rng.choice([0x80, 0x250, 0x3000, 0x30000, 0x110000]))
        text += chr(code) if not 0xd800 <= code < 0xe000 else " "
    return text.encode()


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_random_unicode(bench, stall):
    rng = random.Random(11)
    texts = [(rng.choice([dense, anywhere])(rng, 60), rng.choice(OPTIONS)) for _ in range(6000)]
    refused = check(texts, bench.run(texts, stall=stall), REFUSALS)
    assert refused < 150  # sigmas before word characters that are ignorable


def test_every_character(bench):
    """Each code point within a word, before and after a capital sigma."""
    codes = [code for code in range(0x110000) if not 0xd800 <= code < 0xe000]
    # Where nothing is assigned, a few are enough.
    codes = [c for c in codes if c < 0x3400 or 0xa000 <= c < 0xac00 or 0xd7a0 <= c < 0x13000
             or 0x16000 <= c < 0x17000 or 0x1b000 <= c < 0x20000 or c % 61 == 0]
    texts = []
    for group in range(0, len(codes), 16):
        characters = [chr(code) for code in codes[group:group + 16]]
        for form in ("ab{}cd \u03a3{}", "A{}\u03a3 x{}", "{}\u03a3a {}{}"):
            # A word or a few for each; those that are handed back do not hide others.
            texts.append((" ".join(form.replace("{}", c) for c in characters).encode(), {}))
    texts += [(f"A\u03a3{chr(code)}b".encode(), {}) for code in codes[::7]]
    refused = check(texts, bench.run(texts), REFUSALS)
    assert refused < 100


@pytest.mark.parametrize("text, handed_back", [
    ("\u039f\u0394\u039f\u03a3", False), ("\u039f\u0394\u039f\u03a3.", False),
    ("\u039f\u0394\u039f\u03a3. \u03a3", False), ("\u039f\u03a3''\u0391\u0392", False),
    ("\u03a3", False), ("\u03a3\u03a3", False), ("\u03a3\u03a3\u03a3 x", False),
    ("1\u03a3 ab", False), ("A.\u03a3", False), ("A\u03a3.....b", False), ("A\u03a3....", False),
    ("A\u03a3\u02b0", False), ("A\u03a3\u02b0 ", True), ("A\u03a3'\u02b0b", True),
    ("A\u03a3\u0345\u0391", False), ("\u02b0\u03a3 ab", False)])
def test_sigma(bench, text, handed_back):
    """What decides about a sigma, and when the card gives up."""
    texts = [(b" " * prefix + text.encode(), {}) for prefix in range(8)]
    texts += [(b"next text", {})]
    assert check(texts, bench.run(texts), REFUSALS) == 8 * handed_back


def test_cuts(bench):
    """Words and characters in every place of the payload words; every length of text."""
    text = "ab \u03a3\u03a3\u0130x y zz\U00010400\u20ac, \u00e9a  b.cde fghi jklmnop qrstuvwxyz"
    texts = [(b" " * shift + text.encode()[:end], options)
             for shift in range(8) for end in range(len(text.encode()) + 1)
             for options in ({}, {"ngram_range": (1, 2)})]
    assert not check(texts, bench.run(texts))
    assert not check(texts, bench.run(texts, stall=0.4))


def test_lengths(bench):
    """Words of every length, in n-grams too: every tail of the hash."""
    words = [bytes(97 + n * length % 26 for n in range(length)) for length in range(1, 41)]
    texts = [(b" ".join(words[i:] + words[:i]), options) for i in range(40) for options in OPTIONS]
    assert not check(texts, bench.run(texts))


def test_long_words(bench):
    texts = [(b"x" * 1000000, {}),
             (("\u00e9" * 300000 + " a bc").encode(), {"ngram_range": (1, 3)}),
             (b"a " * 20000, {}), (b"," * 20000 + b"ab", {}), (b"", {}), (b"ok", {})]
    assert not check(texts, bench.run(texts))


def test_malformed(bench):
    """Malformed texts end with a status; the ones between them are exact."""
    rng = random.Random(5)
    texts = []
    for n in range(400):
        data = bytearray(dense(rng, 40) + b"word and word")
        if n % 2:
            for _ in range(rng.choice([1, 1, 3])):
                data[rng.randrange(len(data))] = rng.randrange(256)
            del data[rng.randrange(len(data)):]
        texts.append((bytes(data), {}))
    if TEXTS.exists():
        lines = (TEXTS / "kuhn_UTF-8-test.txt").read_bytes().split(b"\n")
        texts += [(line, {}) for line in lines]
    results = bench.run(texts, stall=0.1)
    check(texts, results, REFUSALS)
    assert sum(result.detail == Detail.UTF8 for result in results) > 100


def test_same_word(bench):
    """Occurrences that follow each other into one row."""
    texts = [(b"the " * n + b"cat the dog " * n, {"features": features, "ngram_range": (1, 2)})
             for n in (1, 2, 3, 50, 3000) for features in (1, 2, 3, 1000, 1 << 20)]
    assert not check(texts, bench.run(texts))
    assert not check(texts[:15], bench.run(texts[:15], stall=0.3))


def test_too_many_features(bench):
    """As many columns as fit, and one more."""
    words = [b"w%d" % n for n in range(6000)]
    limit = 1024 * 4 * 3 // 4

    def distinct(count, options):
        """A text of so many different columns."""
        text, found = [], set()
        from sklearn.feature_extraction import FeatureHasher
        hasher = FeatureHasher(options.get("features", 1 << 20), input_type="string")
        columns = hasher.transform([[word.decode()] for word in words]).indices
        for word, column in zip(words, columns):
            if column not in found:
                if len(found) == count:
                    break
                found.add(column)
            text.append(word)
        return b" ".join(text)

    for options in ({}, {"features": (1 << 31) - 1}, {"features": 3 << 29}, {"features": 4000}):
        texts = [(distinct(limit, options), options), (distinct(limit + 1, options), options),
                 (b"and then", options)]
        results = bench.run(texts)
        check(texts, results, REFUSALS)
        assert [result.status for result in results] == [
            Status.OK, Status.TOO_LARGE, Status.OK], options
        assert len(results[0].columns) == limit


def test_speed(bench):
    """The rates that the docstrings promise, on plain text."""
    words = re.findall(r"\w+", "it is what we all of us say of words as they are of any length")
    text = (" ".join(words) + ", ").encode() * 200
    for options, least in (({}, 3.2), ({"ngram_range": (1, 2)}, 1.9)):
        [result] = bench.run([(text, options)])
        assert len(text) / result.cycle > least, (options, len(text) / result.cycle)


def test_entries():
    """The table says what Python says."""
    entries = hashing_entries()
    image = TableImage.pack(entries, 384, EntryBits.WIDTH)
    assert np.array_equal(TableImage.look_up(image, np.arange(0x110000)), entries)

    def member(name):
        first, width = getattr(EntryBits, name)
        return entries.astype(np.int64) >> first & ((1 << width) - 1)

    lower = [chr(code).lower() for code in range(0x110000)]
    delta = member("delta")
    delta -= (delta >> 17) << 18
    assert np.array_equal(np.arange(0x110000) + delta, [ord(text[0]) for text in lower])
    assert [code for code in np.flatnonzero(member("splits"))] == [0x130]
    assert list(np.flatnonzero(member("sigma"))) == [0x3a3]
    assert member("word").sum() == sum(re.match(r"\w", text) is not None for text in lower)


def test_config_limits():
    with pytest.raises(ValueError, match=r"^Features must be within range\(1, 2\*\*31\), not 0"):
        hashing_config(0)
    with pytest.raises(ValueError, match=r"^Features must be within range\(1, 2\*\*31\)"):
        hashing_config(1 << 31)
    with pytest.raises(ValueError, match="^Ngram_range must be within 1 and 3, not \\(1, 4\\)"):
        hashing_config(ngram_range=(1, 4))
