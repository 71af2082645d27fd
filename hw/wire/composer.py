# SPDX-License-Identifier: Apache-2.0
"""Packets to frames: headers before the payload, padding and CRC behind it."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.delay import Delay
from ..stream.layout import Beat
from ..stream.register import Register
from .header_writer import HeaderWriter
from .headers import HEADER_BYTES, IMMEDIATE
from .icrc import IcrcFinish, IcrcFold
from .segmenter import Packet


__all__ = ["Composer"]


class Composer(wiring.Component):
    """One beat a cycle, without gaps between frames as long as there is payload.

    Parameters
    ----------
    width : int
        Bits of a beat.

    Members
    -------
    i : :py:`In(stream.Signature(Packet))`
    i_data : :py:`In(stream.Signature(width))`
        Payloads of the packets; each begins with a new beat and takes as many as it needs, none
        if it is empty. What lies behind its end does not matter.
    mac, ip : :py:`In(...)`
        Own addresses.
    o : :py:`Out(stream.Signature(Beat(width)))`
        Pauses within a frame if payload is late.
    """

    def __init__(self, width):
        self.width = width
        super().__init__({
            "i": In(stream.Signature(Packet)), "i_data": In(stream.Signature(width)),
            "mac": In(48), "ip": In(32), "o": Out(stream.Signature(Beat(width))),
        })

    def elaborate(self, platform):
        m = Module()
        size = self.width // 8
        m.submodules.headers = headers = HeaderWriter(self.width)
        m.submodules.out = out = Register(Beat(self.width))
        wiring.connect(m, wiring.flipped(self.i), headers.i)
        wiring.connect(m, out.o, wiring.flipped(self.o))
        m.d.comb += [headers.mac.eq(self.mac), headers.ip.eq(self.ip)]
        go = Signal()
        m.d.comb += go.eq(out.i.ready)

        # What goes along with a beat: how many bytes the CRC covers, and what ends there.
        self.tag = data.StructLayout({
            "valid": 1, "first": 1, "index": 3, "covered": range(size + 1), "sealed": 1,
            "spilled": 1, "count": range(size + 1), "last": 1})
        tag, header, payload, late = self.schedule(m, go, headers.o)

        # Payload moves behind the header; a part of each beat goes to the next one.
        placed, placed_tag, held = Signal(self.width), Signal(self.tag), Signal(self.width)
        starts = [8 * (HEADER_BYTES + extra) % self.width for extra in (0, IMMEDIATE.size)]
        rest = Mux(tag.first, 0, held)
        moved = [Cat(rest[self.width - start:], payload[:self.width - start])
                 for start in starts]
        with m.If(go):
            m.d.sync += [placed.eq(header | Mux(late, moved[1], moved[0])), placed_tag.eq(tag)]
            with m.If(tag.valid):
                m.d.sync += held.eq(payload)

        m.submodules.fold = fold = IcrcFold(self.width)
        m.submodules.finish = finish = IcrcFinish(self.width)
        waiting = data.StructLayout({"data": self.width, "tag": self.tag})
        m.submodules.delay = delay = Delay(waiting, IcrcFold.LATENCY + finish.latency)
        valids = Signal(delay.cycles)
        m.d.comb += [
            fold.enable.eq(go), fold.valid.eq(placed_tag.valid & (placed_tag.covered != 0)),
            fold.i.data.eq(placed), fold.i.count.eq(placed_tag.covered),
            fold.i.index.eq(placed_tag.index), fold.i.first.eq(placed_tag.first),
            finish.enable.eq(go), finish.state.eq(fold.state), finish.count.eq(fold.count),
            delay.enable.eq(go), delay.i.data.eq(placed), delay.i.tag.eq(placed_tag),
        ]
        with m.If(go):
            m.d.sync += valids.eq(Cat(placed_tag.valid, valids))
        self.seal(m, go, delay.o, valids[-1], finish.crc, out.i)
        return m

    def schedule(self, m, go, plans):
        """A step for each beat of a frame: its header bytes, its payload beat."""
        p = plans.p
        size = self.width // 8
        step = Signal.like(p.beats)
        wants, taken, final = Signal(), Signal(), Signal()
        # For all steps but the first, what depends on the number is found a step ahead.
        begun, wants_next, final_next = Signal(), Signal(), Signal()
        following = Signal.like(step)
        starts = [(HEADER_BYTES + extra) // size for extra in (0, IMMEDIATE.size)]
        begin = Mux(p.has_immediate, starts[1], starts[0])
        m.d.comb += [
            wants.eq(Mux(begun, wants_next, p.wants)), final.eq(Mux(begun, final_next, p.single)),
            taken.eq(plans.valid & (~wants | self.i_data.valid)),
            self.i_data.ready.eq(go & plans.valid & wants),
            plans.ready.eq(go & taken & final), following.eq(step + 1),
        ]
        with m.If(go & taken):
            m.d.sync += [
                step.eq(Mux(final, 0, following)), begun.eq(~final),
                wants_next.eq((following >= begin) & (following < p.payload_end)),
                final_next.eq(following == p.beats),
            ]

        tag, header, late = Signal(self.tag), Signal(self.width), Signal()
        payload = Signal(self.width)
        kept = Signal(self.width)
        ragged = step == p.payload_last
        for byte in range(size):
            with m.If(wants & (~ragged | (byte < p.payload_count))):
                m.d.comb += kept[8 * byte:8 * byte + 8].eq(
                    self.i_data.payload[8 * byte:8 * byte + 8])
        parts = 512 // self.width
        with m.If(go):
            m.d.sync += [
                tag.valid.eq(taken), tag.first.eq(~begun),
                tag.index.eq(Mux(step > 7, 7, step)),
                tag.covered.eq(Mux(step < p.sealed, size, Mux(
                    step == p.sealed, p.sealed_count, 0))),
                tag.sealed.eq(step == p.sealed), tag.spilled.eq(step > p.sealed),
                tag.count.eq(Mux(final, p.count, size)), tag.last.eq(final),
                header.eq(Mux(step < parts,
                              p.header.word_select(step[:parts.bit_length() - 1], self.width)
                              if parts > 1 else p.header, 0)),
                late.eq(p.has_immediate), payload.eq(kept),
            ]
        return tag, header, payload, late

    def seal(self, m, go, beat, valid, crc, out):
        """Put the CRC behind the last covered byte, in this beat or partly in the next."""
        size = self.width // 8
        sealed, rest = Signal(self.width), Signal(16)
        m.d.comb += sealed.eq(beat.data)
        with m.If(beat.tag.sealed):
            with m.Switch(beat.tag.covered):
                for count in range(2, size, 4):
                    with m.Case(count):
                        room = min(32, self.width - 8 * count)
                        m.d.comb += sealed[8 * count:8 * count + room].eq(crc[:room])
        with m.If(beat.tag.spilled):
            m.d.comb += sealed[:16].eq(rest)
        ready = Signal(Beat(self.width))
        ready_valid = Signal()
        with m.If(go):
            m.d.sync += [
                ready.data.eq(sealed), ready.count.eq(beat.tag.count),
                ready.last.eq(beat.tag.last), ready_valid.eq(valid), rest.eq(crc[16:]),
            ]
        m.d.comb += [out.valid.eq(ready_valid), out.payload.eq(ready)]
