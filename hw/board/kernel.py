# SPDX-License-Identifier: Apache-2.0
"""The card as Vivado and Vitis take it."""

import re

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ..card.card import Card, card_pins
from .identity import CONTROL, Interface


__all__ = ["Kernel", "interfaces", "ports"]


#: Ports of the card that its surroundings have not: VNx's CMAC does not mark damaged frames.
LEFT_OUT = ("s_axis_rx_tuser",)

#: Answers of the registers, which are always OKAY here. The card answers SLVERR where there is no
#: register, but drivers write the gaps between arguments too, and an Arm core takes that for an
#: error of the machine.
RESPONSES = (f"{CONTROL}_bresp", f"{CONTROL}_rresp")


class Kernel(wiring.Component):
    """:class:`..card.card.Card` with fewer ports, and answers as those of Vitis HLS.

    Parameters
    ----------
    config : CardConfig
        Not ``gated``.

    Members
    -------
    ap_clk, ap_rst_n, s_axi_control_*, m_axi_gmem_*, interrupt
        Of the card.
    s_axis_rx_*, m_axis_tx_* : AXI4-Stream, if the card has a network port
        Without ``tuser``.
    """

    def __init__(self, config):
        if config.gated:
            raise ValueError("Clocks of the lanes must not be gated on a board")
        self.config = config
        super().__init__({name: member for name, member in card_pins(config).items()
                          if name not in LEFT_OUT})

    def elaborate(self, platform):
        m = Module()
        m.submodules.card = card = Card(self.config)
        for name, member in self.signature.members.items():
            inner, outer = getattr(card, name), getattr(self, name)
            if name in RESPONSES:
                m.d.comb += outer.eq(0)
            else:
                m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        return m


def ports(component):
    """Ports by name: ``"input"`` or ``"output"``, and bits."""
    return {name: ("input" if member.flow == In else "output", Shape.cast(member.shape).width)
            for name, member in component.signature.members.items()}


def interfaces(component):
    """The :class:`.identity.Interface` of a component, by name, found by their ports' names."""
    found = {}
    pins = ports(component)
    for pin, (direction, width) in pins.items():
        if match := re.fullmatch(r"([sm]_axis?_\w+?)_(t?)(w?)data", pin):
            name, stream, write = match.groups()
            if stream:
                found[name] = Interface(name, "axis", direction == "output", width)
            elif write:
                kind = "axi" if f"{name}_awlen" in pins else "lite"
                found[name] = Interface(name, kind, direction == "output", width)
    return found
