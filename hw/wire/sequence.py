# SPDX-License-Identifier: Apache-2.0
"""Which packets continue a message: the receiving side of unreliable connections."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .owners import near


__all__ = ["Sequence"]


class Sequence(wiring.Component):
    """For each queue, whether a message is open, and the number that the next packet must have.

    A packet that begins a message is always good, whatever its number. Any other is good if a
    message is open and the number is the expected one. An open message is *cut* by a packet that
    begins another or whose number is unexpected; then packets are bad until the next beginning.

    A packet whose number is far from the expected one, see :func:`.owners.near`, changes nothing if
    the queue has a *window*. What number is expected of the first packet, if any, is known outside.

    A message is also cut if its queue is closed, be it for a cycle, or if none of its packets comes
    for one to two times ``2 ** timeout`` cycles.

    Parameters
    ----------
    queues : int
    timeout : int

    Members
    -------
    valid, queue, psn, begins, ends : :py:`In(...)`
        Strobe: a packet that is right in all other respects.
    window, astray, missed : :py:`In(1)`
        Its queue has a window; as the first packet since its queue was closed its number is far
        from the expected one, or not equal.
    good, cut, gap : :py:`Out(1)`
        In the same cycle: take it; the queue's open message is lost; the number was unexpected.
    far : :py:`Out(1)`
        In the same cycle: its number is out of the window.
    open : :py:`In(queues)`
        Queues that are open. One that is closed forgets which number it expects.
    sweep : :py:`In(1)`
        Nothing else is going on: look at one queue in this cycle.
    swept, swept_queue : :py:`Out(...)`
        In the same cycle: this queue's open message is lost.
    """

    def __init__(self, queues, *, timeout=24):
        self.queues, self.timeout = queues, timeout
        super().__init__({
            "valid": In(1), "queue": In(range(queues)), "psn": In(24), "begins": In(1),
            "ends": In(1), "window": In(1), "astray": In(1), "missed": In(1),
            "good": Out(1), "cut": Out(1), "gap": Out(1), "far": Out(1),
            "open": In(queues), "sweep": In(1), "swept": Out(1), "swept_queue": Out(range(queues)),
        })

    def elaborate(self, platform):
        m = Module()
        n = self.queues
        pending = Signal(n)             # a message is open
        known = Signal(n)               # a packet has come since it was closed
        silent, late = Signal(n), Signal(n)
        expected = Array(Signal(24, name=f"expected_{q}") for q in range(n))
        clock = Signal(self.timeout)
        shut = Signal(n)                # closed since its last packet
        inside, meets, follows = Signal(), Signal(), Signal()
        before, taken, due = Signal(), Signal(), Signal(24)
        m.d.comb += [
            before.eq(known.bit_select(self.queue, 1)), due.eq(expected[self.queue]),
            self.far.eq(self.window & Mux(before, ~near(self.psn, due), self.astray)),
            taken.eq(self.valid & ~self.far),
            inside.eq(pending.bit_select(self.queue, 1)),
            meets.eq(due == self.psn),
            follows.eq(meets & ~shut.bit_select(self.queue, 1)),
            self.good.eq(~self.far & (self.begins | (inside & follows))),
            self.cut.eq(taken & inside & (self.begins | ~follows)),
            self.gap.eq(taken & Mux(before, ~meets, self.missed)),
            self.swept.eq(self.sweep & (pending & (late | shut)).bit_select(
                self.swept_queue, 1)),
        ]
        m.d.sync += [clock.eq(clock + 1), shut.eq(shut | ~self.open),
                     known.eq((known | (taken << self.queue)) & self.open)]
        with m.If(clock.all()):
            m.d.sync += [late.eq(late | (silent & pending)), silent.eq(pending)]
        with m.If(self.sweep):
            m.d.sync += self.swept_queue.eq(Mux(self.swept_queue == n - 1, 0,
                                                self.swept_queue + 1))
        with m.If(self.swept):
            m.d.sync += pending.bit_select(self.swept_queue, 1).eq(0)
        with m.If(taken):
            m.d.sync += [
                expected[self.queue].eq(self.psn + 1),
                pending.bit_select(self.queue, 1).eq(self.good & ~self.ends),
                silent.bit_select(self.queue, 1).eq(0), late.bit_select(self.queue, 1).eq(0),
                shut.bit_select(self.queue, 1).eq(~self.open.bit_select(self.queue, 1)),
            ]
        return m
