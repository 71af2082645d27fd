# SPDX-License-Identifier: Apache-2.0
"""A card that is driven by its registers and its memory, whatever the way to them."""

import functools
import math

import numpy as np

from headrace.card import Card, Report
from headrace.errors import CardError, VocabularyError
from headrace.hashing import Refused
from headrace.header import image_size
from headrace.held import Held
from headrace.hw.card.jobs import JOB, RECIPE, RECIPE_BYTES, Kind
from headrace.hw.status import Detail, Status
from headrace.processes import ProcessLock
from headrace.results import collect_image, reports_of, settle_images, settle_texts
from headrace.rounds import NOWHERE, Rounds
from headrace.sim_text import TextWork


__all__ = ["BusCard", "pack_recipe"]


RULES = {type(None): 0, tuple: 1, int: 2}
FILTERS = {"bilinear": 1, "bicubic": 2}

#: What belongs to cards of a parent process. It is never let go.
_PARENTS = []

#: Longest side of an image that a job can tell.
MOST_PIXELS = 65535


def pack_recipe(recipe):
    """Bytes of a :class:`headrace.Recipe` and its tables, the payload of a job that loads it."""
    rule = RULES[type(recipe.resize)]
    height, width = ((0, 0), recipe.resize, (recipe.resize, 0))[rule]
    crop_height, crop_width = recipe.crop or (0, 0)
    header = RECIPE.pack(
        filter=FILTERS[recipe.filter] if rule else 0, rule=rule, height=height, width=width,
        crop_height=crop_height, crop_width=crop_width,
        element={1: 0, 2: 1, 4: 2}[recipe.element.itemsize],
        interleaved=recipe.layout == "HWC",
        raw=recipe.layout == "HWC" and recipe.dtype == "uint8")
    table = recipe.table().astype(recipe.element)
    words = table.view(f"u{recipe.element.itemsize}").astype("<u4")
    return header + words.tobytes()


