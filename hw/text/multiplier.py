# SPDX-License-Identifier: Apache-2.0
"""Products of 32 bits."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


__all__ = ["Multiplier", "delayed"]


def delayed(m, value, cycles, name):
    """``value`` so many cycles later."""
    for n in range(cycles):
        register = Signal.like(value, name=f"{name}_{n}")
        m.d.sync += register.eq(value)
        value = register
    return value


class Multiplier(wiring.Component):
    """The low or the high half of a product of 32 x 32 bits, unsigned.

    Latency is :attr:`LATENCY` cycles, throughput 1 product per cycle; nothing can stall it.

    Parameters
    ----------
    high : bool
        Deliver the high half.
    factor : int or None
        Fixed value of ``b``, which then is no member.

    Members
    -------
    a, b : :py:`In(32)`
    product : :py:`Out(32)`
    """

    LATENCY = 3

    def __init__(self, *, high=False, factor=None):
        self.high = high
        self.factor = factor
        super().__init__({
            "a": In(32), **({} if factor is not None else {"b": In(32)}), "product": Out(32)})

    def elaborate(self, platform):
        m = Module()
        a, b = self.a, self.b if self.factor is None else C(self.factor, 32)
        low, high = Signal(32), Signal(32)
        low_2, middle, high_2 = Signal(32), Signal(33), Signal(32)
        cross = [Signal(32, name=f"cross_{n}") for n in range(2)]
        # The partial products are those of 18-bit multipliers.
        m.d.sync += [
            low.eq(a[:16] * b[:16]), high.eq(a[16:] * b[16:]),
            cross[0].eq(a[:16] * b[16:]), cross[1].eq(a[16:] * b[:16]),
            middle.eq(cross[0] + cross[1]), low_2.eq(low), high_2.eq(high),
        ]
        if self.high:
            m.d.sync += self.product.eq((Cat(low_2, high_2) + (middle << 16)) >> 32)
        else:
            m.d.sync += self.product.eq(low_2 + (middle << 16))
        return m
