# SPDX-License-Identifier: Apache-2.0
"""Writes beats to memory, in bursts."""

from amaranth import *
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from .config import beat_bits


__all__ = ["WriteBeat", "WriteDma"]


def WriteBeat(port):
    """Up to ``port`` bits; the address counts beats. Addresses are consecutive up to ``last``."""
    return data.StructLayout({
        "address": 64 - beat_bits(port), "data": port, "strobe": port // 8, "last": 1})


class WriteDma(wiring.Component):
    """Gathers beats to bursts of up to 16 that do not cross a 4 KiB boundary.

    Throughput is 1 beat per cycle. Beats are written in order. Addresses and data do not wait for
    each other: memory may take either first.

    Parameters
    ----------
    port : int
        Bits of a beat.

    Members
    -------
    i : :py:`In(stream.Signature(WriteBeat(port)))`
    aw : :py:`Out(stream.Signature(...))`
        ``address`` in beats, ``beats``.
    w : :py:`Out(stream.Signature(...))`
        ``data``, ``strobe``, ``last`` of a burst. Not before the whole burst was gathered.
    b : :py:`In(stream.Signature(1))`
        Answers to bursts: an error.
    sent, answered : :py:`Out(32)`
        Bursts gathered, and bursts answered; modulo 2 ** 32.
    failed : :py:`Out(1)`
        Strobe: the burst that ``answered`` counts since this cycle was refused.
    """

    #: Beats of the longest burst.
    BURST = 16
    #: Beats held.
    DEPTH = 64

    def __init__(self, port=512):
        self.port = port
        beat = WriteBeat(port)
        beat_address, *of_w = beat.members
        super().__init__({
            "i": In(stream.Signature(beat)),
            "aw": Out(stream.Signature(data.StructLayout({
                "address": beat.members[beat_address], "beats": 5}))),
            "w": Out(stream.Signature(data.StructLayout({
                name: beat.members[name] for name in of_w}))),
            "b": In(stream.Signature(1)),
            "sent": Out(32), "answered": Out(32), "failed": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        page = 12 - beat_bits(self.port)
        m.submodules.beats = beats = fifo.SyncFIFOBuffered(width=self.w.payload.shape().size,
                                                           depth=self.DEPTH)
        m.submodules.bursts = bursts = fifo.SyncFIFOBuffered(width=self.aw.payload.shape().size,
                                                             depth=self.DEPTH)
        count = Signal(range(self.BURST))
        last, taken = Signal(), Signal()
        able = Signal()             # both have room: half the card waits for it
        # Address of the burst, behind its first beat.
        first = Signal.like(self.aw.p.address)
        closed, burst = Signal(), Signal(self.aw.payload.shape())   # a burst, a cycle later
        whole = Signal(range(self.DEPTH + 1))  # bursts gathered whose data was not sent
        m.d.comb += [
            last.eq(self.i.p.last | self.i.p.address[:page].all() | (count == self.BURST - 1)),
            self.i.ready.eq(able),
            taken.eq(self.i.valid & self.i.ready),
            beats.w_data.eq(Cat(self.i.p.data, self.i.p.strobe, last)), beats.w_en.eq(taken),
            bursts.w_data.eq(burst), bursts.w_en.eq(closed),
            self.aw.payload.eq(bursts.r_data), self.aw.valid.eq(bursts.r_rdy),
            bursts.r_en.eq(self.aw.ready),
            self.w.payload.eq(beats.r_data), self.w.valid.eq(beats.r_rdy & (whole != 0)),
            beats.r_en.eq(self.w.ready & (whole != 0)),
            self.b.ready.eq(1),
        ]
        m.d.sync += whole.eq(whole + closed - (self.w.valid & self.w.ready & self.w.p.last))
        m.d.sync += [
            closed.eq(taken & last), burst.beats.eq(count + 1),
            burst.address.eq(Mux(count == 0, self.i.p.address, first)),
        ]
        # Two more may be on their way into them, and a burst that was closed before.
        m.d.sync += able.eq((beats.w_level < self.DEPTH - 2) & (bursts.w_level < self.DEPTH - 2))
        with m.If(taken):
            with m.If(count == 0):
                m.d.sync += first.eq(self.i.p.address)
            m.d.sync += count.eq(Mux(last, 0, count + 1))
            with m.If(last):
                m.d.sync += self.sent.eq(self.sent + 1)
        m.d.sync += self.failed.eq(self.b.valid & self.b.payload)
        with m.If(self.b.valid):
            m.d.sync += self.answered.eq(self.answered + 1)
        return m
