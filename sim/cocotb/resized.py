# SPDX-License-Identifier: Apache-2.0
"""What Pillow 13 makes of an image, whichever is installed."""

from headrace.hw.image.order import vertical_first
from headrace.results import ROWS_ALWAYS_FIRST


__all__ = ["resized"]


def resized(image, size, filter):
    """``image.resize(size, filter)``. One before 13 has to be told which pass comes first."""
    width, height = size
    if ROWS_ALWAYS_FIRST and vertical_first(image.height, image.width, height, width):
        image = image.resize((image.width, height), filter)
    return image.resize(size, filter)
