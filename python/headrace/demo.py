# SPDX-License-Identifier: Apache-2.0
"""One photo's way from JPEG to tensor, with figures and a picture."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import headrace
from headrace import bench, reference
from headrace.hw.command import check_file, check_folder, save_array, whole_file
from headrace.recipe import Recipe


__all__ = ["run"]


def side_by_side(pictures):
    """Pictures in a row on white, each below its caption.

    Parameters
    ----------
    pictures : dict of str to ndarray
        Pixels by caption, which may have several lines.

    Returns
    -------
    PIL.Image.Image
    """
    gap, size = 12, 16
    try:
        font = ImageFont.load_default(size)
    except ImportError:  # without FreeType there is one size
        font = ImageFont.load_default()
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    captions = [draw.multiline_textbbox((0, 0), caption, font=font) for caption in pictures]
    top = gap + max(bottom for _, _, _, bottom in captions) + gap
    widths = [max(int(right) + 1, picture.shape[1])
              for (_, _, right, _), picture in zip(captions, pictures.values())]
    canvas = Image.new("RGB", (sum(widths) + gap * (len(widths) + 1), int(top) + gap + max(
        picture.shape[0] for picture in pictures.values())), "white")
    draw, left = ImageDraw.Draw(canvas), gap
    for width, (caption, picture) in zip(widths, pictures.items()):
        draw.multiline_text((left, gap), caption, fill="black", font=font)
        canvas.paste(Image.fromarray(picture), (left, int(top)))
        left += width + gap
    return canvas


def difference(result, expected):
    """How many bytes differ, for a reader."""
    different = int((result.view(np.uint8) != expected.view(np.uint8)).sum())
    return f"{different} of {result.nbytes} bytes differ from Pillow"


def verdict(result, expected):
    """``yes``, or how many bytes differ."""
    return ("yes, every bit" if np.array_equal(result, expected)
            else f"NO: {difference(result, expected)}")


def run(path, folder, name=None):
    """Send the photo ``path`` through card ``name``; leave the results in ``folder``.

    Returns
    -------
    int
        0 if everything equals Pillow.

    Raises
    ------
    ValueError
        If it is no photo that Pillow can open.
    """
    check_folder(folder)
    for file in folder / "tensor.npy", folder / "demo.png":
        if file.exists():
            check_file(file, [path])
    data = path.read_bytes()
    try:
        truth = reference.process(Recipe(), data)
    except Exception as error:  # whatever Pillow raises
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from error
    norm = dict(mean=headrace.IMAGENET_MEAN, std=headrace.IMAGENET_STD, dtype="float16")
    with headrace.open(name) as card:
        pixels = card.decode_jpeg(data)
        who = f"CPU, for card {card.name}," if card.last[0].fallback else f"Card {card.name}"
        prep = card.image(resize=256, crop=224, **norm)
        tensor = prep(data)
        cycles = prep.last[0].cycles
        cropped = card.image(resize=256, crop=224, layout="HWC")(data)
        fallbacks = card.counters()["fallbacks"]
        kind = card.name
    recipe = prep.recipe
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
    save_array(folder / "tensor.npy", tensor)
    picture = side_by_side({
        f"Pillow decodes\n{width} x {height} pixels": truth,
        f"{who} decodes\n{difference(*checks['pixels'])}": pixels,
        f"and resizes to 256, crops 224 x 224\n{difference(*checks['crop'])}": cropped})
    with whole_file(folder / "demo.png") as file:
        picture.save(file, "PNG")
    print(f"written              {folder / 'tensor.npy'}, {folder / 'demo.png'}")
    return int(any(not np.array_equal(*check) for check in checks.values()))
