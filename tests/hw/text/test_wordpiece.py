# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""The WordPiece kernel under Verilator against Hugging Face's tokenizers."""

import bz2
import functools
import random
import subprocess
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

import corpus
import vocabulary
from headrace import wordpiece
from headrace.hw.status import Detail, Status
from headrace.hw.text.utf8 import Utf8Decoder
from headrace.hw.text.vocabulary import Geometry, Role
from headrace.hw.text.wordpiece import WordPiece
from verilated import compile_bench


tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")

HERE = Path(__file__).resolve().parent
Result = namedtuple("Result", "tokens status detail")

OK = Status.OK, Detail.NONE
MALFORMED = Status.CORRUPT, Detail.UTF8
REORDER = Status.UNSUPPORTED, Detail.REORDER


class Vocabulary:
    """A vocabulary as the library has it, and as the kernel has it."""

    def __init__(self, strings, specials=vocabulary.SPECIALS, longest=100, **options):
        tokens = {string: n for n, string in enumerate(strings)}
        options = dict(dict(clean_text=True, handle_chinese_chars=True, strip_accents=None,
                            lowercase=True), **options)
        self.library = vocabulary.tokenizer(strings, specials, longest, **options)
        self.tables = wordpiece.build(
            wordpiece.Characters.of(**options), tokens,
            {s: self.library.token_to_id(s) for s in specials},
            unknown=tokens["[UNK]"], longest=longest)

    def ids(self, text):
        return self.library.encode(text, add_special_tokens=False).ids


@functools.cache
def small():
    return Vocabulary(vocabulary.small())


@functools.cache
def large():
    return Vocabulary(vocabulary.real())


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
        tokens = np.fromfile(folder / "tokens", np.uint32).tolist()
        ends = np.fromfile(folder / "ends", np.int32).reshape(-1, 3).tolist()
        assert len(ends) == len(texts)
        results, at = [], 0
        for count, status, detail in ends:
            results.append(Result(tokens[at:at + count], Status(status), Detail(detail)))
            at += count
        return results, int(done.stdout)

    return run


def check(words, texts, results):
    """Every result equals the library's, but for those handed back; return how many may change
    with the order of marks."""
    redone = 0
    for text, result in zip(texts, results):
        status = result[1:]
        if status == OK:
            assert result.tokens == words.ids(text.decode()), text
        elif status == REORDER:
            roles = words.tables.entries[[ord(c) for c in text.decode()]] >> 3 & 3
            assert np.count_nonzero(np.isin(roles, (Role.MARK, Role.MARKED))) > 1, text
            redone += 1
        else:
            assert status == MALFORMED
            with pytest.raises(UnicodeDecodeError):
                text.decode()
    return redone


def encoded(texts):
    return [text.encode() for text in texts]


TEXTS = [
    "", " ", "a", "ab", "Hello, World!", "unaffable unaffably  the", "the\tthe\nthe\r\nthe",
    "na\u00efve caf\u00e9 CAF\u00c9 cafe\u0301", "don't ain't",
    "\u65e5\u672c\u8a9e\u306e\u30ab\u30bf\u30ab\u30ca\u3002", "\u0130stanbul i\u0307",
    "\ud55c\uad6d\uc5b4 \ud55c\uad6d \uac00\uac01\ud7a3", "\u00aa\u00b5\ufb01 x\ufb01x",
    "a\x0bb a\x0cb a\x85b a\u200bb a\u00adb \x00a\ufffdb", "a\u00a0b a\u2003b a\u3000b a\u2028b",
    "\u03a3\u03c3\u03c2 \u039f\u0394\u039f\u03a3", "[CLS] the [MASK] [SEP]", "the[MASK]the",
    "[[MASK]]", "[mask] [MASK", "[MA SK] [MA\x00SK] [M\u00c1SK] [MASK\u0301]", "[MASK][MASK]",
    "[UNK][PAD", "[unused1] [UNK]]", "\u09cb \u0995\u09cb\u0995 \U0001d15e",
    "e\u0301\u0301 \u0301 a\u0301[MASK]\u0301b", "--...!?", "q \u00e9q the", "1984 2000 19",
    *("a" * n for n in (99, 100, 101, 255, 256, 257, 511, 512, 513)),
    *("unaffable" * n for n in (11, 12)), "e\u0301" * 100, "e\u0301" * 101, "\ud55c" * 33,
    "\ud55c" * 34, "a" * 100 + "q", "q" + "a" * 100,
    "a" * 100 + "." + "a" * 101 + "[SEP]" + "a" * 100,
]


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


def random_text(rng, length):
    """Characters of all kinds and planes, and strings that mean something to tokenizers."""
    kinds = [
        lambda: chr(rng.randrange(0x110000)), lambda: chr(rng.randrange(0x3000)),
        lambda: chr(rng.randrange(0x80)), lambda: chr(rng.randrange(0x300, 0x370)),
        lambda: chr(rng.randrange(0xac00, 0xd7b0)), lambda: chr(rng.randrange(0x1d000, 0x1d200)),
        lambda: rng.choice(" \t\n\u3000"), lambda: rng.choice(vocabulary.SPECIALS),
        lambda: rng.choice(vocabulary.WORDS).lstrip("#"), lambda: rng.choice("[]MASK"),
        lambda: rng.choice("the a un able aff ing".split()),
    ]
    weights = [rng.random() ** 3 for _ in kinds]
    text = "".join(rng.choices(kinds, weights)[0]() for _ in range(length))
    return "".join(c for c in text if not "\ud800" <= c <= "\udfff")


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


def corpus_texts():
    folder = corpus.FOLDER.parent / "text"
    files = sorted(folder.glob("*.txt")) + sorted(folder.glob("*.bz2"))
    if not files:
        pytest.skip(f"no corpus at {folder}")
    return {path.name: bz2.decompress(path.read_bytes()) if path.suffix == ".bz2"
            else path.read_bytes() for path in files}


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
    with pytest.raises(ValueError, match=r"^Node bits must be within range\(8, 25\), not 30$"):
        Geometry(node_bits=30)
