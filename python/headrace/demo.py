# SPDX-License-Identifier: Apache-2.0
"""One photo's way from JPEG to tensor, with figures and a picture."""

import numpy as np
from PIL import Image

import headrace
from headrace import bench, reference
from headrace.recipe import Recipe


__all__ = ["run"]


def side_by_side(pictures, path):
    """Save pictures in a row, tops aligned, on white."""
    gap = 8
    canvas = Image.new("RGB", (sum(one.shape[1] for one in pictures) + gap * (len(pictures) + 1),
                               max(one.shape[0] for one in pictures) + 2 * gap), "white")
    left = gap
    for picture in pictures:
        canvas.paste(Image.fromarray(picture), (left, gap))
        left += picture.shape[1] + gap
    canvas.save(path)


def verdict(result, expected):
    """``yes``, or how many elements differ."""
    different = int((result.view(np.uint8) != expected.view(np.uint8)).sum())
    return "yes, every bit" if not different else f"NO: {different} bytes differ"


def run(path, folder, name=None):
    """Send the photo ``path`` through card ``name``; leave the results in ``folder``.

    Returns
    -------
    int
        0 if everything equals Pillow.
    """
    data = path.read_bytes()
    norm = dict(mean=headrace.IMAGENET_MEAN, std=headrace.IMAGENET_STD, dtype="float16")
    with headrace.open(name) as card:
        pixels = card.decode_jpeg(data)
        prep = card.image(resize=256, crop=224, **norm)
        tensor = prep(data)
        cycles = prep.last[0].cycles
        cropped = card.image(resize=256, crop=224, layout="HWC")(data)
        fallbacks = card.counters()["fallbacks"]
        kind = card.name
    recipe = prep.recipe
    truth = reference.process(Recipe(), data)
    checks = {"pixels": (pixels, truth), "tensor": (tensor, reference.process(recipe, data)),
              "crop": (cropped, reference.process(Recipe(256, 224), data))}

    height, width = pixels.shape[:2]
    print(f"card                 {kind}: {headrace.cards().get(kind, 'open')}")
    print(f"photo                {path}: {len(data)} bytes, {width} x {height} pixels")
    print(f"tensor               {tensor.dtype} {tensor.shape}: resize 256, crop 224, ImageNet "
          f"mean and std")
    for what, (result, expected) in checks.items():
        print(f"{what} = Pillow's?".ljust(20), verdict(result, expected))
    print(f"done by the CPU      {fallbacks} of {len(checks)}")
    if kind == "sim":
        print(f"device cycles        {cycles} for this one image, from job to completion")
    if kind == "sim":
        print(bench.table(bench.jpeg([path])))

    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "tensor.npy", tensor)
    # The input as Pillow decodes it, then the card's pixels and the card's crop.
    side_by_side([truth, pixels, cropped], folder / "demo.png")
    print(f"written              {folder / 'tensor.npy'}, {folder / 'demo.png'}")
    return int(any(not np.array_equal(*check) for check in checks.values()))
