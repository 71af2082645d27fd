# SPDX-License-Identifier: Apache-2.0
"""Producers and consumers of Amaranth streams, under random stalls, and the rules they check."""

import random
from collections import deque

from cocotb import start_soon
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge


__all__ = ["begin", "pack", "field", "Source", "Sink"]


async def begin(dut):
    """Start the clock, and reset."""
    start_soon(Clock(dut.clk, 10, "ns").start())
    dut.rst.value = 1
    await ClockCycles(dut.clk, 2)
    dut.rst.value = 0
    await RisingEdge(dut.clk)


def pack(layout, **fields):
    """Bits of a payload; what is not named is 0."""
    return layout.const(fields).as_bits()


def field(layout, bits, name):
    """One field of a payload, as an unsigned integer; quick."""
    return bits >> layout[name].offset & (1 << layout[name].width) - 1


class Source:
    """Sends payloads in the order of ``queue``.

    Parameters
    ----------
    dut : simulator handle
    name : str
        The stream's: its ports are ``name__payload``, ``name__valid``, ``name__ready``.
    stall : float
        Probability that nothing new is offered in a cycle. What is offered stays.
    seed : int
    """

    def __init__(self, dut, name, *, stall=0.0, seed=0):
        self.stall = stall
        self.queue = deque()
        self.sent = 0
        self._clock = dut.clk
        self._payload, self._valid, self._ready = (
            getattr(dut, f"{name}__{part}") for part in ("payload", "valid", "ready"))
        self._rng = random.Random(f"{name} {seed}")
        self._offers = False
        self._valid.value = 0
        start_soon(self._run())

    async def _run(self):
        while True:
            await RisingEdge(self._clock)
            taken = self._offers and self._ready.value
            if taken:
                self.sent += 1
                self._offers = False
            if not self._offers and self.queue and self._rng.random() >= self.stall:
                self._payload.value = self.queue.popleft()
                self._valid.value = 1
                self._offers = True
            elif taken:
                self._valid.value = 0

    def drop(self):
        """Take back what is offered, and the rest; only where that is allowed."""
        self.queue.clear()
        self._valid.value = 0
        self._offers = False

    @property
    def idle(self):
        """Everything was taken."""
        return not self._offers and not self.queue

    async def drained(self, patience=10000):
        """Wait until everything was taken."""
        for _ in range(patience):
            if self.idle:
                return
            await RisingEdge(self._clock)
        raise AssertionError(f"{len(self.queue)} payloads were not taken in {patience} cycles")


class Sink:
    """Takes payloads, and checks the rules of the stream.

    What is offered stays valid and the same until it is taken, and neither ``valid`` nor the
    payload depends on ``ready``: that changes in the middle of a cycle.

    Parameters
    ----------
    dut, name, seed
        See :class:`Source`.
    stall : float
        Probability that ``ready`` is low in a cycle.

    While ``strict`` is false, the component may take back what it offers.
    """

    def __init__(self, dut, name, *, stall=0.0, seed=0):
        self.stall = stall
        self.strict = True
        self.queue = deque()
        self.name = name
        self._clock = dut.clk
        self._payload, self._valid, self._ready = (
            getattr(dut, f"{name}__{part}") for part in ("payload", "valid", "ready"))
        self._rng = random.Random(f"{name} {seed}")
        self._ready.value = 0
        start_soon(self._run())

    def _offered(self):
        return int(self._payload.value) if self._valid.value else None

    async def _run(self):
        ready, held = False, None
        while True:
            await FallingEdge(self._clock)
            before = self._offered()
            assert held in (None, before) or not self.strict, \
                f"{self.name}: what was offered was taken back"
            previous, ready = ready, self._rng.random() >= self.stall
            if ready != previous:
                self._ready.value = int(ready)
            await RisingEdge(self._clock)
            held = self._offered()
            assert held == before, f"{self.name}: what is offered depends on ready"
            if ready and held is not None:
                self.queue.append(held)
                held = None

    async def take(self, patience=10000):
        """The next payload, as an integer."""
        for _ in range(patience):
            if self.queue:
                return self.queue.popleft()
            await RisingEdge(self._clock)
        raise AssertionError(f"{self.name}: nothing came in {patience} cycles")
