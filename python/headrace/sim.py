# SPDX-License-Identifier: Apache-2.0
"""The simulated card: the RTL in this process, driven as a card on a bus would be."""

import collections
import functools
import importlib
import threading

import numpy as np

from headrace.arena import Arena
from headrace.card import Card, Report
from headrace.errors import CardError
from headrace.hashing import Refused
from headrace.header import image_size
from headrace.hw.card import registers
from headrace.hw.card.config import BUS, CONFIGS
from headrace.hw.card.jobs import COMPLETION, JOB, RECIPE, RECIPE_BYTES, Kind
from headrace.hw.status import Detail, Status
from headrace.results import collect_image, settle_images, settle_texts
from headrace.held import Held
from headrace.sim_text import TextWork


__all__ = ["SimCard"]


#: Clock cycles without a transfer after which something is wrong for sure.
PATIENCE = 30_000_000
#: Cycles between two chances for Python to be interrupted.
SLICE = 200_000

#: Configurations that `pip install .` builds.
BUILT = "sim", "nic"

RULES = {type(None): 0, tuple: 1, int: 2}
FILTERS = {"bilinear": 1, "bicubic": 2}
#: Bytes of a job and of a completion.
BLOCK = BUS


def compiled(name):
    """The compiled card of a configuration, a module.

    Raises
    ------
    CardError
        If it is not built.
    """
    module = f"headrace._{name}"
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise CardError(
            "The simulated card is not built: run `pip install .` in headrace's source tree (needs "
            "g++, make and perl), or open(\"cpu\")" if name in BUILT else
            f"The simulated card {name!r} is not built: run `pip install "
            f"--config-settings=cmake.define.CARDS=\"{';'.join(BUILT)};{name}\" .` in headrace's "
            "source tree") from None


class SimCard(Card):
    """The Verilated card with its own memory.

    Parameters
    ----------
    name : str
        Of a configuration in :data:`headrace.hw.card.config.CONFIGS`.
    memory : int
        Bytes of the card's memory.
    stalls : float or five floats
        Probability in each cycle that the memory stalls: of all channels, or of AR, R, AW, W, B.
    latency : int
        Cycles from an address to the first data.
    seed : int
        Of the stalls.
    """

    def __init__(self, name="sim", fallback="cpu", *, memory=1 << 28, stalls=0.0, latency=32,
                 seed=1):
        super().__init__(name, fallback)
        self._options = dict(memory=memory, stalls=stalls, latency=latency, seed=seed)
        self.config = CONFIGS[name]
        stalls = [float(stalls)] * 5 if np.ndim(stalls) == 0 else [float(s) for s in stalls]
        if len(stalls) != 5 or not all(0 <= stall < 1 for stall in stalls):
            raise ValueError(f"Stalls must be one or five numbers in [0, 1), not {stalls!r}")
        if memory < 1 << 16:
            raise ValueError(f"Memory must be at least {1 << 16} bytes, not {memory!r}")
        self._lock = threading.Lock()
        module = compiled(name)
        self._stuck = module.Stuck
        self._rtl = module.Card(memory, PATIENCE)
        self._rtl.configure(stalls, latency, seed)
        self._room = memory  # the end of the memory that batches may use
        self._recipes = Held(self.config.recipes)
        self._texts = TextWork(self.config, self._rtl.memory, self._run)
        self._enable()

    def __reduce__(self):
        from headrace.cards import open
        return _reopen, (open, self.name, self.fallback, self._options)

    def _close(self):
        with self._lock:
            self._rtl = None

    def counters(self):
        """As of every card; and the card's own 64-bit counters, see ``headrace.hw.card.registers``.
        """
        with self._lock:
            self._check_open()
            own = {name: self._rtl.read_register(address)
                   | self._rtl.read_register(address + 4) << 32
                   for name, address in registers.COUNTERS.items()}
        return {**super().counters(), **own}

    # Batches

    def _check_open(self):
        if self._rtl is None:
            raise CardError(f"Card must be open, not closed: {self!r}")

    def _enable(self):
        if self._rtl.read_register(registers.CAPABILITIES["identity"]) != registers.IDENTITY:
            raise CardError("The simulated card is not one of headrace's")
        self._rtl.write_register(registers.GIE, 1)
        self._rtl.write_register(registers.IER, 1)

    def _reset(self):
        """The card forgets everything."""
        self._rtl.reset()
        self._recipes.clear()
        self._texts.forget()
        self._enable()

    def _run(self, jobs, address):
        """Have the card do packed jobs; return completions by request."""
        rtl = self._rtl
        completions = address + BLOCK * len(jobs)
        rtl.memory.write(address, b"".join(jobs))
        for name, value in ("jobs", address), ("count", len(jobs)), ("completions", completions):
            at, bits = registers.ARGUMENTS[name]
            for offset in range(0, bits, 32):
                rtl.write_register(at + offset // 8, value >> offset & 0xFFFFFFFF)
        try:
            rtl.expect_progress()
            rtl.write_register(registers.CTRL, registers.START)
            while not rtl.run(SLICE):
                pass
            rtl.write_register(registers.ISR, rtl.read_register(registers.ISR))
            rtl.read_register(registers.CTRL)
            fault = rtl.take_fault()
            if fault:
                raise CardError(f"The simulated card broke the rules of its memory port: {fault}")
        except BaseException as error:
            # The next request finds a card as good as new.
            self._reset()
            if isinstance(error, self._stuck):
                raise CardError(f"The simulated card is stuck: {error}") from error
            raise
        raw = bytearray(BLOCK * len(jobs))
        rtl.memory.read_into(completions, raw)
        unpacked = (COMPLETION.unpack(raw[start:start + BLOCK])
                    for start in range(0, len(raw), BLOCK))
        return {completion["request"]: completion for completion in unpacked}

    def _recipe_job(self, recipe, address):
        """Number of a recipe, and the job that loads it at ``address`` (None if it is there)."""
        number, new = self._recipes.number(recipe)
        if not new:
            return number, None
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
        self._rtl.memory.write(address, header + words.tobytes())
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
        arena = Arena(0, self._room, BLOCK)
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
            self._rtl.memory.write(at, payload)
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
                raise CardError(f"The simulated card lost request {n}")
            outcomes[n] = collect_image(recipe, done, targets[n], gray,
                                        functools.partial(self._rtl.memory.read_into, result))


def _reopen(open, name, fallback, options):
    return open(name, fallback=fallback, **options)


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
