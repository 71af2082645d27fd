# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""Utf8Decoder against Python's decoder, CharacterMap against its table."""

import random
import unicodedata

import numpy as np
import pytest
from headrace.hw.text.characters import CharacterMap
from headrace.hw.text.tables import ASCII_AT, PAGES_AT, TableImage
from headrace.hw.text.utf8 import Utf8Decoder


def mixed(rng, length, malformed):
    """Random text of all planes, in which malformed sequences occur at rate ``malformed``."""
    text = b""
    while len(text) < length:
        kind = rng.random()
        if kind < malformed:
            text += rng.choice([b"\xc0\x80", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf",
                                b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf4\x90\x80\x80", b"\x80",
                                b"\xf5\x80\x80\x80", b"\xff", b"\xfe", b"\xc3", b"\xe2\x82",
                                b"\xf0\x9f\x98", b"\xf8\x88\x80\x80\x80", b"\xbf"])
        elif kind < 0.5:
            text += bytes(rng.randrange(0x80) for _ in range(rng.randrange(9)))
        else:
            limit = rng.choice([0x800, 0x10000, 0x110000])
            code = rng.randrange(0x80, limit)
            text += chr(code).encode() if not 0xd800 <= code < 0xe000 else b"\xed\x9f\xbf"
    return text


#: First and last code points of every length, and what borders on the surrogates.
EDGES = "".join(map(chr, [0, 0x7f, 0x80, 0x7ff, 0x800, 0xfff, 0x1000, 0xd7ff, 0xe000, 0xffff,
                          0x10000, 0x3ffff, 0x40000, 0xfffff, 0x100000, 0x10ffff])).encode()


#: No gaps: each of these takes 1000 beats.
GAPLESS = ["x" * 4000, "\u00df" * 1000, "\u20ac" * 1000, "\U0001f600" * 1000,
           "abcd\U0001f600" * 500]


def payload_words(payloads):
    """PayloadWords of texts; what is beyond the end of one is noise."""
    for payload in payloads:
        for at in range(0, max(1, len(payload)), 8):
            part = payload[at:at + 8]
            yield dict(data=int.from_bytes(part.ljust(8, b"\xa5"), "little"), count=len(part),
                       last=at + 8 >= len(payload))


@pytest.mark.parametrize("name, lanes", [("utf8", 4), ("utf8_1", 1)])
def test_utf8_equals_python(kernels, name, lanes):
    rng = random.Random(lanes)
    payloads = [b"", b"a", EDGES, b"", EDGES[1:], b"abcdefgh", b"\xf0\x9f\x98\x80", b"\xf0", b""]
    payloads += [mixed(rng, rng.randrange(60), rng.choice([0, 0, 0.1])) for _ in range(150)]
    # Every place of a sequence in the words, cut off everywhere.
    payloads += [b"-" * n + "\u20ac\U0001f600\u00df".encode()[:cut]
                 for n in range(9) for cut in range(10)]
    # Every first byte that is not ASCII with interesting second bytes.
    payloads += [bytes([first, second, 0x80, 0x80]) for first in range(0x80, 0x100)
                 for second in (0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0)]
    for stall in (0.0, 0.3, 0.6):
        [beats] = kernels.run(name, stall, i=list(payload_words(payloads)))
        texts, codes = [], []
        for beat, _ in beats:
            count = beat.count
            assert not (beat.malformed and (count or not beat.last)) and (count or beat.last)
            codes += [beat.codes[n] for n in range(count)]
            assert count <= 1 or max(codes[-count:]) < 0x80
            if beat.last:
                texts.append((codes, bool(beat.malformed)))
                codes = []
        assert not codes and len(texts) == len(payloads)
        for payload, text in zip(payloads, texts):
            assert text == Utf8Decoder.compute(payload), payload


@pytest.mark.parametrize("text", GAPLESS)
def test_utf8_has_no_gaps(kernels, text):
    [beats] = kernels.run("utf8", i=list(payload_words([text.encode()])))
    assert len(beats) == 1000 and beats[-1][1] - beats[0][1] == 999


def test_utf8_lanes():
    with pytest.raises(ValueError, match="^Lanes must be within"):
        Utf8Decoder(0)


