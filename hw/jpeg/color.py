# SPDX-License-Identifier: Apache-2.0
"""Chroma upsampling and colour transform."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..stream.layout import PIXELS, PixelWord
from .rows import Step


__all__ = ["Upsampler", "ColorTransform"]


class Upsampler(wiring.Component):
    """libjpeg's "fancy" (triangle) upsampling, a pixel word a cycle, latency 2.

    A chroma sample ``t`` at four times its scale is ``3 near + far`` of two rows where the height
    is halved, else ``4 near``; an output is ``(3 t + u + bias) >> 4``, where ``u`` is the
    neighbour's ``t`` on the output's side where the width is halved, else ``t`` itself. At the
    edges of the component, and without ``fancy``, there is no neighbour.

    Members
    -------
    i, i_valid, luma, blue, red
        Samples and what to do with them, see :func:`Step`.
    o, o_valid : :py:`Out(ArrayLayout(ArrayLayout(8, 3), pixels))`
        Luma and chroma of a pixel word; ``o_step`` is theirs.
    """

    def __init__(self, contexts, pixels=PIXELS):
        self.contexts = contexts
        self.pixels = pixels
        super().__init__({
            "i": In(Step(contexts)), "i_valid": In(1),
            "luma": In(8 * pixels),
            "blue": In(8 * pixels).array(2), "red": In(8 * pixels).array(2),
            "o": Out(data.ArrayLayout(data.ArrayLayout(8, 3), pixels)), "o_valid": Out(1),
            "o_step": Out(Step(contexts)),
        })

    def elaborate(self, platform):
        m = Module()

        step, valid, luma = Signal(Step(self.contexts)), Signal(), Signal(8 * self.pixels)
        m.d.sync += [step.eq(self.i), valid.eq(self.i_valid & self.i.luma), luma.eq(self.luma)]
        m.d.sync += [self.o_step.eq(step), self.o_valid.eq(valid)]
        for n in range(self.pixels):
            m.d.sync += self.o[n][0].eq(luma.word_select(n, 8))

        bias = Signal(4), Signal(4)   # of even and odd columns
        with m.Switch(Cat(step.h2 & step.fancy, step.v2)):
            with m.Case(0b11):
                m.d.comb += [bias[0].eq(8), bias[1].eq(7)]
            with m.Case(0b01):
                m.d.comb += [bias[0].eq(4), bias[1].eq(8)]
            with m.Case(0b10):
                m.d.comb += [b.eq(Mux(step.odd_row, 8, 4)) for b in bias]

        for channel, banks in ((1, self.blue), (2, self.red)):
            blended = Signal(data.ArrayLayout(10, self.pixels), name=f"blended_{channel}")
            following, present = (Signal(blended.shape(), name=f"{name}_{channel}",
                                         reset_less=True) for name in ("following", "present"))
            previous = Signal(10, name=f"previous_{channel}", reset_less=True)
            for n in range(self.pixels):
                even, odd = (bank.word_select(n, 8) for bank in banks)
                near, far = Mux(self.i.near, odd, even), Mux(self.i.near, even, odd)
                blend = self.i.v2 & self.i.blend & self.i.fancy
                # Three times by addition: yosys would spend a multiplier on it.
                m.d.comb += blended[n].eq(Mux(blend, near + (near << 1) + far, near << 2))
            with m.If(self.i_valid & self.i.chroma):
                m.d.sync += [
                    following.eq(blended), present.eq(following), previous.eq(present[7])]

            for n in range(self.pixels):
                t, u = Signal(10, name=f"t_{channel}_{n}"), Signal(10, name=f"u_{channel}_{n}")
                total = Signal(13, name=f"total_{channel}_{n}")
                with m.If(~step.h2):
                    m.d.comb += [t.eq(present[n]), u.eq(present[n])]
                for odd_word in range(16 // self.pixels):
                    column = 4 * odd_word + n // 2
                    if n % 2:
                        neighbour = present[column + 1] if column < 7 else following[0]
                        alone = step.right & (step.edge == column)
                    else:
                        neighbour = present[column - 1] if column else previous
                        alone = step.left if column == 0 else C(0, 1)
                    with m.If(step.h2 & (step.odd_word == odd_word)):
                        m.d.comb += [
                            t.eq(present[column]),
                            u.eq(Mux(alone | ~step.fancy, present[column], neighbour)),
                        ]
                m.d.comb += total.eq(t + (t << 1) + u + bias[n % 2])
                m.d.sync += self.o[n][channel].eq(Mux(step.color, total >> 4, 128))
        return m


class ColorTransform(wiring.Component):
    """YCbCr to RGB as libjpeg's ``jdcolor.c``, a pixel word a cycle, latency 3.

    ``R = y + ((91881 cr + 32768) >> 16)``, ``G = y + ((-22554 cb - 46802 cr + 32768) >> 16)``,
    ``B = y + ((116130 cb + 32768) >> 16)`` with ``cb`` and ``cr`` less 128, clamped to 8 bits.
    Four products a pixel, of constants.

    Members
    -------
    i, i_valid, i_step
        Luma and chroma of a pixel word.
    o, o_valid : :py:`Out(PixelWord(contexts, pixels))`
    """

    def __init__(self, contexts, pixels=PIXELS):
        self.contexts = contexts
        self.pixels = pixels
        super().__init__({
            "i": In(data.ArrayLayout(data.ArrayLayout(8, 3), pixels)), "i_valid": In(1),
            "i_step": In(Step(contexts)),
            "o": Out(PixelWord(contexts, pixels)), "o_valid": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        valid, step = Signal(), Signal(Step(self.contexts))
        samples, samples_2 = (Signal(self.i.shape(), name=name, reset_less=True)
                              for name in ("samples", "samples_2"))
        m.d.sync += [valid.eq(self.i_valid), step.eq(self.i_step), samples.eq(self.i)]
        valid_2, step_2 = Signal(), Signal.like(step)
        m.d.sync += [valid_2.eq(valid), step_2.eq(step), samples_2.eq(samples)]
        for n in range(self.pixels):
            blue, red = (self.i[n][k] - 128 for k in (1, 2))
            products = []
            for factor, chroma in ((91881, red), (-46802, red), (-22554, blue), (116130, blue)):
                product = Signal(signed(26), name=f"product_{n}_{len(products)}", reset_less=True)
                m.d.sync += product.eq(chroma * C(factor, signed(18)))
                products.append(product)
            r, g_red, g_blue, b = products
            y = Cat(C(1 << 15, 16), samples[n][0])    # and one half
            sums = []
            for k, value in enumerate((y + r, y + g_red + g_blue, y + b)):
                total = Signal(signed(11), name=f"total_{n}_{k}", reset_less=True)
                m.d.sync += total.eq(value >> 16)
                sums.append(total)
            for k, total in enumerate(sums):
                out = self.o.pixels[n][k]
                with m.If(step_2.rgb):
                    m.d.sync += out.eq(samples_2[n][k])
                with m.Elif(total < 0):
                    m.d.sync += out.eq(0)
                with m.Elif(total > 255):
                    m.d.sync += out.eq(255)
                with m.Else():
                    m.d.sync += out.eq(total)
        m.d.sync += [
            self.o_valid.eq(valid_2), self.o.context.eq(step_2.context),
            self.o.row_last.eq(step_2.row_last), self.o.last.eq(step_2.last),
        ]
        return m
