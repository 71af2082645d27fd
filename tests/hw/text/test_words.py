# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""CaseFolder, WordSplitter, Ngrams and Columns, each against its model, under stalls."""

import random

import pytest
from headrace.hw.text.case import CaseFolder
from headrace.hw.text.columns import Columns
from headrace.hw.text.layout import TextError
from headrace.hw.text.murmur3 import murmur3
from headrace.hw.text.ngrams import Ngrams
from headrace.hw.text.tables import EntryBits, column_config, hashing_entries
from headrace.hw.text.words import WordSplitter


STALLS = [0.0, 0.3, 0.7]


def until_last(items):
    """Items cut after each that is ``last``."""
    texts, text = [], []
    for item, _ in items:
        text.append(item)
        if item.last:
            texts.append(text)
            text = []
    assert not text
    return texts


def characters(text, entries, rng):
    """Beats of MappedCharacters of a text."""
    beats, at = [], 0
    while at < len(text):
        most = rng.choice([1, 4, 4])
        run = 1
        if text[at] < "\x80":
            while run < most and at + run < len(text) and text[at + run] < "\x80":
                run += 1
        codes = [ord(c) for c in text[at:at + run]] + [0] * (4 - run)
        beats.append(dict(codes=codes, count=run, last=0, malformed=0, set=0,
                          entries=[int(entries[code]) for code in codes]))
        at += run
    if not beats or rng.random() < 0.3:
        beats.append(dict(codes=[0] * 4, count=0, last=0, malformed=0, set=0, entries=[0] * 4))
    beats[-1]["last"] = 1
    return beats


def without_runs(items):
    """Of characters that are no word characters, one is as good as several."""
    return [item for n, item in enumerate(items) if item[0] is not None or n == 0
            or items[n - 1][0] is not None]


def test_case(kernels):
    entries = hashing_entries()
    rng = random.Random(3)
    alphabet = "ab.' \u03a3\u03a3\u0130\u212a\u023a\u4e2d\U00010400\u02b0\u0301A"
    texts = ["", "\u03a3", "A\u03a3"] + [
        "".join(rng.choice(alphabet) for _ in range(rng.randrange(14))) for _ in range(800)]
    configs = [dict(lowercase=rng.randrange(4) > 0, joined=rng.randrange(2)) for _ in texts]
    beats = [characters(text, entries, rng) for text in texts]
    beats.append([dict(codes=[0] * 4, count=0, last=1, malformed=1, set=0, entries=[0] * 4)])
    configs.append(dict(lowercase=1, joined=0))
    for stall in STALLS:
        [items] = kernels.run(
            "case", stall, config=configs, i=[beat for text in beats for beat in text])
        results = until_last(items)
        assert len(results) == len(beats)
        assert results.pop()[-1].error == TextError.UTF8
        refused = 0
        for text, config, result in zip(texts, configs, results):
            if result[-1].error == TextError.SIGMA:
                refused += 1
                assert config["lowercase"] and "\u03a3" in text and "\u02b0" in text
                continue
            assert result[-1].error == TextError.NONE
            assert all(item.joined == config["joined"] for item in result)
            got = []
            for item in result:
                for n in range(item.count):
                    # A character that is no word character is one byte, whatever it was.
                    word = item.word >> n & 1
                    got.append((item.bytes[n] if word else None, item.begin >> n & 1))
            expected = []
            for c in CaseFolder.compute(text, config["lowercase"]):
                if c.isalnum() or c == "_":
                    expected += [(byte, int(n == 0)) for n, byte in enumerate(c.encode())]
                else:
                    expected.append((None, 1))
            assert without_runs(got) == without_runs(expected), (text, config)
        assert 0 < refused < 40