def entries(width, seed):
    """A table with structure: some pages shared, some of their own; planes equal that must be."""
    rng = np.random.default_rng(seed)
    pages = rng.integers(0, 1 << width, (40, 64))
    table = np.zeros((17 * 1024, 64), np.int64)
    for plane in (0, 1, 2, 3, 14):
        table[plane * 1024:(plane + 1) * 1024] = pages[rng.integers(0, 40, 1024)]
    for plane in range(4, 14):
        table[plane * 1024:(plane + 1) * 1024] = pages[np.arange(1024) % 40]
    table[15 * 1024:] = np.tile(pages[np.arange(1024) % 37], (2, 1))
    return table.reshape(-1)


def test_characters_equal_table(kernels):
    lanes, width, sets, pages = 4, 13, 2, 48
    rng = random.Random(lanes)
    tables = [entries(width, seed) for seed in range(sets)]
    images = [TableImage.pack(table, pages, width) for table in tables]
    codes = np.arange(0x110000)
    for table, image in zip(tables, images):
        assert np.array_equal(CharacterMap.compute(image, codes), table)
    texts = []
    for _ in range(60):
        text = []
        for _ in range(rng.randrange(20)):
            if rng.random() < 0.5:
                chosen = [rng.randrange(0x80) for _ in range(rng.randrange(1, lanes + 1))]
            else:
                chosen = [rng.randrange(0x80, 0x110000) if rng.random() < 0.5
                          else rng.randrange(0x80, 0x3000)]
            text.append(dict(codes=chosen + [0] * (lanes - len(chosen)), count=len(chosen),
                             last=0, malformed=0))
        if not text or rng.random() < 0.3:
            text.append(dict(codes=[0] * lanes, count=0, last=0, malformed=rng.randrange(2)))
        text[-1]["last"] = 1
        texts.append((rng.randrange(sets), text))
    written = [dict(set=number, address=address, data=int(word))
               for number, image in enumerate(images) for address, word in enumerate(image)
               if not ASCII_AT + 128 <= address < PAGES_AT]
    beats = [(select, beat) for select, text in texts for beat in text]
    for stall in (0.0, 0.4):
        [found] = kernels.run("characters", stall, write=written,
                              select=[select for select, _ in texts],
                              i=[beat for _, beat in beats])
        assert len(found) == len(beats)
        for (select, beat), (o, _) in zip(beats, found):
            count = beat["count"]
            assert (o.set, o.count, o.last, o.malformed) == (
                select, count, beat["last"], beat["malformed"])
            assert [o.codes[k] for k in range(count)] == beat["codes"][:count]
            assert [o.entries[k] for k in range(count)] == CharacterMap.compute(
                images[select], beat["codes"][:count]).tolist()
        assert stall or found[-1][1] - found[0][1] == len(beats) - 1


def test_image_of_unicode():
    """A table that says something about every code point."""
    kinds = sorted({unicodedata.category(chr(code)) for code in range(0x110000)})
    table = np.array([kinds.index(unicodedata.category(chr(code))) for code in range(0x110000)])
    # Surrogates and noncharacters are no categories of their own.
    table[np.isin(table, [kinds.index("Cn"), kinds.index("Cs")])] = 0
    image = TableImage.pack(table, 512, 5)
    assert np.array_equal(CharacterMap.compute(image, np.arange(0x110000)), table)


def test_image_limits():
    table = np.zeros(0x110000, int)
    assert len(TableImage.pack(table, 1, 1)) == PAGES_AT + 64
    for code in (0x40000, 0xf0000):
        table[:] = 0
        table[code] = 1
        with pytest.raises(ValueError, match="^Planes 4 to 13, and planes 15 and 16, must be eq"):
            TableImage.pack(table, 9, 1)
    table[:] = 0
    table[0x2ffff] = 2
    with pytest.raises(ValueError, match=r"^Entries must be within range\(2\), not 0 to 2"):
        TableImage.pack(table, 9, 1)
    with pytest.raises(ValueError, match="^Table of characters must have at most 1 .*, not 2"):
        TableImage.pack(table, 1, 2)
    with pytest.raises(ValueError, match="^Entries must be of shape"):
        TableImage.pack(table[1:], 1, 2)
