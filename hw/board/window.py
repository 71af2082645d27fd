# SPDX-License-Identifier: Apache-2.0
"""The address space of a card that has its memory on the chip."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..card.control import AXI_LITE
from .memory import WindowRequest


__all__ = ["ADDRESS_BITS", "PAGE", "SIZE", "WINDOW", "AddressSpace"]


#: Of all this.
ADDRESS_BITS = 20
#: Behind the card's own registers: which part of the memory, in units of ``WINDOW``, is seen from
#: address ``WINDOW`` on; and how many bytes the memory has.
PAGE, SIZE = 0x1000, 0x1004
WINDOW = 1 << 19



class AddressSpace(wiring.Component):
    """AXI4-Lite to the card's registers, and to memory through a window. One access at a time.

    Parameters
    ----------
    memory_bits : int
        The memory has ``2 ** memory_bits`` bytes.

    Members
    -------
    awvalid, ... : AXI4-Lite subordinate
        ``awaddr`` and ``araddr`` have 20 bits; there is no ``wstrb``, all bytes are written.
    control_awvalid, ... : AXI4-Lite manager
        To the registers.
    window, i
        Of :class:`.memory.OnChipMemory`.
    """

    def __init__(self, memory_bits):
        self.memory_bits = memory_bits
        outer = {**AXI_LITE, "awaddr": In(ADDRESS_BITS), "araddr": In(ADDRESS_BITS)}
        del outer["wstrb"]
        super().__init__({
            **outer, **{f"control_{name}": member.flip() for name, member in AXI_LITE.items()},
            "window": Out(stream.Signature(WindowRequest)), "i": In(stream.Signature(32)),
        })

    def elaborate(self, platform):
        m = Module()
        address, write = Signal(ADDRESS_BITS), Signal()
        page = Signal(max(1, self.memory_bits - WINDOW.bit_length() + 1))
        answer, value = Signal(2), Signal(32)
        word = address[2:WINDOW.bit_length() - 1]
        m.d.comb += [
            self.control_awaddr.eq(address), self.control_araddr.eq(address),
            self.control_wdata.eq(value), self.control_wstrb.eq(0xF),
            self.window.p.word.eq(Cat(word, page)), self.window.p.data.eq(value),
            self.window.p.write.eq(write), self.i.ready.eq(1),
            self.bresp.eq(answer), self.rresp.eq(answer), self.rdata.eq(value),
        ]
        address_sent, data_sent = Signal(), Signal()
        with m.FSM():
            with m.State("Idle"):
                m.d.sync += [answer.eq(0), address_sent.eq(0), data_sent.eq(0)]
                with m.If(self.awvalid & self.wvalid):
                    m.d.comb += [self.awready.eq(1), self.wready.eq(1)]
                    m.d.sync += [address.eq(self.awaddr), value.eq(self.wdata), write.eq(1)]
                    m.next = "Choose"
                with m.Elif(self.arvalid):
                    m.d.comb += self.arready.eq(1)
                    m.d.sync += [address.eq(self.araddr), write.eq(0)]
                    m.next = "Choose"
            with m.State("Choose"):
                with m.If(address[-1]):
                    m.next = "Window"
                with m.Elif(address[12:] == 0):
                    m.next = "Control"
                with m.Else():
                    with m.If(address[2:] == PAGE >> 2):
                        with m.If(write):
                            m.d.sync += page.eq(value)
                        with m.Else():
                            m.d.sync += value.eq(page)
                    with m.Elif(address[2:] == SIZE >> 2):
                        with m.If(~write):
                            m.d.sync += value.eq(1 << self.memory_bits)
                    with m.Else():
                        m.d.sync += value.eq(0)
                    m.next = "Answer"
            with m.State("Window"):
                m.d.comb += self.window.valid.eq(1)
                with m.If(self.window.ready):
                    with m.If(write):
                        m.next = "Answer"
                    with m.Else():
                        m.next = "Wait"
            with m.State("Wait"):
                with m.If(self.i.valid):
                    m.d.sync += value.eq(self.i.payload)
                    m.next = "Answer"
            with m.State("Control"):
                m.d.comb += [
                    self.control_awvalid.eq(write & ~address_sent),
                    self.control_wvalid.eq(write & ~data_sent),
                    self.control_arvalid.eq(~write & ~address_sent),
                    self.control_bready.eq(1), self.control_rready.eq(1),
                ]
                with m.If((self.control_awvalid & self.control_awready)
                          | (self.control_arvalid & self.control_arready)):
                    m.d.sync += address_sent.eq(1)
                with m.If(self.control_wvalid & self.control_wready):
                    m.d.sync += data_sent.eq(1)
                with m.If(self.control_bvalid):
                    m.d.sync += answer.eq(self.control_bresp)
                    m.next = "Answer"
                with m.Elif(self.control_rvalid):
                    m.d.sync += [answer.eq(self.control_rresp), value.eq(self.control_rdata)]
                    m.next = "Answer"
            with m.State("Answer"):
                m.d.comb += [self.bvalid.eq(write), self.rvalid.eq(~write)]
                with m.If(Mux(write, self.bready, self.rready)):
                    m.next = "Idle"
        return m
