# SPDX-License-Identifier: Apache-2.0
"""Payloads of the text kernels."""

from amaranth import *
from amaranth.lib import data, enum

from .tables import PAGE, PAGES_AT


__all__ = ["CODE", "CHUNK", "Characters", "MappedCharacters", "CharacterWrite", "TextError",
           "TextBytes", "WordBytes", "Element", "TextDone"]


#: Bits of a code point.
CODE = 21


def Characters(lanes):
    """Consecutive characters of a text: ``count`` code points, the first in ``codes[0]``.

    A beat holds 1 to ``lanes`` ASCII characters, or one code point that is not ASCII; none only in
    a ``last`` beat, which ends the text. ``malformed``: so does it, and the bytes that follow are
    no UTF-8; such a beat is ``last`` and empty. Codes from ``count`` on are undefined.
    """
    return data.StructLayout({
        "codes": data.ArrayLayout(CODE, lanes), "count": range(lanes + 1), "last": 1,
        "malformed": 1,
    })


def MappedCharacters(lanes, width, sets):
    """:func:`Characters`, with the entry of each in table ``set``."""
    return data.StructLayout({
        **Characters(lanes).members,
        "entries": data.ArrayLayout(width, lanes), "set": range(sets),
    })


def CharacterWrite(width, sets, pages):
    """Word ``address`` of the table image of ``set``, see :class:`.characters.TableImage`."""
    return data.StructLayout({
        "data": max(width, (pages - 1).bit_length()), "address": range(PAGES_AT + PAGE * pages),
        "set": range(sets),
    })


#: Bytes of a word that go together, and lanes of the characters that they come from.
CHUNK = 4


class TextError(enum.Enum, shape=3):
    """Why a text is handed back; see :class:`..status.Detail`."""

    NONE = 0
    UTF8 = 1
    SIGMA = 2
    FEATURES = 3
    COUNT = 4


#: Lower-cased bytes of a text, ``count`` of them, the first in ``bytes[0]``. Those of a character
#: that is no part of a word are one byte of any value, not ``word``. ``begin``: first byte of a
#: character. ``joined``: words will be joined to n-grams. ``last`` ends the text, and ``error``
#: may tell that it was cut off there.
TextBytes = data.StructLayout({
    "bytes": data.ArrayLayout(8, CHUNK), "begin": CHUNK, "word": CHUNK, "count": range(CHUNK + 1),
    "joined": 1, "last": 1, "error": TextError,
})

#: Up to 4 bytes of one word, the first in the low ones of ``data``, the others zero; none only in
#: a ``last`` beat. ``first`` and ``end`` of a word; the first bytes of a word to be joined are at
#: most 3.
WordBytes = data.StructLayout({
    "data": 8 * CHUNK, "count": range(CHUNK + 1), "first": 1, "end": 1, "last": 1,
    "error": TextError,
})

#: 8 bytes of a result, or none in a ``last`` beat: a column in the low half of ``data``, its
#: count, signed, in the high half.
Element = data.StructLayout({"data": 64, "bytes": 4, "last": 1})

#: End of a text: its ``last`` beat has been transferred before.
TextDone = data.StructLayout({"status": 4, "detail": 8})
