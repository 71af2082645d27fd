# SPDX-License-Identifier: Apache-2.0
"""Payloads of the text kernels."""

from amaranth import *
from amaranth.lib import data


__all__ = ["CODE", "Characters", "MappedCharacters", "CharacterWrite"]


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
        "data": max(width, (pages - 1).bit_length()), "address": range(0x2000 + 64 * pages),
        "set": range(sets),
    })
