# SPDX-License-Identifier: Apache-2.0
"""Payloads of the image kernels."""

from amaranth import *
from amaranth.lib import data
from amaranth.utils import ceil_log2, exact_log2

from ..stream.layout import PIXELS
from .tile_buffer import TileBuffer


__all__ = ["PRECISION", "TIE_SHIFT", "COARSE_SHIFT", "coarse", "Rule", "Filter", "Geometry",
           "Recipe", "PlaneWord"]


#: Fractional bits of a coefficient, as in Pillow.
PRECISION = 22

#: A coefficient whose exact value is nearer than ``2 ** -(TIE_SHIFT + 1)`` to a rounding tie is
#: flagged: Pillow's double arithmetic might round it the other way.
TIE_SHIFT = 17

#: The same where :func:`coarse`: up to sides of 8192 Pillow's errors are below ``2 ** -16.9``.
COARSE_SHIFT = 15

#: Longest side whose errors are below ``2 ** -18``, whatever the other.
LONG = 3840


def coarse(size_in, size_out):
    """Whether Pillow's coefficients are less exact than others, of ints or Values.

    The error of a window's centre grows with its place, and counts less the more an image shrinks,
    by the square of that.
    """
    return (size_in > LONG) & (2 * size_out > size_in)


class Filter:
    """Numbers of filters in a recipe. ``NONE`` keeps the size."""

    NONE, BILINEAR, BICUBIC = range(3)


class Rule:
    """Numbers of size rules in a recipe: as is, (height, width), or the shorter side (height)."""

    NONE, EXACT, SHORTER = range(3)


#: What becomes of an image. ``height`` is the shorter side with :attr:`Rule.SHORTER`. A crop of
#: 0 keeps everything. With ``planar`` every row leaves three times, once for each channel.
Recipe = data.StructLayout({
    "filter": 2, "rule": 2, "height": 16, "width": 16, "crop_height": 16, "crop_width": 16,
    "planar": 1,
})


def PlaneWord(contexts, pixels=PIXELS):
    """A ``PixelWord`` of which the consumer is to use channel ``plane``, or all in plane 0."""
    return data.StructLayout({
        "context": range(contexts),
        "plane": 2,
        "pixels": data.ArrayLayout(data.ArrayLayout(8, 3), pixels),
        "row_last": 1,
        "last": 1,
    })


