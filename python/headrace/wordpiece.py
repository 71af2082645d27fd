# SPDX-License-Identifier: Apache-2.0
"""Tables of the WordPiece kernel, by asking the ``tokenizers`` library about every character.

Not from Python's Unicode data: the library has its own, of other versions.
"""

import collections
import functools

import numpy as np

from headrace.hw.text.double_array import DoubleArray
from headrace.hw.text.vocabulary import HANGUL, JAMO, Geometry, Kind, Role, Tables


__all__ = ["Characters", "build"]


#: Stands between the characters that the library is asked about; nothing happens to it.
SEPARATOR = "|"
#: Characters asked about at once.
CHUNK = 1024
CODES = 0x110000
SURROGATES = slice(0xD800, 0xE000)
#: Marks of the lowest and of a high combining class.
LOW, HIGH = "\u0334", "\u0301"


def changes(normalize, characters, before="", behind=""):
    """What becomes of those of ``characters`` that change between ``before`` and ``behind``."""
    results = {}
    for n in range(0, len(characters), CHUNK):
        chunk = characters[n:n + CHUNK]
        asked = [before + c + behind for c in chunk]
        text = SEPARATOR.join(asked)
        answer = normalize(text)
        if answer == text:
            continue
        answers = answer.split(SEPARATOR)
        if len(answers) != len(chunk):  # the separator is among them
            answers = [normalize(text) for text in asked]
        results.update((c, new) for c, old, new in zip(chunk, asked, answers) if new != old)
    return results


