# SPDX-License-Identifier: Apache-2.0
"""How many lines of a block and pixels of a row the decoder handles in a cycle.

Without Amaranth, since the driver checks a card's configuration, too.
"""

__all__ = ["check_lines"]


def check_lines(lines, pixels):
    """Raise :exc:`ValueError` if row buffers cannot take ``lines`` and give ``pixels`` a cycle."""
    if pixels not in (8, 16):
        raise ValueError(f"Pixels must be 8 or 16, not {pixels!r}")
    if lines not in ((1, 2) if pixels == 8 else (4,)):
        raise ValueError(f"Lines must be 1 or 2, or 4 with 16 pixels, not {lines!r}")
