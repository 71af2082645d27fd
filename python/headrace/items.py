# SPDX-License-Identifier: Apache-2.0
"""What the verbs on images are given: encoded files and pixels, in the forms that Python has."""

import collections.abc
import os
from typing import NamedTuple

import numpy as np
from PIL import Image


__all__ = ["Take", "as_items", "apart"]


class Take(NamedTuple):
    """What a verb takes.

    Members
    -------
    files, pixels, gray : bool
        Encoded files; arrays of shape (H, W, 3); and of shape (H, W), too.
    """

    files: bool
    pixels: bool
    gray: bool = False

    @property
    def shapes(self):
        return "(H, W, 3) or (H, W)" if self.gray else "(H, W, 3)"

    def __str__(self):
        files = "an encoded file (bytes-like, a path or a binary file object)"
        pixels = f"pixels (a PIL image, or an array of uint8, shape {self.shapes})"
        return " or ".join(self.files * [files] + self.pixels * [pixels])


#: What to do about arrays of these shapes.
REMEDIES = ((lambda shape: len(shape) == 0, "give what it holds, .item()"),
            (lambda shape: len(shape) == 2, "repeat them, np.stack([pixels] * 3, axis=-1)"),
            (lambda shape: len(shape) == 3 and shape[2] == 4, "leave alpha out, pixels[..., :3]"),
            (lambda shape: len(shape) == 3 and shape[2] == 1, "repeat them, pixels.repeat(3, 2)"),
            (lambda shape: len(shape) == 3 and shape[0] == 3,
             "put channels last, pixels.transpose(1, 2, 0)"))

#: Devices of DLPack whose memory the host reads: its own, pinned or managed by CUDA or ROCm.
HOST = 1, 3, 11, 13


def as_items(given, take):
    """Files and pixels that a verb was given.

    Parameters
    ----------
    given : object
        An item or a batch: any iterable but a set or a mapping.
    take : Take

    Returns
    -------
    (list of memoryview, ndarray or Exception, bool)
        Of each item its bytes or pixels, or what is wrong with it; and whether it was one item.

    Raises
    ------
    ValueError
        If it is a set or a mapping.
    """
    items, single = _as_batch(given)
    return [_tried(item, take) for item in items], single


def _as_batch(given):
    """List of items as they were given, and whether it was one."""
    if isinstance(given, (list, tuple)):
        return list(given), False
    if isinstance(given, (set, frozenset, collections.abc.Mapping)):
        remedy = "sorted(…)" if isinstance(given, collections.abc.Set) else "list(….values())"
        raise ValueError(f"Batch must be a list or another iterable of items in their order, not "
                         f"{type(given).__name__}: give {remedy}")
    if isinstance(given, Image.Image) or _is_file(given):
        return [given], True
    try:
        array = _as_array(given)
    except Exception:  # what is wrong is found again, as that item's fault
        return [given], True
    if array is None:
        single = not isinstance(given, collections.abc.Iterable)
        return [given] if single else list(given), single
    # Of names, of strings of bytes, or of objects: a list.
    single = array.ndim < 4 and (array.ndim == 0 or array.dtype.kind not in "SUO")
    return [given] if single else list(array), single


def _tried(item, take):
    """An item's bytes or pixels, or what is wrong with it."""
    try:
        return _as_item(item, take)
    except Exception as error:  # whatever foreign objects raise
        return error


def _as_item(given, take):
    """Bytes of a file as memoryview, or pixels as ndarray; ValueError unless the verb takes it."""
    if type(given) is bytes:
        item = memoryview(given)
    elif _is_file(given):
        item = _contents(given)
    else:
        item = _as_array(given)
        if item is None:
            raise ValueError(f"Item must be {take}, not {type(given).__name__}")
        if item.ndim == 1 and item.dtype == np.uint8:
            item = memoryview(np.ascontiguousarray(item)) if item.size else memoryview(b"")
    if isinstance(item, memoryview):
        if not take.files:
            raise ValueError(f"Item must be {take}, not an encoded file: decode it first, or use "
                             "image(resize=…), which does both")
        return item
    if not take.pixels:
        raise ValueError(f"Item must be {take}, not an array of {item.dtype}, shape {item.shape}: "
                         "give the file that it comes from, or encode it")
    _check_pixels(item, take)
    return item


def _is_file(given):
    """Whether it is one file by its type: its bytes, a path, or a file object."""
    return (isinstance(given, (bytes, bytearray, str, os.PathLike))
            # A file mapped into memory can be read like one, too, and is whole without.
            or hasattr(given, "read") and _buffer(given) is None)


def _contents(given):
    """Bytes of a file as memoryview."""
    if isinstance(given, (str, os.PathLike)):
        with open(given, "rb") as file:
            return memoryview(file.read())
    if hasattr(given, "read"):
        data = given.read()
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise ValueError(f"File object must give bytes, not {type(data).__name__}: open it as "
                             "open(path, \"rb\")")
        given = data
    return memoryview(given if isinstance(given, bytearray) else bytes(given))


def _as_array(given):
    """What lies in an object's memory, or None if it offers none."""
    if isinstance(given, np.ndarray):
        return given
    if isinstance(given, Image.Image):
        return np.asarray(given.convert("RGB"))
    if isinstance(given, (np.generic, type)):  # a number; a class has its objects' attributes
        return None
    view = _buffer(given)
    if view is not None:
        if view.ndim == 1 and view.format in ("b", "c"):  # bytes by another name
            view = memoryview(view.tobytes())
        return np.asarray(view)
    device = getattr(given, "__dlpack_device__", None)
    if hasattr(given, "__cuda_array_interface__") or device and device()[0] not in HOST:
        raise ValueError(f"Pixels must be in the host's memory, not in a device's as this "
                         f"{type(given).__name__}: copy it first, with .cpu() or .get()")
    if device and hasattr(given, "__dlpack__"):
        try:
            return np.from_dlpack(given)
        except (BufferError, RuntimeError, TypeError) as error:
            raise ValueError(f"Pixels must be uint8, which is not what DLPack has of this "
                             f"{type(given).__name__}: {error}") from error
    if hasattr(given, "__array_interface__") or hasattr(given, "__array__"):
        return np.asarray(given)
    return None


def _buffer(given):
    try:
        return memoryview(given)
    except (TypeError, BufferError):
        return None


def _check_pixels(pixels, take):
    shape = pixels.shape
    shaped = len(shape) == 3 and shape[2] == 3 or take.gray and len(shape) == 2
    if pixels.dtype == np.uint8 and shaped and pixels.size:
        return
    remedy = "" if shaped else next((f": {text}" for holds, text in REMEDIES if holds(shape)), "")
    raise ValueError(f"Pixels must be uint8 of shape {take.shapes}, not {pixels.dtype} of shape "
                     f"{shape}{remedy}")


def apart(items, out):
    """Items, copied where they lie in one of the arrays ``out``, which is written while others are
    still to be read."""
    def shared(item):
        # Bytes that nobody can write are no array's; the others are looked at as one.
        return not (isinstance(item, Exception) or isinstance(item, memoryview)
                    and isinstance(item.obj, bytes)) and any(
            np.may_share_memory(item, target) for target in out)

    out = [target for target in out if target is not None]
    if not out:
        return items
    return [item if not shared(item) else memoryview(bytes(item))
            if isinstance(item, memoryview) else item.copy() for item in items]
