# SPDX-License-Identifier: Apache-2.0
"""JPEG to tensor and text to token ids on a card, equal to the CPU libraries to the bit.

>>> import headrace as hr
>>> card = hr.open("cpu")
>>> prep = card.image(resize=256, crop=224, mean=hr.IMAGENET_MEAN, std=hr.IMAGENET_STD,
...                   dtype="float16")
>>> prep([]).shape
(0, 3, 224, 224)
"""

import importlib.metadata

from headrace.card import Card, ImagePrep, Report
from headrace.cards import cards, open
from headrace.errors import CardError, HeadraceError, ItemError
from headrace.hw.status import Detail, Status
from headrace.recipe import Recipe


__all__ = ["open", "cards", "Card", "ImagePrep", "Recipe", "Report", "Status", "Detail",
           "HeadraceError", "CardError", "ItemError", "IMAGENET_MEAN", "IMAGENET_STD",
           "__version__"]


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

try:
    __version__ = importlib.metadata.version("headrace")
except importlib.metadata.PackageNotFoundError:  # imported from a source tree
    __version__ = "0"
