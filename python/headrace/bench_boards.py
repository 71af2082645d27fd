# SPDX-License-Identifier: Apache-2.0
"""What cards take of the boards' parts, and what they would do there: all of it estimates."""

import importlib.util
import io
import tempfile
from pathlib import Path

from PIL import Image

import headrace
from headrace.bench import LANE, measure
from headrace.hw.card.config import CONFIGS
from headrace.hw.command import lacking


__all__ = ["boards", "table", "picture"]


#: Copies of a photo, so that all contexts of a lane are busy.
COPIES = 16

#: Resources of a part, as in :class:`headrace.hw.board.board.Part`, and their headings.
RESOURCES = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram36": "BRAM36", "uram": "URAM"}

#: Colours of the bars, in their order.
COLORS = ["#4878a8", "#a8c8e0", "#d08840", "#68a068", "#a878b0"]


def shrunk(data, width):
    """A JPEG file at most ``width`` pixels wide."""
    image = Image.open(io.BytesIO(data))
    if image.width <= width:
        return data
    file = io.BytesIO()
    size = width, round(image.height * width / image.width)
    image.resize(size, Image.Resampling.BILINEAR).save(file, "jpeg")
    return file.getvalue()


def lane_rate(config, name, data):
    """Cycles that a lane needs for an image, and beats it then reads or writes, whichever are
    more; the file it was given.

    Parameters
    ----------
    config : CardConfig
        Of the board.
    name : str
        Of the simulated card with the same image lane.
    """
    data = shrunk(data, config.max_width)
    with headrace.open(name, fallback="raise") as card:
        figures = measure(card, LANE, [data] * COPIES)
    size = Image.open(io.BytesIO(data)).size
    return {"file": f"{size[0]} x {size[1]}", "bytes": len(data),
            "cycles": figures["busy"] / COPIES,
            "beats": max(figures["read_beats"], figures["write_beats"]) / COPIES}


def boards(path, names=(), *, build=Path("build"), folder=None, seeds=()):
    """Figures of boards.

    Parameters
    ----------
    path : path
        A JPEG file, made smaller for boards on which it is too wide.
    names : sequence of str
        Of boards; by default all.
    build : Path
        Where `make bitstream` built boards: for those that pip's tools route, their clocks.
    folder : Path, optional
        For the tools' files.
    seeds : sequence of int
        Place and route the boards that pip's tools build with each of these, instead of reading
        what is in ``build``.

    Returns
    -------
    list of dict
        For each board ``board``, ``title``, ``part`` and what it has, ``card``, ``lane`` and
        ``lanes`` as :func:`headrace.hw.board.area.area` says, and ``shares`` of the part;
        ``asked`` MHz, those ``routed`` for each clock by name (with several seeds, by the best),
        and of each seed in ``placements``; of the image lane ``file``, ``bytes``, ``cycles``
        and ``beats`` an image, if its simulated card is built, else ``missing``;
        ``images_per_second`` and ``bytes_per_second``, of files, of the card, and ``fitting``
        both with all lanes that fit.
    """
    if importlib.util.find_spec("amaranth") is None:
        lacking("Amaranth", "hw", __name__)
    from headrace.hw.board.area import area, shares
    from headrace.hw.board.boards import BOARDS
    from headrace.hw.board.clocks import best, place, read_clocks

    for name in names:
        if name not in BOARDS:
            raise ValueError(f"Board must be one of {', '.join(BOARDS)}, not {name!r}")
    data, figures, known = Path(path).read_bytes(), [], {}
    with Image.open(io.BytesIO(data)) as image:  # before hours of work: it is a picture
        image.load()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(folder or temporary)
        for name in names or BOARDS:
            board = BOARDS[name]
            taken = area(board, folder, known)
            clocks = read_clocks(build / name)
            placements = {}
            if seeds and board.family == "ecp5":
                placements = place(board, folder / name, seeds)
                clocks = best(placements)
            found = {"board": name, "title": board.title, "part": board.part.name,
                     "has": {field: getattr(board.part, field) for field in RESOURCES},
                     **taken, "shares": shares(board.part, taken["card"]),
                     "image_lanes": board.config.image_lanes, "asked": board.clock,
                     "routed": reached(clocks),
                     "placements": {seed: reached(each) for seed, each in placements.items()}}
            figures.append(found)
            try:
                found |= lane_rate(board.config, name if name in CONFIGS else "sim", data)
            except headrace.CardError as error:
                found["missing"] = str(error)
                continue
            clock = 1e6 * min([board.clock, *found["routed"].values()])
            each = clock / found["cycles"]
            for lanes, into in ((board.config.image_lanes, found),
                                (found["lanes"], found.setdefault("fitting", {}))):
                images = min(lanes * each, clock / found["beats"])
                into |= {"images_per_second": images,
                         "bytes_per_second": images * found["bytes"]}
    return figures


