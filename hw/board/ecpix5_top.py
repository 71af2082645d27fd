# SPDX-License-Identifier: Apache-2.0
"""A card on the pins of an ECPIX-5."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.wiring import In, Out

from ..card.card import Card, axi_pins
from ..card.commands import NO_KEY
from ..card.control import AXI_LITE
from ..card.network import network_pins
from .boot import Boot, network_boot
from .ecp5 import Pll, pll_settings
from .ethernet import Ethernet
from .memory import OnChipMemory


__all__ = ["MAC", "IP", "CLOCK", "Ecpix5"]


#: Addresses until something else is written to the registers: 02:00:00:00:00:01, 10.0.0.2.
MAC, IP = 0x02_00_00_00_00_01, 0x0A_00_00_02

#: MHz of the board's clock, of what is sent, and of the card.
REFERENCE, TRANSMIT, CLOCK = 100, 125, 75

#: Of :class:`.rgmii.Rgmii`. With its registers as they are after reset, the KSZ9031RNX sends a
#: clock that is 1.2 ns late already, and does not delay the one that it gets. litex-boards has
#: these two values for this board.
RX_DELAY, TX_DELAY = 0.0, 2.0

#: Bytes of the buffers of a message and of a result.
BUFFER = 16384

#: Seconds that the PHY is held in reset; it wants 10 ms after its supplies are stable.
PHY_RESET = 0.0125


class Activity(wiring.Component):
    """Lit for a while after each strobe.

    Parameters
    ----------
    cycles : int

    Members
    -------
    i : :py:`In(1)`
    o : :py:`Out(1)`
    """

    i: In(1)
    o: Out(1)

    def __init__(self, cycles):
        self.cycles = cycles
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        left = Signal(range(self.cycles + 1))
        m.d.comb += self.o.eq(left != 0)
        with m.If(self.i):
            m.d.sync += left.eq(self.cycles)
        with m.Elif(self.o):
            m.d.sync += left.eq(left - 1)
        return m


class Ecpix5(wiring.Component):
    """A card with a gigabit port, memory of the chip, and no host but those in the network.

    Parameters
    ----------
    config : CardConfig
        Whose ``wire`` is 64, and which is ``remote``.
    memory_bits : int
        The card's memory has ``2 ** memory_bits`` bytes.
    clock : float
        MHz of the card, which a PLL of its own can make; see :func:`.ecp5.pll_settings`.
    phy_reset : float
        Seconds from reset until the PHY is let go.
    key : bytes
        Of :class:`..card.remote_lane.RemoteLane`.
    options
        Of :func:`.boot.network_boot`, in place of ours.

    Members
    -------
    clk100, rst_n : :py:`In(1)`
    eth_rx_clk, eth_rx_ctl, eth_rx_data, eth_tx_clk, eth_tx_ctl, eth_tx_data
        RGMII.
    eth_rst_n, eth_mdc : :py:`Out(1)`
    eth_mdio : :py:`In(1)`
        Not used: the PHY works as its straps say.
    led_r, led_g, led_b : :py:`Out(4)`
        Low is lit. Of LED 0 green blinks with the card's clock, of LED 1 blue is lit when a frame
        arrives, of LED 2 when one leaves, of LED 3 red until the card and its PHY are ready.
    """

    def __init__(self, config, *, memory_bits=17, clock=CLOCK, phy_reset=PHY_RESET, key=NO_KEY,
                 **options):
        if config.wire != 64:
            raise ValueError(f"Wire must be 64, not {config.wire!r}")
        self.config, self.memory_bits, self.phy_reset = config, memory_bits, phy_reset
        self.key = key
        self.plls = [pll_settings(REFERENCE, mhz, mhz) for mhz in (TRANSMIT, clock)]
        self.writes, self.free = network_boot(config, **{
            "mac": MAC, "ip": IP, "message_bytes": BUFFER, "result_bytes": BUFFER, **options})
        if self.free > 1 << memory_bits:
            raise ValueError(f"Buffers must be within {1 << memory_bits} bytes, not {self.free}")
        super().__init__({
            "clk100": In(1), "rst_n": In(1),
            "eth_rx_clk": In(1), "eth_rx_ctl": In(1), "eth_rx_data": In(4),
            "eth_tx_clk": Out(1), "eth_tx_ctl": Out(1), "eth_tx_data": Out(4),
            "eth_rst_n": Out(1), "eth_mdc": Out(1), "eth_mdio": In(1),
            **{f"led_{color}": Out(4) for color in "rgb"},
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.pll = pll = Pll(self.plls[0])
        m.submodules.card_pll = card_pll = Pll(self.plls[1])
        m.domains.sync = domain = ClockDomain("sync")
        reset = Signal()
        m.submodules.reset = ResetSynchronizer(reset, domain="sync")
        m.submodules.ethernet = ethernet = Ethernet(rx_delay=RX_DELAY, tx_delay=TX_DELAY)
        m.submodules.memory = memory = OnChipMemory(
            self.memory_bits, 2, "block", config.port)
        m.submodules.boot = boot = Boot(self.writes)
        # The card makes a domain of its own.
        card = Card(config, key=self.key)
        m.submodules.card = DomainRenamer("card")(card)
        m.d.comb += [
            pll.i.eq(self.clk100), card_pll.i.eq(self.clk100), domain.clk.eq(card_pll.first),
            reset.eq(~self.rst_n | ~pll.locked | ~card_pll.locked),
            card.ap_clk.eq(ClockSignal()), card.ap_rst_n.eq(~ResetSignal()),
            ethernet.clk125.eq(pll.first), ethernet.reset.eq(reset),
        ]
        for name in "rx_clk", "rx_ctl", "rx_data":
            m.d.comb += getattr(ethernet, name).eq(getattr(self, f"eth_{name}"))
        for name in "tx_clk", "tx_ctl", "tx_data":
            m.d.comb += getattr(self, f"eth_{name}").eq(getattr(ethernet, name))

        for name, member in axi_pins(config.port).items():
            ours, its = getattr(card, f"m_axi_gmem_{name}"), getattr(memory, name)
            m.d.comb += its.eq(ours) if member.flow == Out else ours.eq(its)
        for name, member in network_pins(64).items():
            ours, its = getattr(card, name), getattr(ethernet, name)
            m.d.comb += its.eq(ours) if member.flow == Out else ours.eq(its)
        # The card's registers are written by it alone, once they are as it can be reached.
        for name, member in AXI_LITE.items():
            for to, by in ((getattr(card, f"s_axi_control_{name}"), getattr(boot, name)),
                           (getattr(boot, f"lite_{name}"), getattr(card, f"m_axi_lite_{name}"))):
                m.d.comb += to.eq(by) if member.flow == In else by.eq(to)
        self._life(m, card, boot)
        return m

    def _life(self, m, card, boot):
        """The PHY's reset, and LEDs."""
        hertz = 1e6 * self.plls[1].outputs[0]
        waits = round(self.phy_reset * hertz)
        waited, beat = Signal(range(waits + 1)), Signal(26)
        m.d.sync += beat.eq(beat + 1)
        m.d.comb += self.eth_rst_n.eq(waited == waits)
        with m.If(~self.eth_rst_n):
            m.d.sync += waited.eq(waited + 1)
        lit = Signal(12)    # red, green and blue of each
        for n, name in (1, "s_axis_rx"), (2, "m_axis_tx"):
            m.submodules[f"{name}_activity"] = activity = Activity(round(hertz / 20))
            m.d.comb += [
                activity.i.eq(Cat(getattr(card, f"{name}_{part}")
                                  for part in ("tvalid", "tready", "tlast")).all()),
                lit[3 * n + 2].eq(activity.o),
            ]
        m.d.comb += [lit[1].eq(beat[-1]), lit[9].eq(~(boot.done & self.eth_rst_n))]
        for n, color in enumerate("rgb"):
            m.d.comb += getattr(self, f"led_{color}").eq(~lit[n::3])
