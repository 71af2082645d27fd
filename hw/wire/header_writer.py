# SPDX-License-Identifier: Apache-2.0
"""Headers of packets to send, and where everything lies in the frame."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .header_check import TTL
from .headers import (
    BTH, ETHERNET, HEADER_BYTES, ICRC_BYTES, IMMEDIATE, IPV4, MIN_FRAME, UDP, EtherType, Protocol)
from .layout import field
from .segmenter import Packet


__all__ = ["Plan", "HeaderWriter"]


#: Bytes of UDP and BTH together.
TRANSPORT = UDP.size + BTH.size


def Plan(width):
    """Header and layout of a frame, in beats from 0 on.

    ``beats`` is the last of them, with ``count`` bytes; ``sealed`` the last that the CRC covers,
    up to ``sealed_count``. Payload comes in up to beat ``payload_end``, the last time in
    ``payload_last`` with ``payload_count`` bytes. ``single``: the first beat is the last.
    ``wants``: payload comes in with the first.
    """
    size = width // 8
    steps = range(2 ** 14 // size)
    return data.StructLayout({
        "header": 512, "has_immediate": 1, "beats": steps, "count": range(size + 1),
        "sealed": steps, "sealed_count": range(size + 1),
        "payload_end": steps, "payload_last": steps, "payload_count": range(size + 1),
        "single": 1, "wants": 1})


class HeaderWriter(wiring.Component):
    """One header a cycle; latency 3 cycles. Bytes behind the header are zero.

    Parameters
    ----------
    width : int
        Bits of a beat.

    Members
    -------
    i : :py:`In(stream.Signature(Packet))`
    mac, ip : :py:`In(...)`
        Own addresses.
    o : :py:`Out(stream.Signature(Plan(width)))`
    """

    def __init__(self, width):
        self.width = width
        super().__init__({
            "i": In(stream.Signature(Packet)), "mac": In(48), "ip": In(32),
            "o": Out(stream.Signature(Plan(width))),
        })

    def elaborate(self, platform):
        m = Module()
        valid = Signal(2)
        free = [Signal(name=f"free_{n}") for n in range(3)]
        m.d.comb += [
            free[2].eq(~self.o.valid | self.o.ready), free[1].eq(~valid[1] | free[2]),
            free[0].eq(~valid[0] | free[1]), self.i.ready.eq(free[0]),
        ]
        packets = [Signal(Packet, name=f"packet_{n}") for n in range(2)]
        pads = [Signal(2, name=f"pad_{n}") for n in range(2)]
        lengths = [Signal(16, name=f"length_{n}") for n in range(2)]  # of UDP
        addresses, total, covered = Signal(18), Signal(20), Signal(16)
        i = self.i.p
        with m.If(free[0]):
            m.d.sync += [
                valid[0].eq(self.i.valid), packets[0].eq(i), pads[0].eq(-i.length[:2]),
                lengths[0].eq(Cat(C(0, 2), (i.length + 3)[2:])
                              + (TRANSPORT + ICRC_BYTES) + (i.has_immediate << 2)),
                addresses.eq((i.peer.ip[:16] + i.peer.ip[16:]) + (self.ip[:16] + self.ip[16:])),
            ]
        constant = sum(int.from_bytes(IPV4.pack(
            version=4, words=5, keep=1, ttl=TTL, protocol=Protocol.UDP)[n:n + 2], "big")
            for n in range(0, IPV4.size, 2)) + IPV4.size
        with m.If(free[1]):
            m.d.sync += [
                valid[1].eq(valid[0]), packets[1].eq(packets[0]), pads[1].eq(pads[0]),
                lengths[1].eq(lengths[0]),
                total.eq(addresses + lengths[0] + constant),
                covered.eq(lengths[0] + (ETHERNET.size + IPV4.size - ICRC_BYTES)),
            ]
        once, checksum = Signal(17), Signal(16)
        m.d.comb += [once.eq(total[:16] + total[16:]), checksum.eq(~(once[:16] + once[16]))]
        with m.If(free[2]):
            m.d.sync += self.o.valid.eq(valid[1])
            self.layout(m, packets[1], covered)
            self.header(m, packets[1], pads[1], lengths[1], checksum)
        return m

    def layout(self, m, packet, covered):
        """Where everything lies."""
        size = self.width // 8
        shift = size.bit_length() - 1
        o = self.o.p
        frame = Signal(16)
        m.d.comb += frame.eq(covered + ICRC_BYTES)
        with m.If(covered < MIN_FRAME - ICRC_BYTES):
            m.d.comb += frame.eq(MIN_FRAME)

        def end(length):
            """Number of the last beat, and its bytes; of a length that is not zero."""
            less = (length - 1)[:16]
            return less[shift:], less[:shift] + 1

        for beats, count, length in (("beats", "count", frame),
                                     ("sealed", "sealed_count", covered)):
            last, rest = end(length)
            m.d.sync += [o[beats].eq(last), o[count].eq(rest)]
        last, rest = end(packet.length)
        some = packet.length != 0
        starts = [(HEADER_BYTES + extra) // size for extra in (0, IMMEDIATE.size)]
        place = Mux(packet.has_immediate, starts[1], starts[0]) + last
        m.d.sync += [
            o.payload_last.eq(place), o.payload_end.eq(Mux(some, place + 1, 0)),
            o.payload_count.eq(rest), o.has_immediate.eq(packet.has_immediate),
            o.single.eq(frame <= size), o.wants.eq(some & (starts[0] == 0)),
        ]

    def header(self, m, packet, pad, length, checksum):
        """All fields but those that are zero."""
        at_ip, at_udp = ETHERNET.size, ETHERNET.size + IPV4.size
        at_bth = at_udp + UDP.size
        fields = {
            (ETHERNET, 0): dict(destination=packet.peer.mac, source=self.mac,
                                type=EtherType.IPV4),
            (IPV4, at_ip): dict(version=4, words=5, keep=1, ttl=TTL, protocol=Protocol.UDP,
                                length=length + IPV4.size, checksum=checksum, source=self.ip,
                                destination=packet.peer.ip),
            (UDP, at_udp): dict(source=packet.source, destination=packet.peer.port,
                                length=length),
            (BTH, at_bth): dict(opcode=packet.opcode, pad=pad, partition=0xffff,
                                queue=packet.queue_pair, psn=packet.psn),
            (IMMEDIATE, HEADER_BYTES): dict(
                value=Mux(packet.has_immediate, packet.immediate, 0)),
        }
        m.d.sync += self.o.p.header.eq(0)
        for (header, at), values in fields.items():
            for name, value in values.items():
                m.d.sync += field(self.o.p.header, header, name, at).eq(value)
