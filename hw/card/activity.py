# SPDX-License-Identifier: Apache-2.0
"""Whether a clock is wanted."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


__all__ = ["Activity"]


class Activity(wiring.Component):
    """What has been busy gets time to come to rest.

    Members
    -------
    busy : :py:`In(1)`
    wanted : :py:`Out(1)`
        At once when ``busy`` is, until :attr:`REST` cycles after it.
    """

    #: Cycles; more than the longest pipeline of a lane.
    REST = 255

    def __init__(self):
        super().__init__({"busy": In(1), "wanted": Out(1)})

    def elaborate(self, platform):
        m = Module()
        left = Signal(range(self.REST + 1))
        with m.If(self.busy):
            m.d.sync += left.eq(self.REST)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        m.d.comb += self.wanted.eq(self.busy | (left != 0))
        return m
