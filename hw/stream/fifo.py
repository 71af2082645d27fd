# SPDX-License-Identifier: Apache-2.0
"""A queue in a memory."""

from amaranth import *
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out


__all__ = ["Fifo"]


class Fifo(wiring.Component):
    """First in, first out, through a memory with a registered output.

    Latency is 3 cycles, throughput 1 payload per cycle. No output depends combinationally on an
    input. Holds ``depth + 2`` payloads: two wait behind the memory.

    Parameters
    ----------
    shape : shape-like
        Of the payload.
    depth : int
        Words of the memory, a power of two from 2 on.

    Members
    -------
    i : :py:`In(stream.Signature(shape))`
    o : :py:`Out(stream.Signature(shape))`
    level : :py:`Out(range(depth + 3))`
        Payloads held.

    Raises
    ------
    ValueError
        If ``depth`` is not a power of two from 2 on.
    """

    def __init__(self, shape, depth):
        if not isinstance(depth, int) or depth < 2 or depth & depth - 1:
            raise ValueError(f"Depth must be a power of two from 2 on, not {depth!r}")
        self.shape, self.depth = shape, depth
        super().__init__({
            "i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape)),
            "level": Out(range(depth + 3)),
        })
        self.memory = memory.Memory(shape=shape, depth=depth, init=[])
        self.write, self.read = self.memory.write_port(), self.memory.read_port()
        self.stored = Signal(range(depth + 1))  # written, and not yet asked for
        self.asked = Signal()                   # at the memory's output
        self.reader = Signal(range(depth))

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = self.memory
        write, read = self.write, self.read
        writer = Signal(range(self.depth))
        free, move, ask = Signal(), Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(self.stored != self.depth),
            write.en.eq(self.i.valid & self.i.ready),
            write.addr.eq(writer), write.data.eq(self.i.payload),
            free.eq(~self.o.valid | self.o.ready),
            move.eq(~self.asked | free),
            ask.eq(move & (self.stored != 0)),
            read.addr.eq(self.reader), read.en.eq(move),
            self.level.eq(self.stored + self.asked + self.o.valid),
        ]
        m.d.sync += [
            writer.eq(writer + write.en), self.reader.eq(self.reader + ask),
            self.stored.eq(self.stored + write.en - ask),
        ]
        with m.If(move):
            m.d.sync += self.asked.eq(ask)
        with m.If(free):
            m.d.sync += [self.o.valid.eq(self.asked), self.o.payload.eq(read.data)]
        return m
