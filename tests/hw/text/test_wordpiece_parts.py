# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""Parts of the WordPiece kernel against their models, under stalls."""

import dataclasses
import json
import random

import numpy as np

from headrace.hw.text.assembler import WordAssembler
from headrace.hw.text.decomposer import Decomposer
from headrace.hw.text.double_array import DoubleArray
from headrace.hw.text.layout import MappedCharacters
from headrace.hw.text.serializer import Serializer
from headrace.hw.text.special import SpecialMatcher
from headrace.hw.text.units import Letter, Match, Unit
from headrace.hw.text.vocabulary import Geometry, Kind, Role
from headrace.hw.text.walker import Walker
from runner import simulate
from text_wordpiece_bench import LANES, Parts


GEOMETRY = Geometry(symbol_bits=8, node_bits=10, token_bits=10, special_bits=7, raw_bits=4,
                    ring_bits=5, slot_bits=2)
STALLS = [(0.0, 0.0, None), (0.6, 0.0, None), (0.0, 0.6, None), (0.3, 0.3, None)]


def bits(layout, fields):
    return layout.const({name: value for name, value in fields.items()
                         if name in layout.members}).as_bits()


def masked(layout, fields):
    """Value and mask of an item of which only ``fields`` matter, ``ending`` only at an end."""
    fields = {name: value for name, value in fields.items() if name != "ending" or fields["end"]}
    known = {name: (1 << layout[name].width) - 1 for name in fields if name in layout.members}
    return bits(layout, fields), bits(layout, known)


def writes_of(part):
    """Layout of a part's table writes."""
    return part(GEOMETRY).signature.members["write"].shape


def entries(rng):
    """Entries of any kind for 300 characters; ASCII ones are no marks."""
    entry = {"kind": rng.choices(list(Kind), [2, 4, 8, 2, 1, 1], k=300),
             "role": rng.choices(list(Role), k=300),
             "raw": rng.choices(range(16), k=300), "trigger": rng.choices(range(2), k=300),
             "symbol": rng.choices(range(256), k=300)}
    for code in range(128):
        entry["role"][code] &= 1
        if entry["kind"][code] == Kind.HANGUL:
            entry["kind"][code] = Kind.DELETE
    return GEOMETRY.pack(GEOMETRY.entry, **entry)


def serializer_case():
    rng = random.Random(1)
    table, lanes = entries(rng), LANES
    layout = MappedCharacters(lanes, GEOMETRY.entry_width, 1)
    items, expected = [], []
    for _ in range(120):
        text = [rng.randrange(128 if rng.random() < 0.7 else 300) for _ in range(rng.randrange(30))]
        malformed, at = rng.random() < 0.2, 0
        beats = []
        while at < len(text):
            count = 1
            while (count < rng.randrange(1, lanes + 1) and at + count < len(text)
                   and max(text[at:at + count + 1]) < 128):
                count += 1
            beats.append(text[at:at + count])
            at += count
        if not beats or malformed or rng.random() < 0.3:
            beats.append([])
        for n, beat in enumerate(beats):
            last = n == len(beats) - 1
            junk = [rng.randrange(300) for _ in range(lanes - len(beat))]
            codes = beat + junk
            items.append(bits(layout, {
                "codes": codes, "count": len(beat), "last": last, "malformed": last and malformed,
                "entries": [int(table[code]) for code in codes]}))
        for letter in Serializer.compute(GEOMETRY, table, text, malformed):
            if letter.get("kind") != Kind.HANGUL:
                letter.pop("offset", None)
            expected.append(masked(Letter(GEOMETRY), letter))
    return dict(items=items, expected=expected, stalls=STALLS)


def decomposer_case():
    rng = random.Random(2)
    layout, write = Letter(GEOMETRY), writes_of(Decomposer)
    sequences = GEOMETRY.pack(
        GEOMETRY.element, symbol=[rng.randrange(256) for _ in range(256)],
        alone=[rng.randrange(2) for _ in range(256)])
    letters, items = [], []
    for n in range(1500):
        end = rng.random() < 0.1
        kind = rng.choice([Kind.WORD, Kind.ALONE, Kind.SEQUENCE, Kind.HANGUL])
        raw = rng.randrange(1, 5) if kind == Kind.SEQUENCE else rng.randrange(16)
        letter = {"kind": kind, "raw": raw, "symbol": rng.randrange(240), "end": end,
                  "offset": rng.choice([rng.randrange(11172), n * 28 % 11172, 11171]),
                  "ending": rng.randrange(3)}
        letter |= {name: rng.randrange(2) for name in ("trigger", "start", "glued")}
        items.append(bits(layout, letter))
        letters.append({"end": 1, "ending": letter["ending"]} if end else letter)
    expected = [masked(Unit(GEOMETRY), unit)
                for unit in Decomposer.compute(GEOMETRY, sequences, letters)]
    stalls = [*STALLS, (0.0, 0.0, len(expected))]
    writes = [bits(write, {"address": n, "data": int(word)}) for n, word in enumerate(sequences)]
    return dict(items=items, expected=expected, stalls=stalls, writes=writes)


