# SPDX-License-Identifier: Apache-2.0
"""What becomes of completions: arrays, or the CPU's turn. Shared by all that drive a card."""

import dataclasses

import numpy as np
import PIL
from PIL import Image

from headrace.card import Outcome, Report, check_target
from headrace.cpu import redo
from headrace.errors import ItemError
from headrace.hashing import HashingRecipe
from headrace.header import check_file, image_size
from headrace.hw.image.order import vertical_first
from headrace.hw.status import Detail, Status
from headrace.recipe import Recipe


__all__ = ["report_of", "reports_of", "collect_image", "features_of", "tokens_of", "array_of",
           "settle_images", "settle_texts"]


#: Pillow resizes by columns first where that is less work, as a card does, since 13.
ROWS_ALWAYS_FIRST = int(PIL.__version__.split(".")[0]) < 13


def report_of(done):
    """:class:`Report` of a completion, a dict of ``headrace.hw.card.jobs.COMPLETION``."""
    return Report(Status(done["status"]), Detail(done["detail"]), done["cycles"])


def reports_of(completions):
    """:class:`Report` of each of an ndarray of completions, a list."""
    columns = (completions[name].tolist() for name in ("status", "detail", "cycles"))
    return [Report(Status(status), Detail(detail), cycles) if status else Report.ok(cycles)
            for status, detail, cycles in zip(*columns)]


def collect_image(recipe, report, height, width, target, gray, read_into):
    """Result of an image job.

    Parameters
    ----------
    recipe : Recipe
    report : Report
    height, width : int
        Of the result, if there is one.
    target : ndarray or None
        Where the result is wanted.
    gray : bool
        One of the three equal channels is wanted.
    read_into
        Function of a C-contiguous ndarray, which fills it with the bytes of the result.

    Returns
    -------
    Outcome or Report
        A Report if the card handed the image back.
    """
    if report.status is not Status.OK:
        return report
    shape = (3, height, width) if recipe.layout == "CHW" else (height, width, 3)
    try:
        if target is not None:
            check_target(target, shape[:2] if gray else shape, recipe.element)
    except ValueError as error:
        return Outcome(None, dataclasses.replace(report, error=error))
    array = np.empty(shape, recipe.element) if target is None or gray else target
    read_into(array)
    if gray:
        array = np.ascontiguousarray(array[..., 0])
        if target is not None:
            target[...] = array
            array = target
    return Outcome(array, report)


def features_of(raw):
    """Columns (uint32, ascending) and counts (int32) of the bytes of a hashing result."""
    pairs = np.frombuffer(raw, "<u4").reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1].view("<i4")


def tokens_of(raw):
    """Tokens, ndarray of uint32, of the bytes of a WordPiece result."""
    return np.frombuffer(raw, "<u4")


def array_of(work, done, raw):
    """Result of any work as one array.

    Parameters
    ----------
    work : Recipe, HashingRecipe or TokenRecipe
    done : dict
        The completion.
    raw : bytes-like
        ``done["bytes"]`` bytes.

    Returns
    -------
    ndarray or None
        Of an image as its recipe says; of hashing int32, shape (features, 2), columns and counts;
        of WordPiece uint32, shape (tokens,). None if the status is not OK.
    """
    if done["status"] != Status.OK:
        return None
    if isinstance(work, Recipe):
        height, width = done["height"], done["width"]
        shape = (3, height, width) if work.layout == "CHW" else (height, width, 3)
        return np.frombuffer(raw, work.element).reshape(shape)
    if isinstance(work, HashingRecipe):
        return np.frombuffer(raw, "<i4").reshape(-1, 2)
    return tokens_of(raw)


def in_other_order(recipe, item):
    """Whether the installed Pillow rounds between the two passes of this resize otherwise than a
    card, which does them in the order of Pillow 13."""
    if not ROWS_ALWAYS_FIRST or recipe.resize is None:
        return False
    size = item.shape[:2] if item.ndim > 1 else image_size(item)
    return size is not None and vertical_first(*size, *recipe.resized(*size))


def as_pillow(recipe, item, outcome):
    """Outcome of an image that the card delivered: a Report if the installed Pillow does not read
    the file, or would do it in another order; with an error if it sets a limit to its pixels."""
    report = outcome.report
    try:
        if item.ndim == 1 and not check_file(item):
            return dataclasses.replace(report, status=Status.CORRUPT, detail=Detail.SEGMENT)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        return Outcome(None, dataclasses.replace(report, error=error))
    if in_other_order(recipe, item):
        return dataclasses.replace(report, status=Status.UNSUPPORTED, detail=Detail.ORDER)
    return outcome


def settle_images(fallback, recipe, items, targets, outcomes):
    """Outcome of every image: where there is a Report of what is wrong, or the installed Pillow
    would do something else, ``fallback`` decides.

    Parameters
    ----------
    fallback : "cpu" or "raise"
    recipe : Recipe
    items, targets : list
        As of ``Card._process``.
    outcomes : list of Outcome or Report
        A Report with an error is final.

    Returns
    -------
    list of Outcome
    """
    settled = []
    for n, outcome in enumerate(outcomes):
        if isinstance(outcome, Outcome) and outcome.report.error is None:
            outcome = as_pillow(recipe, items[n], outcome)
        if isinstance(outcome, Report):
            if outcome.error is not None:
                outcome = Outcome(None, outcome)
            elif fallback == "cpu":
                outcome = redo(recipe, items[n], targets[n], status=outcome.status,
                               detail=outcome.detail, cycles=outcome.cycles, fallback=True)
            else:
                error = ItemError(outcome.status, outcome.detail)
                outcome = Outcome(None, dataclasses.replace(outcome, error=error))
        settled.append(outcome)
    return settled


def settle_texts(fallback, outcomes):
    """Results and reports of texts.

    Parameters
    ----------
    fallback : "cpu" or "raise"
    outcomes : list of (result, Report) or Report
        A Report if there is no result; one with an error is final.

    Returns
    -------
    (list, list of Report)
        The results, None where there is none; the reports, with ``fallback`` or ``error`` set
        there.
    """
    redone = fallback == "cpu"
    results, reports = [], []
    for outcome in outcomes:
        if isinstance(outcome, Report):
            if outcome.error is None:
                error = None if redone else ItemError(outcome.status, outcome.detail)
                outcome = dataclasses.replace(outcome, fallback=redone, error=error)
            outcome = None, outcome
        results.append(outcome[0])
        reports.append(outcome[1])
    return results, reports
