# SPDX-License-Identifier: Apache-2.0
"""Pixels to elements by table: any function of a channel's value, so any mean, std and type."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2, exact_log2

from ..image.layout import PlaneWord
from ..stream.layout import PIXELS
from .layout import CHUNK, Chunk, Elements, TableWrite


__all__ = ["Tables"]


class Tables(wiring.Component):
    """Looks 8 elements up per cycle, or passes a pixel word as it is.

    Of a pixel word, 8 pixels are 8 elements of one channel (CHW, 1 cycle), or 24 of all (HWC, 3
    cycles).

    Parameters
    ----------
    contexts, recipes : int
    pixels : int
        Of a pixel word: 8 or 16.

    Members
    -------
    write, write_valid : :py:`In(TableWrite(recipes))`
        Strobe: an element of a table.
    config : :py:`In(Elements(recipes)).array(contexts)`
    width : :py:`In(16).array(contexts)`
        Of the image, in pixels.
    i : :py:`In(stream.Signature(PlaneWord(contexts, pixels)))`
    o : :py:`Out(stream.Signature(Chunk(contexts, size)))`
        ``size`` bytes: 8 elements of 4, or the pixels.
    """

    #: Elements looked up in a cycle.
    LANES = 8

    def __init__(self, contexts, recipes, pixels=PIXELS):
        self.contexts = contexts
        self.recipes = recipes
        self.pixels = pixels
        #: Most bytes of a chunk.
        self.size = max(CHUNK, 3 * pixels)
        super().__init__({
            "write": In(TableWrite(recipes)), "write_valid": In(1),
            "config": In(Elements(recipes)).array(contexts),
            "width": In(16).array(contexts),
            "i": In(stream.Signature(PlaneWord(contexts, pixels))),
            "o": Out(stream.Signature(Chunk(contexts, self.size))),
        })

    def elaborate(self, platform):
        m = Module()
        i, lanes, width = self.i.p, self.LANES, exact_log2(self.pixels)
        advance = Signal()
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)

        # Which of the elements of this word are due.
        config = Signal(Elements(self.recipes))
        pixels = Signal(range(self.pixels + 1))
        phase = Signal(range(3 * self.pixels // lanes))
        left = Signal(range(3 * self.pixels + 1))
        final = Signal()
        rest = Signal(16)
        if self.pixels == lanes:
            planar, once = pixels, ~config.interleaved | config.raw
        else:
            planar, once = pixels - (phase << 3), config.raw
        m.d.comb += [
            config.eq(Array(self.config)[i.context]), rest.eq(Array(self.width)[i.context]),
            pixels.eq(Mux(i.row_last & (rest[:width] != 0), rest[:width], self.pixels)),
            left.eq(Mux(config.interleaved, pixels + (pixels << 1) - (phase << 3), planar)),
            final.eq(once | (left <= lanes)),
            self.i.ready.eq(advance & final),
        ]
        with m.If(self.i.valid & advance):
            m.d.sync += phase.eq(Mux(final, 0, phase + 1))

        tag = data.StructLayout({
            "context": range(self.contexts), "plane": 2, "element": 2, "raw": 1,
            "count": range(3 * self.pixels + 1), "last": 1,
        })
        tags = [Signal(tag, name=f"tag_{n}") for n in range(2)]
        valids = [Signal(name=f"valid_{n}") for n in range(2)]
        words = [Signal(24 * self.pixels, name=f"word_{n}") for n in range(2)]
        with m.If(advance):
            m.d.sync += [
                tags[0].context.eq(i.context),
                tags[0].plane.eq(Mux(config.interleaved, 0, i.plane)),
                tags[0].element.eq(config.element), tags[0].raw.eq(config.raw),
                tags[0].count.eq(Mux(config.raw, left, Mux(left > lanes, lanes, left))),
                tags[0].last.eq(i.row_last & final),
                words[0].eq(i.pixels.as_value()),
                tags[1].eq(tags[0]), words[1].eq(words[0]),
                Cat(valids).eq(Cat(self.i.valid, valids[0])),
            ]

        elements = [self._element(m, config, phase, lane, advance) for lane in range(lanes)]
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

    def _element(self, m, config, phase, lane, advance):
        """Look up what a lane's sample becomes."""
        i, lanes = self.i.p, self.LANES
        phases = range(3 * self.pixels // lanes)
        flat = Value.cast(i.pixels)
        planar = i.pixels[lane]         # the channels of the lane's pixel of CHW
        if self.pixels != lanes:
            planar = [Array(i.pixels[lane + n][k] for n in range(0, self.pixels, lanes))[phase]
                      for k in range(3)]
        channel, value = Signal(2, name=f"channel_{lane}"), Signal(8, name=f"value_{lane}")
        m.d.comb += [
            channel.eq(Mux(config.interleaved,
                           Array((lane + lanes * p) % 3 for p in phases)[phase], i.plane)),
            value.eq(Mux(
                config.interleaved,
                Array(flat.word_select(lanes * p + lane, 8) for p in phases)[phase],
                Array(planar)[i.plane])),
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
        return element
