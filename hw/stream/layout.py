# SPDX-License-Identifier: Apache-2.0
"""Payloads of the streams inside a card."""

from amaranth import *
from amaranth.lib import data


__all__ = ["PIXELS", "PayloadWord", "Frame", "Done", "PixelWord", "Beat"]


#: Pixels in one beat of a pixel stream, if nothing else is said: 8 or 16.
PIXELS = 8


#: Eight bytes of a payload, byte 0 in the low bits. ``count`` of them are valid: 8, but in the
#: ``last`` word of a payload 0 to 8.
PayloadWord = data.StructLayout({"data": 64, "count": 4, "last": 1})


def Frame(contexts):
    """Size of the image that a context is about to deliver, in pixels."""
    return data.StructLayout({"context": range(contexts), "width": 16, "height": 16})


def Done(contexts):
    """End of a request: every pixel word of it has been transferred before."""
    return data.StructLayout({"context": range(contexts), "status": 4, "detail": 8})


def PixelWord(contexts, pixels=PIXELS):
    """Neighbouring pixels of one row, ``pixels[column][channel]``, in raster order.

    ``row_last`` marks the last word of a row, ``last`` the last word of the image. Pixels of that
    word beyond the width of the image are undefined.
    """
    return data.StructLayout({
        "context": range(contexts),
        "pixels": data.ArrayLayout(data.ArrayLayout(8, 3), pixels),
        "row_last": 1,
        "last": 1,
    })


def Beat(width):
    """``width // 8`` bytes of a packet, byte 0 in the low bits.

    ``count`` of them are valid: all, but in the ``last`` beat of a packet any number from 0 on.
    """
    return data.StructLayout({"data": width, "count": range(width // 8 + 1), "last": 1})
