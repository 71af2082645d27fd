# SPDX-License-Identifier: Apache-2.0
"""Answers to ARP requests."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.layout import Beat
from ..stream.width import Narrower
from .headers import ARP, ETHERNET, MIN_FRAME, EtherType
from .layout import Peer, field


__all__ = ["ArpAnswer"]


class ArpAnswer(wiring.Component):
    """A frame for each peer that asked, to the hardware address that it gave.

    Parameters
    ----------
    width : int
        Bits of a beat.

    Members
    -------
    i : :py:`In(stream.Signature(Peer))`
    mac, ip : :py:`In(...)`
        Own addresses.
    o : :py:`Out(stream.Signature(Beat(width)))`
    """

    def __init__(self, width):
        self.width = width
        super().__init__({
            "i": In(stream.Signature(Peer)), "mac": In(48), "ip": In(32),
            "o": Out(stream.Signature(Beat(width))),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.narrower = narrower = Narrower(512, self.width)
        wiring.connect(m, narrower.o, wiring.flipped(self.o))
        frame, peer = narrower.i.p, self.i.p
        values = {
            (ETHERNET, 0): dict(destination=peer.mac, source=self.mac, type=EtherType.ARP),
            (ARP, ETHERNET.size): dict(
                hardware=1, protocol=EtherType.IPV4, hardware_bytes=6, protocol_bytes=4,
                operation=2, sender_mac=self.mac, sender_ip=self.ip, target_mac=peer.mac,
                target_ip=peer.ip),
        }
        m.d.comb += [
            narrower.i.valid.eq(self.i.valid), self.i.ready.eq(narrower.i.ready),
            frame.count.eq(MIN_FRAME), frame.last.eq(1),
            *(field(frame.data, header, name, at).eq(value)
              for (header, at), fields in values.items() for name, value in fields.items()),
        ]
        return m
