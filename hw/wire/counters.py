# SPDX-License-Identifier: Apache-2.0
"""How often each outcome occurred."""

from amaranth import *
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from .outcome import Outcome


__all__ = ["Counters"]


class Counters(wiring.Component):
    """32-bit counters, one for each :class:`.outcome.Outcome`, modulo 2 ** 32.

    Members
    -------
    valid, outcome : :py:`In(...)`
        Strobe: a frame had this outcome.
    lost, gap : :py:`In(1)`
        Strobes of the counters of that name.
    index : :py:`In(5)`
    count : :py:`Out(32)`
        Of the outcome ``index``, two cycles later.
    ready : :py:`Out(1)`
        Low while counters are being cleared, 32 cycles from reset.
    """

    valid: In(1)
    outcome: In(5)
    lost: In(1)
    gap: In(1)
    index: In(5)
    count: Out(32)
    ready: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = cells = memory.Memory(shape=32, depth=32, init=[])
        write = cells.write_port()
        old, shown = cells.read_port(domain="comb"), cells.read_port(domain="comb")
        clear, index = Signal(5), Signal(5)
        lost, gap = Signal(32), Signal(32)
        event, outcome = Signal(), Signal(5)
        m.d.sync += [
            event.eq(self.valid), outcome.eq(self.outcome), index.eq(self.index),
            lost.eq(lost + self.lost), gap.eq(gap + self.gap), self.count.eq(shown.data),
        ]
        m.d.comb += [
            old.addr.eq(outcome), shown.addr.eq(index),
            write.addr.eq(outcome), write.data.eq(old.data + 1), write.en.eq(event),
        ]
        with m.Switch(index):
            for code, value in (Outcome.LOST, lost), (Outcome.GAP, gap):
                with m.Case(code):
                    m.d.sync += self.count.eq(value)
        with m.If(~self.ready):
            m.d.comb += [write.addr.eq(clear), write.data.eq(0), write.en.eq(1)]
            m.d.sync += [clear.eq(clear + 1), self.ready.eq(clear == 31)]
        return m
