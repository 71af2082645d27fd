# SPDX-License-Identifier: Apache-2.0
"""What the simulated card needs for an image, in cycles of its clock."""

import random
from pathlib import Path

import headrace
from headrace.cards import KINDS
from headrace.hw.status import Status


__all__ = ["CLOCK", "jpeg", "table"]


#: Hertz at which cycles are turned into images a second: a stated clock, for an estimate. A
#: simulation has no clock of its own.
CLOCK = 150e6

#: Cards that count cycles.
SIMULATED = tuple(name for name in KINDS if name != "cpu" and ":" not in name)

#: What becomes of the image in the figures of the whole lane.
LANE = dict(resize=256, crop=224, mean=headrace.IMAGENET_MEAN, std=headrace.IMAGENET_STD,
            dtype="float16")


def measure(card, recipe, items):
    """Differences of the card's counters over one batch."""
    prep = card.image(**recipe)
    before = card.counters()
    prep(items, errors="return")
    after = card.counters()
    figures = {name: after[name] - before[name] for name in after if name != "statuses"}
    figures["reports"] = prep.last
    return figures


def ratios(decode, lane, pixels, bits):
    """Figures of a batch of which all items were decoded; totals of its pixels and bits."""
    cycles, items = decode["busy"], len(decode["reports"])
    return dict(
        pixels=pixels / items, symbols=decode["symbols"] / items, cycles=cycles / items,
        lane_cycles=lane["busy"] / items,
        symbols_per_cycle=decode["symbols"] / cycles, pixels_per_cycle=pixels / cycles,
        bits_per_cycle=bits / cycles,
        starved=decode["starved"] / cycles, stalled=decode["stalled"] / cycles,
        idle=(cycles - decode["symbols"] - decode["starved"] - decode["stalled"]) / cycles,
        images_per_second=CLOCK * items / lane["busy"])


def jpeg(paths, *, copies=16, card="sim"):
    """Measure files, each ``copies`` times at once so that all contexts of the lane are busy.

    Copies of one file run in step: all contexts are at its flat parts, and at its header, at the
    same time. So behind several files there is an entry ``together``: copies of all of them, 64
    images or each twice, in random order in one batch.

    Parameters
    ----------
    paths : list of path
    copies : int
    card : str
        A simulated card.

    Returns
    -------
    list of dict
        For each file: ``file``, ``status``, ``bits`` of the file, ``width``, ``height``,
        ``pixels``, ``symbols``; per image ``cycles`` to decode and ``lane_cycles`` for the lane as
        a whole (resize 256, crop 224, normalise, float16); ``symbols_per_cycle``,
        ``pixels_per_cycle``, ``bits_per_cycle`` when decoding; the shares of cycles in which the
        entropy decoder had no symbol: ``starved`` lacked bits, ``stalled`` lacked a free block
        (the inverse DCT or the row buffer were behind), ``idle`` the rest (headers, table
        building, first and last rows); ``images_per_second`` at :data:`CLOCK`, an estimate.

    Raises
    ------
    ValueError
        If the card is not a simulated one.
    """
    if card not in SIMULATED:
        raise ValueError(f"Card must be a simulated one ({', '.join(SIMULATED)}), not {card!r}")
    figures, good, pixels = [], [], 0
    with headrace.open(card) as card:
        for path in map(Path, paths):
            data = path.read_bytes()
            decode = measure(card, dict(layout="HWC"), [data] * copies)
            report = decode["reports"][0]
            entry = {"file": str(path), "status": report.status.name, "bits": 8 * len(data)}
            figures.append(entry)
            if report.status is not Status.OK:
                entry["detail"] = report.detail.text
                continue
            height, width = card.decode_jpeg(data).shape[:2]
            lane = measure(card, LANE, [data] * copies)
            entry.update(width=width, height=height, **ratios(
                decode, lane, width * height * copies, 8 * len(data) * copies))
            good.append(data)
            pixels += width * height
        if len(good) > 1:
            each = max(2, 64 // len(good))
            good, pixels = good * each, pixels * each
            random.Random(1).shuffle(good)
            decode, lane = (measure(card, recipe, good) for recipe in (dict(layout="HWC"), LANE))
            bits = 8 * sum(map(len, good))
            figures.append({"file": "together", "status": Status.OK.name,
                            "bits": bits // len(good), **ratios(decode, lane, pixels, bits)})
    return figures


def table(figures):
    """The figures as text."""
    lines = [f"{'file':32} {'pixels':>9} {'symbols':>8} {'cycles':>9} {'lane':>9} {'sym/cyc':>7} "
             f"{'px/cyc':>6} {'bit/cyc':>7} {'starved':>7} {'stalled':>7} {'idle':>6} "
             f"{'image/s':>7}"]
    for entry in figures:
        name = Path(entry["file"]).name[:32]
        if "cycles" not in entry:
            lines.append(f"{name:32} {entry['status']}: {entry['detail']}")
            continue
        lines.append(
            f"{name:32} {entry['pixels']:9.0f} {entry['symbols']:8.0f} {entry['cycles']:9.0f} "
            f"{entry['lane_cycles']:9.0f} {entry['symbols_per_cycle']:7.3f} "
            f"{entry['pixels_per_cycle']:6.2f} {entry['bits_per_cycle']:7.2f} "
            f"{entry['starved']:7.1%} {entry['stalled']:7.1%} {entry['idle']:6.1%} "
            f"{entry['images_per_second']:7.0f}")
    lines.append("Simulated cycles; image/s is an estimate for one lane, "
                 f"at {CLOCK / 1e6:.0f} MHz.")
    return "\n".join(lines)
