# SPDX-License-Identifier: Apache-2.0
"""Pixels to elements by table: any function of a channel's value, so any mean, std and type."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..image.layout import PlaneWord
from ..stream.layout import PIXELS
from .layout import Chunk, Elements, TableWrite


__all__ = ["Tables"]


class Tables(wiring.Component):
    """Looks 8 elements up per cycle, or passes 8 pixels as they are.

    A pixel word is 8 elements of one channel (CHW, 1 cycle), or 24 of all (HWC, 3 cycles).

    Parameters
    ----------
    contexts, recipes : int

    Members
    -------
    write, write_valid : :py:`In(TableWrite(recipes))`
        Strobe: an element of a table.
    config : :py:`In(Elements(recipes)).array(contexts)`
    width : :py:`In(16).array(contexts)`
        Of the image, in pixels.
    i : :py:`In(stream.Signature(PlaneWord(contexts)))`
    o : :py:`Out(stream.Signature(Chunk(contexts)))`
    """

    def __init__(self, contexts, recipes):
        self.contexts = contexts
        self.recipes = recipes
        super().__init__({
            "write": In(TableWrite(recipes)), "write_valid": In(1),
            "config": In(Elements(recipes)).array(contexts),
            "width": In(16).array(contexts),
            "i": In(stream.Signature(PlaneWord(contexts))),
            "o": Out(stream.Signature(Chunk(contexts))),
        })

    def elaborate(self, platform):
        m = Module()
        i = self.i.p
        advance = Signal()
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)

        # Which of the elements of this word are due.
        config = Signal(Elements(self.recipes))
        pixels = Signal(range(PIXELS + 1))
        phase = Signal(2)
        left = Signal(range(3 * PIXELS + 1))
        final = Signal()
        rest = Signal(16)
        m.d.comb += [
            config.eq(Array(self.config)[i.context]), rest.eq(Array(self.width)[i.context]),
            pixels.eq(Mux(i.row_last & (rest[:3] != 0), rest[:3], PIXELS)),
            left.eq(Mux(config.interleaved, pixels + (pixels << 1) - (phase << 3), pixels)),
            final.eq(~config.interleaved | config.raw | (left <= PIXELS)),
            self.i.ready.eq(advance & final),
        ]
        with m.If(self.i.valid & advance):
            m.d.sync += phase.eq(Mux(final, 0, phase + 1))

        tag = data.StructLayout({
            "context": range(self.contexts), "plane": 2, "element": 2, "raw": 1,
            "count": range(3 * PIXELS + 1), "last": 1,
        })
        tags = [Signal(tag, name=f"tag_{n}") for n in range(2)]
        valids = [Signal(name=f"valid_{n}") for n in range(2)]
        words = [Signal(24 * PIXELS, name=f"word_{n}") for n in range(2)]
        with m.If(advance):
            m.d.sync += [
                tags[0].context.eq(i.context),
                tags[0].plane.eq(Mux(config.interleaved, 0, i.plane)),
                tags[0].element.eq(config.element), tags[0].raw.eq(config.raw),
                tags[0].count.eq(Mux(config.raw, left, Mux(left > PIXELS, PIXELS, left))),
                tags[0].last.eq(i.row_last & final),
                words[0].eq(i.pixels.as_value()),
                tags[1].eq(tags[0]), words[1].eq(words[0]),
                Cat(valids).eq(Cat(self.i.valid, valids[0])),
            ]

        elements = []
        flat = Value.cast(i.pixels)
        for lane in range(PIXELS):
            channel, value = Signal(2, name=f"channel_{lane}"), Signal(8, name=f"value_{lane}")
            m.d.comb += [
                channel.eq(Mux(config.interleaved,
                               Array([lane % 3, (lane + 2) % 3, (lane + 1) % 3])[phase], i.plane)),
                value.eq(Mux(
                    config.interleaved,
                    Array([flat.word_select(8 * p + lane, 8) for p in range(3)])[phase],
                    Array(i.pixels[lane])[i.plane])),
            ]
            mem = memory.Memory(shape=32, depth=(self.recipes << 10), init=[])
            m.submodules[f"table_{lane}"] = mem
            write, read = mem.write_port(), mem.read_port()
            number = Cat(self.write.value, self.write.channel,
                         self.write.recipe[:ceil_log2(self.recipes)])
            element = Signal(32, name=f"element_{lane}")
            m.d.comb += [
                write.addr.eq(number), write.data.eq(self.write.element),
                write.en.eq(self.write_valid),
                read.addr.eq(Cat(value, channel, config.recipe[:ceil_log2(self.recipes)])),
                read.en.eq(advance),
            ]
            # The memory's output register.
            with m.If(advance):
                m.d.sync += element.eq(read.data)
            elements.append(element)

        with m.If(advance):
            m.d.sync += [
                self.o.valid.eq(valids[1]),
                self.o.p.context.eq(tags[1].context), self.o.p.plane.eq(tags[1].plane),
                self.o.p.last.eq(tags[1].last),
                self.o.p.count.eq(Mux(tags[1].raw, tags[1].count,
                                      tags[1].count << tags[1].element)),
            ]
            with m.If(tags[1].raw):
                m.d.sync += self.o.p.data.eq(words[1])
            with m.Else():
                with m.Switch(tags[1].element):
                    for size in range(3):
                        with m.Case(size):
                            m.d.sync += self.o.p.data.eq(
                                Cat(e[:8 << size] for e in elements))
        return m
