# SPDX-License-Identifier: Apache-2.0
"""RGMII: a byte a cycle over four pins in each direction, at 1 Gb/s."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .ecp5 import DdrInput, DdrOutput


__all__ = ["Octet", "Rgmii"]


#: What is on the wire in a cycle: a byte if ``valid``, and whether there is an error.
Octet = data.StructLayout({"data": 8, "valid": 1, "error": 1})


class Rgmii(wiring.Component):
    """Pins to octets and back, in the domains ``rx`` and ``tx``.

    The low half of a byte is on the pins from the rising edge of a clock on, the high half from the
    falling one (RGMII 1.3); the control pin says ``valid``, then ``valid ^ error``. Latency is 2
    cycles to the octets, 1 from them.

    Parameters
    ----------
    rx_delay : float
        Nanoseconds by which data come later to us than they arrive. It moves them towards
        the clock that belongs to the half before.
    tx_delay : float
        Nanoseconds by which our clock is later than our data.

    Members
    -------
    rx_ctl, rx_data, tx_clk, tx_ctl, tx_data
        Pins; that of the clock that comes with ``rx_data`` drives the domain ``rx``.
    rx : :py:`Out(Octet)`
    tx : :py:`In(Octet)`
    """

    def __init__(self, rx_delay=0.0, tx_delay=0.0):
        self.rx_delay, self.tx_delay = rx_delay, tx_delay
        super().__init__({
            "rx_ctl": In(1), "rx_data": In(4), "tx_clk": Out(1), "tx_ctl": Out(1),
            "tx_data": Out(4), "rx": Out(Octet), "tx": In(Octet),
        })

    def elaborate(self, platform):
        m = Module()
        pins = DdrInput(5, self.rx_delay)
        m.submodules.inputs = DomainRenamer("rx")(pins)
        m.d.comb += pins.i.eq(Cat(self.rx_data, self.rx_ctl))
        m.d.rx += [
            self.rx.data.eq(Cat(pins.first[:4], pins.second[:4])),
            self.rx.valid.eq(pins.first[4]), self.rx.error.eq(pins.first[4] ^ pins.second[4]),
        ]

        outputs, clock = DdrOutput(5), DdrOutput(1, self.tx_delay)
        m.submodules.outputs = DomainRenamer("tx")(outputs)
        m.submodules.clock = DomainRenamer("tx")(clock)
        m.d.comb += [
            outputs.first.eq(Cat(self.tx.data[:4], self.tx.valid)),
            outputs.second.eq(Cat(self.tx.data[4:], self.tx.valid ^ self.tx.error)),
            Cat(self.tx_data, self.tx_ctl).eq(outputs.o),
            clock.first.eq(1), self.tx_clk.eq(clock.o),
        ]
        return m
