# SPDX-License-Identifier: Apache-2.0
"""From frames to octets on the wire."""

from amaranth import *
from amaranth.lib import crc, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ETHERNET
from amaranth.lib.wiring import In, Out

from ..wire.layout import Frame
from .mac_receive import DELIMITER, FCS_BYTES, MIN_OCTETS, PREAMBLE
from .rgmii import Octet


__all__ = ["GAP", "MacTransmit"]


#: Octets between frames.
GAP = 12


class MacTransmit(wiring.Component):
    """Preamble, frame, zeros up to the shortest frame, check sequence, and a gap behind it.

    Throughput is 1 octet per cycle; latency is 2 cycles until the preamble begins.

    Members
    -------
    i : :py:`In(stream.Signature(Frame(64)))`
        No beat is empty, and none comes late: a frame whose first beat is there must be whole. One
        whose last beat has ``error`` gets a wrong check sequence.
    o : :py:`Out(Octet)`
    """

    i: In(stream.Signature(Frame(64)))
    o: Out(Octet)

    def elaborate(self, platform):
        m = Module()
        m.submodules.check = check = crc.Processor(CRC32_ETHERNET(data_width=8))
        i = self.i.p
        octet = Signal(8)
        place = Signal(range(GAP))      # within a beat, or what is not a frame
        octets = Signal(range(MIN_OCTETS))
        full, wrong = Signal(), Signal()
        m.d.comb += [
            check.data.eq(octet),
            full.eq(octets >= MIN_OCTETS - FCS_BYTES - 1),  # with this octet
        ]
        m.d.sync += [self.o.data.eq(octet), self.o.error.eq(0), place.eq(place + 1)]
        with m.If(check.valid & ~full):
            m.d.sync += octets.eq(octets + 1)
        with m.FSM() as fsm:
            with m.State("Idle"):
                m.d.comb += check.start.eq(1)
                m.d.sync += [place.eq(0), octets.eq(0)]
                with m.If(self.i.valid):
                    m.next = "Preamble"
            with m.State("Preamble"):
                m.d.comb += octet.eq(Mux(place == 7, DELIMITER, PREAMBLE))
                with m.If(place == 7):
                    m.d.sync += place.eq(0)
                    m.next = "Frame"
            with m.State("Frame"):
                m.d.comb += [
                    octet.eq(i.data.word_select(place[:3], 8)), check.valid.eq(1),
                    self.i.ready.eq(place + 1 == i.count),
                ]
                with m.If(self.i.ready):
                    m.d.sync += [place.eq(0), wrong.eq(i.error)]
                    with m.If(i.last):
                        m.next = "Pad"
                        with m.If(full):
                            m.next = "Check"
            with m.State("Pad"):
                m.d.comb += check.valid.eq(1)
                with m.If(full):
                    m.d.sync += place.eq(0)
                    m.next = "Check"
            with m.State("Check"):
                m.d.comb += octet.eq(
                    check.crc.word_select(place[:2], 8) ^ wrong.replicate(8))
                with m.If(place == FCS_BYTES - 1):
                    m.d.sync += place.eq(0)
                    m.next = "Gap"
            with m.State("Gap"):
                # The last of the gap is an idle cycle.
                with m.If(place == GAP - 2):
                    m.next = "Idle"
            m.d.sync += self.o.valid.eq(~(fsm.ongoing("Idle") | fsm.ongoing("Gap")))
        return m
