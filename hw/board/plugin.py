# SPDX-License-Identifier: Apache-2.0
"""The card as a plugin of OpenNIC's box at 250 MHz."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..card.card import axi_pins
from ..card.control import AXI_LITE
from .kernel import Kernel
from .memory import OnChipMemory
from .sizer import FrameSizer
from .window import ADDRESS_BITS, AddressSpace


__all__ = ["Plugin", "BOX"]


#: ``tuser`` of frames: bytes, and one-hot source and destination; from the host, to port 0.
FROM_HOST, TO_PORT = 0x0001, 0x0040

STREAM = {"tvalid": 1, "tdata": 512, "tkeep": 64, "tlast": 1,
          "tuser_size": 16, "tuser_src": 16, "tuser_dst": 16}

#: Streams of the box by name, with one port and one function of the host: whether we receive.
BOX = {"s_axis_qdma_h2c": True, "m_axis_qdma_c2h": False,
       "m_axis_adap_tx_250mhz": False, "s_axis_adap_rx_250mhz": True}


class Plugin(wiring.Component):
    """A card with a network port, and memory of the chip, between OpenNIC's streams.

    The card has port 0 to itself: what the host sends is thrown away, and it receives nothing.

    Parameters
    ----------
    config : CardConfig
        Whose ``wire`` is 512.
    memory_bits : int
        The card's memory has ``2 ** memory_bits`` bytes.

    Members
    -------
    ap_clk, ap_rst_n : :py:`In(1)`
        The clock of the streams; the reset is active low.
    s_axil_* : AXI4-Lite subordinate
        At the same clock; see :mod:`.window`.
    s_axis_qdma_h2c_*, ... : AXI4-Stream
        See :data:`BOX`.
    interrupt : :py:`Out(1)`
        The box has none: for whoever has.
    """

    def __init__(self, config, memory_bits=22):
        if config.wire != 512:
            raise ValueError(f"Wire must be 512, not {config.wire!r}")
        self.config, self.memory_bits = config, memory_bits
        lite = {**AXI_LITE, "awaddr": In(ADDRESS_BITS), "araddr": In(ADDRESS_BITS)}
        del lite["wstrb"]
        super().__init__({
            "ap_clk": In(1), "ap_rst_n": In(1), "interrupt": Out(1),
            **{f"s_axil_{name}": member for name, member in lite.items()},
            **{f"{name}_{part}": In(bits) if ours else Out(bits)
               for name, ours in BOX.items() for part, bits in STREAM.items()},
            **{f"{name}_tready": Out(1) if ours else In(1) for name, ours in BOX.items()},
        })

    def elaborate(self, platform):
        m = Module()
        # The card makes its domain of pins; this one is for what is around it.
        m.domains.sync = domain = ClockDomain("sync")
        m.domains.reset = reset = ClockDomain("reset", reset_less=True)
        m.d.reset += domain.rst.eq(~self.ap_rst_n)
        m.d.comb += [domain.clk.eq(self.ap_clk), reset.clk.eq(self.ap_clk)]
        kernel = Kernel(self.config)
        m.submodules.kernel = DomainRenamer("card")(kernel)
        m.submodules.memory = memory = OnChipMemory(self.memory_bits)
        m.submodules.space = space = AddressSpace(self.memory_bits)
        m.submodules.sizer = sizer = FrameSizer()
        m.d.comb += [kernel.ap_clk.eq(self.ap_clk), kernel.ap_rst_n.eq(self.ap_rst_n),
                     self.interrupt.eq(kernel.interrupt)]

        # Registers and memory
        for name, member in AXI_LITE.items():
            inner, outer = getattr(kernel, f"s_axi_control_{name}"), \
                getattr(space, f"control_{name}")
            m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
            if name != "wstrb":
                inner, outer = getattr(space, name), getattr(self, f"s_axil_{name}")
                m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        for name, member in axi_pins(self.config.port).items():
            ours, its = getattr(kernel, f"m_axi_gmem_{name}"), getattr(memory, name)
            m.d.comb += its.eq(ours) if member.flow == Out else ours.eq(its)
        wiring.connect(m, space.window, memory.window)
        wiring.connect(m, memory.o, space.i)

        # Frames
        rx, tx = "s_axis_adap_rx_250mhz", "m_axis_adap_tx_250mhz"
        for part in "tvalid", "tdata", "tkeep", "tlast":
            m.d.comb += getattr(kernel, f"s_axis_rx_{part}").eq(getattr(self, f"{rx}_{part}"))
        m.d.comb += [
            getattr(self, f"{rx}_tready").eq(kernel.s_axis_rx_tready),
            sizer.i.valid.eq(kernel.m_axis_tx_tvalid),
            kernel.m_axis_tx_tready.eq(sizer.i.ready),
            getattr(self, f"{tx}_tvalid").eq(sizer.o.valid),
            sizer.o.ready.eq(getattr(self, f"{tx}_tready")),
            getattr(self, f"{tx}_tuser_size").eq(sizer.o.p.size),
            getattr(self, f"{tx}_tuser_src").eq(FROM_HOST),
            getattr(self, f"{tx}_tuser_dst").eq(TO_PORT),
            self.s_axis_qdma_h2c_tready.eq(1),
        ]
        for part in "data", "keep", "last":
            m.d.comb += [
                sizer.i.p[part].eq(getattr(kernel, f"m_axis_tx_t{part}")),
                getattr(self, f"{tx}_t{part}").eq(sizer.o.p[part]),
            ]
        return m
