# SPDX-License-Identifier: Apache-2.0
# amaranth: UnusedElaboratable=no
"""The WordPiece kernel under Verilator against Hugging Face's tokenizers."""

import bz2
import functools
import random
import subprocess
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

import vocabulary
from headrace import wordpiece
from headrace.hw.status import Detail, Status
from headrace.hw.text.utf8 import Utf8Decoder
from headrace.hw.text.vocabulary import Geometry, Role
from headrace.hw.text.wordpiece import WordPiece
from verilated import program


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
        options = dict(clean_text=True, handle_chinese_chars=True, strip_accents=None,
                       lowercase=True, **options)
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
    run_it = program(WordPiece(), HERE / "wordpiece.cpp", tmp_path_factory.mktemp("wordpiece"),
                     defines=[f"ENTRY_WIDTH={width}"])

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
        done = subprocess.run([run_it, str(stall), str(seed), folder], capture_output=True,
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
    """Every result equals the library's, but for those handed back; return how many were."""
    redone = 0
    for text, result in zip(texts, results):
        status = result[1:]
        if status == OK:
            assert result.tokens == words.ids(text.decode()), text
        elif status == REORDER:
            assert any(words.tables.entries[ord(c)] >> 3 & 3 for c in text.decode()), text
            redone += 1
        else:
            assert status == MALFORMED
            with pytest.raises(UnicodeDecodeError):
                text.decode()
    return redone


TEXTS = ["unaffable", "unaffably", "x unaffable", "unaffable unaffable", "x unaffably", "x unaffable and then some"]


def test_first(kernel):
    words = large()
    texts = [text.encode() for text in TEXTS]
    results, cycles = kernel(words.tables, texts)
    for t,r in zip(texts,results): print(t, [words.library.id_to_token(x) for x in r.tokens], words.ids(t.decode())==r.tokens)
    import time
    for name in ("genesis_english-kjv","udhr2_hin","udhr2_rus","udhr2_kor","lipsum_Chinese","udhr2_deu_1901"):
        data = Path(f"/work/shared/corpus/text/{name}.txt").read_bytes()
        t=time.time()
        results, cycles = kernel(words.tables, [data])
        t=time.time()-t
        print(name,len(data)/cycles,len(data),cycles,len(results[0].tokens)/cycles,t)
        assert check(words, [data], results) == 0
