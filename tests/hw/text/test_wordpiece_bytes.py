# SPDX-License-Identifier: Apache-2.0
"""From bytes to tokens: decoder, map of characters, and WordPiece, as in a lane."""

import random
import subprocess
from pathlib import Path

import numpy as np
import pytest
from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from headrace.hw.stream.layout import PayloadWord
from headrace.hw.text.characters import CharacterMap, TableImage
from headrace.hw.text.layout import CharacterWrite, Element, TextDone
from headrace.hw.text.units import TableWrite
from headrace.hw.text.utf8 import Utf8Decoder
from headrace.hw.text.vocabulary import Geometry
from headrace.hw.text.wordpiece import WordPiece
from verilated import compile_bench
from wordpiece_bench import (
    TEXTS, check, corpus_texts, encoded, large, random_text, results_of, small)


tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")

HERE = Path(__file__).resolve().parent
PAGES = 512
#: Bits of an entry in the map of characters: more than WordPiece needs, for other kernels.
WIDTH = 28


class Chain(wiring.Component):
    """The kernels of a lane."""

    def __init__(self):
        self.geometry = Geometry()
        super().__init__({
            "write": In(TableWrite(self.geometry)), "write_valid": In(1),
            "map_write": In(CharacterWrite(WIDTH, 1, PAGES)),
            "map_write_valid": In(1),
            "i": In(stream.Signature(PayloadWord)), "o": Out(stream.Signature(Element)),
            "o_done": Out(stream.Signature(TextDone)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.utf8 = utf8 = Utf8Decoder()
        m.submodules.map = map_ = CharacterMap(width=WIDTH, pages=PAGES)
        m.submodules.wordpiece = wordpiece = WordPiece(geometry=self.geometry, width=WIDTH)
        wiring.connect(m, wiring.flipped(self.i), utf8.i)
        wiring.connect(m, utf8.o, map_.i)
        wiring.connect(m, map_.o, wordpiece.i)
        wiring.connect(m, wordpiece.o, wiring.flipped(self.o))
        wiring.connect(m, wordpiece.o_done, wiring.flipped(self.o_done))
        m.d.comb += [
            map_.select.valid.eq(1), map_.write.eq(self.map_write),
            map_.write_valid.eq(self.map_write_valid), wordpiece.write.eq(self.write),
            wordpiece.write_valid.eq(self.write_valid),
        ]
        return m


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """``chain(tables, texts, …)``: results of texts (bytes), and cycles."""
    bench = compile_bench(Chain(), HERE / "wordpiece.cpp", tmp_path_factory.mktemp("chain"),
                          defines=[f"ENTRY_WIDTH={WIDTH}", "PAYLOADS"])

    def run(tables, texts, *, stall=0.0, seed=1):
        folder = tmp_path_factory.mktemp("run")
        tables.writes().tofile(folder / "writes")
        TableImage.pack(tables.entries, PAGES, WIDTH).tofile(folder / "image")
        np.frombuffer(b"".join(texts), np.uint8).tofile(folder / "texts")
        np.array([len(text) for text in texts], np.int32).tofile(folder / "lengths")
        done = subprocess.run([bench, str(stall), str(seed), folder], capture_output=True,
                              text=True)
        assert done.returncode == 0, done.stderr
        return results_of(folder, len(texts)), int(done.stdout)

    return run


@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_examples(chain, stall):
    """Every place in the words, whatever comes before and behind."""
    words, rng = small(), random.Random(2)
    texts = encoded(
        " " * n + text for text in TEXTS for n in (0, 1, 2, 3, 5))
    texts += [text[:rng.randrange(len(text) + 1)] for text in texts]
    rng.shuffle(texts)
    results, _ = chain(words.tables, texts, stall=stall)
    assert check(words, texts, results) < 10


def test_corpus(chain):
    words, texts = large(), list(corpus_texts().values())
    lines = [line for text in texts for line in text.splitlines()][1::3]
    results, _ = chain(words.tables, texts + lines)
    assert check(words, texts + lines, results) < 0.01 * len(lines)


def test_random_text(chain):
    words, rng = small(), random.Random(8)
    texts = [random_text(rng, rng.randrange(90)) for _ in range(2000)]
    texts = encoded(texts)
    results, _ = chain(words.tables, texts)
    assert check(words, texts, results) < 0.1 * len(texts)


def test_throughput(chain):
    """The kernels in front do not slow WordPiece down."""
    words, texts = large(), corpus_texts()
    for name, least in (("inaugural_1861-Lincoln", 1.15), ("udhr2_rus", 1.7), ("udhr2_kor", 1.4),
                        ("lipsum_Chinese", 2.8)):
        text = texts[name + ".txt"]
        _, cycles = chain(words.tables, [text])
        assert len(text) > least * cycles, (name, len(text) / cycles)
