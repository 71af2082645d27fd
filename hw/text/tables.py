# SPDX-License-Identifier: Apache-2.0
"""Tables of characters, as the card takes them. Without Amaranth: the driver makes them."""

import re
import sys

import numpy as np


__all__ = ["TableImage", "EntryBits", "hashing_entries", "COLUMN", "WAYS", "SPARE_ROWS",
           "feature_limit", "column_config", "hashing_config"]


#: Code points of a page.
PAGE = 64
#: Code points of a plane.
PLANE = 0x10000
#: Part of the root for each plane; the private use planes share one, and those not listed the last.
ROOTS = {0: 0, 1: 1, 2: 2, 3: 3, 14: 4, 15: 5, 16: 5}
OTHER_ROOT = 6
ROOT_WORDS = (OTHER_ROOT + 1) * (PLANE // PAGE)
#: Where the ASCII entries and the pages begin in a table image.
ASCII_AT = ROOT_WORDS
PAGES_AT = 0x2000


class TableImage:
    """Words of a table, as :class:`.characters.CharacterMap` takes them; word n has address n.

    =====================  ======================================================================
    address                word
    =====================  ======================================================================
    0 to 1BFF              page of 64 code points each: planes 0, 1, 2, 3, 14, 15 and 16, others
    1C00 to 1C7F           entries of the ASCII characters
    2000 to 2000 + 64 n    entries of the n pages
    =====================  ======================================================================
    """

    @staticmethod
    def pack(entries, pages, width):
        """Image of a table.

        Parameters
        ----------
        entries : ndarray of int, shape (0x110000,)
            Entry of each code point.
        pages : int
            Pages that the map holds.
        width : int
            Bits of an entry.

        Returns
        -------
        ndarray of uint32
            With as many pages as there are different ones.

        Raises
        ------
        ValueError
            If there are more pages than ``pages``, an entry is wider than ``width``, or the
            planes that share a root (4 to 13; 15 and 16) differ.
        """
        entries = np.asarray(entries)
        if entries.shape != (17 * PLANE,):
            raise ValueError(f"Entries must be of shape {(17 * PLANE,)}, not {entries.shape}")
        if entries.min() < 0 or int(entries.max()) >> width:
            raise ValueError(f"Entries must be within range({1 << width}), "
                             f"not {int(entries.min())} to {int(entries.max())}")
        planes = entries.astype(np.uint32).reshape(17, PLANE)
        others = np.delete(planes, list(ROOTS), axis=0)
        if (others != others[0]).any() or (planes[15] != planes[16]).any():
            raise ValueError("Planes 4 to 13, and planes 15 and 16, must be equal")
        firsts = {root: plane for plane, root in reversed(ROOTS.items())}
        rows = np.concatenate([planes[[firsts[root] for root in range(OTHER_ROOT)]], others[:1]])
        rows = rows.reshape(-1, PAGE)
        different, page = np.unique(rows, axis=0, return_inverse=True)
        if len(different) > pages:
            raise ValueError(f"Table of characters must have at most {pages} different pages of "
                             f"{PAGE}, not {len(different)}")
        image = np.zeros(PAGES_AT + different.size, np.uint32)
        image[:ROOT_WORDS] = page.reshape(-1)
        image[ASCII_AT:ASCII_AT + 128] = planes[0, :128]
        image[PAGES_AT:] = different.reshape(-1)
        return image

    @staticmethod
    def look_up(image, codes):
        """Entries of ``codes``, an ndarray of int, in the table of ``image``."""
        codes = np.asarray(codes, np.int64)
        roots = np.full(17, OTHER_ROOT)
        roots[list(ROOTS)] = list(ROOTS.values())
        page = image[roots[codes >> 16] * (PLANE // PAGE) + codes // PAGE % (PLANE // PAGE)]
        return image[PAGES_AT + page * PAGE + codes % PAGE]


class EntryBits:
    """Members of a character's entry in the table of the hashing kernel, as first bit and width.

    ``delta`` leads to the lower case; ``word`` is ``\\w`` of the lower case, ``word_as_is`` of the
    character; ``cased`` and ``ignorable`` are the properties that decide how a capital sigma
    (``sigma``) ends a word, an ignorable character counting as not cased; of ``splits`` the lower
    case is followed by a character that is not ``\\w``.
    """

    delta = 0, 18
    word = 18, 1
    word_as_is = 19, 1
    cased = 20, 1
    ignorable = 21, 1
    sigma = 22, 1
    splits = 23, 1

    WIDTH = 24


def hashing_entries():
    """Entry of each code point, as this Python's ``str.lower`` and ``re`` have it.

    Returns
    -------
    ndarray of uint32, shape (0x110000,)

    Raises
    ------
    ValueError
        If this Python has a rule that an entry cannot express.
    """
    sigma = "\u03a3"
    characters = [chr(code) for code in range(sys.maxunicode + 1)]
    lower = [character.lower() for character in characters]
    first = np.array([ord(text[0]) for text in lower])
    delta = first - np.arange(len(first))
    longer = [code for code, text in enumerate(lower) if len(text) > 1]
    matches = re.compile(r"(?u)\w").match
    word_as_is = np.array([matches(character) is not None for character in characters])
    for code in longer:
        if len(lower[code]) > 2 or word_as_is[ord(lower[code][1])] or first[code] >= 0x80:
            raise ValueError(f"Lower case of U+{code:04X} must be of one word character, "
                             f"not {lower[code]!r}")
    if abs(delta).max() >> (EntryBits.delta[1] - 1) or (first[:0x80] >= 0x80).any():
        raise ValueError("Lower case must be near the upper case, and of ASCII ASCII")
    # A sigma is final after a cased character that is not ignorable, whatever is ignorable between.
    final = "\u03c2"
    cased = np.array([(character + sigma).lower()[-1] == final for character in characters])
    ignorable = ~cased & np.array(
        [("A" + character + sigma).lower()[-1] == final for character in characters])
    splits = np.zeros(len(first), bool)
    splits[longer] = True
    is_sigma = np.zeros(len(first), bool)
    is_sigma[ord(sigma)] = True
    entries = delta & ((1 << EntryBits.delta[1]) - 1)
    for name, flags in dict(word=word_as_is[first], word_as_is=word_as_is, cased=cased,
                            ignorable=ignorable, sigma=is_sigma, splits=splits).items():
        entries |= flags.astype(np.int64) << getattr(EntryBits, name)[0]
    return entries.astype(np.uint32)


#: Bits of a column.
COLUMN = 31
#: Features of a row of the table of features.
WAYS = 4
#: Rows at its end that are nobody's home.
SPARE_ROWS = 32


def feature_limit(rows):
    """Most columns of a text in a table of so many ``rows``: three quarters of it."""
    return WAYS * rows * 3 // 4


def column_config(features, alternate_sign, rows):
    """Members of a :data:`.columns.ColumnConfig`: ``features`` columns in a table of ``rows``.

    Raises
    ------
    ValueError
        If ``features`` is not within range(1, 2**31).
    """
    if not 1 <= features < 1 << COLUMN:
        raise ValueError(f"Features must be within range(1, 2**31), not {features!r}")
    most, homes = (1 << 32) - 1, rows - SPARE_ROWS
    return {"features": features, "reciprocal": min((1 << 32) // features, most),
            "scale": min((homes << 32) // features, most), "alternate_sign": int(alternate_sign)}


def hashing_config(features=1 << 20, ngram_range=(1, 1), lowercase=True, alternate_sign=True, *,
                   rows=1024, max_n=3):
    """Members of a :func:`.hashing.HashingConfig`.

    Raises
    ------
    ValueError
        If the card cannot do that.
    """
    low, high = ngram_range
    if not 1 <= low <= high <= max_n:
        raise ValueError(f"Ngram_range must be within 1 and {max_n}, not {ngram_range!r}")
    return {"lowercase": int(lowercase), "min_n": low, "max_n": high,
            **column_config(features, alternate_sign, rows)}
