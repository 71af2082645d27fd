# SPDX-License-Identifier: Apache-2.0
"""Pictures made up for tests."""

import io

import numpy as np
from PIL import Image


__all__ = ["jpeg", "pillow"]


def jpeg(height, width, seed=0, **options):
    """A JPEG file of smooth noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
    image = Image.fromarray(pixels.astype(np.uint8)).resize((width, height), Image.BICUBIC)
    file = io.BytesIO()
    image.save(file, "jpeg", **options)
    return file.getvalue()


def pillow(data):
    """Pixels of a file, as Pillow decodes it."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
