# SPDX-License-Identifier: Apache-2.0
"""What a card must equal: Pillow and torchvision's arithmetic, on the CPU."""

import io

import numpy as np
from PIL import Image


__all__ = ["process", "source_image"]


FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def source_image(item):
    """Pillow image of an item: of a file's bytes as RGB, of an array as it is."""
    if isinstance(item, np.ndarray):
        return Image.fromarray(item)
    with Image.open(io.BytesIO(item)) as image:
        return image.convert("RGB")


def crop_center(image, height, width):
    """Cut as torchvision's ``CenterCrop`` does; what lies outside the image is black."""
    pad_y, pad_x = max(0, height - image.height), max(0, width - image.width)
    if pad_y or pad_x:
        padded = Image.new(image.mode, (image.width + pad_x, image.height + pad_y))
        padded.paste(image, (pad_x // 2, pad_y // 2))
        image = padded
    top = round((image.height - height) / 2.0)
    left = round((image.width - width) / 2.0)
    return image.crop((left, top, left + width, top + height))


def process(recipe, item):
    """Do ``recipe`` with one item.

    Parameters
    ----------
    recipe : Recipe
        What to do.
    item : bytes-like, or ndarray of uint8, shape (H, W) or (H, W, 3)
        An encoded image, or its pixels.

    Returns
    -------
    ndarray
        Of ``recipe.element``, in ``recipe.layout``; shape (H, W) for a 2-D item.

    Raises
    ------
    Exception
        Whatever Pillow raises.
    """
    image = source_image(item)
    if recipe.resize is not None:
        height, width = recipe.resized(image.height, image.width)
        image = image.resize((width, height), FILTERS[recipe.filter])
    if recipe.crop is not None:
        image = crop_center(image, *recipe.crop)
    pixels = np.array(image)
    if recipe.dtype != "uint8":
        pixels = recipe.table()[np.arange(3), pixels]
    if recipe.layout == "CHW":
        pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    return pixels
