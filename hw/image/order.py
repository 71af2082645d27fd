# SPDX-License-Identifier: Apache-2.0
"""Which pass of a resize comes first: between the two, pixels are rounded to 8 bits."""


__all__ = ["vertical_first"]


def vertical_first(in_height, in_width, height, width):
    """Whether Pillow 13 runs the vertical pass before the horizontal one. Before, it never did."""
    return in_height > height and in_height - height > 2 * (in_width - width)
