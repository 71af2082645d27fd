# SPDX-License-Identifier: Apache-2.0
"""Headers of the protocols as tables, big-endian as on the wire.

Software packs and unpacks headers with these tables, the RTL takes its fields from them.
"""

import enum


__all__ = [
    "Header", "ETHERNET", "ARP", "IPV4", "ICMP", "UDP", "BTH", "IMMEDIATE", "EtherType",
    "Protocol", "Opcode", "ROCE_PORT", "BROADCAST", "ICRC_BYTES", "HEADER_BYTES", "MASKED",
    "MIN_FRAME", "MAX_FRAME", "BLOCK",
]


class Header:
    """Fields of a header, in order.

    Parameters
    ----------
    fields : dict of str to int
        Bits of each field, the most significant first; names that begin with ``_`` are gaps.

    Attributes
    ----------
    fields : dict of str to (int, int)
        First bit, counted from the header's first and most significant one, and width.
    size : int
        Bytes.
    """

    def __init__(self, **fields):
        self.fields = {}
        offset = 0
        for name, width in fields.items():
            if not name.startswith("_"):
                self.fields[name] = offset, width
            offset += width
        if offset % 8:
            raise ValueError(f"Header must be whole bytes, not {offset} bits")
        self.size = offset // 8

    def pack(self, **values):
        """Bytes of a header; fields that are not given are zero."""
        header = 0
        for name, value in values.items():
            offset, width = self.fields[name]
            if not 0 <= value < 1 << width:
                raise ValueError(f"{name} must be within range(2 ** {width}), not {value!r}")
            header |= int(value) << (8 * self.size - offset - width)
        return header.to_bytes(self.size, "big")

    def unpack(self, header):
        """Fields of a header, as a dict of int; what is behind it in ``header`` is ignored."""
        value = int.from_bytes(bytes(header[:self.size]), "big")
        return {name: value >> (8 * self.size - offset - width) & (1 << width) - 1
                for name, (offset, width) in self.fields.items()}

    def bits(self, name, at=0):
        """Where a field lies in a beat whose low byte is the first: bit ranges, low bits first.

        Parameters
        ----------
        name : str
        at : int
            Byte of the beat at which the header begins.

        Returns
        -------
        list of (int, int)
            First and end bit of pieces that lie within a byte each.
        """
        offset, width = self.fields[name]
        end, pieces = offset + width, []
        while width:
            piece = min(width, (end - 1) % 8 + 1)
            low = 8 * (at + (end - 1) // 8) + 7 - (end - 1) % 8
            pieces.append((low, low + piece))
            end, width = end - piece, width - piece
        return pieces


ETHERNET = Header(destination=48, source=48, type=16)
ARP = Header(hardware=16, protocol=16, hardware_bytes=8, protocol_bytes=8, operation=16,
             sender_mac=48, sender_ip=32, target_mac=48, target_ip=32)
IPV4 = Header(version=4, words=4, tos=8, length=16, id=16, _flag=1, keep=1, more=1, fragment=13,
              ttl=8, protocol=8, checksum=16, source=32, destination=32)
ICMP = Header(type=8, code=8, checksum=16, id=16, sequence=16)
UDP = Header(source=16, destination=16, length=16, checksum=16)
#: Base transport header of InfiniBand (volume 1, 9.2).
BTH = Header(opcode=8, solicited=1, migration=1, pad=2, version=4, partition=16, congestion=8,
             queue=24, acknowledge=1, _reserved=7, psn=24)
IMMEDIATE = Header(value=32)


class EtherType(enum.IntEnum):
    """What is in a frame."""

    IPV4 = 0x0800
    ARP = 0x0806


class Protocol(enum.IntEnum):
    """What is in an IPv4 packet."""

    ICMP = 1
    UDP = 17


class Opcode(enum.IntEnum):
    """Operations of InfiniBand's unreliable connections that are spoken here."""

    SEND_FIRST = 0x20
    SEND_MIDDLE = 0x21
    SEND_LAST = 0x22
    SEND_LAST_IMMEDIATE = 0x23
    SEND_ONLY = 0x24
    SEND_ONLY_IMMEDIATE = 0x25

    @property
    def begins(self):
        """It is the first packet of a message."""
        return self in (Opcode.SEND_FIRST, Opcode.SEND_ONLY, Opcode.SEND_ONLY_IMMEDIATE)

    @property
    def ends(self):
        """It is the last packet of a message."""
        return self not in (Opcode.SEND_FIRST, Opcode.SEND_MIDDLE)

    @property
    def immediate(self):
        """Its BTH is followed by an immediate."""
        return self in (Opcode.SEND_LAST_IMMEDIATE, Opcode.SEND_ONLY_IMMEDIATE)


#: UDP port of RoCEv2.
ROCE_PORT = 4791

BROADCAST = (1 << 48) - 1

#: Bytes of the invariant CRC behind the payload and its padding.
ICRC_BYTES = 4

#: Bytes of Ethernet, IPv4, UDP and BTH together.
HEADER_BYTES = ETHERNET.size + IPV4.size + UDP.size + BTH.size

#: Bytes of a frame that the invariant CRC takes as ones: they may change on the way.
MASKED = tuple(sorted(
    start + byte
    for header, start, names in (
        (IPV4, ETHERNET.size, ("tos", "ttl", "checksum")),
        (UDP, ETHERNET.size + IPV4.size, ("checksum",)),
        (BTH, ETHERNET.size + IPV4.size + UDP.size, ("congestion",)))
    for name in names
    for byte in {low // 8 for low, _ in header.bits(name)}))

#: Bytes of the shortest frame, without the check sequence of the MAC.
MIN_FRAME = 60

#: Bytes of the longest frame that is taken: an IPv4 packet of 9000 bytes and some room.
MAX_FRAME = 9088

#: Payload bytes of packets that do not end a message are a multiple of this.
BLOCK = 64
