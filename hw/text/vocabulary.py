# SPDX-License-Identifier: Apache-2.0
"""The tables of WordPiece: fields of their words, and how a vocabulary is packed into them.

Without Amaranth, so that a driver can import it.
"""

import dataclasses
import enum

import numpy as np


__all__ = ["Kind", "Role", "Table", "Config", "Geometry", "Tables", "HANGUL", "JAMO"]


class Kind(enum.IntEnum):
    """What a character does in a text."""

    DELETE = 0    #: nothing: its neighbours join
    SPACE = 1     #: ends a word
    WORD = 2      #: a part of a word
    ALONE = 3     #: a word by itself: punctuation, ideographs
    SEQUENCE = 4  #: several symbols, in the table of sequences
    HANGUL = 5    #: a syllable: two or three symbols, by arithmetic


class Role(enum.IntEnum):
    """What a character does in a combining run, as far as marks that are kept are concerned."""

    STARTER = 0      #: ends the run and begins another
    TRANSPARENT = 1  #: neither ends the run nor is kept in it
    MARK = 2         #: a mark that is kept: a second one in a run may have to change places
    MARKED = 3       #: ends the run and begins another with a mark in it


class Table(enum.IntEnum):
    """Tables of the kernel, as its write port numbers them."""

    NODES = 0
    SPECIALS = 1
    SEQUENCES = 2
    CONFIG = 3


class Config(enum.IntEnum):
    """Words of ``Table.CONFIG``."""

    UNKNOWN = 0    #: token of a word that the vocabulary cannot spell
    START = 1      #: base of the trie's root for the start of a word
    CONTINUED = 2  #: base of its root for what follows
    LONGEST = 3    #: symbols of the longest word that is not unknown by its length


#: Precomposed syllables, and how many initial, medial and final letters they are made of.
HANGUL = range(0xAC00, 0xAC00 + 11172)
JAMO = (19, 21, 28)


@dataclasses.dataclass(frozen=True)
class Geometry:
    """Widths of the tables.

    Parameters
    ----------
    symbol_bits : int
        Of a symbol: the number of a character of the vocabulary, from 1; 0 is any other character.
        Also of an address in the table of sequences.
    node_bits : int
        Of an address of a trie node.
    token_bits : int
        Of a token.
    special_bits : int
        Of an address of a node in the trie of special tokens.
    raw_bits : int
        Of the number of a character of the special tokens, from 1; 0 is any other character.
    ring_bits : int
        Of an address in the ring of symbols of the words in flight; twice the longest word fits.
    slot_bits : int
        Of the number of a word in flight.

    Raises
    ------
    ValueError
        If a width is out of range.
    """

    symbol_bits: int = 12
    node_bits: int = 16
    token_bits: int = 17
    special_bits: int = 8
    raw_bits: int = 5
    ring_bits: int = 9
    slot_bits: int = 6

    def __post_init__(self):
        limits = {"symbol_bits": (7, 21), "node_bits": (8, 24), "token_bits": (1, 32),
                  "special_bits": (6, 16), "raw_bits": (3, 8), "ring_bits": (4, 16),
                  "slot_bits": (2, 8)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if value not in range(low, high + 1):
                text = name.replace("_", " ").capitalize()
                raise ValueError(f"{text} must be within range({low}, {high + 1}), not {value!r}")

    @property
    def longest(self):
        """Most symbols of a word that is looked up."""
        return (1 << self.ring_bits - 1) - 1

    @property
    def entry(self):
        """Fields of a character's entry, from the low bits up, with their widths.

        ``symbol`` is the first address of a sequence, and ``raw`` its number of symbols.
        """
        return {"kind": 3, "role": 2, "trigger": 1, "raw": self.raw_bits,
                "symbol": self.symbol_bits}

    @property
    def entry_width(self):
        """Bits of a character's entry."""
        return sum(self.entry.values())

    @property
    def node(self):
        """Fields of a node: the symbol that leads to it, where its children are (0: it has none),
        whether a token ends here, and which."""
        return {"check": self.symbol_bits, "base": self.node_bits, "final": 1,
                "token": self.token_bits}

    @property
    def special(self):
        """Fields of a node of the special tokens' trie, whose symbols are ``raw`` numbers."""
        return {"check": self.raw_bits, "base": self.special_bits, "final": 1,
                "token": self.token_bits}

    @property
    def element(self):
        """Fields of an element of a sequence."""
        return {"alone": 1, "symbol": self.symbol_bits}

    @property
    def write(self):
        """Fields of a table write."""
        return {"table": 2, "address": max(self.node_bits, self.symbol_bits, self.special_bits),
                "data": max(sum(self.node.values()), sum(self.special.values()))}

    @staticmethod
    def pack(fields, **values):
        """Words of ``fields``: ints or arrays of the same shape to an array of uint64.

        Raises
        ------
        ValueError
            If a value does not fit its field.
        """
        word, offset = np.uint64(0), 0
        for name, width in fields.items():
            value = np.asarray(values.pop(name, 0)).astype(np.uint64)
            if (value >> np.uint64(width)).any():
                raise ValueError(f"{name.capitalize()} must be within range({1 << width}), "
                                 f"not {int(value.max())}")
            word = word | value << np.uint64(offset)
            offset += width
        if values:
            raise ValueError(f"Fields must be of {', '.join(fields)}, not {', '.join(values)}")
        return word

    @staticmethod
    def unpack(fields, words):
        """Values of ``fields`` of an int or an array, by name."""
        words, values = np.asarray(words).astype(np.uint64), {}
        for name, width in fields.items():
            values[name] = (words & np.uint64((1 << width) - 1)).astype(np.int64)
            words = words >> np.uint64(width)
        return values


@dataclasses.dataclass(frozen=True, eq=False)
class Tables:
    """What a kernel is loaded with.

    Members
    -------
    geometry : Geometry
    entries : ndarray of uint32, shape (0x110000,)
        Entry of each code point, for the map of characters.
    sequences, specials, nodes : ndarray of uint64
        Words of the tables of these names, from address 0.
    unknown, start, continued, longest : int
        Words of the configuration.
    """

    geometry: Geometry
    entries: np.ndarray
    sequences: np.ndarray
    specials: np.ndarray
    nodes: np.ndarray
    unknown: int
    start: int
    continued: int
    longest: int

    def writes(self):
        """Writes that load the kernel, all but the entries.

        Returns
        -------
        ndarray of uint64, shape (N, 3)
            Table, address and data of each. Addresses of nodes that are not in use are written
            too, so that nothing remains of another vocabulary.
        """
        config = np.zeros(len(Config), np.uint64)
        config[[Config.UNKNOWN, Config.START, Config.CONTINUED, Config.LONGEST]] = (
            self.unknown, self.start, self.continued, self.longest)
        parts = [(Table.NODES, self.nodes), (Table.SPECIALS, self.specials),
                 (Table.SEQUENCES, self.sequences), (Table.CONFIG, config)]
        return np.concatenate([
            np.stack([np.full(len(words), table, np.uint64),
                      np.arange(len(words), dtype=np.uint64), words.astype(np.uint64)], axis=1)
            for table, words in parts])
