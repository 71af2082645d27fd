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
        self.reader = Signal(range(depth))      # address of the next to ask for

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = self.memory
        write, read = self.write, self.read
        # Addresses and a bit more, so that full is not empty. That a payload is asked for is late:
        # nothing is counted with it.
        writer, reader = (Signal(range(2 * self.depth), name=name) for name in (
            "writer", "reader_0"))
        free, move, ask = Signal(), Signal(), Signal()
        m.d.comb += [
            self.stored.eq(writer - reader), self.reader.eq(reader),
            self.i.ready.eq((writer ^ reader) != self.depth),
            write.en.eq(self.i.valid & self.i.ready),
            write.addr.eq(writer), write.data.eq(self.i.payload),
            free.eq(~self.o.valid | self.o.ready),
            move.eq(~self.asked | free),
            ask.eq(move & (writer != reader)),
            read.addr.eq(self.reader), read.en.eq(move),
            self.level.eq(self.stored + self.asked + self.o.valid),
        ]
        with m.If(write.en):
            m.d.sync += writer.eq(writer + 1)
        with m.If(ask):
            m.d.sync += reader.eq(reader + 1)
        with m.If(move):
            m.d.sync += self.asked.eq(ask)
        with m.If(free):
            m.d.sync += [self.o.valid.eq(self.asked), self.o.payload.eq(read.data)]
        return m
