# SPDX-License-Identifier: Apache-2.0
"""Exact quotients at one a cycle."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .layout import COARSE_SHIFT, PRECISION, TIE_SHIFT


__all__ = ["Divider"]


class Divider(wiring.Component):
    """``round(numerator * 2**22 / denominator)``, half away from zero, exactly.

    A restoring divider with a pipeline stage a bit. Latency is :attr:`LATENCY` cycles, throughput
    1 quotient per cycle; nothing can stall it.

    Parameters
    ----------
    width : int
        Bits of the denominator.

    Members
    -------
    numerator : :py:`In(width)`
        Less than twice the denominator.
    denominator : :py:`In(width)`
    quotient : :py:`Out(PRECISION + 1)`
    tie : :py:`Out(1)`
        The fraction that was rounded is within ``2 ** -(TIE_SHIFT + 1)`` of one half.
    coarse_tie : :py:`Out(1)`
        The same for ``COARSE_SHIFT``.
    """

    LATENCY = PRECISION + 4

    def __init__(self, width):
        self.width = width
        super().__init__({
            "numerator": In(width), "denominator": In(width),
            "quotient": Out(PRECISION + 1), "tie": Out(1), "coarse_tie": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        rest, divisor, quotient = self.numerator, self.denominator, C(0, 0)
        for bit in reversed(range(PRECISION + 1)):
            # `rest` is less than twice `divisor`, before and after.
            difference = Signal(self.width + 2, name=f"difference_{bit}")
            m.d.comb += difference.eq(rest - divisor)
            next_rest = Signal(self.width + 1, name=f"rest_{bit}", reset_less=True)
            next_divisor = Signal(self.width, name=f"divisor_{bit}", reset_less=True)
            next_quotient = Signal(PRECISION + 1 - bit, name=f"quotient_{bit}", reset_less=True)
            m.d.sync += [
                next_rest.eq(Mux(difference[-1], rest, difference) << 1),
                next_divisor.eq(divisor),
                next_quotient.eq(Cat(~difference[-1], quotient)),
            ]
            rest, divisor, quotient = next_rest, next_divisor, next_quotient

        # Now `rest` is twice the remainder.
        distance = Signal(signed(self.width + 2))
        near = Signal(self.width)
        floor = Signal(PRECISION + 1)
        rounded = Signal(PRECISION + 1)
        absolute = Signal(self.width + 1)
        near_2 = Signal(self.width)
        m.d.sync += [
            distance.eq(rest - divisor),
            near.eq(divisor >> COARSE_SHIFT),
            floor.eq(quotient),
            absolute.eq(abs(distance)),
            near_2.eq(near),
            rounded.eq(floor + (distance >= 0)),
            self.tie.eq(absolute <= near_2 >> TIE_SHIFT - COARSE_SHIFT),
            self.coarse_tie.eq(absolute <= near_2),
            self.quotient.eq(rounded),
        ]
        return m
