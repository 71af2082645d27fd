# SPDX-License-Identifier: Apache-2.0
"""Resize against Pillow. The images and the stalls are in ``HEADRACE_CASE``."""

import json
import os
import random
from collections import deque

import cocotb
import numpy as np
from PIL import Image
from cocotb.triggers import RisingEdge
from headrace.hw.image.layout import Geometry, PlaneWord, Recipe
from headrace.hw.image.model import crop_offset, resized_size
from headrace.hw.stream.layout import Frame, PixelWord
from resized import resized
from streams import Sink, Source, begin, field, pack


CASE = json.loads(os.environ.get("HEADRACE_CASE", "{}"))
PIXELS = CASE.get("limits", {}).get("pixels", 8)     # of a word
FILTERS = [None, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC]


class Job:
    """One image: its words, and what must come of it."""

    def __init__(self, number, context, height, width, recipe, status=0, detail=0, abort=None,
                 tie=False):
        self.context, self.recipe = context, recipe
        self.height, self.width = height, width
        self.status, self.detail, self.abort, self.tie = status, detail, abort, tie
        self.pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
        if number % 3 == 0:  # flat areas at the extremes, where bicubic overshoots
            self.pixels = (self.pixels[::-1] // 128 * 255).astype(np.uint8)

    def words(self, contexts):
        count = -(-self.width // PIXELS)
        padded = np.full((self.height, PIXELS * count, 3), 0xA5, np.uint8)
        padded[:, :self.width] = self.pixels
        layout = PixelWord(contexts, PIXELS)
        base = pack(layout, context=self.context)
        shift = layout["pixels"].offset
        for y in range(self.height):
            words = padded[y].reshape(count, -1)
            yield [base | int.from_bytes(words[j].tobytes(), "little") << shift
                   | (j == count - 1) << layout["row_last"].offset
                   | (j == count - 1 and y == self.height - 1) << layout["last"].offset
                   for j in range(count)]

    def expected(self):
        filter, rule, height, width, crop_height, crop_width = self.recipe[:6]
        image = Image.fromarray(self.pixels)
        if filter and rule:
            size = resized_size(self.height, self.width,
                                **({"size": (height, width)} if rule == 1 else
                                   {"shorter": height}))
            image = resized(image, size[::-1], FILTERS[filter])
        array = np.asarray(image)
        h, w = crop_height or array.shape[0], crop_width or array.shape[1]
        top, left = crop_offset(array.shape[0], h), crop_offset(array.shape[1], w)
        return array[top:top + h, left:left + w]


class Driver:
    """Gives images to free contexts, as a lane does, and takes what comes of them."""

    def __init__(self, dut):
        self.dut = dut
        self.contexts = n = CASE["contexts"]
        self.geometry = Geometry(n, **CASE["limits"])
        self.rng = random.Random(CASE.get("seed", 1))
        self.jobs = [deque() for _ in range(n)]
        for number, job in enumerate(CASE["jobs"]):
            job = Job(number, **job)
            self.jobs[job.context].append(job)
        self.current = [None] * n
        self.rows = [None] * n       # rows of the current image not begun
        self.row = deque()           # words of the row begun
        self.got = [[] for _ in range(n)]
        self.planes = [[] for _ in range(n)]
        self.abort_at = {}
        self.cycle = self.done = self.silent = 0
        self.planning = None         # context whose size is on the way
        self.aborting = None
        self.frames, self.aborts = Source(dut, "i_frame"), Source(dut, "i_abort")
        self.pixels = Source(dut, "i", stall=CASE.get("i_stall", 0))
        self.results = Sink(dut, "o", stall=CASE.get("o_stall", 0))
        self.refusals = Sink(dut, "o_refused")

    async def run(self):
        while self.done < len(CASE["jobs"]):
            await RisingEdge(self.dut.clk)
            self.cycle += 1
            self.silent += 1
            assert self.silent < 6000, f"stuck in cycle {self.cycle}: {self.current}"
            while self.results.queue:
                self.silent = 0
                self.take(self.results.queue.popleft())
            while self.refusals.queue:
                self.refused(self.refusals.queue.popleft())
            self.plan(int(self.dut.idle.value))
            self.abort()
            self.send(int(self.dut.room.value))

    def plan(self, idle):
        c = self.planning
        if c is not None and not idle >> c & 1:  # the plan was accepted
            self.planning = None
            self.rows[c] = self.current[c].words(self.contexts)
            if self.current[c].abort is not None:
                self.abort_at[c] = self.cycle + self.current[c].abort
        choices = [c for c, job in enumerate(self.current)
                   if job is None and self.jobs[c] and idle >> c & 1 and c != self.aborting]
        if self.planning is None and choices:
            self.planning = c = self.rng.choice(choices)
            job = self.current[c] = self.jobs[c].popleft()
            self.got[c], self.planes[c] = [], []
            getattr(self.dut, f"recipe__{c}").value = pack(Recipe, **dict(zip(
                ("filter", "rule", "height", "width", "crop_height", "crop_width", "planar"),
                job.recipe)))
            self.frames.queue.append(pack(Frame(self.contexts), context=c, width=job.width,
                                          height=job.height))

    def abort(self):
        if self.aborting is not None and self.aborts.idle:
            c, self.aborting = self.aborting, None
            if self.current[c] is not None:  # else its last word was faster
                self.current[c] = None
                self.done += 1
        due = [c for c, at in self.abort_at.items() if at <= self.cycle]
        if due and self.aborting is None:
            self.aborting = c = due[0]
            del self.abort_at[c]
            self.aborts.queue.append(c)
            self.rows[c] = None
            if self.row and self.row_context == c:
                self.row.clear()
            layout, queue = PixelWord(self.contexts, PIXELS), self.pixels.queue
            kept = [word for word in queue if field(layout, word, "context") != c]
            queue.clear()
            queue.extend(kept)

    def send(self, room):
        able = [c for c in range(self.contexts) if room >> c & 1 and self.rows[c] is not None]
        if not self.row and able:
            self.row_context = c = self.rng.choice(able)
            self.row.extend(next(self.rows[c], ()))
            if not self.row:
                self.rows[c] = None
        if self.row and len(self.pixels.queue) < max(self.geometry.transit, 1):
            self.pixels.queue.append(self.row.popleft())

    def refused(self, payload):
        plan = self.geometry.plan.from_bits(payload)
        job = self.current[plan.context]
        assert (plan.status, plan.detail) == (job.status, job.detail), \
            f"{job.height}x{job.width}: {plan.status} {plan.detail}"
        self.current[plan.context] = self.planning = None
        self.done += 1

    def take(self, payload):
        layout = PlaneWord(self.contexts, PIXELS)
        c = field(layout, payload, "context")
        job = self.current[c]
        assert job is not None and job.status == 0, f"a word of idle context {c}"
        self.got[c].append(field(layout, payload, "pixels").to_bytes(3 * PIXELS, "little"))
        self.planes[c].append((field(layout, payload, "plane"),
                               field(layout, payload, "row_last")))
        if not field(layout, payload, "last"):
            return
        wanted = job.expected()
        repeat = 3 if job.recipe[6] else 1
        height, width = wanted.shape[:2]
        words = -(-width // PIXELS)
        assert self.planes[c] == [(p, j == words - 1) for _ in range(height)
                                  for p in range(repeat) for j in range(words)]
        image = np.frombuffer(b"".join(self.got[c]), np.uint8)
        image = image.reshape(height, repeat, words * PIXELS, 3)[:, :, :width]
        for p in range(repeat):
            np.testing.assert_array_equal(image[:, p], wanted, err_msg=str(vars(job)))
        assert bool(int(self.dut.tie.value) >> c & 1) == job.tie
        self.current[c] = None
        self.abort_at.pop(c, None)
        self.done += 1


@cocotb.test()
async def images_match(dut):
    """Every image equals Pillow's."""
    await begin(dut)
    driver = Driver(dut)
    await driver.run()
    dut._log.info(f"{CASE['name']}: {len(CASE['jobs'])} images in {driver.cycle} cycles")
    if "cycles" in CASE:
        assert driver.cycle <= CASE["cycles"]
