# SPDX-License-Identifier: Apache-2.0
"""The registers, behind AXI4-Lite."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from . import registers


__all__ = ["Control"]


#: Names and members of an AXI4-Lite subordinate.
AXI_LITE = {
    "awvalid": In(1), "awready": Out(1), "awaddr": In(registers.ADDRESS_BITS),
    "wvalid": In(1), "wready": Out(1), "wdata": In(32), "wstrb": In(4),
    "bvalid": Out(1), "bready": In(1), "bresp": Out(2),
    "arvalid": In(1), "arready": Out(1), "araddr": In(registers.ADDRESS_BITS),
    "rvalid": Out(1), "rready": In(1), "rdata": Out(32), "rresp": Out(2),
}

SLVERR = 2


class Control(wiring.Component):
    """See :mod:`.registers`. An address at which no register begins is answered with SLVERR.

    Parameters
    ----------
    capabilities : dict of str to int
        Their values. If ``wire`` is not 0 there are the registers and members of the network.

    Members
    -------
    awvalid, ... : AXI4-Lite
    start, jobs, count, completions : :py:`Out(...)`
    ready, done : :py:`In(1)`
        Strobes: the last job was given to a lane; a batch is over.
    idle : :py:`In(1)`
    counters : :py:`In(64).array(...)`
        In the order of :data:`.registers.COUNTERS`.
    interrupt : :py:`Out(1)`
    mac, ... : :py:`Out(...)`
        The network's arguments, see :data:`.registers.NETWORK`.
    commit : :py:`Out(2)`
        Strobes: bits of :data:`.registers.COMMIT`.
    wire_count : :py:`In(32)`
        For :data:`.registers.COUNT`.
    received : :py:`In(stream.Signature(16))`
        Slots for the host, which takes one by reading :data:`.registers.RECEIVED`.
    arrived : :py:`In(1)`
        Strobe: there is one more.
    post, posted : :py:`Out(...)`
        Strobe: the host gives this slot to the card.
    """

    def __init__(self, capabilities):
        self.capabilities = capabilities
        super().__init__({
            **AXI_LITE,
            "start": Out(1), **{name: Out(bits)
                                for name, (_, bits) in registers.ARGUMENTS.items()},
            "ready": In(1), "done": In(1), "idle": In(1),
            "counters": In(64).array(len(registers.COUNTERS)), "interrupt": Out(1),
            **(self.network() if capabilities["wire"] else {}),
        })

    @staticmethod
    def network():
        """Members of the network."""
        return {
            **{name: Out(bits) for name, (_, bits) in registers.NETWORK.items()},
            "commit": Out(2), "wire_count": In(32), "received": In(stream.Signature(16)),
            "arrived": In(1), "post": Out(1), "posted": Out(16),
        }

    def elaborate(self, platform):
        m = Module()
        done, ready = Signal(), Signal()
        wired = bool(self.capabilities["wire"])
        gie, ier, isr = Signal(), Signal(2 + wired), Signal(2 + wired)
        # Address: value, and what a write changes.
        readable = {registers.CTRL: Cat(self.start, done, self.idle, ready),
                    registers.GIE: gie, registers.IER: ier, registers.ISR: isr}
        writable = {registers.GIE: gie, registers.IER: ier}
        for name, (address, bits) in {**registers.ARGUMENTS,
                                      **(registers.NETWORK if wired else {})}.items():
            for offset in range(0, bits, 32):
                part = getattr(self, name)[offset:offset + 32]
                readable[address + offset // 8] = writable[address + offset // 8] = part
        for name, address in registers.CAPABILITIES.items():
            readable[address] = C(self.capabilities[name], 32)
        for counter, address in zip(self.counters, registers.COUNTERS.values()):
            readable[address], readable[address + 4] = counter[:32], counter[32:]
        if wired:
            readable |= {
                registers.COMMIT: C(0, 32), registers.POST: C(0, 32),
                registers.COUNT: self.wire_count,
                registers.RECEIVED: Cat(self.received.payload & self.received.valid.replicate(16),
                                        C(0, 15), self.received.valid),
            }

        # Writes
        address, value, strobe = Signal(registers.ADDRESS_BITS), Signal(32), Signal(4)
        has_address, has_data = Signal(), Signal()
        go = Signal()
        m.d.comb += [
            self.awready.eq(~has_address), self.wready.eq(~has_data),
            go.eq(has_address & has_data & ~self.bvalid),
        ]
        with m.If(self.awvalid & self.awready):
            m.d.sync += [has_address.eq(1), address.eq(self.awaddr)]
        with m.If(self.wvalid & self.wready):
            m.d.sync += [has_data.eq(1), value.eq(self.wdata), strobe.eq(self.wstrb)]
        with m.If(self.bready):
            m.d.sync += self.bvalid.eq(0)
        mask = Cat(bit.replicate(8) for bit in strobe)
        with m.If(go):
            m.d.sync += [has_address.eq(0), has_data.eq(0), self.bvalid.eq(1),
                         self.bresp.eq(SLVERR)]
            with m.Switch(address):
                for key in readable:
                    with m.Case(key):
                        m.d.sync += self.bresp.eq(0)
                        if key in writable:
                            target = writable[key]
                            m.d.sync += target.eq((value & mask) | (target & ~mask))
                        elif key == registers.ISR:
                            m.d.sync += isr.eq(isr ^ (value & mask))
                        elif key == registers.CTRL:
                            with m.If(value[0] & strobe[0]):
                                m.d.sync += self.start.eq(1)
                        elif key == registers.COMMIT:
                            m.d.comb += self.commit.eq(value & mask)
                        elif key == registers.POST:
                            m.d.comb += [self.post.eq(1), self.posted.eq(value)]

        # Reads
        reading, at = Signal(), Signal(registers.ADDRESS_BITS)
        m.d.comb += self.arready.eq(~reading & ~self.rvalid)
        with m.If(self.arvalid & self.arready):
            m.d.sync += [reading.eq(1), at.eq(self.araddr)]
        with m.If(self.rready):
            m.d.sync += self.rvalid.eq(0)
        with m.If(reading):
            m.d.sync += [reading.eq(0), self.rvalid.eq(1), self.rresp.eq(SLVERR),
                         self.rdata.eq(0)]
            with m.Switch(at):
                for key, source in readable.items():
                    with m.Case(key):
                        m.d.sync += [self.rresp.eq(0), self.rdata.eq(source)]
                        if key == registers.CTRL:
                            m.d.sync += [done.eq(0), ready.eq(0)]
                        elif key == registers.RECEIVED:
                            m.d.comb += self.received.ready.eq(1)

        # Events go before what software does in the same cycle.
        with m.If(self.ready):
            m.d.sync += [self.start.eq(0), ready.eq(1)]
            with m.If(ier[1]):
                m.d.sync += isr[1].eq(1)
        with m.If(self.done):
            m.d.sync += done.eq(1)
            with m.If(ier[0]):
                m.d.sync += isr[0].eq(1)
        if wired:
            with m.If(self.arrived & ier[2]):
                m.d.sync += isr[2].eq(1)
        m.d.sync += self.interrupt.eq(gie & isr.any())
        return m
