# SPDX-License-Identifier: Apache-2.0
"""The pins of an ECPIX-5 with all but the card: what arrives leaves again."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.cdc import ResetSynchronizer

from headrace.hw.board.ecp5 import Pll
from headrace.hw.board.ecpix5_top import RX_DELAY, TX_DELAY
from headrace.hw.board.ethernet import Ethernet


__all__ = ["Loop"]


class Loop(wiring.Component):
    """In place of an :class:`Ecpix5`."""

    def __init__(self, board):
        self.plls = board.plls
        board._MustUse__used = True     # or Amaranth warns
        super().__init__(dict(board.signature.members))

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = domain = ClockDomain("sync")
        m.submodules.pll = pll = Pll(self.plls[0])
        m.submodules.card_pll = card_pll = Pll(self.plls[1])
        reset = ~self.rst_n | ~pll.locked | ~card_pll.locked
        m.submodules.reset = ResetSynchronizer(reset, domain="sync")
        m.submodules.ethernet = ethernet = Ethernet(rx_delay=RX_DELAY, tx_delay=TX_DELAY)
        m.d.comb += [
            pll.i.eq(self.clk100), card_pll.i.eq(self.clk100), domain.clk.eq(card_pll.first),
            ethernet.clk125.eq(pll.first),
            ethernet.reset.eq(reset), self.eth_rst_n.eq(1), self.led_r.eq(~0),
            *(getattr(ethernet, name).eq(getattr(self, f"eth_{name}"))
              for name in ("rx_clk", "rx_ctl", "rx_data")),
            *(getattr(self, f"eth_{name}").eq(getattr(ethernet, name))
              for name in ("tx_clk", "tx_ctl", "tx_data")),
            *(getattr(ethernet, f"m_axis_tx_{part}").eq(getattr(ethernet, f"s_axis_rx_{part}"))
              for part in ("tvalid", "tdata", "tkeep", "tlast")),
            ethernet.s_axis_rx_tready.eq(ethernet.m_axis_tx_tready),
            self.led_g.eq(ethernet.s_axis_rx_tuser),
        ]
        return m
