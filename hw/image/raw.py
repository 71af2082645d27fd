# SPDX-License-Identifier: Apache-2.0
"""Images whose payload is pixels."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.layout import PIXELS, PayloadWord, PixelWord


__all__ = ["RawSource"]


class RawSource(wiring.Component):
    """Rows of RGB pixels, each padded to a multiple of 8 pixels, from payloads.

    Takes 3 payload words for 8 pixels, one a cycle. Contexts take turns by row.

    Parameters
    ----------
    contexts : int
    pixels : int
        Of a pixel word: 8 or 16.

    Members
    -------
    i : :py:`In(stream.Signature(PayloadWord)).array(contexts)`
    start, width, height
        Strobe: an image of that size begins. Each for a context.
    grant : :py:`In(contexts)`
        The consumer has room for a row.
    o : :py:`Out(stream.Signature(PixelWord(contexts, pixels)))`
    done, short : :py:`Out(contexts)`
        The payload is over, and what it held has been transferred; it did not have the length of
        the image. Until the next ``start``.
    """

    def __init__(self, contexts, pixels=PIXELS):
        self.contexts = n = contexts
        self.pixels = pixels
        super().__init__({
            "i": In(stream.Signature(PayloadWord)).array(n),
            "start": In(n), "width": In(16).array(n), "height": In(16).array(n),
            "grant": In(n), "o": Out(stream.Signature(PixelWord(n, pixels))),
            "done": Out(n), "short": Out(n),
        })

    def elaborate(self, platform):
        m = Module()
        n = self.contexts
        active, ended = Signal(n), Signal(n)
        rows = Array(Signal(16, name=f"rows_{c}") for c in range(n))  # to come
        context, turn = Signal(range(n)), Signal(range(n))
        most = 3 * self.pixels // 8
        column, words, phase = Signal(13), Signal(14), Signal(range(most))
        held = Signal(64 * (most - 1))
        word = Signal(PayloadWord)
        valid, take, over, final = Signal(), Signal(), Signal(), Signal()
        # A pixel word is complete, or not; half of it.
        complete, going, half = phase == most - 1, phase != most - 1, C(0, 1)
        pixels = Cat(held, word.data)
        if self.pixels == 16:
            # A row may end after the first half of a word.
            half = (phase == 2) & ~final
            complete = complete | ((phase == 2) & final)
            going = ~complete
            pixels = Mux(phase == 2, pixels[-3 * 64:], pixels)
        emitted = Signal()
        m.d.comb += [
            over.eq(ended.bit_select(context, 1)),
            final.eq(column + 1 == words),
            emitted.eq(~self.o.valid),
        ]
        for c in range(n):
            m.d.comb += self.i[c].ready.eq(take & (context == c))
            with m.If(context == c):
                m.d.comb += [word.eq(self.i[c].payload), valid.eq(self.i[c].valid & ~over)]
            taken = self.i[c].valid & self.i[c].ready
            with m.If(taken & self.i[c].p.last):
                m.d.sync += ended[c].eq(1)
                with m.If(self.i[c].p.count != 8):
                    m.d.sync += self.short[c].eq(1)
            with m.If(self.start[c]):
                m.d.sync += [
                    active[c].eq(1), ended[c].eq(0), self.done[c].eq(0), self.short[c].eq(0),
                    rows[c].eq(self.height[c]),
                ]
        m.d.sync += turn.eq(Mux(turn == n - 1, 0, turn + 1))
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.FSM():
            with m.State("Choose"):
                m.d.sync += [
                    context.eq(turn), column.eq(0), phase.eq(0),
                    words.eq((Array(self.width)[turn] + 8 - 1) >> 3),
                ]
                with m.If(active.bit_select(turn, 1)):
                    with m.If(ended.bit_select(turn, 1) | (Array(rows)[turn] == 0)):
                        m.next = "Drain"
                    with m.Elif(self.grant.bit_select(turn, 1)):
                        m.next = "Row"
            with m.State("Row"):
                # A row that was begun is sent to its end, whatever is in it.
                m.d.comb += take.eq(~over & (going | emitted))
                with m.If((valid | over) & (going | emitted)):
                    m.d.sync += [
                        held.eq(Cat(held[64:], word.data)),
                        phase.eq(Mux(complete, 0, phase + 1)),
                    ]
                    with m.If(over):
                        m.d.sync += self.short.bit_select(context, 1).eq(1)
                    with m.If(complete):
                        m.d.sync += [
                            self.o.valid.eq(1), self.o.p.context.eq(context),
                            self.o.p.pixels.eq(pixels),
                            self.o.p.row_last.eq(final),
                            self.o.p.last.eq(final & (rows[context] == 1)),
                            column.eq(column + 1),
                        ]
                        with m.If(final):
                            m.d.sync += rows[context].eq(rows[context] - 1)
                            m.next = "Choose"
                    if self.pixels == 16:
                        with m.Elif(half):
                            m.d.sync += column.eq(column + 1)
            with m.State("Drain"):
                with m.If(over):
                    with m.If(~self.o.valid):
                        m.d.sync += [
                            active.bit_select(context, 1).eq(0),
                            self.done.bit_select(context, 1).eq(1),
                        ]
                        with m.If(rows[context] != 0):
                            m.d.sync += self.short.bit_select(context, 1).eq(1)
                        m.next = "Choose"
                with m.Else():
                    m.d.comb += take.eq(1)
                    with m.If(valid):
                        m.d.sync += self.short.bit_select(context, 1).eq(1)
        return m
