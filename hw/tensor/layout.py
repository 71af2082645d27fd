# SPDX-License-Identifier: Apache-2.0
"""Payloads of the tensor kernels."""

from amaranth import *
from amaranth.lib import data


__all__ = ["CHUNK", "Elements", "TableWrite", "Chunk"]


#: Most bytes of a chunk, if nothing else is said.
CHUNK = 32


def Elements(recipes):
    """How the pixels of an image become elements.

    ``recipe``: whose tables; ``element``: log2 of the bytes of an element; ``interleaved``: HWC,
    else CHW; ``raw``: pixels as they are, HWC only.
    """
    return data.StructLayout({"recipe": range(recipes), "element": 2, "interleaved": 1, "raw": 1})


def TableWrite(recipes):
    """Element ``element`` of ``recipe``, ``channel`` and ``value``."""
    return data.StructLayout({
        "value": 8, "channel": 2, "recipe": range(recipes), "element": 32})


def Chunk(contexts, size=CHUNK):
    """Consecutive bytes of a row of a tensor: ``count`` in the low ones of ``data``, of ``size``.

    The rest of ``data`` is 0, but in the ``last`` chunk of a row it may be anything.
    """
    return data.StructLayout({
        "context": range(contexts), "plane": 2, "data": 8 * size, "count": range(size + 1),
        "last": 1,
    })