class Geometry:
    """Widths of what the resizer counts, and the layouts made of them.

    Parameters
    ----------
    contexts : int
        Images in flight.
    max_side : int
        Longest side of an image before or after resizing.
    max_taps : int
        Most taps of a filter window.
    max_width : int
        Longest row taken in.
    source_rows : int
        Rows of that length that are held.
    intermediate_bits, output_bits : int
        Address bits of the memory between the passes, and of the one behind them, in words.
    transit : int
        Pixel words that may be under way after a row was granted.
    engines : int
        2, or 1 for half the speed.
    multiplier : int
        Bits of the wider operand of the part's multipliers, which are signed: at least 18. One that
        does not hold a coefficient is given half of it.
    pace : int
        Cycles of a tap of a word: 1, or 2 with half as many multipliers.
    pixels : int
        Pixels of a word: 8, or 16 for twice the speed.
    """

    def __init__(self, contexts, *, max_side=4096, max_taps=64, max_width=2048, source_rows=16,
                 intermediate_bits=12, output_bits=11, transit=64, engines=2,
                 multiplier=27, pace=1, pixels=PIXELS):
        if engines not in (1, 2):
            raise ValueError(f"Engines must be 1 or 2, not {engines!r}")
        if pace not in (1, 2):
            raise ValueError(f"Pace must be 1 or 2, not {pace!r}")
        if pixels not in (8, 16):
            raise ValueError(f"Pixels must be 8 or 16, not {pixels!r}")
        for name, value, least in (
                ("Contexts", contexts, 1),
                ("Max side", max_side, pixels), ("Max taps", max_taps, 4),
                ("Max width", max_width, pixels), ("Source rows", source_rows, pixels),
                ("Intermediate bits", intermediate_bits, 3), ("Output bits", output_bits, 3),
                ("Transit", transit, 0), ("Multiplier", multiplier, 18)):
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be an integer of at least {least}, not {value!r}")
        if max_width > max_side:
            raise ValueError(f"Max width must be at most the max side, not {max_width!r}")
        self.contexts = contexts
        self.engines, self.multiplier, self.pace = engines, multiplier, pace
        self.pixels = pixels
        #: log2 of that: bits of a pixel's place in its word.
        self.column = exact_log2(pixels)
        #: Groups of contexts, that of ``c`` is ``c % groups``; see :class:`.resize.Resize`.
        self.groups = min(contexts, engines)
        #: Cycles from asking a tile buffer of some group to its pixels.
        self.latency = TileBuffer.LATENCY + self.groups - 1
        self.max_side = max_side
        self.max_taps = max_taps
        self.max_width = max_width
        self.source_rows = source_rows
        self.intermediate_bits = intermediate_bits
        self.output_bits = output_bits
        self.transit = transit

        self.source_bits = ceil_log2(-(-max_width // pixels)) + ceil_log2(source_rows)
        #: A side, or the index of a row or column.
        self.side = len(Const(max_side))
        #: A row number up to a group behind the image; all ones: behind every image.
        self.line = len(Const(max_side + pixels))
        #: Index of a word in a row.
        self.word = max(self.side - self.column, 1)
        #: Distance from the centre of a window, see :func:`.model.window`.
        self.t = self.side + 4
        #: Bits that say whether a resize is :func:`coarse`: without long sides none is.
        self.coarse = int(max_side > LONG)
        #: log2 of words in a row, rounded up.
        self.shift = len(Const(self.word))

        #: Where the taps of some outputs begin, and how far from the centre.
        self.command = data.StructLayout({
            "size_in": self.side, "size_out": self.side, "bicubic": 1,
            "x": self.side, "t": signed(self.t), "count": self.side, "repeat": self.word,
        })
        #: What a pass does with an image. Vertical: outputs of words ``word`` to ``word + words``.
        #: Horizontal: rows ``first`` (a multiple of ``pixels``) to ``end``.
        self.pass_ = data.StructLayout({
            "vertical": 1, "size_in": self.side, "size_out": self.side, "bicubic": 1,
            "x": self.side, "t": signed(self.t), "count": self.side,
            "word": self.word, "words": self.word, "first": self.line, "end": self.line,
        })
        #: The whole of it, see :class:`.plan.Plan`.
        self.plan = data.StructLayout({
            "context": range(contexts), "status": 4, "detail": 8,
            "bypass": 1, "repeat": 2, "width": 16, "height": 16,
            "passes": data.ArrayLayout(self.pass_, 2),
            "source_first": self.line, "source_shift": self.shift,
            "between_first": self.line, "between_written": self.line, "between_shift": self.shift,
            "output_words": self.word, "output_rows": self.line, "output_shift": self.shift,
        })
        #: A unit of work of a pass. ``line``: the group's first row, or the output row.
        self.unit = data.StructLayout({
            "context": range(contexts), "vertical": 1, "line": self.line, "word": self.word,
            "words": self.word, "release": self.line, "done": self.line,
        })
        #: Address of a word. Vertical: rows from ``y`` (a multiple of ``pixels``) of column ``x``;
        #: else columns from ``x`` (a multiple of ``pixels``) of row ``y``.
        self.place = data.StructLayout({
            "context": range(contexts), "vertical": 1, "y": self.line, "x": self.side,
            "shift": self.shift,
        })

    def group(self, context):
        """Group of a context in hardware."""
        return context[0] if self.groups == 2 else C(0, 1)

    def seats(self):
        """The same as an engine sees it: a single one takes both passes of a context for contexts
        of their own, ``2 * context`` and the next, so that the groups are the passes."""
        if self.engines == 2:
            return self
        return Geometry(2 * self.contexts, **{name: getattr(self, name) for name in (
            "max_side", "max_taps", "max_width", "source_rows", "intermediate_bits",
            "output_bits", "transit", "multiplier", "pace", "pixels")})

    def rows(self, bits, shift):
        """Rows of ``2 ** shift`` words that a memory of ``2 ** bits`` words holds, as far as lines
        can be counted: an image has no more."""
        most = (1 << self.line) - 1
        return Array(min((1 << bits) >> words, most) for words in range(bits + 2))[shift]
