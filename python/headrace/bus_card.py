# SPDX-License-Identifier: Apache-2.0
"""A card that is driven by its registers and its memory, whatever the way to them."""

import collections
import functools
import threading

import numpy as np

from headrace.arena import Arena
from headrace.card import Card, Report
from headrace.errors import CardError
from headrace.hashing import Refused
from headrace.header import image_size
from headrace.held import Held
from headrace.hw.card.config import BUS
from headrace.hw.card.jobs import COMPLETION, JOB, RECIPE, RECIPE_BYTES, Kind
from headrace.hw.status import Detail, Status
from headrace.results import collect_image, settle_images, settle_texts
from headrace.sim_text import TextWork


__all__ = ["BusCard", "pack_recipe"]


RULES = {type(None): 0, tuple: 1, int: 2}
FILTERS = {"bilinear": 1, "bicubic": 2}
#: Bytes of a job and of a completion.
BLOCK = BUS


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

    def _connect(self, config, transport):
        """Begin to drive a card of this configuration."""
        self.config = config
        self._bus = transport
        self._lock = threading.Lock()
        self._start, self._room = transport.start, transport.stop  # the memory for batches
        self._recipes = Held(config.recipes)
        self._texts = TextWork(config, transport.memory, self._run)
        self._texts.start, self._texts.room = self._start, self._room
        transport.check()

    def _close(self):
        with self._lock:
            self._bus = None

    def counters(self):
        """As of every card; and the card's own 64-bit counters, see ``headrace.hw.card.registers``.
        """
        with self._lock:
            self._check_open()
            own = self._bus.counters()
        return {**super().counters(), **own}

    # Batches

    def _check_open(self):
        if self._bus is None:
            raise CardError(f"Card must be open, not closed: {self!r}")

    def _reset(self):
        """The card forgets everything."""
        self._forget()
        self._bus.reset()

    def _forget(self):
        """Nothing is known of what the card holds."""
        self._recipes.clear()
        self._texts.forget()

    def _run(self, jobs, address):
        """Have the card do packed jobs; return completions by request."""
        bus = self._bus
        completions = address + BLOCK * len(jobs)
        bus.memory.write(address, b"".join(jobs))
        try:
            bus.run(address, len(jobs), completions)
        except BaseException:
            # The next request finds a card as good as new.
            self._reset()
            raise
        raw = bytearray(BLOCK * len(jobs))
        bus.memory.read_into(completions, raw)
        unpacked = (COMPLETION.unpack(raw[start:start + BLOCK])
                    for start in range(0, len(raw), BLOCK))
        return {completion["request"]: completion for completion in unpacked}

    def _recipe_job(self, recipe, address):
        """Number of a recipe, and the job that loads it at ``address`` (None if it is there)."""
        number, new = self._recipes.number(recipe)
        if not new:
            return number, None
        self._bus.memory.write(address, pack_recipe(recipe))
        return number, JOB.pack(kind=Kind.LOAD, recipe=number, request=0xFFFFFFFF,
                                payload=address, length=RECIPE_BYTES)

    def _process(self, recipe, items, targets):
        outcomes = [None] * len(items)
        with self._lock:
            self._check_open()
            waiting = collections.deque(range(len(items)))
            while waiting:
                self._round(recipe, items, targets, waiting, outcomes)
        return settle_images(self.fallback, recipe, items, targets, outcomes)

    # Texts

    @property
    def max_n(self):
        """Most words of an n-gram."""
        return self.config.max_ngram

    def _hash(self, recipe, items):
        results, reports = self._do_texts(self._texts.hash, recipe, items)
        return [Refused(report.status, report.detail) if result is None else result
                for result, report in zip(results, reports)]

    def _tokenize(self, recipe, items):
        results, reports = self._do_texts(self._texts.tokenize, recipe, items)
        return [report.error if result is None else result
                for result, report in zip(results, reports)]

    def _do_texts(self, work, recipe, items):
        """Results of texts, None for those that the card handed back; and their reports."""
        with self._lock:
            self._check_open()
            outcomes = work(recipe, items)
        results, reports = settle_texts(self.fallback, outcomes)
        self._note(reports)
        return results, reports

    # Images

    def _round(self, recipe, items, targets, waiting, outcomes):
        """As many of the waiting items as the memory holds; a Report for those that failed."""
        arena = Arena(self._start, self._room, BLOCK)
        tables = arena.take(RECIPE_BYTES)
        # Jobs and completions, of a recipe and of 64 items at most.
        address = arena.take(2 * 65 * BLOCK)
        number, load = self._recipe_job(recipe, tables)
        jobs, results = [load] if load else [], {}
        while waiting and len(results) < 64:
            n = waiting[0]
            payload, size, gray = _payload(items[n])
            source = size or image_size(payload) or (0, 0)
            capacity = 0
            if all(source):
                capacity = int(np.prod(recipe.shape(*source))) * recipe.element.itemsize
            start = arena.next
            at, result = arena.take(len(payload)), arena.take(capacity)
            if at is None or result is None or capacity >= 1 << 32:
                if results:
                    arena.next = start
                    break
                outcomes[n] = Report(Status.NO_ROOM, Detail.CAPACITY)
                waiting.popleft()
                arena.next = start
                continue
            self._bus.memory.write(at, payload)
            height, width = size or (0, 0)
            jobs.append(JOB.pack(kind=Kind.IMAGE, recipe=number, request=n, payload=at,
                                 length=len(payload), height=height, width=width, result=result,
                                 capacity=capacity))
            results[n] = result, gray
            waiting.popleft()
        if not results:
            if load:  # it was not loaded after all
                self._recipes.forget(recipe)
            return
        completions = self._run(jobs, address)
        for n, (result, gray) in results.items():
            done = completions.get(n)
            if done is None:
                raise CardError(f"The card lost request {n}")
            outcomes[n] = collect_image(recipe, done, targets[n], gray,
                                        functools.partial(self._bus.memory.read_into, result))


def _payload(item):
    """Bytes for the card; height and width if they are pixels; whether those are gray."""
    if not isinstance(item, np.ndarray) or item.ndim == 1:
        return memoryview(item), None, False
    gray = item.ndim == 2
    pixels = np.repeat(item[..., None], 3, axis=2) if gray else item
    height, width = pixels.shape[:2]
    if max(height, width) > 0xFFFF:
        return b"", (0xFFFF, 0xFFFF), gray  # the card says that it is too large
    padded = np.zeros((height, -(-width // 8) * 8, 3), np.uint8)
    padded[:, :width] = pixels
    return padded.reshape(-1), (height, width), gray
