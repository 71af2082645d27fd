# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""The WordPiece kernel under Verilator against Hugging Face's tokenizers."""

import random
import subprocess
from pathlib import Path

import numpy as np
import pytest

import vocabulary
from headrace.hw.text.utf8 import Utf8Decoder
from headrace.hw.text.vocabulary import Geometry, Role
from headrace.hw.text.wordpiece import WordPiece
from verilated import compile_bench
from wordpiece_bench import (
    MALFORMED, OK, REORDER, TEXTS, Vocabulary, check, corpus_texts, encoded, large, random_text,
    results_of, small)


tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """``kernel(tables, texts, …)``: results of texts (bytes) through the kernel, and cycles."""
    width = Geometry().entry_width
    bench = compile_bench(WordPiece(), HERE / "wordpiece.cpp",
                          tmp_path_factory.mktemp("wordpiece"), defines=[f"ENTRY_WIDTH={width}"])

    def run(tables, texts, *, stall=0.0, seed=1):
        folder = tmp_path_factory.mktemp("run")
        tables.writes().tofile(folder / "writes")
        tables.entries.tofile(folder / "entries")
        characters = [len(texts)]
        for text in texts:
            codes, malformed = Utf8Decoder.compute(text)
            codes += [-1] * malformed
            characters += [len(codes), *codes]
        np.array(characters, np.int32).tofile(folder / "texts")
        done = subprocess.run([bench, str(stall), str(seed), folder], capture_output=True,
                              text=True)
        assert done.returncode == 0, done.stderr
        return results_of(folder, len(texts)), int(done.stdout)

    return run


@pytest.mark.parametrize("vocabulary", [small, large])
@pytest.mark.parametrize("stall", [0.0, 0.2, 0.6])
def test_examples(kernel, vocabulary, stall):
    words = vocabulary()
    texts = encoded(TEXTS) * 2
    random.Random(1).shuffle(texts)
    results, _ = kernel(words.tables, texts, stall=stall, seed=2)
    assert check(words, texts, results) == 0


def test_every_character(kernel):
    """Each in a text, where it joins, parts, or vanishes; and at the edge of one."""
    words = small()
    characters = [chr(code) for code in range(0x110000) if not 0xd800 <= code < 0xe000]
    texts = ["".join(f"a{c}b {c}" for c in characters[n:n + 2048])
             for n in range(0, len(characters), 2048)]
    texts += characters[:0x3100]
    texts = encoded(texts)
    results, _ = kernel(words.tables, texts)
    assert check(words, texts, results) == 0


@pytest.mark.parametrize("vocabulary, stall", [(small, 0.0), (small, 0.4), (large, 0.0)])
def test_random_text(kernel, vocabulary, stall):
    words, rng = vocabulary(), random.Random(stall)
    texts = encoded(random_text(rng, rng.randrange(120)) for _ in range(3000))
    results, _ = kernel(words.tables, texts, stall=stall)
    assert check(words, texts, results) < 0.1 * len(texts)


def test_marks(kernel):
    """Runs of marks: what may change places is handed back, nothing else is."""
    words, rng = small(), random.Random(5)
    roles = words.tables.entries >> 3 & 3
    kinds = [[chr(c) for c in np.flatnonzero(roles == role)]
             for role in (Role.MARK, Role.MARKED, Role.TRANSPARENT)]
    kinds.append(list("ab .\u0301\u0f39\u200b\u302a"))
    texts = encoded("".join(rng.choice(rng.choice(kinds)) for _ in range(rng.randrange(12)))
                    for _ in range(4000))
    # One mark in a run, whatever else there is.
    texts += encoded(f"a{mark}\u0301\u200bb{mark}" for mark in kinds[0])
    # Two of the same and of any others, with what does not part them in between.
    pairs = [f"a{rng.choice(kinds[0])}{rng.choice(['', chr(0x301), chr(0x200b)])}"
             f"{rng.choice(kinds[0])}b" for _ in range(500)]
    texts += encoded(pairs)
    results, _ = kernel(words.tables, texts)
    check(words, texts, results)
    assert all(result[1:] == REORDER for result in results[-500:])
    assert all(result[1:] == OK for result in results[4000:-500])
    changed = [text for text in pairs if words.library.normalizer.normalize_str(text)
               != "".join(map(words.library.normalizer.normalize_str, text))]
    assert changed, "the library leaves all pairs as they are"


OPTIONS = [dict(lowercase=False), dict(strip_accents=False), dict(handle_chinese_chars=False),
           dict(clean_text=False), dict(lowercase=False, strip_accents=True)]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(options))
