# SPDX-License-Identifier: Apache-2.0
"""Rows of elements to beats of memory."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .layout import CHUNK, Chunk


__all__ = ["ResultBeat", "RowPacker"]


def ResultBeat(contexts):
    """Up to 64 bytes of a row of a result; the address counts beats; ``end`` of a row."""
    return data.StructLayout({
        "context": range(contexts), "address": 58, "data": 512, "strobe": 64, "end": 1})


class RowPacker(wiring.Component):
    """Puts each row where it belongs, in any alignment.

    Throughput is 1 chunk per cycle, and 1 cycle more for a row that ends in the beat behind the
    one of its last chunk's first byte.

    Parameters
    ----------
    contexts : int

    Members
    -------
    start, address, stride : :py:`In(...)`
        Strobe for each context: an image begins; the byte addresses of the first row of its
        planes, and the bytes from row to row.
    i : :py:`In(stream.Signature(Chunk(contexts)))`
    o : :py:`Out(stream.Signature(ResultBeat(contexts)))`
    """

    def __init__(self, contexts):
        self.contexts = n = contexts
        super().__init__({
            "start": In(n), "address": In(64).array(3), "stride": In(20),
            "i": In(stream.Signature(Chunk(n))),
            "o": Out(stream.Signature(ResultBeat(n))),
        })

    def elaborate(self, platform):
        m = Module()
        n = self.contexts
        i = self.i.p
        pointers = [Array(Signal(64, name=f"pointer_{c}_{p}") for p in range(3))
                    for c in range(n)]
        strides = Array(Signal(20, name=f"stride_{c}") for c in range(n))

        # 1: where the chunk goes
        fresh = Signal(init=1)
        begin, position = Signal(64), Signal(64)  # of this row; of the next chunk
        here = Signal(64)
        place = data.StructLayout({
            "context": range(n), "address": 58, "data": 512 + 8 * CHUNK, "strobe": 64 + CHUNK,
            "last": 1, "full": 1, "spills": 1})
        placed, valid = Signal(place), Signal()
        take = Signal()
        with m.Switch(i.context):
            for c in range(n):
                with m.Case(c):
                    m.d.comb += begin.eq(pointers[c][i.plane])
        m.d.comb += here.eq(Mux(fresh, begin, position))
        with m.If(take):
            end = here[:6] + i.count
            m.d.sync += valid.eq(self.i.valid)
            with m.If(self.i.valid):
                m.d.sync += [
                    placed.context.eq(i.context), placed.address.eq(here[6:]),
                    placed.data.eq(i.data << Cat(C(0, 3), here[:6])),
                    placed.strobe.eq(((C(1, CHUNK + 1) << i.count) - 1)[:CHUNK] << here[:6]),
                    placed.last.eq(i.last), placed.full.eq(end >= 64), placed.spills.eq(end > 64),
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
        held, held_strobe = Signal(512), Signal(64)
        merged, merged_strobe = Signal(512), Signal(64)
        spill = Signal()  # the rest of a row is in `held`
        emit, free = Signal(), Signal()
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready),
            merged.eq(held | placed.data[:512]),
            merged_strobe.eq(held_strobe | placed.strobe[:64]),
            emit.eq(placed.full | placed.last),
            take.eq(~valid | (free & ~(placed.last & placed.spills & ~spill))),
            self.i.ready.eq(take),
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
                    held.eq(Mux(placed.spills, placed.data[512:], 0)),
                    held_strobe.eq(placed.strobe[64:]),
                    spill.eq(placed.last & placed.spills),
                ]
            with m.Else():
                m.d.sync += [held.eq(merged), held_strobe.eq(merged_strobe)]
        return m
