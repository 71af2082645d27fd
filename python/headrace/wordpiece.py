# SPDX-License-Identifier: Apache-2.0
"""Tables of the WordPiece kernel, by asking the ``tokenizers`` library about every character.

Not from Python's Unicode data: the library has its own, of other versions.
"""

import collections
import functools

import numpy as np

from headrace.hw.text.vocabulary import (
    HANGUL, JAMO, DoubleArray, Geometry, Kind, Role, Tables)


__all__ = ["Characters", "build"]


#: Stands between the characters that the library is asked about; nothing happens to it.
SEPARATOR = "|"
#: Characters asked about at once.
CHUNK = 1024
SURROGATES = range(0xD800, 0xE000)
#: Marks of the lowest and of a high combining class.
LOW, HIGH = "\u0334", "\u0301"


def all_characters():
    """Every character that a text can hold."""
    return [chr(code) for code in range(0x110000) if code not in SURROGATES]


def ask(normalize, characters, before="", behind=""):
    """What becomes of each of ``characters`` between ``before`` and ``behind``."""
    results = []
    for n in range(0, len(characters), CHUNK):
        chunk = [before + c + behind for c in characters[n:n + CHUNK]]
        text = normalize(SEPARATOR.join(chunk)).split(SEPARATOR)
        if len(text) != len(chunk):  # the separator is among them
            text = [normalize(c) for c in chunk]
        results += text
    return results


