# SPDX-License-Identifier: Apache-2.0
"""Texts for WordPiece, vocabularies, and what the library makes of the one with the other."""

import bz2
import functools
from collections import namedtuple

import numpy as np
import pytest

import corpus
import vocabulary
from headrace import wordpiece
from headrace.hw.status import Detail, Status
from headrace.hw.text.vocabulary import Role


__all__ = ["Result", "OK", "MALFORMED", "REORDER", "TEXTS", "Vocabulary", "small", "large",
           "results_of", "check", "encoded", "random_text", "corpus_texts"]


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


def results_of(folder, count):
    """What the program left there."""
    tokens = np.fromfile(folder / "tokens", np.uint32).tolist()
    ends = np.fromfile(folder / "ends", np.int32).reshape(-1, 3).tolist()
    assert len(ends) == count
    results, at = [], 0
    for length, status, detail in ends:
        results.append(Result(tokens[at:at + length], Status(status), Detail(detail)))
        at += length
    return results


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


def corpus_texts():
    folder = corpus.FOLDER.parent / "text"
    files = sorted(folder.glob("*.txt")) + sorted(folder.glob("*.bz2"))
    if not files:
        pytest.skip(f"no corpus at {folder}")
    return {path.name: bz2.decompress(path.read_bytes()) if path.suffix == ".bz2"
            else path.read_bytes() for path in files}
