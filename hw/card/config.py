# SPDX-License-Identifier: Apache-2.0
"""What a card is made of: one object builds the RTL and tells the driver its limits."""

import dataclasses

from ..jpeg.lines import check_lines
from ..text.tables import EntryBits, feature_limit
from ..text.vocabulary import Geometry


__all__ = ["BUS", "PORTS", "beat_bits", "CardConfig", "CONFIGS"]


#: Bytes of a block of memory: jobs, records and buffers are of blocks. A beat of a memory port of
#: 512 bits is one.
BUS = 64

#: Bits of a memory port.
PORTS = 64, 512


def beat_bits(port):
    """Bits of the address of a byte in a beat of ``port`` bits."""
    return (port // 8).bit_length() - 1


@dataclasses.dataclass(frozen=True)
class CardConfig:
    """Parameters of a card.

    Parameters
    ----------
    contexts : int
        Images in flight in the image lane, within ``range(1, 17)``.
    turns : int
        Cycles from one Huffman symbol of an image to its next; by default, and at least,
        ``contexts``. More make a higher clock possible.
    lines : int
        Columns and rows of a block that the decoder's inverse DCT takes in a cycle: 1 or 2, or 4
        with 16 pixels.
    pixels : int
        Pixels that the decoder makes, and that the resizer's engines take, in a cycle: 8 or 16.
    max_width : int
        Widest image in pixels, a multiple of 16.
    max_side : int
        Longest side of an image before and after resizing, in pixels.
    max_taps : int
        Most taps of a resize window.
    source_rows : int
        Rows of the widest image that the resizer holds: at least ``pixels + 2``, or the widest are
        refused.
    intermediate_bits, output_bits : int
        Address bits of the resizer's other two memories, a context, in words of ``pixels``.
    engines : int
        Engines of the resizer: 1 or 2.
    multiplier : int
        Bits of the wider operand of the part's multipliers: 18 on an ECP5, 27 on UltraScale+.
    pace : int
        Cycles in which an engine takes a tap of a word: 1, or 2 with half the multipliers.
    port : int
        Bits of the memory port: 64 or 512, not fewer than ``wire``.
    prefetch : int
        Beats of memory held for each of those who read it, at least 8: as many as it is late.
    recipes : int
        Recipes of each family held at a time.
    image_lanes, text_lanes : int
        Lanes of each family: at least one image lane.
    pages : int
        Pages of 64 characters that a table of the text lanes holds.
    max_ngram : int
        Most words of an n-gram.
    feature_rows : int
        Rows of the table in which the features of a text are counted.
    gated : bool
        The clocks of the lanes are pins of their own, and can stop when the lanes are idle.
    wire : int
        Bits of the network port: 64 or 512, or 0 for a card without one.
    queues : int
        Queue pairs of the network, within ``range(2, 257)``.
    slots : int
        Messages from the network in flight, within ``range(1, 257)``: each has a buffer in the
        card's memory.
    remote : bool
        Registers and memory are reached by a queue pair of the network, too, and the registers by
        a port of the card; see :mod:`.commands`.
    """

    contexts: int = 4
    turns: int | None = None
    lines: int = 2
    pixels: int = 8
    max_width: int = 4096
    max_side: int = 8192
    max_taps: int = 128
    source_rows: int = 16
    intermediate_bits: int = 12
    output_bits: int = 11
    engines: int = 2
    multiplier: int = 27
    pace: int = 1
    port: int = 512
    prefetch: int = 32
    recipes: int = 8
    image_lanes: int = 1
    text_lanes: int = 1
    pages: int = 384
    max_ngram: int = 3
    feature_rows: int = 1024
    gated: bool = False
    wire: int = 0
    queues: int = 16
    slots: int = 32
    remote: bool = False

    def __post_init__(self):
        for name, most in (("contexts", 16), ("engines", 2), ("recipes", 256),
                           ("image_lanes", 16), ("max_ngram", 8)):
            value = getattr(self, name)
            if not isinstance(value, int) or not 1 <= value <= most:
                text = name.replace("_", " ").capitalize()
                raise ValueError(f"{text} must be within range(1, {most + 1}), not {value!r}")
        if not isinstance(self.prefetch, int) or self.prefetch < 8:
            raise ValueError(f"Prefetch must be at least 8, not {self.prefetch!r}")
        check_lines(self.lines, self.pixels)
        if self.text_lanes not in range(17):
            raise ValueError(f"Text lanes must be within range(17), not {self.text_lanes!r}")
        if self.wire not in (0, 64, 512):
            raise ValueError(f"Wire must be 0, 64 or 512, not {self.wire!r}")
        if self.port not in PORTS or self.port < self.wire:
            raise ValueError(f"Port must be 64 or 512, and not less than wire, not {self.port!r}")
        if self.remote not in ((False, True) if self.wire else (False,)):
            raise ValueError(f"Remote must be {'a bool' if self.wire else 'False without a wire'}, "
                             f"not {self.remote!r}")
        for name, least in ("queues", 2), ("slots", 1):
            value = getattr(self, name)
            if not isinstance(value, int) or not least <= value <= 256:
                raise ValueError(f"{name.capitalize()} must be within range({least}, 257), "
                                 f"not {value!r}")

    @property
    def max_features(self):
        """Most different features of a text."""
        return feature_limit(self.feature_rows)

    @property
    def wordpiece(self):
        """Widths of the tables of WordPiece."""
        return Geometry()

    @property
    def entry_width(self):
        """Bits of a character's entry in the tables of a text lane."""
        return max(EntryBits.WIDTH, self.wordpiece.entry_width)

    @property
    def resize(self):
        """Parameters of the resizer, as keywords."""
        return {name: getattr(self, name) for name in (
            "max_width", "max_side", "max_taps", "source_rows", "intermediate_bits",
            "output_bits", "engines", "multiplier", "pace", "pixels")}


#: Cards by name. Those named as boards have the lanes that these have, to be simulated.
CONFIGS = {
    "sim": CardConfig(gated=True),
    "small": CardConfig(contexts=1, lines=1, max_width=1024, max_side=2048, max_taps=64,
                        source_rows=16, intermediate_bits=11, output_bits=9, recipes=2,
                        text_lanes=0),
    "nic": CardConfig(wire=512, gated=True),
    **{f"sim{lanes}": CardConfig(image_lanes=lanes, text_lanes=0, gated=True)
       for lanes in (2, 4)},
    "wide": CardConfig(pixels=16, lines=4, source_rows=32, text_lanes=0, gated=True),
    "kv260": CardConfig(contexts=2, lines=1, max_width=1024, max_side=2048, max_taps=64,
                        source_rows=16, intermediate_bits=11, output_bits=9, recipes=4,
                        text_lanes=0, gated=True),
    "ecpix5": CardConfig(contexts=1, turns=3, lines=1, max_width=512, max_side=1024, max_taps=32,
                         source_rows=16, intermediate_bits=9, output_bits=8, engines=1,
                         multiplier=18, pace=2, prefetch=16, recipes=1, text_lanes=0, gated=True),
}
