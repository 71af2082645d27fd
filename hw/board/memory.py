# SPDX-License-Identifier: Apache-2.0
"""Memory of the chip in place of a board's, for shells that have none for us."""

from amaranth import *
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..card.card import axi_pins
from ..card.config import BUS, beat_bits


__all__ = ["WindowRequest", "OnChipMemory"]

#: A word of 32 bits to read or write, by its number.
WindowRequest = data.StructLayout({"word": 32, "data": 32, "write": 1})


class OnChipMemory(wiring.Component):
    """AXI4 subordinate, which also serves a host word by word.

    A beat a cycle in each direction; one burst after the other. Bursts are of whole words, do not
    wrap, and those that begin behind the end are answered with SLVERR. The host is served between
    bursts' beats.

    Parameters
    ----------
    address_bits : int
        It has ``2 ** address_bits`` bytes.
    latency : int
        Cycles of a read, at least 1: registers for the columns of UltraRAM.
    style : str
        What it is made of, as synthesis calls it: ``"ultra"`` or ``"block"``.
    port : int
        Bits of a word, and of a beat.

    Members
    -------
    arvalid, ... : AXI4 subordinate
    window : :py:`In(stream.Signature(WindowRequest))`
    o : :py:`Out(stream.Signature(32))`
        What was read; it must be taken at once.
    """

    def __init__(self, address_bits, latency=4, style="ultra", port=8 * BUS):
        if address_bits not in range(12, 33):
            raise ValueError(f"Address bits must be within range(12, 33), not {address_bits!r}")
        self.address_bits, self.latency, self.style = address_bits, latency, style
        self.port = port
        super().__init__({
            **{name: member.flip() for name, member in axi_pins(port).items()},
            "window": In(stream.Signature(WindowRequest)), "o": Out(stream.Signature(32)),
        })

    def elaborate(self, platform):
        m = Module()
        low = beat_bits(self.port)
        bits, size = self.address_bits - low, self.port // 8
        # What AXI reads while it writes may be either.
        m.submodules.memory = memory = Memory(
            shape=self.port, depth=1 << bits, init=[],
            attrs={"ram_style": self.style, "no_rw_check": 1})
        read, write = memory.read_port(), memory.write_port(granularity=8)
        host = self.window.p
        lane = host.word[:low - 2]

        # Reads: a burst's beats are asked for while the queue has room for all under way.
        room = Signal(range(17), init=16)
        address, left, outside = Signal(bits), Signal(9), Signal()
        asked = Signal()
        host_read = self.window.valid & ~host.write & ~asked
        m.d.comb += [
            asked.eq((left != 0) & (room != 0)), self.arready.eq(left == 0),
            read.addr.eq(Mux(asked, address, host.word[low - 2:])), read.en.eq(1),
        ]
        with m.If(self.arvalid & self.arready):
            m.d.sync += [address.eq(self.araddr[low:]), left.eq(self.arlen + 1),
                         outside.eq(self.araddr[self.address_bits:].any())]
        with m.If(asked):
            m.d.sync += [address.eq(address + 1), left.eq(left - 1)]
        m.d.sync += room.eq(room - asked + (self.rvalid & self.rready))

        # What belongs to a read goes beside it through the registers.
        tag = Cat(asked, left == 1, outside, host_read, lane)
        value = read.data
        for stage in range(self.latency):
            tag_before, tag = tag, Signal(len(tag), name=f"tag_{stage}")
            m.d.sync += tag.eq(tag_before)
            if stage:
                value_before, value = value, Signal(self.port, name=f"value_{stage}")
                m.d.sync += value.eq(value_before)
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(width=self.port + 2, depth=16)
        m.d.comb += [
            queue.w_data.eq(Cat(value, tag[1:3])), queue.w_en.eq(tag[0]),
            Cat(self.rdata, self.rlast, self.rresp[1]).eq(queue.r_data),
            self.rvalid.eq(queue.r_rdy), queue.r_en.eq(self.rready),
            self.o.valid.eq(tag[3]), self.o.payload.eq(value.word_select(tag[4:], 32)),
        ]

        # Writes
        into, open_, beyond = Signal(bits), Signal(), Signal()
        taken = self.wvalid & self.wready
        host_write = self.window.valid & host.write & ~taken
        m.d.comb += [
            self.awready.eq(~open_ & ~self.bvalid), self.wready.eq(open_),
            write.addr.eq(Mux(taken, into, host.word[low - 2:])),
            write.data.eq(Mux(taken, self.wdata, host.data.replicate(size // 4))),
            self.window.ready.eq(host_read | host_write),
        ]
        with m.If(taken):
            m.d.comb += write.en.eq(self.wstrb & (~beyond).replicate(size))
        with m.Elif(host_write):
            m.d.comb += write.en.eq(Const(0xF, size) << (lane << 2))
        with m.If(self.awvalid & self.awready):
            m.d.sync += [into.eq(self.awaddr[low:]), open_.eq(1),
                         beyond.eq(self.awaddr[self.address_bits:].any())]
        with m.If(self.bready):
            m.d.sync += self.bvalid.eq(0)
        with m.If(taken):
            m.d.sync += into.eq(into + 1)
            with m.If(self.wlast):
                m.d.sync += [open_.eq(0), self.bvalid.eq(1), self.bresp[1].eq(beyond)]
        return m
