# SPDX-License-Identifier: Apache-2.0
"""A gigabit port: pins of a PHY on one side, the card's streams on the other."""

from amaranth import *
from amaranth.lib import fifo, wiring
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.wiring import In, Out

from ..card.network import network_pins
from ..stream.register import Register
from ..wire.axis import FromAxi
from ..wire.layout import Frame
from .frame_fifo import FrameFifo
from .mac_receive import MacReceive
from .mac_transmit import MacTransmit
from .rgmii import Rgmii


__all__ = ["Ethernet"]


class Ethernet(wiring.Component):
    """RGMII at 1 Gb/s, full duplex, frames of at most 1518 bytes with their check sequence.

    Parameters
    ----------
    rx_delay, tx_delay
        Of :class:`.rgmii.Rgmii`.
    depth : int
        Beats that wait in each direction, a power of two.

    Members
    -------
    clk125 : :py:`In(1)`
        Clock of what is sent.
    reset : :py:`In(1)`
        Asynchronous, of all but the domain ``sync``.
    rx_clk, rx_ctl, rx_data, tx_clk, tx_ctl, tx_data
        Pins.
    s_axis_rx_*, m_axis_tx_* : AXI4-Stream
        Those of the card, at the domain ``sync``: what arrives goes to ``s_axis_rx``. If that does
        not wait for the card no frame is lost.
    """

    def __init__(self, *, rx_delay=0.0, tx_delay=0.0, depth=512):
        self.rx_delay, self.tx_delay, self.depth = rx_delay, tx_delay, depth
        super().__init__({
            "clk125": In(1), "reset": In(1), "rx_clk": In(1), "rx_ctl": In(1), "rx_data": In(4),
            "tx_clk": Out(1), "tx_ctl": Out(1), "tx_data": Out(4),
            **{name: member.flip() for name, member in network_pins(64).items()},
        })

    def elaborate(self, platform):
        m = Module()
        for name, clock in ("rx", self.rx_clk), ("tx", self.clk125):
            domain = ClockDomain(name)
            m.domains += domain
            m.d.comb += domain.clk.eq(clock)
            m.submodules[f"{name}_reset"] = ResetSynchronizer(self.reset, domain=name)
        m.submodules.rgmii = rgmii = Rgmii(self.rx_delay, self.tx_delay)
        m.d.comb += [
            rgmii.rx_ctl.eq(self.rx_ctl), rgmii.rx_data.eq(self.rx_data),
            self.tx_clk.eq(rgmii.tx_clk), self.tx_ctl.eq(rgmii.tx_ctl),
            self.tx_data.eq(rgmii.tx_data),
        ]

        # What arrives
        receive, frame = MacReceive(), Frame(64)
        m.submodules.receive = DomainRenamer("rx")(receive)
        m.submodules.arrived = arrived = fifo.AsyncFIFOBuffered(
            width=Shape.cast(frame).width, depth=self.depth + 1, exact_depth=True,
            w_domain="rx", r_domain="sync")
        beat = frame(arrived.r_data)
        m.d.comb += [
            receive.i.eq(rgmii.rx), receive.o.ready.eq(arrived.w_rdy),
            arrived.w_en.eq(receive.o.valid), arrived.w_data.eq(receive.o.payload),
            arrived.r_en.eq(self.s_axis_rx_tready),
            self.s_axis_rx_tvalid.eq(arrived.r_rdy), self.s_axis_rx_tdata.eq(beat.data),
            self.s_axis_rx_tkeep.eq(Cat(beat.count > n for n in range(8))),
            self.s_axis_rx_tlast.eq(beat.last), self.s_axis_rx_tuser.eq(beat.error),
        ]

        # What leaves
        transmit = MacTransmit()
        m.submodules.transmit = DomainRenamer("tx")(transmit)
        m.submodules.tx = tx = FromAxi(64)
        m.submodules.leaving = leaving = FrameFifo("sync", "tx", depth=self.depth)
        # Both ends of such a FIFO have long paths, from the other end's place in it.
        m.submodules.tx_beats = tx_beats = Register(Frame(64))
        m.submodules.tx_frames = tx_frames = DomainRenamer("tx")(Register(Frame(64)))
        wiring.connect(m, tx.o, tx_beats.i)
        wiring.connect(m, tx_beats.o, leaving.i)
        wiring.connect(m, leaving.o, tx_frames.i)
        wiring.connect(m, tx_frames.o, transmit.i)
        for part in "tvalid", "tdata", "tkeep", "tlast":
            m.d.comb += getattr(tx, part).eq(getattr(self, f"m_axis_tx_{part}"))
        m.d.comb += [self.m_axis_tx_tready.eq(tx.tready), rgmii.tx.eq(transmit.o)]
        return m