def test_words(kernels):
    rng = random.Random(4)
    texts = ["", "a", "ab", "\u4e2d", "\U00010400", "\U00010400\U00010400"]
    texts += ["".join(rng.choice("ab  ,\u00e9\u4e2d\U00010400") for _ in range(rng.randrange(20)))
              for _ in range(600)]
    texts += ["word" * 20 + " " * n + "and" for n in range(12)]
    joined = [rng.randrange(2) for _ in texts]
    beats = []
    for text, join in zip(texts, joined):
        entries = []
        for c in text:
            entries += ([(byte, n == 0, 1) for n, byte in enumerate(c.encode())] if c.isalnum()
                        else [(0xff, 1, 0)])
        text_beats = []
        while entries:
            count = rng.choice([1, 2, 3, 4, 4, 4])
            head, entries = entries[:count], entries[count:]
            text_beats.append(dict(
                bytes=[byte for byte, _, _ in head] + [0xee] * (4 - len(head)),
                begin=sum(begin << n for n, (_, begin, _) in enumerate(head)),
                word=sum(word << n for n, (_, _, word) in enumerate(head)), count=len(head),
                joined=join, last=0, error=TextError.NONE))
        if not text_beats or rng.random() < 0.3:
            text_beats.append(dict(bytes=[0] * 4, begin=15, word=15, count=0, joined=join, last=0,
                                   error=TextError.NONE))
        text_beats[-1]["last"] = 1
        beats += text_beats
    for stall in STALLS:
        [items] = kernels.run("words", stall, i=beats)
        results = until_last(items)
        assert len(results) == len(texts)
        for text, join, result in zip(texts, joined, results):
            words, word = [], None
            for item in result:
                assert item.count or item.last
                data = item.data.to_bytes(4, "little")
                assert not any(data[item.count:])
                if not item.count:
                    assert not item.first and not item.end
                    continue
                if item.first:
                    assert word is None and (not join or item.count <= 3)
                    word = b""
                word += data[:item.count]
                if item.end:
                    words.append(word)
                    word = None
            assert word is None and words == WordSplitter.compute(text), (text, result)


def chunks(words, joined):
    """WordBytes of a text."""
    items = []
    for word in words:
        at = 0
        while at < len(word):
            size = 3 if joined and not at else 4
            part = word[at:at + size]
            items.append(dict(data=int.from_bytes(part, "little"), count=len(part), first=at == 0,
                              end=at + size >= len(word), last=0, error=TextError.NONE))
            at += size
    if not items:
        items.append(dict(data=0, count=0, first=0, end=0, last=0, error=TextError.NONE))
    items[-1]["last"] = 1
    return items


def test_hashes(kernels):
    """Ngrams and Columns: every n-gram once."""
    max_n = 3
    rng = random.Random(5)
    texts, configs = [], []
    for n in range(150):
        texts.append([bytes(rng.randrange(256) for _ in range(rng.randrange(2, 1 + rng.choice(
            [3, 6, 12, 40])))) for _ in range(rng.choice([0, 1, 2, 3, 9]))])
        low, high = sorted(rng.randrange(1, max_n + 1) for _ in range(2))
        features = rng.choice([1, 2, 3, 1000, 1 << 20, (1 << 31) - 1, rng.randrange(1, 1 << 31)])
        configs.append((low, high, features, n % 2))
    for stall in STALLS:
        [forks] = kernels.run(
            "ngrams", stall, config=[dict(min=low, max=high) for low, high, *_ in configs],
            i=[item for text, (_, high, *_) in zip(texts, configs)
               for item in chunks(text, high > 1)])
        assert len(until_last(forks)) == len(texts)
        [features] = kernels.run(
            "columns", stall,
            config=[column_config(count, sign, 1024) for _, _, count, sign in configs],
            i=[item for item, _ in forks])
        results = until_last(features)
        assert len(results) == len(texts)
        for text, (low, high, count, sign), result in zip(texts, configs, results):
            got = sorted((item.column, -1 if item.negative else 1) for item in result if item.valid)
            hashes = [murmur3(gram) for gram in Ngrams.compute(text, low, high)]
            assert got == sorted(Columns.compute(h, count, sign) for h in hashes)
            homes = sorted((item.column, item.home) for item in result if item.valid)
            assert [home for _, home in homes] == sorted(home for _, home in homes)
            assert all(home < 992 for _, home in homes)


def test_murmur3():
    utils = pytest.importorskip("sklearn.utils", reason="scikit-learn is not installed")
    rng = random.Random(6)
    for length in range(70):
        key = bytes(rng.randrange(256) for _ in range(length))
        assert murmur3(key) == utils.murmurhash3_32(key, 0, positive=True)


def test_columns_of_every_size():
    """The estimated quotient is at most one too small, the homes are within bounds."""
    rng = random.Random(7)
    for _ in range(20000):
        features = rng.choice([rng.randrange(1, 70), rng.randrange(1, 1 << rng.randrange(1, 32))])
        config = column_config(features, True, 1024)
        value = rng.choice([0, 1, 1 << 31, (1 << 31) - 1, rng.randrange(1 << 31)])
        rest = value - (value * config["reciprocal"] >> 32) * features
        assert 0 <= rest < 2 * features
        assert rng.randrange(features) * config["scale"] >> 32 < 992
        assert (features - 1) * config["scale"] >> 32 < 992
    # -2**31 has no positive counterpart in 32 bits.
    assert Columns.compute(1 << 31, 1000) == ((1 << 31) % 1000, -1)


def test_ngrams_needs_a_length():
    with pytest.raises(ValueError, match="^Max_n must be positive, not 0"):
        Ngrams(0)


def test_entry_width():
    assert CaseFolder().width == EntryBits.WIDTH
