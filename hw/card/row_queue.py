# SPDX-License-Identifier: Apache-2.0
"""Rows of results wait until they can leave without pauses."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.fifo import Fifo
from ..tensor.packer import ResultBeat
from .write_dma import WriteDma


__all__ = ["RowBeat", "RowQueue"]


def RowBeat(contexts, port=512):
    """A :func:`..tensor.packer.ResultBeat`; ``last`` of a piece of a row."""
    return data.StructLayout({**ResultBeat(contexts, port).members, "last": 1})


class RowQueue(wiring.Component):
    """Cuts rows into pieces of up to a burst, and holds each until it is there as a whole.

    A lane makes a beat every few cycles; what shares the memory port with it would have to wait for
    the beats between. Throughput is 1 beat per cycle.

    Parameters
    ----------
    contexts : int
    port : int
        Bits of a beat.

    Members
    -------
    i : :py:`In(stream.Signature(ResultBeat(contexts, port)))`
    o : :py:`Out(stream.Signature(RowBeat(contexts, port)))`
        Once the first beat of a piece is valid, the others are as soon as it has been taken.
    """

    #: Beats of the longest piece.
    PIECE = WriteDma.BURST
    #: Beats that the memory holds: a piece may be gathered while another leaves.
    DEPTH = 2 * PIECE

    def __init__(self, contexts, port=512):
        self.contexts, self.port = contexts, port
        super().__init__({
            "i": In(stream.Signature(ResultBeat(contexts, port))),
            "o": Out(stream.Signature(RowBeat(contexts, port))),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.beats = beats = Fifo(self.o.payload.shape(), self.DEPTH)
        count = Signal(range(self.PIECE))
        pieces = Signal(range(self.DEPTH + 3))  # that are there as a whole
        last, taken, left = Signal(), Signal(), Signal()
        whole = Signal(2)                       # ends of pieces on their way through the FIFO
        m.d.comb += [
            last.eq(self.i.p.end | (count == self.PIECE - 1)),
            *(beats.i.p[name].eq(self.i.p[name]) for name in self.i.p.shape().members),
            beats.i.p.last.eq(last), beats.i.valid.eq(self.i.valid), self.i.ready.eq(beats.i.ready),
            self.o.payload.eq(beats.o.payload), self.o.valid.eq(beats.o.valid & (pieces != 0)),
            beats.o.ready.eq(self.o.ready & (pieces != 0)),
            taken.eq(self.i.valid & self.i.ready), left.eq(self.o.valid & self.o.ready),
        ]
        m.d.sync += [whole.eq(Cat(taken & last, whole)),
                     pieces.eq(pieces + whole[-1] - (left & self.o.p.last))]
        with m.If(taken):
            m.d.sync += count.eq(Mux(last, 0, count + 1))
        return m
