# SPDX-License-Identifier: Apache-2.0
"""Images a cycle against the number of image lanes of a simulated card."""

from pathlib import Path

import headrace
from headrace.bench import CLOCK, LANE, measure
from headrace.hw.card.config import CONFIGS
from headrace.hw.status import Status


__all__ = ["CARDS", "scaling", "table"]


#: Cards with more and more image lanes, and otherwise alike.
CARDS = "sim", "sim2", "sim4"


def entry(card, data, copies):
    """Figures of ``copies`` of a file for each lane, in one batch."""
    lanes = card.config.image_lanes
    figures = measure(card, LANE, [data] * (copies * lanes))
    report = figures["reports"][0]
    result = {"card": card.name, "lanes": lanes, "status": report.status.name}
    if report.status is not Status.OK:
        return result | {"detail": report.detail.text}
    images, cycles = copies * lanes, figures["busy"]
    return result | {
        "images": images, "cycles": cycles, "images_per_megacycle": 1e6 * images / cycles,
        "symbols_per_cycle": figures["symbols"] / cycles / lanes,
        "stalled": figures["stalled"] / cycles / lanes,
        "read_beats_per_cycle": figures["read_beats"] / cycles,
        "write_beats_per_cycle": figures["write_beats"] / cycles,
        "images_per_second": CLOCK * images / cycles}


def limit(found):
    """What the images had to wait for."""
    if max(found["read_beats_per_cycle"], found["write_beats_per_cycle"]) > 0.9:
        return "memory port"
    return "image lanes" if found["ratio"] > 0.95 * found["lanes"] else "sharing"


def scaling(paths, *, copies=16):
    """Measure files on cards with 1, 2 and 4 image lanes, those of them that are built.

    Parameters
    ----------
    paths : list of path
    copies : int
        Of a file for each lane, in one batch.

    Returns
    -------
    list of dict
        For each file and card: ``file``, ``card``, ``lanes``, ``status``, ``images``, and
        ``cycles`` in which a lane had work; ``images_per_megacycle``, and their ``ratio`` to a
        lane of the first card; per cycle and lane ``symbols_per_cycle``, and the share in which the
        entropy decoder was ``stalled``; beats of 64 bytes, read from and written to the card's
        memory, ``read_beats_per_cycle`` and ``write_beats_per_cycle``: a port carries 1 each way;
        ``images_per_second`` at :data:`.bench.CLOCK`, an estimate; ``limit``: ``"image lanes"`` if
        each does as much as one alone, else ``"memory port"`` if that is full, or ``"sharing"``
        if they wait for each other all the same. For a card that is not built ``card``, ``lanes``
        and ``missing``, which says how it is.
    """
    files = [(str(path), Path(path).read_bytes()) for path in paths]
    figures = []
    for name in CARDS:
        try:
            card = headrace.open(name)
        except headrace.CardError as error:
            figures.append({"card": name, "lanes": CONFIGS[name].image_lanes,
                            "missing": str(error)})
            continue
        with card:
            figures += [{"file": file, **entry(card, data, copies)} for file, data in files]
    base = {}
    for found in figures:
        rate = found.get("images_per_megacycle")
        if rate:
            found["ratio"] = rate / base.setdefault(found["file"], rate / found["lanes"])
            found["limit"] = limit(found)
    order = [file for file, _ in files]
    return sorted(figures, key=lambda found: (
        order.index(found["file"]) if "file" in found else len(order), found["lanes"]))


def table(figures):
    """The figures as text."""
    lines = [f"{'file':28} {'lanes':>5} {'images':>6} {'cycles':>9} {'image/Mcyc':>10} "
             f"{'ratio':>6} {'sym/cyc':>7} {'stalled':>7} {'read/cyc':>8} {'write/cyc':>9} "
             f"{'image/s':>8} limit"]
    for found in figures:
        if "missing" in found:
            lines.append(found["missing"])
            continue
        name = Path(found["file"]).name[:28]
        if "cycles" not in found:
            lines.append(f"{name:28} {found['lanes']:5} {found['status']}: {found['detail']}")
            continue
        lines.append(
            f"{name:28} {found['lanes']:5} {found['images']:6} {found['cycles']:9} "
            f"{found['images_per_megacycle']:10.2f} {found['ratio']:6.2f} "
            f"{found['symbols_per_cycle']:7.3f} {found['stalled']:7.1%} "
            f"{found['read_beats_per_cycle']:8.4f} {found['write_beats_per_cycle']:9.4f} "
            f"{found['images_per_second']:8.0f} {found['limit']}")
    lines.append("Simulated cycles; symbols and stalls are of one lane, read and write are beats "
                 "of 64 bytes of the card's one memory port.")
    lines.append(f"image/s is an estimate, at {CLOCK / 1e6:.0f} MHz whatever the number of lanes.")
    return "\n".join(lines)
