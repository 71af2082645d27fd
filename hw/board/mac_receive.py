# SPDX-License-Identifier: Apache-2.0
"""From octets on the wire to frames."""

from amaranth import *
from amaranth.lib import crc, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ETHERNET
from amaranth.lib.wiring import In, Out

from ..wire.layout import Frame
from .rgmii import Octet


__all__ = ["PREAMBLE", "DELIMITER", "FCS_BYTES", "MIN_OCTETS", "MAX_OCTETS", "MacReceive"]


#: What is in front of a frame: seven of the first, and one of the second.
PREAMBLE, DELIMITER = 0x55, 0xD5

#: Bytes of the check sequence, and of a frame with it.
FCS_BYTES, MIN_OCTETS, MAX_OCTETS = 4, 64, 1518


class MacReceive(wiring.Component):
    """Finds frames, takes their check sequence away, and says whether it was right.

    A frame is damaged if its check sequence is wrong, if the wire had an error, or if it has less
    than ``MIN_OCTETS`` or more than ``MAX_OCTETS`` bytes with the check sequence. The wire does
    not wait: if ``o`` is not ready a frame ends there, damaged, and if that is its first beat it
    does not begin. So no part of a frame ever looks like a frame.

    Throughput is 1 octet per cycle. A beat leaves when the next byte is known to be none of the
    check sequence.

    Members
    -------
    i : :py:`In(Octet)`
    o : :py:`Out(stream.Signature(Frame(64)))`
        No beat is empty. ``error`` comes with ``last``. Taken back if ``ready`` is not set.
    """

    i: In(Octet)
    o: Out(stream.Signature(Frame(64)))

    def elaborate(self, platform):
        m = Module()
        m.submodules.check = check = crc.Processor(CRC32_ETHERNET(data_width=8))
        i, o = self.i, self.o.p
        late = Signal(8 * FCS_BYTES)    # bytes that may be the check sequence
        octets = Signal(range(MAX_OCTETS + 2))
        beat, count = Signal(64), Signal(range(9))
        open_ = Signal()                # a beat of the frame has left
        damaged = Signal()

        def end():
            with m.If(i.valid):
                m.next = "Skip"
            with m.Else():
                m.next = "Idle"

        m.d.comb += [check.data.eq(i.data), o.data.eq(beat), o.count.eq(count)]
        # What is under way when we begin has no beginning.
        with m.FSM(init="Skip"):
            with m.State("Idle"):
                m.d.comb += check.start.eq(1)
                m.d.sync += [octets.eq(0), count.eq(0), open_.eq(0), damaged.eq(0)]
                with m.If(i.valid):
                    with m.If(i.error | ((i.data != PREAMBLE) & (i.data != DELIMITER))):
                        m.next = "Skip"
                    with m.Elif(i.data == DELIMITER):
                        m.next = "Frame"
            with m.State("Frame"):
                m.d.comb += check.valid.eq(i.valid)
                with m.If(i.valid):
                    m.d.sync += [
                        octets.eq(octets + 1), late.eq(Cat(late[8:], i.data)),
                        damaged.eq(damaged | i.error),
                    ]
                    with m.If(octets >= FCS_BYTES):
                        m.d.comb += self.o.valid.eq(count == 8)
                        m.d.sync += count.eq(Mux(count == 8, 1, count + 1))
                        with m.Switch(count):
                            for n in range(8):
                                with m.Case(n, *([8] if n == 0 else [])):
                                    m.d.sync += beat[8 * n:8 * n + 8].eq(late[:8])
                    with m.If(self.o.valid & self.o.ready):
                        m.d.sync += open_.eq(1)
                    with m.If((self.o.valid & ~self.o.ready) | (octets == MAX_OCTETS)):
                        m.next = "Skip"
                        with m.If(open_):
                            m.next = "Abort"
                with m.Else():
                    m.d.comb += [
                        self.o.valid.eq(count != 0), o.last.eq(1),
                        o.error.eq(damaged | ~check.match_detected | (octets < MIN_OCTETS)),
                    ]
                    m.next = "Idle"
                    with m.If(open_ & ~self.o.ready):
                        m.next = "Abort"
            with m.State("Abort"):
                m.d.comb += [self.o.valid.eq(1), o.last.eq(1), o.error.eq(1), o.count.eq(8)]
                with m.If(self.o.ready):
                    end()
            with m.State("Skip"):
                end()
        return m
