# SPDX-License-Identifier: Apache-2.0
"""Blocks through a narrow memory port."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .config import BUS
from .read_dma import ReadBeat
from .write_dma import WriteBeat


__all__ = ["BlockReader", "BlockWriter"]


class BlockReader(wiring.Component):
    """Gathers beats of memory to wider ones.

    Latency is 1 cycle behind the last narrow beat. Throughput is 1 narrow beat per cycle, but none
    in that in which the wide one is taken. A wide beat has an error if one of its parts has.

    Parameters
    ----------
    narrow, wide : int
        Bits of a beat; as many of the narrow as make a wide one come one behind the other.

    Members
    -------
    i : :py:`In(stream.Signature(ReadBeat(narrow)))`
    o : :py:`Out(stream.Signature(ReadBeat(wide)))`
    """

    def __init__(self, narrow, wide):
        self.narrow, self.wide = narrow, wide
        super().__init__({
            "i": In(stream.Signature(ReadBeat(narrow))),
            "o": Out(stream.Signature(ReadBeat(wide))),
        })

    def elaborate(self, platform):
        m = Module()
        parts = self.wide // self.narrow
        index = Signal(exact_log2(parts))
        o = self.o.p
        m.d.comb += self.i.ready.eq(~self.o.valid)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                index.eq(index + 1), self.o.valid.eq(index == parts - 1),
                o.error.eq(self.i.p.error | (o.error & (index != 0))),
            ]
            for part in range(parts):
                with m.If(index == part):
                    m.d.sync += o.data.word_select(part, self.narrow).eq(self.i.p.data)
        return m


class BlockWriter(wiring.Component):
    """Cuts blocks into beats of memory. Combinational, but for which beat it is.

    Parameters
    ----------
    port : int
        Bits of a beat.

    Members
    -------
    i : :py:`In(stream.Signature(WriteBeat(512)))`
    o : :py:`Out(stream.Signature(WriteBeat(port)))`
        Of a block the ``last`` of ``i``, the last beat is.
    """

    def __init__(self, port):
        self.port = port
        super().__init__({
            "i": In(stream.Signature(WriteBeat(8 * BUS))),
            "o": Out(stream.Signature(WriteBeat(port))),
        })

    def elaborate(self, platform):
        m = Module()
        parts = 8 * BUS // self.port
        index, final = Signal(exact_log2(parts)), Signal()
        i, o = self.i.p, self.o.p
        m.d.comb += [
            final.eq(index == parts - 1), self.o.valid.eq(self.i.valid),
            self.i.ready.eq(self.o.ready & final),
            o.address.eq(Cat(index, i.address)), o.data.eq(i.data.word_select(index, self.port)),
            o.strobe.eq(i.strobe.word_select(index, self.port // 8)), o.last.eq(i.last & final),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += index.eq(index + 1)
        return m
