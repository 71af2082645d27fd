# SPDX-License-Identifier: Apache-2.0
"""Packets in beats of another width."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .layout import Beat


__all__ = ["Widener", "Narrower"]


def check(name, narrow, wide):
    if narrow <= 0 or narrow % 8 or wide % narrow:
        raise ValueError(f"{name} must go between multiples of bytes, not {narrow!r} and {wide!r}")


class Widener(wiring.Component):
    """Gathers narrow beats to wide ones; a packet begins with a new beat.

    Latency is 1 cycle behind the last narrow beat, throughput 1 narrow beat per cycle. Bytes
    behind ``count`` are zero. ``i.ready`` depends combinationally on ``o.ready``.

    Parameters
    ----------
    narrow, wide : int
        Bits of a beat.

    Members
    -------
    i : :py:`In(stream.Signature(Beat(narrow)))`
    o : :py:`Out(stream.Signature(Beat(wide)))`

    Raises
    ------
    ValueError
        If ``narrow`` is no multiple of 8, or ``wide`` none of ``narrow``.
    """

    def __init__(self, narrow, wide):
        check("Widener", narrow, wide)
        self.narrow, self.wide = narrow, wide
        super().__init__({
            "i": In(stream.Signature(Beat(narrow))), "o": Out(stream.Signature(Beat(wide)))})
        self.index = Signal(range(max(2, wide // narrow)))

    def elaborate(self, platform):
        m = Module()
        parts = self.wide // self.narrow
        o, i, index = self.o.p, self.i.p, self.index
        bytes_in = Signal(self.narrow)
        for byte in range(self.narrow // 8):
            with m.If(i.count > byte):
                m.d.comb += bytes_in[8 * byte:8 * byte + 8].eq(i.data[8 * byte:8 * byte + 8])
        m.d.comb += self.i.ready.eq(~self.o.valid | self.o.ready)
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                index.eq(index + 1), o.last.eq(i.last),
                o.count.eq(index * (self.narrow // 8) + i.count),
            ]
            with m.If(index == 0):
                m.d.sync += o.data.eq(bytes_in)
            for part in range(1, parts):
                with m.If(index == part):
                    m.d.sync += o.data.word_select(part, self.narrow).eq(bytes_in)
            with m.If(i.last | (index == parts - 1)):
                m.d.sync += [self.o.valid.eq(1), index.eq(0)]
        return m


class Narrower(wiring.Component):
    """Cuts wide beats into narrow ones; those without bytes are left out.

    Latency is 1 cycle, throughput 1 narrow beat per cycle. ``i.ready`` depends combinationally
    on ``o.ready``. A packet without bytes is one beat without bytes.

    Parameters
    ----------
    wide, narrow : int
        Bits of a beat.

    Members
    -------
    i : :py:`In(stream.Signature(Beat(wide)))`
    o : :py:`Out(stream.Signature(Beat(narrow)))`

    Raises
    ------
    ValueError
        If ``narrow`` is no multiple of 8, or ``wide`` none of ``narrow``.
    """

    def __init__(self, wide, narrow):
        check("Narrower", narrow, wide)
        self.wide, self.narrow = wide, narrow
        super().__init__({
            "i": In(stream.Signature(Beat(wide))), "o": Out(stream.Signature(Beat(narrow)))})
        self.held = Signal(Beat(wide))

    def elaborate(self, platform):
        m = Module()
        held, size = self.held, self.narrow // 8
        final = Signal()
        m.d.comb += [
            final.eq(held.count <= size),
            self.o.p.data.eq(held.data[:self.narrow]),
            self.o.p.count.eq(Mux(final, held.count, size)),
            self.o.p.last.eq(held.last & final),
            self.i.ready.eq(~self.o.valid | (self.o.ready & final)),
        ]
        with m.If(self.o.ready):
            m.d.sync += [held.data.eq(held.data >> self.narrow), held.count.eq(held.count - size)]
        with m.If(self.i.ready):
            m.d.sync += [self.o.valid.eq(self.i.valid), held.eq(self.i.payload)]
        return m
