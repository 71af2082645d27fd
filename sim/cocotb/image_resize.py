# SPDX-License-Identifier: Apache-2.0
"""Resize against Pillow. The images and the stalls are in ``HEADRACE_CASE``."""

import json
import os
import random
from collections import deque

import cocotb
import numpy as np
from PIL import Image
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from headrace.hw.image.layout import Geometry, PlaneWord, Recipe
from headrace.hw.image.model import crop_offset, resized_size
from headrace.hw.stream.layout import Frame, PixelWord


CASE = json.loads(os.environ.get("HEADRACE_CASE", "{}"))
FILTERS = [None, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC]


def packed(layout, **fields):
    return layout.const(fields).as_bits()


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
        count = -(-self.width // 8)
        padded = np.full((self.height, 8 * count, 3), 0xA5, np.uint8)
        padded[:, :self.width] = self.pixels
        base = PixelWord(contexts).const({"context": self.context}).as_bits()
        layout = PixelWord(contexts)
        shift = layout["pixels"].offset
        for y in range(self.height):
            yield [base | int.from_bytes(padded[y, 8 * j:8 * j + 8].tobytes(), "little") << shift
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
            image = image.resize(size[::-1], FILTERS[filter])
        array = np.asarray(image)
        h, w = crop_height or array.shape[0], crop_width or array.shape[1]
        top, left = crop_offset(array.shape[0], h), crop_offset(array.shape[1], w)
        return array[top:top + h, left:left + w]


class Driver:
    """All ports, cycle by cycle."""

    def __init__(self, dut):
        self.dut = dut
        self.contexts = n = CASE["contexts"]
        self.transit = Geometry(n, **CASE["limits"]).transit
        self.rng = random.Random(CASE.get("seed", 1))
        self.jobs = [deque() for _ in range(n)]
        for number, job in enumerate(CASE["jobs"]):
            job = Job(number, **job)
            self.jobs[job.context].append(job)
        self.current = [None] * n
        self.rows = [None] * n       # rows of the current image not begun
        self.got = [[] for _ in range(n)]
        self.queue = deque()         # words on the way
        self.row = deque()           # words of the row begun
        self.offer = None            # frame on offer
        self.held = None
        self.abort_at = {}
        self.cycle = self.done = 0
        self.planes = [[] for _ in range(n)]
        self.waiting = set()

    async def run(self):
        dut, rng, n = self.dut, self.rng, self.contexts
        i_stall, o_stall = CASE.get("i_stall", 0), CASE.get("o_stall", 0)
        i_valid = frame_valid = abort_valid = 0
        o_ready = 0
        total, idle_for = len(CASE["jobs"]), 0
        began = {}
        while self.done < total:
            await RisingEdge(dut.clk)
            self.cycle += 1
            idle_for += 1
            assert idle_for < 6000, f"stuck in cycle {self.cycle}: {self.current}"
            room, idle = int(dut.room.value), int(dut.idle.value)
            # Results
            if dut.o__valid.value:
                payload = int(dut.o__payload.value)
                assert self.held in (None, payload), "the payload changed"
                self.held = None if o_ready else payload
                if o_ready:
                    idle_for = 0
                    self.take(payload)
            else:
                assert self.held is None, "valid was taken back"
            if dut.o_refused__valid.value:
                self.refused(self.offered)
            # Sizes
            if frame_valid and dut.i_frame__ready.value:
                frame_valid = 0
                self.waiting.add(self.offered)
            for c in list(self.waiting):
                if not idle >> c & 1:  # the plan was accepted
                    self.waiting.remove(c)
                    self.rows[c] = self.current[c].words(n)
                    began[c] = self.cycle
                    if self.current[c].abort is not None:
                        self.abort_at[c] = self.cycle + self.current[c].abort
            if not frame_valid and not self.waiting:
                choices = [c for c in range(n) if self.current[c] is None and self.jobs[c]
                           and idle >> c & 1]
                if choices:
                    self.offered = c = rng.choice(choices)
                    job = self.current[c] = self.jobs[c].popleft()
                    self.got[c], self.planes[c] = [], []
                    getattr(dut, f"recipe__{c}").value = packed(Recipe, **dict(zip(
                        ("filter", "rule", "height", "width", "crop_height", "crop_width",
                         "planar"), job.recipe)))
                    dut.i_frame__payload.value = packed(Frame(n), context=c, width=job.width,
                                                        height=job.height)
                    frame_valid = 1
            dut.i_frame__valid.value = frame_valid
            # Aborts
            if abort_valid and dut.i_abort__ready.value:
                abort_valid = 0
                c = self.aborting
                del self.abort_at[c]
                self.current[c] = None
                self.got[c] = []
                self.done += 1
            for c, at in self.abort_at.items():
                if not abort_valid and at <= self.cycle:
                    self.aborting, abort_valid = c, 1
                    dut.i_abort__payload.value = c
                    self.rows[c] = None
                    if self.row and self.row_context == c:
                        self.row.clear()
                    self.queue = deque(w for w in self.queue if w[0] != c)
            dut.i_abort__valid.value = abort_valid
            # Pixels
            if i_valid and dut.i__ready.value:
                i_valid = 0
            if not self.row:
                able = [c for c in range(n) if room >> c & 1 and self.rows[c] is not None]
                if able:
                    self.row_context = c = rng.choice(able)
                    row = next(self.rows[c], None)
                    if row is None:
                        self.rows[c] = None
                    else:
                        self.row.extend((c, w) for w in row)
            if self.row and len(self.queue) < max(self.transit, 1):
                self.queue.append(self.row.popleft())
            if not i_valid and self.queue and rng.random() >= i_stall:
                dut.i__payload.value = self.queue.popleft()[1]
                i_valid = 1
            dut.i__valid.value = i_valid
            o_ready = rng.random() >= o_stall
            dut.o__ready.value = int(o_ready)

    def refused(self, c):
        job = self.current[c]
        plan = Geometry(self.contexts, **CASE["limits"]).plan.from_bits(
            int(self.dut.o_refused__payload.value))
        assert (plan.status, plan.detail) == (job.status, job.detail), \
            f"{job.height}x{job.width}: {plan.status} {plan.detail}"
        self.waiting.discard(c)
        self.current[c] = None
        self.done += 1

    def take(self, payload):
        layout = PlaneWord(self.contexts)

        def field(name):
            return payload >> layout[name].offset & (1 << layout[name].width) - 1
        c = field("context")
        job = self.current[c]
        assert job is not None and job.status == 0, f"a word of idle context {c}"
        self.got[c].append(field("pixels").to_bytes(24, "little"))
        self.planes[c].append((field("plane"), field("row_last")))
        if not field("last"):
            return
        wanted = job.expected()
        repeat = 3 if job.recipe[6] else 1
        height, width = wanted.shape[:2]
        words = -(-width // 8)
        assert self.planes[c] == [(p, j == words - 1) for _ in range(height)
                                  for p in range(repeat) for j in range(words)]
        image = np.frombuffer(b"".join(self.got[c]), np.uint8)
        image = image.reshape(height, repeat, words * 8, 3)[:, :, :width]
        for p in range(repeat):
            np.testing.assert_array_equal(image[:, p], wanted, err_msg=str(vars(job)))
        assert bool(int(self.dut.tie.value) >> c & 1) == job.tie
        self.current[c] = None
        self.abort_at.pop(c, None)
        self.done += 1



@cocotb.test()
async def images_match(dut):
    """Every image equals Pillow's."""
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    for name in ("i__valid", "i_frame__valid", "i_abort__valid", "o__ready"):
        getattr(dut, name).value = 0
    dut.o_refused__ready.value = 1
    dut.rst.value = 1
    for _ in range(2):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    await RisingEdge(dut.clk)
    driver = Driver(dut)
    await driver.run()
    dut._log.info(f"{CASE['name']}: {len(CASE['jobs'])} images in {driver.cycle} cycles")
    if "cycles" in CASE:
        assert driver.cycle <= CASE["cycles"]
