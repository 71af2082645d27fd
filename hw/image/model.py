# SPDX-License-Identifier: Apache-2.0
"""Pillow's resize in integers: the definition that the hardware follows, in numpy."""

import numpy as np

from .layout import COARSE_SHIFT, PRECISION, TIE_SHIFT, coarse
from .order import vertical_first


__all__ = ["PRECISION", "TIE_SHIFT", "FILTERS", "window", "coefficients", "resized_size",
           "crop_offset", "resize"]


#: Filters by name, as numbered in a recipe.
FILTERS = {None: 0, "bilinear": 1, "bicubic": 2}


def window(size_in, size_out, filter):
    """Weights of every tap of every output, unnormalised.

    With ``D = 2 * max(in, out)``, tap ``x`` of output ``o`` lies ``t = (2x+1)*out - (2o+1)*in``
    from the centre, in units of ``1 / D`` of the filter's scale. Taps are all ``x`` within the
    image whose ``abs(t)`` is less than ``D`` (bilinear) or ``2 * D`` (bicubic).

    Returns
    -------
    first : ndarray of int64, shape (out,)
        Index of the first tap.
    weights : ndarray of int64, shape (out, taps)
        Weights, zero behind the last tap.
    """
    d = 2 * max(size_in, size_out)
    support = 2 * d if filter == "bicubic" else d
    centers = (2 * np.arange(size_out, dtype=np.int64) + 1) * size_in
    # The smallest x with (2x+1) * out > center - support.
    first = np.maximum((centers - support - size_out) // (2 * size_out) + 1, 0)
    taps = -(-support // size_out)
    x = first[:, None] + np.arange(taps, dtype=np.int64)
    t = np.abs((2 * x + 1) * size_out - centers[:, None])
    if filter == "bicubic":
        weights = (d - t) * np.where(t < d, 2 * d * (d + t) - 3 * t * t, (2 * d - t) ** 2)
    else:
        weights = d - t
    weights[(t >= support) | (x >= size_in)] = 0
    return first, weights


def coefficients(size_in, size_out, filter):
    """Coefficients of every output in ``2 ** -PRECISION`` units, rounded half away from zero.

    For sums of weights below ``2 ** 52``, which those of a :class:`.layout.Geometry` with sides up
    to 8192 and 128 taps are.

    Returns
    -------
    first : ndarray of int64, shape (out,)
        Index of the first tap.
    k : ndarray of int64, shape (out, taps)
        Coefficients, zero behind the last tap.
    tie : ndarray of bool, shape (out, taps)
        Coefficients too near a tie to be sure of Pillow's rounding.
    """
    first, weights = window(size_in, size_out, filter)
    total = weights.sum(axis=1, keepdims=True)
    # Bits by halves: all at once do not fit.
    high, rest = np.divmod(np.abs(weights) << PRECISION // 2, total)
    low, rest = np.divmod(rest << PRECISION // 2, total)
    quotient = (high << PRECISION // 2) + low
    k = np.sign(weights) * (quotient + (2 * rest >= total))
    shift = COARSE_SHIFT if coarse(size_in, size_out) else TIE_SHIFT
    return first, k, np.abs(2 * rest - total) <= (total >> shift)


def resized_size(in_height, in_width, *, size=None, shorter=None):
    """Height and width after torchvision's ``Resize``: exact, by the shorter side, or as is."""
    if size is not None:
        return size
    if shorter is None:
        return in_height, in_width
    if in_width <= in_height:
        return shorter * in_height // in_width, shorter
    return shorter, shorter * in_width // in_height


def crop_offset(size, crop):
    """First row or column of torchvision's ``CenterCrop``: the half, rounded half to even."""
    spare = size - crop
    return (spare >> 1) + (spare & (spare >> 1) & 1)


def _pass(image, size, filter):
    """Resize axis 0."""
    if size == image.shape[0]:
        return image
    first, k, _ = coefficients(image.shape[0], size, filter)
    index = np.minimum(first[:, None] + np.arange(k.shape[1]), image.shape[0] - 1)
    out = np.empty((size, *image.shape[1:]), np.uint8)
    for o in range(size):
        acc = np.tensordot(k[o], image[index[o]].astype(np.int64), 1) + (1 << PRECISION - 1)
        out[o] = np.clip(acc >> PRECISION, 0, 255)
    return out


def resize(image, size, filter, crop=None):
    """Resize, then crop from the centre.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
    size : (int, int)
        Height and width of the resized image.
    filter : "bilinear", "bicubic" or None
        None: ``size`` must be the size of the image.
    crop : (int, int), optional
        Height and width of the crop.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
    """
    height, width = size
    if vertical_first(*image.shape[:2], height, width):
        image = _pass(_pass(image, height, filter).swapaxes(0, 1), width, filter).swapaxes(0, 1)
    else:
        image = _pass(_pass(image.swapaxes(0, 1), width, filter).swapaxes(0, 1), height, filter)
    if crop is not None:
        top, left = crop_offset(height, crop[0]), crop_offset(width, crop[1])
        image = image[top:top + crop[0], left:left + crop[1]]
    return image
