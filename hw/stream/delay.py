# SPDX-License-Identifier: Apache-2.0
"""A value some cycles later."""

from amaranth import *
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out


__all__ = ["Delay"]


class Delay(wiring.Component):
    """``o`` is ``i`` as it was ``cycles`` enabled cycles ago.

    A small memory instead of a chain of registers. What comes out in the first cycles is not
    defined.

    Parameters
    ----------
    shape : shape-like
    cycles : int
        Two or more.

    Members
    -------
    enable : :py:`In(1)`
    i : :py:`In(shape)`
    o : :py:`Out(shape)`

    Raises
    ------
    ValueError
        If there are fewer than two cycles.
    """

    def __init__(self, shape, cycles):
        if not isinstance(cycles, int) or cycles < 2:
            raise ValueError(f"Cycles must be two or more, not {cycles!r}")
        self.shape, self.cycles = shape, cycles
        super().__init__({"enable": In(1), "i": In(shape), "o": Out(shape)})

    def elaborate(self, platform):
        m = Module()
        depth = 1 << (self.cycles - 1).bit_length()
        m.submodules.memory = cells = memory.Memory(shape=self.shape, depth=depth, init=[])
        write, read = cells.write_port(), cells.read_port(domain="comb")
        place = Signal(range(depth))
        m.d.comb += [
            write.en.eq(self.enable), write.addr.eq(place), write.data.eq(self.i),
            read.addr.eq(place - (self.cycles - 1)),
        ]
        with m.If(self.enable):
            m.d.sync += [place.eq(place + 1), self.o.eq(read.data)]
        return m
