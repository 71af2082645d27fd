# SPDX-License-Identifier: Apache-2.0
"""Registers are reached by AXI4-Lite."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from . import registers
from .control import AXI_LITE, SLVERR


__all__ = ["Access", "Answer", "LiteManager"]


#: A register to read or to write.
Access = data.StructLayout({"address": registers.ADDRESS_BITS, "data": 32, "write": 1})

#: What it held, or 0 if it was written; ``error``: there is none at that address.
Answer = data.StructLayout({"data": 32, "error": 1})


class LiteManager(wiring.Component):
    """AXI4-Lite manager: one access after the other, each answered.

    No output depends combinationally on an input.

    Members
    -------
    awvalid, ... : AXI4-Lite manager
    i : :py:`In(stream.Signature(Access))`
    o : :py:`Out(stream.Signature(Answer))`
    """

    def __init__(self):
        super().__init__({
            **{name: member.flip() for name, member in AXI_LITE.items()},
            "i": In(stream.Signature(Access)), "o": Out(stream.Signature(Answer)),
        })

    def elaborate(self, platform):
        m = Module()
        access = Signal(Access)
        m.d.comb += [
            self.awaddr.eq(access.address), self.araddr.eq(access.address),
            self.wdata.eq(access.data), self.wstrb.eq(~0),
        ]
        for channel in "aw", "w", "ar":
            valid, ready = (getattr(self, f"{channel}{part}") for part in ("valid", "ready"))
            with m.If(ready):
                m.d.sync += valid.eq(0)
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += access.eq(self.i.payload)
                with m.If(self.i.valid):
                    m.d.sync += [self.awvalid.eq(self.i.p.write), self.wvalid.eq(self.i.p.write),
                                 self.arvalid.eq(~self.i.p.write)]
                    m.next = "Wait"
            with m.State("Wait"):
                m.d.comb += [self.bready.eq(access.write), self.rready.eq(~access.write)]
                m.d.sync += [
                    self.o.p.data.eq(Mux(access.write, 0, self.rdata)),
                    self.o.p.error.eq(Mux(access.write, self.bresp, self.rresp) >= SLVERR),
                ]
                with m.If(Mux(access.write, self.bvalid, self.rvalid)):
                    m.next = "Answer"
            with m.State("Answer"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "Idle"
        return m
