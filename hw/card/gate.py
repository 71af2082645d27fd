# SPDX-License-Identifier: Apache-2.0
"""Lets frames in, or throws them away."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..wire.layout import Frame


__all__ = ["Gate"]


class Gate(wiring.Component):
    """Passes frames that begin while ``open``, and takes all others. Combinational.

    Parameters
    ----------
    width : int
        Bits of a beat.

    Members
    -------
    open : :py:`In(1)`
    i : :py:`In(stream.Signature(Frame(width)))`
    o : :py:`Out(stream.Signature(Frame(width)))`
    """

    def __init__(self, width):
        self.width = width
        super().__init__({
            "open": In(1), "i": In(stream.Signature(Frame(width))),
            "o": Out(stream.Signature(Frame(width))),
        })

    def elaborate(self, platform):
        m = Module()
        inside, passing = Signal(), Signal()  # a frame was offered and is not over; passes
        passes = Signal()
        m.d.comb += [
            passes.eq(Mux(inside, passing, self.open)),
            self.o.payload.eq(self.i.payload), self.o.valid.eq(self.i.valid & passes),
            self.i.ready.eq(self.o.ready | ~passes),
        ]
        with m.If(self.i.valid):
            m.d.sync += [inside.eq(~(self.i.ready & self.i.p.last)), passing.eq(passes)]
        return m
