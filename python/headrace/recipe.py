# SPDX-License-Identifier: Apache-2.0
"""What a card does with an image: validated options, and what follows from them."""

import dataclasses
import operator

import numpy as np


__all__ = ["Recipe", "DTYPES", "FILTERS", "LAYOUTS"]


#: Element types by name. numpy has no bfloat16: its elements are returned as their 16 bits.
DTYPES = {"uint8": np.dtype(np.uint8), "float16": np.dtype(np.float16),
          "bfloat16": np.dtype(np.uint16), "float32": np.dtype(np.float32)}
FILTERS = ("bilinear", "bicubic")
LAYOUTS = ("CHW", "HWC")

#: Sides are 16 bits wide on the card.
LONGEST_SIDE = 65535


def _side(name, value):
    try:
        side = operator.index(value)
    except TypeError:
        side = 0
    if isinstance(value, bool) or not 1 <= side <= LONGEST_SIDE:
        raise ValueError(f"{name} must be within range(1, {LONGEST_SIDE + 1}), not {value!r}")
    return side


def _pair(name, value):
    try:
        height, width = value
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be an int or (height, width), not {value!r}") from None
    return _side(f"{name} height", height), _side(f"{name} width", width)


def _member(name, value, members):
    if value not in members:
        raise ValueError(f"{name} must be one of {', '.join(members)}, not {value!r}")
    return value


def _channels(name, value):
    try:
        channels = tuple(map(float, (value,) * 3 if np.ndim(value) == 0 else value))
    except (TypeError, ValueError):
        channels = ()
    if len(channels) != 3 or not np.all(np.isfinite(channels)):
        raise ValueError(f"{name} must be three finite numbers, not {value!r}")
    return channels


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What happens to an image, in this order: resize, crop, normalise, arrange.

    Parameters
    ----------
    resize : int, (int, int) or None
        Length of the shorter side, or exact (height, width), in pixels; None keeps the size.
    crop : int, (int, int) or None
        Side of a square, or (height, width), cut from the centre; None keeps everything.
    filter : "bilinear" or "bicubic"
        Pillow's filter of that name (with antialiasing).
    mean, std : three floats, a float for all channels, or None
        Per channel (R, G, B): ``((x / 255) - mean) / std``; both or neither. Float types only.
    dtype : "uint8", "float16", "bfloat16" or "float32"
        Element type of the result. ``uint8`` is the pixel itself; the others are at least
        ``x / 255``. The elements of ``bfloat16`` are returned as ``uint16`` bit patterns.
    layout : "CHW" or "HWC"
        Order of axes of the result.

    Raises
    ------
    ValueError
        If an option is not one of the above.
    """

    resize: object = None
    crop: object = None
    filter: str = "bilinear"
    mean: object = None
    std: object = None
    dtype: str = "uint8"
    layout: str = "HWC"

    def __post_init__(self):
        def store(name, value):
            object.__setattr__(self, name, value)

        if self.resize is not None:
            store("resize", _side("Resize", self.resize) if np.ndim(self.resize) == 0
                  else _pair("Resize", self.resize))
        if self.crop is not None:
            store("crop", (_side("Crop", self.crop),) * 2 if np.ndim(self.crop) == 0
                  else _pair("Crop", self.crop))
        _member("Filter", self.filter, FILTERS)
        _member("Layout", self.layout, LAYOUTS)
        if not isinstance(self.dtype, str):
            try:
                store("dtype", np.dtype(self.dtype).name)
            except TypeError:
                pass
        _member("Dtype", self.dtype, tuple(DTYPES))
        if (self.mean is None) != (self.std is None):
            raise ValueError(f"Mean and std must be given together, "
                             f"not {self.mean!r} and {self.std!r}")
        if self.mean is not None:
            store("mean", _channels("Mean", self.mean))
            store("std", _channels("Std", self.std))
            if self.dtype == "uint8":
                raise ValueError("Dtype must be a float type when mean and std are given, "
                                 "not 'uint8'")
            if 0.0 in map(np.float32, self.std):
                raise ValueError(f"Std must be other than zero, not {self.std!r}")

    @property
    def element(self):
        """:class:`numpy.dtype` of the result's elements."""
        return DTYPES[self.dtype]

    def table(self):
        """Result element of each channel and pixel value.

        Returns
        -------
        ndarray of ``element``, shape (3, 256)
        """
        if self.dtype == "uint8":
            return np.tile(np.arange(256, dtype=np.uint8), (3, 1))
        x = np.tile(np.arange(256, dtype=np.float32) / np.float32(255), (3, 1))
        if self.mean is not None:
            x -= np.float32(self.mean)[:, None]
            x /= np.float32(self.std)[:, None]
        if self.dtype == "bfloat16":
            return bfloat16(x)
        with np.errstate(over="ignore"):  # a value beyond float16 is infinite, as in torch
            return x.astype(self.element)

    def resized(self, height, width):
        """Size (height, width) after resizing an image of ``height`` x ``width`` pixels."""
        if self.resize is None:
            return height, width
        if isinstance(self.resize, tuple):
            return self.resize
        if width <= height:
            return int(self.resize * height / width), self.resize
        return self.resize, int(self.resize * width / height)

    def size(self, height, width):
        """Size (height, width) of the result for an image of ``height`` x ``width`` pixels."""
        return self.crop or self.resized(height, width)

    def shape(self, height, width, channels=3):
        """Shape of the result's array for an image of ``height`` x ``width`` pixels."""
        height, width = self.size(height, width)
        return (channels, height, width) if self.layout == "CHW" else (height, width, channels)

    @property
    def fixed_shape(self):
        """Shape of every result, or None if it depends on the image."""
        if self.crop is None and not isinstance(self.resize, tuple):
            return None
        return self.shape(1, 1)


def bfloat16(x):
    """Round float32 to bfloat16, nearest even; the elements are its bits, as uint16."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(x), 0x7fc0, rounded).astype(np.uint16)