def test_options(kernel, options):
    words, rng = Vocabulary(vocabulary.small(), **options), random.Random(3)
    characters = [chr(code) for code in range(0x30000) if not 0xd800 <= code < 0xe000]
    texts = TEXTS + ["".join(f"a{c}b {c}" for c in characters[n:n + 512])
                     for n in range(0, len(characters), 512)]
    texts = encoded(texts + [random_text(rng, 60) for _ in range(200)])
    results, _ = kernel(words.tables, texts)
    assert check(words, texts, results) < 40


def test_special_tokens(kernel):
    """The leftmost, of these the longest; strings that share beginnings and ends."""
    specials = ["[MASK]", "[MASK]]", "[[", "[UNK]", "aba", "abacab", "b", "\u00e9\u65e5", "x" * 31,
                "[M", "A]["]
    words, rng = Vocabulary(vocabulary.small(), specials), random.Random(4)
    pieces = ["[MASK", "]", "[", "MASK", "[M", "[MASK]]", "aba", "cab", "c", " ", "\x00", "\u00e9",
              "\u65e5", "x" * 30, "xx", "[UN", "K]", "the", "A]", "\u0301"]
    texts = encoded("".join(rng.choices(pieces, k=rng.randrange(14))) for _ in range(3000))
    for stall in (0.0, 0.4):
        results, _ = kernel(words.tables, texts, stall=stall)
        assert check(words, texts, results) == 0


def test_malformed(kernel):
    """Malformed bytes end the text with a status, and do no harm to the next."""
    words, rng = small(), random.Random(6)
    texts = []
    for n in range(600):
        text = bytearray(random_text(rng, rng.randrange(40)).encode())
        if n % 3 and text:
            for _ in range(rng.randrange(3)):
                text[rng.randrange(len(text))] = rng.randrange(256)
            del text[rng.randrange(len(text)):]
        texts.append(bytes(text))
    results, _ = kernel(words.tables, texts, stall=0.1)
    check(words, texts, results)
    assert 100 < sum(result[1:] == MALFORMED for result in results) < 500


def test_long_words(kernel):
    """Words without end are unknown, and what follows is exact."""
    words = small()
    texts = encoded(["a" * 1000000 + " the", "the " + "\u00e9" * 200000, "the",
                     ("a" * 101 + " ") * 300, ("unaffable" * 11 + " ") * 300, "." * 20000,
                     "\u0301" * 20000 + "a", " " * 20000])
    results, _ = kernel(words.tables, texts)
    assert check(words, texts, results) == 0


def test_longest_word(kernel):
    """``max_input_chars_per_word`` from 1 to the most there can be."""
    texts = encoded(["a", "aa", "aab", "ab " * 100, "a" * 254, "a" * 255, "a" * 256])
    for longest in (1, 2, 255):
        words = Vocabulary(vocabulary.small(), longest=longest)
        results, _ = kernel(words.tables, texts)
        assert check(words, texts, results) == 0


@pytest.mark.parametrize("vocabulary", [small, large])
def test_corpus(kernel, vocabulary):
    """Whole files one by one, and their lines."""
    words, texts = vocabulary(), list(corpus_texts().values())
    results, _ = kernel(words.tables, texts)
    assert check(words, texts, results) <= 2  # Unicode's own tests of marks
    lines = [line for text in texts for line in text.splitlines()][::3]
    results, _ = kernel(words.tables, lines)
    assert check(words, lines, results) < 0.01 * len(lines)


def test_throughput(kernel):
    """More than a byte a cycle, whatever the language."""
    words, texts = large(), corpus_texts()
    for name in ("inaugural_1861-Lincoln", "lipsum_Latin", "udhr2_deu_1901", "udhr2_rus",
                 "udhr2_hin", "udhr2_kor", "udhr2_tha", "lipsum_Chinese", "udhr2_vie"):
        text = texts[name + ".txt"]
        _, cycles = kernel(words.tables, [text])
        assert len(text) > 1.1 * cycles, (name, len(text) / cycles)


def test_init_wrong():
    with pytest.raises(ValueError, match="^Walkers must be 1 or 2, not 3$"):
        WordPiece(walkers=3)
    with pytest.raises(ValueError, match="^Width must be at least 23, not 22$"):
        WordPiece(width=22)
    with pytest.raises(ValueError, match=r"^Node bits must be within range\(8, 25\), not 30$"):
        Geometry(node_bits=30)