class Characters:
    """What a normalizer and a pre-tokenizer of the library do with each character.

    Parameters
    ----------
    normalizer : tokenizers.normalizers.BertNormalizer
    pre_tokenizer : tokenizers.pre_tokenizers.BertPreTokenizer

    Members
    -------
    kinds : ndarray of uint8, shape (0x110000,)
        :class:`Kind` of each code point. ``SEQUENCE`` if several characters come of it.
    roles : ndarray of uint8, shape (0x110000,)
        :class:`Role` of each code point.
    letters : dict of str to str
        What comes of a character, if that is neither itself nor nothing.
    parts : ndarray of uint8, shape (0x110000,)
        Kind of each code point that may come out of normalization: ``SPACE``, ``WORD`` or
        ``ALONE``; ``DELETE`` for those that do not.
    """

    def __init__(self, normalizer, pre_tokenizer):
        characters = list(map(chr, range(CODES)))
        del characters[SURROGATES]
        changed = changes(normalizer.normalize_str, characters)
        possible = np.ones(CODES, bool)
        possible[SURROGATES] = False
        possible[[ord(c) for c in changed]] = False
        possible[[ord(c) for c in set("".join(changed.values()))]] = True
        self.parts = self._parts(pre_tokenizer, np.flatnonzero(possible))
        self.kinds = self.parts.copy()
        self.kinds[[ord(c) for c, text in changed.items() if not text]] = Kind.DELETE
        self.kinds[[ord(c) for c, text in changed.items() if text == f" {c} "]] = Kind.ALONE
        self.letters = {}
        for c, text in changed.items():
            if text and text != f" {c} ":
                self._change(c, text)
        self.roles = self._roles(normalizer, characters, changed)

    @staticmethod
    @functools.lru_cache(maxsize=4)
    def of(clean_text, handle_chinese_chars, strip_accents, lowercase):
        """The characters of a BERT tokenizer with these options."""
        from tokenizers.normalizers import BertNormalizer
        from tokenizers.pre_tokenizers import BertPreTokenizer
        return Characters(
            BertNormalizer(clean_text=clean_text, handle_chinese_chars=handle_chinese_chars,
                           strip_accents=strip_accents, lowercase=lowercase),
            BertPreTokenizer())

    def _parts(self, pre_tokenizer, codes):
        parts = np.full(CODES, Kind.DELETE, np.uint8)
        parts[codes] = Kind.SPACE
        for n in range(0, len(codes), CHUNK):
            # The characters at odd positions are asked about.
            text = "a" + "a".join(map(chr, codes[n:n + CHUNK])) + "a"
            for _, (start, stop) in pre_tokenizer.pre_tokenize_str(text):
                kind = Kind.ALONE if stop - start == 1 else Kind.WORD
                parts[codes[n + start // 2:n + stop // 2]] = kind
        return parts

    def _change(self, character, text):
        """Note that ``character`` becomes ``text``."""
        letters = "".join(c for c in text if self.parts[ord(c)] != Kind.SPACE)
        start, _, stop = text.partition(letters) if letters else ("", "", "")
        if bool(start) != bool(stop) or len(letters) > 1 and text != letters:
            raise ValueError(f"Character {character!r} must not become {text!r}")
        if not letters:
            kind = Kind.SPACE if text else Kind.DELETE
        elif len(letters) > 1:
            kind = Kind.SEQUENCE
        else:
            kind = Kind.ALONE if start else self.parts[ord(letters)]
        self.kinds[ord(character)] = kind
        if letters and letters != character:
            self.letters[character] = letters

    def _roles(self, normalizer, characters, changed):
        """Who may change places with whom, if the normalizer decomposes at all."""
        from tokenizers.normalizers import NFD, BertNormalizer
        roles = np.full(CODES, Role.STARTER, np.uint8)
        if normalizer.normalize_str("a" + HIGH) != "a":
            if normalizer.normalize_str("a" + HIGH + LOW) != "a" + HIGH + LOW:
                raise ValueError("Normalizer must strip accents if it decomposes")
            return roles
        decomposed = changes(NFD().normalize_str, characters)
        single = [c for c in characters if c not in decomposed]
        marks = {**changes(NFD().normalize_str, single, "a" + HIGH),
                 **changes(NFD().normalize_str, single, "a", LOW)}
        for c in marks:
            roles[ord(c)] = Role.TRANSPARENT if changed.get(c) == "" else Role.MARK
        for c, text in decomposed.items():
            roles[ord(c)] = self._fold([roles[ord(part)] for part in text])
        cleaned = changes(BertNormalizer(
            clean_text=normalizer.clean_text, handle_chinese_chars=False, strip_accents=False,
            lowercase=False).normalize_str, characters)
        roles[[ord(c) for c, text in cleaned.items() if not text]] = Role.TRANSPARENT
        return roles

    @staticmethod
    def _fold(roles):
        """Role of a character that decomposes into some of ``roles``."""
        if Role.STARTER not in roles:
            return Role.MARK if Role.MARK in roles else Role.TRANSPARENT
        if Role.MARK in roles[:roles.index(Role.STARTER)]:
            raise ValueError("A mark must not come before the character it belongs to")
        last = len(roles) - roles[::-1].index(Role.STARTER)
        return Role.MARKED if Role.MARK in roles[last:] else Role.STARTER


class Builder:
    """The tables of one vocabulary; see :func:`build`."""

    def __init__(self, characters, vocabulary, specials, prefix, geometry):
        self.characters = characters
        self.geometry = geometry
        start, continued = self._tries(vocabulary, prefix)
        counts = collections.Counter()
        for string in (*start, *continued):
            counts.update(string)
        #: Number of each character of the vocabulary: the frequent ones close together.
        self.symbols = {c: n for n, (c, _) in enumerate(counts.most_common(), start=1)}
        if len(self.symbols) >> geometry.symbol_bits:
            raise ValueError(f"Vocabulary must have less than {1 << geometry.symbol_bits} "
                             f"different characters, not {len(self.symbols)}")
        self.trie = DoubleArray(
            [{tuple(self.symbols[c] for c in string): token for string, token in trie.items()}
             for trie in (start, continued)], 1 << geometry.node_bits, "Vocabulary")
        self.raw, self.special_trie = self._specials(specials)
        self._fill(specials)

    def _tries(self, vocabulary, prefix):
        """Strings that a word can begin with, and that it can go on with, with their tokens."""
        words = {chr(code) for code in np.flatnonzero(self.characters.parts == Kind.WORD)}
        alone = {chr(code) for code in np.flatnonzero(self.characters.parts == Kind.ALONE)}
        start, continued = {}, {}
        for string, token in vocabulary.items():
            if string in alone or words.issuperset(string):
                start[string] = token
            if string.startswith(prefix) and words.issuperset(string[len(prefix):]):
                continued[string[len(prefix):]] = token
        start.pop("", None)
        continued.pop("", None)
        return start, continued

    def _specials(self, specials):
        letters = sorted(set("".join(specials)))
        if len(letters) >> self.geometry.raw_bits:
            raise ValueError(f"Special tokens must have less than {1 << self.geometry.raw_bits} "
                             f"different characters, not {len(letters)}")
        raw = {c: n for n, c in enumerate(letters, start=1)}
        for string in specials:
            if len(string) > 31:
                raise ValueError(f"Special token must be of at most 31 characters, not "
                                 f"{len(string)}: {string!r}")
            for c in string:
                if (self.characters.kinds[ord(c)] not in (Kind.WORD, Kind.ALONE)
                        or self.characters.roles[ord(c)] != Role.STARTER):
                    raise ValueError(f"Special token must be of characters that stand for one "
                                     f"symbol each, not {string!r}")
        trie = DoubleArray([{tuple(raw[c] for c in string): token
                             for string, token in specials.items()}],
                           1 << self.geometry.special_bits, "Special tokens")
        if specials and trie.roots != [1]:
            raise AssertionError(f"Root of the special tokens must be 1, not {trie.roots}")
        return raw, trie

    def _fill(self, specials):
        letters, hangul = self.characters.letters, self._hangul()
        entry = {name: np.zeros(CODES, np.int64) for name in self.geometry.entry}
        entry["kind"][:] = self.characters.kinds
        entry["role"][:] = self.characters.roles
        entry["trigger"][[ord(string[0]) for string in specials]] = 1
        for c, n in self.raw.items():
            entry["raw"][ord(c)] = n
        for c, n in self.symbols.items():
            if c not in letters:
                entry["symbol"][ord(c)] = n
        elements = [self._element(c) for c in hangul] or [(0, 0)] * sum(JAMO)
        addresses = {}
        for c, text in letters.items():
            code = ord(c)
            if hangul and code in HANGUL:
                entry["kind"][code] = Kind.HANGUL
            elif len(text) == 1:
                entry["symbol"][code] = self.symbols.get(text, 0)
            elif self._is_unknown(text):
                entry["kind"][code] = Kind.WORD
            else:
                if text not in addresses:
                    addresses[text] = len(elements)
                    elements += map(self._element, text)
                entry["symbol"][code] = addresses[text]
                entry["raw"][code] = len(text)
        if len(elements) >> self.geometry.symbol_bits:
            raise ValueError(f"Sequences must have less than {1 << self.geometry.symbol_bits} "
                             f"symbols, not {len(elements)}")
        alone, symbol = np.array(elements).T
        pack = self.geometry.pack
        self.sequences = pack(self.geometry.element, alone=alone, symbol=symbol)
        self.entries = pack(self.geometry.entry, **entry).astype(np.uint32)

    def _is_unknown(self, text):
        """Whether a sequence makes the word that it is in unknown, whatever the rest."""
        return (all(self.characters.parts[ord(c)] == Kind.WORD for c in text)
                and any(c not in self.symbols for c in text))

    def _element(self, letter):
        alone = self.characters.parts[ord(letter)] == Kind.ALONE
        return int(alone), self.symbols.get(letter, 0)

    def _hangul(self):
        """The letters of Hangul (the final that is none as its first), if every syllable becomes
        two or three of them; else none."""
        initials, medials, finals = JAMO
        letters = [chr(0x1100 + n) for n in range(initials)]
        letters += [chr(0x1161 + n) for n in range(medials)]
        letters += [chr(0x11a7 + n) for n in range(finals)]
        for code in HANGUL:
            pair, final = divmod(code - HANGUL[0], finals)
            initial, medial = divmod(pair, medials)
            text = letters[initial] + letters[initials + medial]
            if final:
                text += letters[initials + medials + final]
            if self.characters.letters.get(chr(code)) != text:
                return []
        return letters


def build(characters, vocabulary, specials, *, unknown, prefix="##", longest=100, geometry=None):
    """Tables of a vocabulary.

    Parameters
    ----------
    characters : Characters
    vocabulary : dict of str to int
        Tokens by their strings.
    specials : dict of str to int
        Tokens that are found in the raw text.
    unknown : int
        Token of a word that the vocabulary cannot spell.
    prefix : str
        Of tokens that go on with a word.
    longest : int
        Characters of the longest word that is looked up.
    geometry : Geometry, optional
        Widths of the kernel's tables.

    Returns
    -------
    Tables

    Raises
    ------
    ValueError
        If they do not fit the geometry.
    """
    geometry = geometry or Geometry()
    if longest not in range(1, geometry.longest + 1):
        raise ValueError(f"Longest word must be within range(1, {geometry.longest + 1}), "
                         f"not {longest!r}")
    largest = max([unknown, *vocabulary.values(), *specials.values()])
    if largest >> geometry.token_bits:
        raise ValueError(f"Token must be within range({1 << geometry.token_bits}), "
                         f"not {largest!r}")
    builder = Builder(characters, vocabulary, specials, prefix, geometry)
    pack = geometry.pack
    start, continued = builder.trie.roots
    return Tables(
        geometry, builder.entries, builder.sequences,
        specials=pack(geometry.special, **builder.special_trie.nodes),
        nodes=pack(geometry.node, **builder.trie.nodes), unknown=unknown, start=start,
        continued=continued, longest=longest)
