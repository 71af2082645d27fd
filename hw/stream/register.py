# SPDX-License-Identifier: Apache-2.0
"""A stream cut by registers."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


__all__ = ["Register"]


class Register(wiring.Component):
    """Registers a stream in both directions: no output depends combinationally on an input.

    Latency is 1 cycle, throughput 1 payload per cycle. Two payloads are held: while the output
    waits, the one that was already under way is kept beside it.

    Parameters
    ----------
    shape : shape-like
        Of the payload.

    Members
    -------
    i : :py:`In(stream.Signature(shape))`
    o : :py:`Out(stream.Signature(shape))`
    """

    def __init__(self, shape):
        self.shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})
        self.spare = Signal(self.i.payload.shape())
        self.spare_valid = Signal()

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.i.ready.eq(~self.spare_valid)
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [
                self.o.valid.eq(self.spare_valid | self.i.valid),
                self.o.payload.eq(Mux(self.spare_valid, self.spare, self.i.payload)),
                self.spare_valid.eq(0),
            ]
        with m.Elif(self.i.valid & self.i.ready):
            m.d.sync += self.spare_valid.eq(1)
        with m.If(self.i.ready):
            m.d.sync += self.spare.eq(self.i.payload)
        return m