def reached(clocks):
    """MHz by name."""
    return {name: mhz for name, (_, mhz) in clocks.items()}


def listed(clocks):
    """Clocks for a reader, the slowest, which is the card's, first."""
    return ", ".join(f"{mhz:.1f}" for mhz in sorted(clocks.values()))


def clocks(found):
    """What is known of a board's clock."""
    if found["routed"]:
        return f"{listed(found['routed'])} routed" + "".join(
            f"; seed {seed}: {listed(each)}" for seed, each in found["placements"].items())
    if "levels" in found["card"]:
        return f"{found['asked']} asked, {found['card']['levels']} levels"
    return f"{found['asked']} asked"


def table(figures):
    """The figures as a table of Markdown."""
    heads = ["board", *RESOURCES.values(), "MHz", "image", "lanes", "images/s", "MB/s",
             "lanes that fit", "images/s", "MB/s"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for found in figures:
        cells = [found["board"]]
        for name in RESOURCES:
            share = found["shares"].get(name)
            cells.append("none" if share is None else f"{found['card'][name]:,.0f} ({share:.0%})")
        cells.append(clocks(found))
        rates = [f"{rate['images_per_second']:,.0f} | {rate['bytes_per_second'] / 1e6:,.0f}"
                 if "file" in found else "not built |" for rate in (found, found.get("fitting"))]
        cells += [found.get("file", ""), found["image_lanes"], rates[0], found["lanes"], rates[1]]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += ["", "Resources by synthesis, with their share of the whole part; images/s and MB/s "
              "of JPEG files are estimates: simulated cycles, at the clock that is asked for, or "
              "the routed one if that is less."]
    lines += sorted({found["missing"] for found in figures if "missing" in found})
    return "\n".join(lines)


def picture(figures):
    """The shares as bars: an SVG, as text."""
    bar, gap, left, scale = 9, 14, 90, 4.0
    height = gap + len(figures) * (len(RESOURCES) * bar + gap)
    parts, y = [], gap
    for found in figures:
        middle = y + len(RESOURCES) * bar / 2 + 4
        parts.append(f'<text x="{left - 8}" y="{middle}" text-anchor="end" font-weight="bold">'
                     f'{found["board"]}</text>')
        for (name, head), color in zip(RESOURCES.items(), COLORS):
            share = found["shares"].get(name)
            text = f"{head}: none" if share is None else f"{head} {share:.0%}"
            width = 100 * scale * min(share or 0, 1)
            parts.append(f'<rect x="{left}" y="{y}" width="{width:.1f}" height="{bar - 1}" '
                         f'fill="{color}"/><text x="{left + width + 4:.1f}" y="{y + bar - 1.5}" '
                         f'font-size="8">{text}</text>')
            y += bar
        y += gap
    ticks = "".join(
        f'<line x1="{left + percent * scale}" x2="{left + percent * scale}" y1="{gap / 2}" '
        f'y2="{height}" stroke="#ddd"/><text x="{left + percent * scale}" y="{height + 12}" '
        f'text-anchor="middle" font-size="9">{percent} %</text>' for percent in range(0, 101, 20))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + 100 * scale + 90:.0f}" '
            f'height="{height + 20}" font-family="sans-serif" font-size="11">'
            f'<rect width="100%" height="100%" fill="white"/>{ticks}{"".join(parts)}</svg>\n')
