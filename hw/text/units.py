# SPDX-License-Identifier: Apache-2.0
"""Payloads inside the WordPiece kernel."""

import enum

from amaranth import *
from amaranth.lib import data


__all__ = ["End", "Letter", "Unit", "Match", "Word", "TableWrite", "word_of"]


class End(enum.IntEnum):
    """How a text ended."""

    WELL = 0
    MALFORMED = 1  #: bytes that are no UTF-8
    REORDER = 2    #: marks that may have to change places


def Letter(geometry):
    """A character that is neither deleted nor a space, or the ``end`` of a text.

    ``start``: spaces came before it. ``glued``: nothing came between it and the one before.
    ``offset`` counts from the first Hangul syllable. The other fields are those of its entry, see
    :attr:`.vocabulary.Geometry.entry`; with ``end`` all but ``ending`` are undefined.
    """
    return data.StructLayout({
        "symbol": geometry.symbol_bits, "kind": 3, "raw": geometry.raw_bits, "trigger": 1,
        "start": 1, "glued": 1, "offset": 14, "end": 1, "ending": 2,
    })


def Unit(geometry):
    """A symbol, or the ``end`` of a text. ``alone``: a word by itself; the rest as before."""
    return data.StructLayout({
        "symbol": geometry.symbol_bits, "alone": 1, "raw": geometry.raw_bits, "trigger": 1,
        "start": 1, "glued": 1, "end": 1, "ending": 2,
    })


def Match(geometry):
    """A symbol, a ``special`` token, or the ``end`` of a text. ``start``: no word goes on here."""
    return data.StructLayout({
        "symbol": geometry.symbol_bits, "alone": 1, "start": 1, "special": 1,
        "token": geometry.token_bits, "end": 1, "ending": 2,
    })


def Word(geometry):
    """What gives tokens: ``length`` symbols from ``at`` in the ring; without any, ``token``
    itself, or the ``end`` of a text."""
    return data.StructLayout({
        "at": geometry.ring_bits, "length": geometry.ring_bits - 1,
        "token": geometry.token_bits, "end": 1, "ending": 2,
    })


def TableWrite(geometry):
    """Word ``address`` of a table, see :class:`.vocabulary.Table`."""
    return data.StructLayout(geometry.write)


def word_of(fields, bits):
    """View of ``bits`` by the names in ``fields``, a dict of widths."""
    return data.View(data.StructLayout(fields), bits)
