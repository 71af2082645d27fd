# SPDX-License-Identifier: Apache-2.0
"""The card's packets in software: RoCEv2 SEND on unreliable connections.

For clients that send frames (raw sockets, TAP devices, simulated cards) and for those that have
nothing but UDP sockets. ``docs/packets.md`` draws the formats.
"""

import dataclasses
import functools
import ipaddress
import re
import socket
import struct
import zlib

from headrace.hw.card.config import BUS
from headrace.hw.card.jobs import COMPLETION
from headrace.hw.wire.headers import (
    BLOCK, BTH, ETHERNET, ICRC_BYTES, IMMEDIATE, IPV4, MASKED, MIN_FRAME, ROCE_PORT, UDP,
    EtherType, Opcode, Protocol)
from headrace.hw.wire.outcome import Outcome

from .errors import HeadraceError


__all__ = [
    "PacketError", "Station", "Owner", "Packet", "Message", "icrc", "segments", "to_frame",
    "from_frame", "to_datagram", "from_datagram", "encapsulate", "seal", "sealed", "Sender",
    "Reassembler", "request", "response", "from_response",
]


MAC = re.compile("[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.I)

AT_IP = ETHERNET.size
AT_UDP = AT_IP + IPV4.size
AT_BTH = AT_UDP + UDP.size


class PacketError(HeadraceError, ValueError):
    """A frame that is no packet of a message.

    Parameters
    ----------
    outcome : Outcome
        What the card's receiver would count it as.
    """

    def __init__(self, outcome):
        self.outcome = Outcome(outcome)
        super().__init__(self.outcome)

    def __str__(self):
        return f"{self.outcome.name}: {self.outcome.text}"


@functools.lru_cache(maxsize=1024)  # the packets of a connection are all of the same two
def _ip_number(text):
    """An IPv4 address as a number; ValueError if the text is none."""
    return int(ipaddress.IPv4Address(text))


@dataclasses.dataclass(frozen=True)
class Station:
    """One end of a connection.

    Parameters
    ----------
    mac : str or None
        As ``"02:00:00:00:00:01"``; None if it is not known.
    ip : str
        As ``"10.0.0.1"``.
    port : int
        UDP port. The card listens at 4791; as a source the port only spreads load.

    Raises
    ------
    ValueError
        If an address is none, or the port is out of range.
    """

    mac: str | None
    ip: str
    port: int = ROCE_PORT

    def __post_init__(self):
        try:
            _ip_number(self.ip if isinstance(self.ip, str) else "")
        except ValueError:
            raise ValueError(f"Ip must be an IPv4 address, not {self.ip!r}") from None
        if self.mac is not None and not (isinstance(self.mac, str) and MAC.fullmatch(self.mac)):
            raise ValueError(f"Mac must be like 02:00:00:00:00:01, not {self.mac!r}")
        if not 0 <= self.port < 1 << 16:
            raise ValueError(f"Port must be within range(65536), not {self.port!r}")

    @property
    def numbers(self):
        """MAC and IPv4 address as numbers."""
        return int(self.mac.replace(":", ""), 16), _ip_number(self.ip)

    @classmethod
    def of(cls, mac, ip, port):
        """A station from numbers."""
        return cls(mac.to_bytes(6, "big").hex(":"),
                   ".".join(str(byte) for byte in ip.to_bytes(4, "big")), port)


@dataclasses.dataclass(frozen=True)
class Owner:
    """Whose a queue pair is: what the source of its packets must be.

    Parameters
    ----------
    ip : str
    mac : str or None
        None: any.
    port : int or None
        UDP port; None: any, as RDMA NICs choose theirs freely.

    Raises
    ------
    ValueError
        If an address is none, or the port is out of range.
    """

    ip: str
    mac: str | None = None
    port: int | None = None

    def __post_init__(self):
        _ = self.station    # which checks them

    @property
    def station(self):
        """A station that it is: port 4791 stands for any."""
        return Station(self.mac, self.ip, ROCE_PORT if self.port is None else self.port)

    def takes(self, station):
        """Whether a packet from a station is its own."""
        return all(wanted is None or wanted == found for wanted, found in (
            (self.ip, station.ip), (self.mac, station.mac), (self.port, station.port)))


@dataclasses.dataclass(frozen=True)
class Packet:
    """A packet of a message; ``immediate`` is None if its opcode has none."""

    opcode: Opcode
    queue_pair: int
    psn: int
    payload: bytes
    immediate: int | None = None
    source: Station | None = None
    destination: Station | None = None


@dataclasses.dataclass(frozen=True)
class Message:
    """A whole message, with the addresses of its last packet."""

    queue_pair: int
    payload: bytes
    immediate: int | None = None
    source: Station | None = None


def checksum(header):
    """Internet checksum of an even number of bytes."""
    total = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff


def icrc(frame):
    """Invariant CRC of a frame that ends where the CRC begins; 4 bytes as they are sent."""
    masked = bytearray(frame)
    for position in MASKED:
        masked[position] = 0xff
    return struct.pack("<I", zlib.crc32(memoryview(masked)[AT_IP:], zlib.crc32(b"\xff" * 8)))


def segments(payload, segment):
    """Cut a payload as the card does.

    Parameters
    ----------
    payload : bytes-like
    segment : int
        Most bytes in a packet; all packets but the last have a multiple of 64.

    Raises
    ------
    ValueError
        If ``segment`` is below 64.
    """
    most = segment // BLOCK * BLOCK
    if most <= 0:
        raise ValueError(f"Segment must be {BLOCK} or more, not {segment!r}")
    view = memoryview(payload).cast("B")
    return [bytes(view[at:at + most]) for at in range(0, len(view), most)] or [b""]


def to_datagram(packet, crc=bytes(ICRC_BYTES)):
    """Payload of a UDP datagram. Without a frame the CRC is unknown, and zero."""
    pad = -len(packet.payload) % 4
    header = BTH.pack(opcode=packet.opcode, pad=pad, partition=0xffff, queue=packet.queue_pair,
                      psn=packet.psn)
    if packet.opcode.immediate:
        header += IMMEDIATE.pack(value=packet.immediate)
    return b"".join((header, packet.payload, bytes(pad), crc))


def from_datagram(data, *, source=None, destination=None):
    """Packet in the payload of a UDP datagram; its CRC is not looked at.

    Raises
    ------
    PacketError
        If it is none.
    """
    if len(data) < BTH.size + ICRC_BYTES or len(data) % 4:
        raise PacketError(Outcome.LENGTH)
    fields = BTH.unpack(data)
    if fields["version"]:
        raise PacketError(Outcome.TRANSPORT)
    try:
        opcode = Opcode(fields["opcode"])
    except ValueError:
        raise PacketError(Outcome.OPCODE) from None
    start = BTH.size + (IMMEDIATE.size if opcode.immediate else 0)
    end = len(data) - ICRC_BYTES - fields["pad"]
    if end < start or not opcode.ends and (
            fields["pad"] or end == start or (end - start) % BLOCK):
        raise PacketError(Outcome.LENGTH)
    immediate = IMMEDIATE.unpack(data[BTH.size:])["value"] if opcode.immediate else None
    return Packet(opcode, fields["queue"], fields["psn"], bytes(data[start:end]), immediate,
                  source, destination)


def to_frame(packet, *, identification=0, ttl=64):
    """Ethernet frame of a packet, CRC included, without the check sequence of the MAC.

    Parameters
    ----------
    packet : Packet
        With ``source`` and ``destination``.

    Returns
    -------
    bytes
        At least 60.
    """
    frame = encapsulate(to_datagram(packet), packet.source, packet.destination,
                        identification=identification, ttl=ttl)
    end = AT_IP + IPV4.unpack(frame[AT_IP:])["length"] - ICRC_BYTES
    return (frame[:end] + icrc(frame[:end])).ljust(MIN_FRAME, b"\0")


def encapsulate(datagram, source, destination, *, identification=0, ttl=64):
    """Ethernet frame around the payload of a UDP datagram, which is taken as it is.

    Parameters
    ----------
    datagram : bytes-like
    source, destination : Station

    Returns
    -------
    bytes
        At least 60.
    """
    source_mac, source_ip = source.numbers
    mac, ip = destination.numbers
    length = IPV4.size + UDP.size + len(datagram)
    header = bytearray(IPV4.pack(
        version=4, words=IPV4.size // 4, length=length, id=identification, keep=1, ttl=ttl,
        protocol=Protocol.UDP, source=source_ip, destination=ip))
    header[10:12] = checksum(header).to_bytes(2, "big")
    return b"".join((
        ETHERNET.pack(destination=mac, source=source_mac, type=EtherType.IPV4), header,
        UDP.pack(source=source.port, destination=destination.port, length=length - IPV4.size),
        datagram)).ljust(MIN_FRAME, b"\0")


def _datagram_icrc(datagram, source, destination):
    """CRC of a datagram without its last four bytes, under the header that cards send."""
    size = IPV4.size + UDP.size + len(datagram)
    masked = bytearray(IPV4.size + UDP.size)
    struct.pack_into(">BBHHHBBH4s4sHHHH", masked, 0, 0x45, 0xff, size, 0, 0x4000, 0xff,
                     Protocol.UDP, 0xffff, source[0], destination[0], source[1], destination[1],
                     size - IPV4.size, 0xffff)
    crc = zlib.crc32(b"\xff" * 8 + masked + datagram[:4] + b"\xff" + datagram[5:BTH.size])
    return struct.pack("<I", zlib.crc32(memoryview(datagram)[BTH.size:-ICRC_BYTES], crc))


def _ends(*ends):
    return [(socket.inet_aton(ip), port) for ip, port in ends]


def seal(datagram, source, destination):
    """A datagram with the CRC of the frame that it will be in.

    That is known if the sender has IPv4 identification 0, "don't fragment" and no options, as
    cards do, and as Linux does for unconnected UDP sockets with ``IP_PMTUDISC_DO``.

    Parameters
    ----------
    datagram : bytes
        Its last four bytes are replaced.
    source, destination : (str, int)
        IPv4 address and UDP port.
    """
    return datagram[:-ICRC_BYTES] + _datagram_icrc(datagram, *_ends(source, destination))


def sealed(datagram, source, destination):
    """Whether a datagram has the CRC that :func:`seal` would give it."""
    return datagram[-ICRC_BYTES:] == _datagram_icrc(datagram, *_ends(source, destination))


def from_frame(frame, *, check=True):
    """Packet in an Ethernet frame, as the card's receiver would take it, for any address.

    Parameters
    ----------
    frame : bytes-like
        Without the check sequence of the MAC, with or without padding.
    check : bool
        Look at the CRC.

    Raises
    ------
    PacketError
        If it is none.
    """
    frame = bytes(frame)
    if len(frame) < AT_IP:
        raise PacketError(Outcome.RUNT)
    ethernet = ETHERNET.unpack(frame)
    if ethernet["type"] != EtherType.IPV4:
        raise PacketError(Outcome.TYPE)
    if len(frame) < AT_UDP:
        raise PacketError(Outcome.RUNT)
    ip = IPV4.unpack(frame[AT_IP:])
    end = AT_IP + ip["length"]
    udp = UDP.unpack(frame[AT_UDP:].ljust(UDP.size, b"\0"))
    for wrong, outcome in (
            (frame[AT_IP] != 0x45, Outcome.IP_HEADER),
            (checksum(frame[AT_IP:AT_UDP]), Outcome.IP_CHECKSUM),
            (ip["more"] or ip["fragment"], Outcome.FRAGMENT),
            (end > len(frame), Outcome.TRUNCATED),
            (ip["protocol"] != Protocol.UDP, Outcome.PROTOCOL),
            (end < AT_BTH, Outcome.LENGTH),
            (udp["length"] + IPV4.size != ip["length"], Outcome.LENGTH)):
        if wrong:
            raise PacketError(outcome)
    packet = from_datagram(
        frame[AT_BTH:end],
        source=Station.of(ethernet["source"], ip["source"], udp["source"]),
        destination=Station.of(ethernet["destination"], ip["destination"], udp["destination"]))
    if check and icrc(frame[:end - ICRC_BYTES]) != frame[end - ICRC_BYTES:end]:
        raise PacketError(Outcome.ICRC)
    return packet


class Sender:
    """Makes packets of messages for one queue pair.

    Parameters
    ----------
    queue_pair : int
        Of the receiver.
    source, destination : Station, optional
        Needed for frames.
    segment : int
        Most bytes of payload in a packet.
    psn : int
        Number of the next packet.
    """

    def __init__(self, queue_pair, source=None, destination=None, *, segment=1024, psn=0):
        self.queue_pair, self.source, self.destination = queue_pair, source, destination
        self.segment, self.psn = segment, psn

    def packets(self, payload, immediate=None):
        """Packets of the next message, a list."""
        parts = segments(payload, self.segment)
        packets = []
        for n, part in enumerate(parts):
            first, last = n == 0, n == len(parts) - 1
            opcode = (Opcode.SEND_ONLY if first else Opcode.SEND_LAST) if last else (
                Opcode.SEND_FIRST if first else Opcode.SEND_MIDDLE)
            if last and immediate is not None:
                opcode = Opcode(opcode + 1)
            packets.append(Packet(opcode, self.queue_pair, self.psn, part,
                                  immediate if last else None, self.source, self.destination))
            self.psn = (self.psn + 1) % (1 << 24)
        return packets

    def frames(self, payload, immediate=None):
        """Frames of the next message, a list of bytes."""
        return [to_frame(packet) for packet in self.packets(payload, immediate)]


class Reassembler:
    """Messages of the packets that come, by the rules of the card's receiver.

    Attributes
    ----------
    lost : int
        Messages that were begun and could not be completed.
    ignored : int
        Packets that continue no message.
    """

    def __init__(self):
        self.lost = self.ignored = 0
        self._parts, self._expected = {}, {}

    def feed(self, packet):
        """Take a packet; return the message that it completes, or None."""
        queue = packet.queue_pair
        meets = self._expected.get(queue) == packet.psn
        self._expected[queue] = (packet.psn + 1) % (1 << 24)
        parts = self._parts.pop(queue, None)
        if parts is not None and (packet.opcode.begins or not meets):
            self.lost += 1
            parts = None
        if packet.opcode.begins:
            parts = []
        if parts is None:
            self.ignored += 1
            return None
        parts.append(packet.payload)
        if not packet.opcode.ends:
            self._parts[queue] = parts
            return None
        return Message(queue, b"".join(parts), packet.immediate, packet.source)


def request(sender, number, payload):
    """Packets of a request: ``payload`` with its number, from 0 to 2 ** 32 - 1, as immediate."""
    return sender.packets(payload, number)


def response(sender, completion, result=b""):
    """Packets of a response, as the card sends it.

    Parameters
    ----------
    completion : dict
        Fields of :data:`headrace.hw.card.jobs.COMPLETION`; ``request`` becomes the immediate.
    result : bytes-like
    """
    return sender.packets(COMPLETION.pack(**completion) + bytes(result), completion["request"])


def from_response(message):
    """Completion and result in a message from the card.

    Returns
    -------
    (dict, bytes)
        Fields of :data:`headrace.hw.card.jobs.COMPLETION`, and the result, empty unless the
        status is OK.

    Raises
    ------
    ValueError
        If the message is no response.
    """
    completion = COMPLETION.unpack(message.payload[:BUS].ljust(BUS, b"\0"))
    result = message.payload[BUS:]
    if len(message.payload) < BUS or (message.immediate or 0) != completion["request"] \
            or len(result) != completion["bytes"]:
        raise ValueError(f"Message must be a response, not {len(message.payload)} bytes")
    return completion, result