class Characters:
    """What a normalizer and a pre-tokenizer of the library do with each character.

    Parameters
    ----------
    normalizer : tokenizers.normalizers.BertNormalizer
    pre_tokenizer : tokenizers.pre_tokenizers.BertPreTokenizer

    Members
    -------
    results : dict of str to str
        Each character normalized.
    kinds : dict of str to Kind
        ``SPACE``, ``WORD`` or ``ALONE`` for every character that occurs in the results.
    roles : dict of str to Role
        Those that are not ``STARTER``.
    """

    def __init__(self, normalizer, pre_tokenizer):
        characters = all_characters()
        self.results = dict(zip(characters, ask(normalizer.normalize_str, characters)))
        self.kinds = self._kinds(pre_tokenizer, sorted(set().union(*self.results.values())))
        self.roles = self._roles(normalizer, characters)

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

    def _kinds(self, pre_tokenizer, characters):
        kinds = dict.fromkeys(characters, Kind.SPACE)
        for n in range(0, len(characters), CHUNK):
            chunk = characters[n:n + CHUNK]
            # The characters at odd positions are asked about.
            text = "a" + "a".join(chunk) + "a"
            for _, (start, stop) in pre_tokenizer.pre_tokenize_str(text):
                kind = Kind.ALONE if stop - start == 1 else Kind.WORD
                for position in range(start | 1, stop, 2):
                    kinds[chunk[position // 2]] = kind
        return kinds

    def _roles(self, normalizer, characters):
        """Who may change places with whom, if the normalizer decomposes at all."""
        from tokenizers.normalizers import NFD, BertNormalizer
        if normalizer.normalize_str(LOW + HIGH) == normalizer.normalize_str(HIGH + LOW) != "":
            raise ValueError("Normalizer must strip accents when it decomposes")
        decompose = NFD().normalize_str
        if normalizer.normalize_str("a" + HIGH) != "a":
            return {}
        clean = BertNormalizer(
            clean_text=normalizer.clean_text, handle_chinese_chars=False, strip_accents=False,
            lowercase=False).normalize_str
        decomposed = dict(zip(characters, ask(decompose, characters)))
        single = [c for c in characters if decomposed[c] == c]
        moves = [left != HIGH + c or right != "a" + c + LOW for c, left, right in zip(
            single, (text[1:] for text in ask(decompose, single, "a" + HIGH)),
            ask(decompose, single, "a", LOW))]
        roles = {c: Role.MARK if self.results[c] else Role.TRANSPARENT
                 for c, moved in zip(single, moves) if moved}
        for c in characters:
            if len(decomposed[c]) > 1:
                role = self._fold([roles.get(part, Role.STARTER) for part in decomposed[c]])
                if role != Role.STARTER:
                    roles[c] = role
        for c, text in zip(characters, ask(clean, characters)):
            if not text:
                roles[c] = Role.TRANSPARENT
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

    def parts(self, character):
        """Kind of a character and the characters that stand for it.

        Returns
        -------
        (Kind, str)
            ``SEQUENCE`` if there are several.
        """
        text = self.results[character]
        letters = "".join(c for c in text if self.kinds[c] != Kind.SPACE)
        if not letters:
            return (Kind.SPACE if text else Kind.DELETE), ""
        start, _, stop = text.partition(letters)
        if bool(start) != bool(stop) or len(letters) > 1 and text != letters:
            raise ValueError(f"Character {character!r} must not become {text!r}")
        if len(letters) > 1:
            return Kind.SEQUENCE, letters
        return (Kind.ALONE if start else self.kinds[letters]), letters


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
             for trie in (start, continued)], 1 << geometry.node_bits)
        self.raw, self.special_trie = self._specials(specials)
        self._fill(specials)

    def _tries(self, vocabulary, prefix):
        """Strings that a word can begin with, and that it can go on with, with their tokens."""
        possible = {c for text in self.characters.results.values() for c in text}
        kinds = self.characters.kinds

        def is_word(string):
            return all(c in possible and kinds[c] == Kind.WORD for c in string)

        start, continued = {}, {}
        for string, token in vocabulary.items():
            if string and (is_word(string) or len(string) == 1 and string in possible):
                start[string] = token
            if string.startswith(prefix) and is_word(string[len(prefix):]):
                continued[string[len(prefix):]] = token
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
                raise ValueError(f"Special token must be of at most 31 characters, not {string!r}")
            for c in string:
                kind, _ = self.characters.parts(c)
                if (kind not in (Kind.WORD, Kind.ALONE)
                        or self.characters.roles.get(c, Role.STARTER) != Role.STARTER):
                    raise ValueError(f"Special token must be of characters that stand for one "
                                     f"symbol each, not {string!r}")
        trie = DoubleArray([{tuple(raw[c] for c in string): token
                             for string, token in specials.items()}],
                           1 << self.geometry.special_bits)
        if specials and trie.roots != [1]:
            raise AssertionError(f"Root of the special tokens must be 1, not {trie.roots}")
        return raw, trie

    def _fill(self, specials):
        triggers = {string[0] for string in specials}
        hangul = self._hangul()
        addresses = {}
        elements = [(0, 0)] * sum(JAMO)
        if hangul:
            elements = [self._element(c) for c in hangul]
        shape = 0x110000
        entry = {name: np.zeros(shape, np.int64) for name in self.geometry.entry}
        for c in self.characters.results:
            kind, letters = self.characters.parts(c)
            code = ord(c)
            if kind == Kind.SEQUENCE and code in HANGUL and hangul:
                kind, letters = Kind.HANGUL, ""
            elif kind == Kind.SEQUENCE and self._is_unknown(letters):
                kind, letters = Kind.WORD, letters[:1]
                entry["symbol"][code] = 0
            elif kind == Kind.SEQUENCE:
                if letters not in addresses:
                    addresses[letters] = len(elements)
                    elements += [self._element(letter) for letter in letters]
                entry["symbol"][code] = addresses[letters]
                entry["raw"][code] = len(letters)
            elif letters:
                entry["symbol"][code] = self.symbols.get(letters, 0)
                entry["raw"][code] = self.raw.get(c, 0)
            entry["kind"][code] = kind
            entry["role"][code] = self.characters.roles.get(c, Role.STARTER)
            entry["trigger"][code] = c in triggers
        if len(elements) >> self.geometry.symbol_bits:
            raise ValueError(f"Sequences must have at most {1 << self.geometry.symbol_bits} "
                             f"symbols, not {len(elements)}")
        alone, symbol = np.array(elements).T
        pack = self.geometry.pack
        self.sequences = pack(self.geometry.element, alone=alone, symbol=symbol)
        self.entries = pack(self.geometry.entry, **entry).astype(np.uint32)

    def _is_unknown(self, letters):
        """Whether a sequence makes the word that it is in unknown, whatever the rest."""
        return (all(self.characters.kinds[c] == Kind.WORD for c in letters)
                and any(c not in self.symbols for c in letters))

    def _element(self, letter):
        return int(self.characters.kinds[letter] == Kind.ALONE), self.symbols.get(letter, 0)

    def _hangul(self):
        """The letters of Hangul (the final that is none as its first), if every syllable becomes
        two or three of them; else nothing."""
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
            if self.characters.parts(chr(code)) != (Kind.SEQUENCE, text):
                return ""
        return "".join(letters) if self.characters.kinds.get(letters[-1]) else ""


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
    builder = Builder(characters, vocabulary, specials, prefix, geometry)
    pack = geometry.pack
    start, continued = builder.trie.roots
    return Tables(
        geometry, builder.entries, builder.sequences,
        specials=pack(geometry.special, **builder.special_trie.nodes),
        nodes=pack(geometry.node, **builder.trie.nodes), unknown=unknown, start=start,
        continued=continued, longest=longest)
