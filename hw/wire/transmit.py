# SPDX-License-Identifier: Apache-2.0
"""Messages in, frames out."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.arbiter import Arbiter
from ..stream.layout import Beat
from ..stream.register import Register
from .arp import ArpAnswer
from .composer import Composer
from .layout import WIDTHS, Message, Peer
from .segmenter import LENGTH, Packet, Segmenter


__all__ = ["Transmit"]


class Transmit(wiring.Component):
    """Messages that leave by RoCEv2 SEND on unreliable connections, and answers between them.

    Throughput is 1 beat a cycle, also with frames of a single beat; packets are as short as they
    can be, at least the 60 bytes that Ethernet wants. The UDP checksum is 0, the CRC right. The
    IPv4 identification is 0, and fragmenting forbidden.

    Parameters
    ----------
    width : int
        Bits of a beat, 64 or 512.
    queues : int
        Counters of packet sequence numbers, within ``range(2, 257)``.

    Members
    -------
    i : :py:`In(stream.Signature(Message(queues)))`
        What comes next.
    i_data : :py:`In(stream.Signature(width))`
        Its bytes, byte 0 in the low bits. A message begins with a new beat and has exactly as many
        as its length needs, none if it is empty. What lies behind its end does not matter.
    i_arp : :py:`In(stream.Signature(Peer))`
        Who is to be told the MAC address.
    i_echo : :py:`In(stream.Signature(Beat(width)))`
        Frames to be sent as they are.
    mac, ip : :py:`In(...)`
        Own addresses.
    segment, restart : :py:`In(...)`
        Of :class:`.segmenter.Segmenter`.
    o : :py:`Out(stream.Signature(Beat(width)))`
        Frames without the MAC's check sequence. Pauses within a frame if ``i_data`` does.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    def __init__(self, width=512, queues=16):
        if width not in WIDTHS:
            raise ValueError(f"Width must be one of {WIDTHS}, not {width!r}")
        if queues not in range(2, 257):
            raise ValueError(f"Queues must be within range(2, 257), not {queues!r}")
        self.width, self.queues = width, queues
        super().__init__({
            "i": In(stream.Signature(Message(queues))), "i_data": In(stream.Signature(width)),
            "i_arp": In(stream.Signature(Peer)), "i_echo": In(stream.Signature(Beat(width))),
            "mac": In(48), "ip": In(32), "segment": In(LENGTH), "restart": In(queues),
            "o": Out(stream.Signature(Beat(width))),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.segmenter = segmenter = Segmenter(self.queues)
        m.submodules.packets = packets = Register(Packet)
        m.submodules.composer = composer = Composer(self.width)
        m.submodules.arp = arp = ArpAnswer(self.width)
        m.submodules.answers = answers = Register(Beat(self.width))
        m.submodules.arbiter = arbiter = Arbiter(Beat(self.width), 3)
        wiring.connect(m, wiring.flipped(self.i), segmenter.i)
        wiring.connect(m, wiring.flipped(self.i_data), composer.i_data)
        wiring.connect(m, wiring.flipped(self.i_arp), arp.i)
        wiring.connect(m, segmenter.o, packets.i)
        wiring.connect(m, packets.o, composer.i)
        wiring.connect(m, composer.o, arbiter.i[0])
        wiring.connect(m, wiring.flipped(self.i_echo), arbiter.i[1])
        wiring.connect(m, arp.o, answers.i)
        wiring.connect(m, answers.o, arbiter.i[2])
        wiring.connect(m, arbiter.o, wiring.flipped(self.o))
        m.d.comb += [
            segmenter.segment.eq(self.segment), segmenter.restart.eq(self.restart),
            *(part.mac.eq(self.mac) for part in (composer, arp)),
            *(part.ip.eq(self.ip) for part in (composer, arp)),
        ]
        return m