def test_syllables():
    """Two or three letters for every syllable, as Unicode has it."""
    import unicodedata
    letters = [*range(0x1100, 0x1113), *range(0x1161, 0x1176), *range(0x11a7, 0x11c3)]
    for offset in range(11172):
        text = unicodedata.normalize("NFD", chr(0xac00 + offset))
        assert [letters[n] for n in Decomposer.syllable(offset)] == list(map(ord, text))
        # What the hardware reckons with.
        assert offset * 9363 >> 18 == offset // 28 and offset // 28 * 391 >> 13 == offset // 588


def special_case():
    rng = random.Random(3)
    strings = [(1, 2, 3), (1, 2, 3, 4), (1, 2), (1, 3, 1, 3, 2), (2,), (3, 3), tuple([4] * 31)]
    trie = DoubleArray([{string: 100 + n for n, string in enumerate(strings)}], 128)
    assert trie.roots == [SpecialMatcher.ROOT]
    specials = GEOMETRY.pack(GEOMETRY.special, **trie.nodes)
    units = []
    for n in range(2500):
        raw = rng.choice([0, 1, 1, 2, 3, 3, 4, 5]) if n % 200 > 80 else 4
        unit = {"raw": raw, "trigger": int(raw in (1, 2, 3, 4)), "symbol": rng.randrange(256),
                "alone": rng.randrange(2), "start": int(rng.random() < 0.1), "end": 0,
                "ending": rng.randrange(3)}
        unit["glued"] = int(not unit["start"] and rng.random() < 0.95)
        units.append({**unit, "end": 1} if rng.random() < 0.02 else unit)
    units.append({"end": 1, "ending": 0})
    expected = [masked(Match(GEOMETRY), {"end": 1, "ending": match["ending"]} if match["end"]
                       else match) for match in SpecialMatcher.compute(GEOMETRY, specials, units)]
    return dict(items=[bits(Unit(GEOMETRY), unit) for unit in units], expected=expected,
                stalls=STALLS,
                writes=[bits(writes_of(SpecialMatcher), {"address": n, "data": int(word)})
                        for n, word in enumerate(specials)])


def assembler_case(longest):
    rng, unknown = random.Random(4), 77
    matches = []
    for n in range(2500):
        match = {"symbol": rng.choice([0, *range(1, 60)]), "end": int(rng.random() < 0.03),
                 "alone": int(rng.random() < 0.1), "special": 0, "ending": 0,
                 "start": int(rng.random() < (0.02 if n % 300 < 100 else 0.25)),
                 "token": rng.randrange(1024)}
        match["special"] = int(not match["end"] and rng.random() < 0.03)
        matches.append(match)
    matches.append({"end": 1, "ending": 0})
    expected = [word if isinstance(word, list) else
                {"end": 1} if word.get("end") else {"token": word["token"]}
                for word in WordAssembler.compute(longest, unknown, matches)]
    return dict(items=[bits(Match(GEOMETRY), match) for match in matches], expected=expected,
                runs=[(0.0, 0), (0.4, 0), (0.0, 1), (0.4, 1)], longest=longest, unknown=unknown,
                geometry=dataclasses.asdict(GEOMETRY))


def test_parts(tmp_path):
    cases = dict(serializer=serializer_case(), decomposer=decomposer_case(),
                 special=special_case(), assembler=[assembler_case(11), assembler_case(0)])
    file = tmp_path / "cases.json"
    file.write_text(json.dumps(cases))
    simulate(Parts(GEOMETRY), "text_wordpiece", name="text_wordpiece",
             env={"HEADRACE_CASE": str(file)})


def test_double_array():
    """Every string is found with its token, and no other, from each root."""
    rng = random.Random(5)
    tries = [{tuple(rng.choices(range(1, 20), k=rng.randrange(1, 6))): n for n in range(400)}
             for _ in range(2)]
    array = DoubleArray(tries, 2048)
    assert array.roots[0] == 1
    geometry = Geometry(node_bits=11)
    nodes = geometry.pack(geometry.node, **array.nodes)
    for root, trie in zip(array.roots, tries):
        for string, token in trie.items():
            assert Walker.compute(geometry, nodes, root, 0, list(string))[0] == [token]
    known = {n for trie in tries for n in trie.values()}
    assert set(array.nodes["token"][array.nodes["final"] == 1].tolist()) == known
    assert 0 < np.count_nonzero(array.nodes["check"]) < 2048
