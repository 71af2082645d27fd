# SPDX-License-Identifier: Apache-2.0
"""Rows of elements to beats of memory."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..stream.width import Narrower
from .layout import CHUNK, Chunk


__all__ = ["ResultBeat", "RowPacker"]


def ResultBeat(contexts, port=512):
    """Up to ``port`` bits of a row of a result; the address counts beats; ``end`` of a row."""
    size = port // 8
    return data.StructLayout({
        "context": range(contexts), "address": 64 - exact_log2(size), "data": port, "strobe": size,
        "end": 1})


class RowPacker(wiring.Component):
    """Puts each row where it belongs, in any alignment.

    Throughput is 1 chunk per cycle, and 1 cycle more for a row that ends in the beat behind the
    one of its last chunk's first byte. Chunks longer than a beat are cut into pieces first.

    Parameters
    ----------
    contexts : int
    port : int
        Bits of a beat.
    chunk : int
        Most bytes of a chunk.

    Members
    -------
    start, address, stride : :py:`In(...)`
        Strobe for each context: an image begins, when all of its last one has left; the byte
        addresses of the first row of its planes, and the bytes from row to row.
    i : :py:`In(stream.Signature(Chunk(contexts, chunk)))`
    o : :py:`Out(stream.Signature(ResultBeat(contexts, port)))`
    """

    def __init__(self, contexts, port=512, chunk=CHUNK):
        self.contexts, self.port, self.chunk = contexts, port, chunk
        n = contexts
        super().__init__({
            "start": In(n), "address": In(64).array(3), "stride": In(20),
            "i": In(stream.Signature(Chunk(n, chunk))),
            "o": Out(stream.Signature(ResultBeat(n, port))),
        })

    def elaborate(self, platform):
        m = Module()
        n, size = self.contexts, self.port // 8
        bits, most = exact_log2(size), min(self.chunk, size)
        chunks = self.i if most == self.chunk else self._pieces(m, size)
        i = chunks.p
        pointers = [Array(Signal(64, name=f"pointer_{c}_{p}") for p in range(3))
                    for c in range(n)]
        strides = Array(Signal(20, name=f"stride_{c}") for c in range(n))

        # 1: where the chunk goes
        fresh = Signal(init=1)
        begin, position = Signal(64), Signal(64)  # of this row; of the next chunk
        here = Signal(64)
        place = data.StructLayout({
            "context": range(n), "address": 64 - bits, "data": 8 * (size + most),
            "strobe": size + most, "last": 1, "full": 1, "spills": 1})
        placed, valid = Signal(place), Signal()
        take = Signal()
        with m.Switch(i.context):
            for c in range(n):
                with m.Case(c):
                    m.d.comb += begin.eq(pointers[c][i.plane])
        m.d.comb += here.eq(Mux(fresh, begin, position))
        with m.If(take):
            end = here[:bits] + i.count
            m.d.sync += valid.eq(chunks.valid)
            with m.If(chunks.valid):
                m.d.sync += [
                    placed.context.eq(i.context), placed.address.eq(here[bits:]),
                    placed.data.eq(i.data << Cat(C(0, 3), here[:bits])),
                    placed.strobe.eq(((C(1, most + 1) << i.count) - 1)[:most] << here[:bits]),
                    placed.last.eq(i.last), placed.full.eq(end >= size),
                    placed.spills.eq(end > size),
                    position.eq(here + i.count), fresh.eq(i.last),
                ]
                with m.If(i.last):
                    with m.Switch(i.context):
                        for c in range(n):
                            with m.Case(c):
                                m.d.sync += pointers[c][i.plane].eq(begin + strides[c])
        for c in range(n):
            with m.If(self.start[c]):
                m.d.sync += [pointer.eq(a) for pointer, a in zip(pointers[c], self.address)]
                m.d.sync += strides[c].eq(self.stride)

        # 2: gather
        held, held_strobe = Signal(8 * size), Signal(size)
        merged, merged_strobe = Signal(8 * size), Signal(size)
        spill = Signal()  # the rest of a row is in `held`
        emit, free = Signal(), Signal()
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready),
            merged.eq(held | placed.data[:8 * size]),
            merged_strobe.eq(held_strobe | placed.strobe[:size]),
            emit.eq(placed.full | placed.last),
            take.eq(~valid | (free & ~(placed.last & placed.spills & ~spill))),
            chunks.ready.eq(take),
        ]
        with m.If(free):
            m.d.sync += self.o.valid.eq(valid & (emit | spill))
        with m.If(free & valid):
            m.d.sync += self.o.p.context.eq(placed.context)
            with m.If(spill):
                m.d.sync += [
                    self.o.p.address.eq(placed.address + 1), self.o.p.data.eq(held),
                    self.o.p.strobe.eq(held_strobe), self.o.p.end.eq(1),
                ]
            with m.Else():
                m.d.sync += [
                    self.o.p.address.eq(placed.address), self.o.p.data.eq(merged),
                    self.o.p.strobe.eq(merged_strobe),
                    self.o.p.end.eq(placed.last & ~placed.spills),
                ]
            with m.If(spill):
                m.d.sync += [spill.eq(0), held.eq(0), held_strobe.eq(0)]
            with m.Elif(emit):
                # Bytes behind the last one of a row may be anything: none is kept.
                m.d.sync += [
                    held.eq(Mux(placed.spills, placed.data[8 * size:], 0)),
                    held_strobe.eq(placed.strobe[size:]),
                    spill.eq(placed.last & placed.spills),
                ]
            with m.Else():
                m.d.sync += [held.eq(merged), held_strobe.eq(merged_strobe)]
        return m

    def _pieces(self, m, size):
        """Chunks cut into pieces of up to ``size`` bytes."""
        m.submodules.narrower = narrower = Narrower(8 * self.chunk, 8 * size)
        pieces = stream.Signature(Chunk(self.contexts, size)).create()
        i, o = self.i.p, pieces.p
        m.d.comb += [
            narrower.i.valid.eq(self.i.valid), self.i.ready.eq(narrower.i.ready),
            *(narrower.i.p[name].eq(i[name]) for name in ("data", "count", "last")),
            pieces.valid.eq(narrower.o.valid), narrower.o.ready.eq(pieces.ready),
            *(o[name].eq(narrower.o.p[name]) for name in ("data", "count", "last")),
        ]
        # While a chunk is cut no other is taken.
        with m.If(self.i.ready):
            m.d.sync += [o.context.eq(i.context), o.plane.eq(i.plane)]
        return pieces