class BusCard(Card):
    """A card behind a :class:`headrace.transport.Transport`.

    Subclasses call :meth:`_connect` when they have one.
    """

    def __init__(self, name, fallback):
        super().__init__(name, fallback)
        self._lock = ProcessLock()
        self._bus = self._rounds = self._texts = None
        self._abandoned = False  # it is the parent's of this process

    def _connect(self, config, transport):
        """Begin to drive a card of this configuration."""
        self.config = config
        self._bus = transport
        self._rounds = Rounds(transport.memory, self._run, transport.start, transport.stop,
                              self._reset)
        self._recipes = Held(config.recipes)
        self._texts = TextWork(config, self._rounds)
        transport.check()

    def _close(self):
        with self._lock:
            if self._bus is not None and not self._abandoned:
                self._give_back()
            self._let_loose()

    def _let_loose(self):
        """Drive no card any more."""
        # Their functions are this card's, which would go round in circles.
        self._bus = self._rounds = self._texts = None

    def _give_back(self):
        """Free what the way to the card takes."""

    # Processes

    def _abandon(self):
        # Most of what the way to the card could do now, be it to free memory when nobody refers to
        # it any more, would be done to the parent's card.
        _PARENTS.append((self._bus, self._rounds, self._texts))
        self._abandoned = True

    def _reopen(self):
        """In a forked process: get a card of one's own.

        Raises
        ------
        CardError
            If there is none to be had.
        """
        raise CardError(f"Card {self.name!r} belongs to the process that opened it, not to one "
                        "that was forked from it: open the card in each worker process, after the "
                        "fork")

    def _finish(self, seconds):
        self._closed = True
        if self._bus is not None:
            self._bus.cancel()
        # Whoever has the card leaves it, and whoever waits for it finds it closed.
        if self._lock.acquire(timeout=seconds):
            self._lock.release()

    def counters(self):
        """As of every card; and the card's own 64-bit counters, see ``headrace.hw.card.registers``.
        """
        with self._lock:
            self._check_open()
            own = self._bus.counters()
        return {**super().counters(), **own}

    # Batches

    def _check_open(self):
        self._part()
        if self._closed:
            raise CardError(f"Card must be open, not closed: {self!r}")
        if self._abandoned:
            self._reopen()
            self._abandoned = False

    def _reset(self):
        """The card forgets everything."""
        self._forget()
        self._bus.reset()

    def _forget(self):
        """Nothing is known of what the card holds."""
        self._recipes.clear()
        self._texts.forget()

    def _run(self, jobs, count, completions):
        """Have the card do a batch."""
        try:
            self._bus.run(jobs, count, completions)
        except BaseException:
            # The next request finds a card as good as new.
            self._reset()
            raise

    def _setup(self, recipe, arena):
        """Number of an image recipe, jobs that load it if the card does not hold it, and a function
        that notes that they were done."""
        number, new = self._recipes.number(recipe)
        if not new:
            return number, [], lambda: None
        address = arena.need(RECIPE_BYTES)
        self._bus.memory.write(address, pack_recipe(recipe))
        return number, [JOB.pack(
            kind=Kind.LOAD, recipe=number, payload=address, length=RECIPE_BYTES)
            ], functools.partial(self._recipes.hold, recipe, number)

    # Images

    def _process(self, recipe, items, targets):
        with self._lock:
            self._check_open()
            outcomes = self._images(recipe, items, targets)
        return settle_images(self.fallback, recipe, items, targets, outcomes)

    def _images(self, recipe, items, targets):
        """Outcome of each image, or a Report of those that the card hands back."""
        lengths, heights, widths = np.array([_size(item) for item in items], np.int64).T
        capacities = _capacities(recipe, items, heights, widths)
        oversize = np.maximum(heights, widths) > MOST_PIXELS
        capacities[oversize] = NOWHERE
        outcomes = []
        for done, results in self._rounds.do(
                Kind.IMAGE, functools.partial(self._setup, recipe), items, lengths,
                capacities, _payload,
                height=heights, width=widths):
            if done is None:
                outcomes.append(Report(Status.TOO_LARGE, Detail.SIDE)
                                if oversize[len(outcomes)]
                                else Report(Status.NO_ROOM, Detail.CAPACITY))
                continue
            first = len(outcomes)
            for n, (report, height, width) in enumerate(zip(
                    reports_of(done), done["height"].tolist(), done["width"].tolist())):
                outcomes.append(collect_image(
                    recipe, report, height, width, targets[first + n], items[first + n].ndim == 2,
                    functools.partial(results.read_into, n)))
        return outcomes

    # Texts

    @property
    def max_n(self):
        """Most words of an n-gram."""
        return self.config.max_ngram

    def _hash(self, recipe, items):
        results, reports = self._do_texts(TextWork.hash, recipe, items)
        return [Refused(report.status, report.detail) if result is None else result
                for result, report in zip(results, reports)]

    def _unfit(self, recipe):
        try:
            recipe.fitted(self.config)
        except VocabularyError as error:
            return str(error)
        return None

    def _tokenize(self, recipe, items):
        results, reports = self._do_texts(TextWork.tokenize, recipe, items)
        return [report.error if result is None else result
                for result, report in zip(results, reports)]

    def _do_texts(self, work, recipe, items):
        """Results of texts, None for those that the card handed back; and their reports."""
        with self._lock:
            self._check_open()
            outcomes = work(self._texts, recipe, items)
        results, reports = settle_texts(self.fallback, outcomes)
        self._note(reports)
        return results, reports


def _size(item):
    """Bytes of an item for the card; height and width if they are pixels, else 0."""
    if item.ndim == 1:
        return len(item), 0, 0
    height, width = item.shape[:2]
    return 3 * height * (width + 7 & -8), height, width


def _payload(item):
    """Bytes of an item for the card: a file, or padded rows of RGB."""
    if item.ndim == 1:
        return item
    height, width = item.shape[:2]
    padded = np.zeros((height, width + 7 & -8, 3), np.uint8)
    padded[:, :width] = item[..., None] if item.ndim == 2 else item
    return padded.reshape(-1)


def _capacities(recipe, items, heights, widths):
    """Bytes of the result of each item, as far as that is known."""
    if recipe.fixed_shape is not None:
        return np.full(len(items), math.prod(recipe.fixed_shape) * recipe.element.itemsize)
    sources = ((height, width) if height else image_size(item) or (0, 0)
               for item, height, width in zip(items, heights.tolist(), widths.tolist()))
    sizes = [recipe.size(*source) if all(source) else (0, 0) for source in sources]
    return np.array([3 * height * width for height, width in sizes]) * recipe.element.itemsize
