# SPDX-License-Identifier: Apache-2.0
"""Packets in software against scapy's."""

import random
import struct

import pytest

from headrace import wire
from headrace.hw.card.jobs import COMPLETION
from headrace.hw.status import Status
from headrace.hw.wire.headers import BTH, IPV4, MASKED, Header, Opcode
from headrace.hw.wire.outcome import Outcome


HERE = wire.Station("02:00:00:00:00:01", "10.0.0.1", 0xC123)
THERE = wire.Station("02:00:00:00:12:34", "10.0.0.2")


@pytest.fixture
def scapy_frame():
    """``scapy_frame(packet)``: the frame that scapy builds."""
    roce = pytest.importorskip("scapy.contrib.roce", reason="scapy judges: pip install scapy")
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether
    from scapy.packet import Raw

    def build(packet, identification=0):
        pad = -len(packet.payload) % 4
        body = packet.payload + bytes(pad)
        if packet.immediate is not None:
            body = struct.pack("!I", packet.immediate) + body
        source, destination = packet.source, packet.destination
        return bytes(
            Ether(src=source.mac, dst=destination.mac)
            / IP(src=source.ip, dst=destination.ip, flags="DF", id=identification)
            / UDP(sport=source.port, dport=destination.port, chksum=0)
            / roce.BTH(opcode=packet.opcode, dqpn=packet.queue_pair, psn=packet.psn, padcount=pad)
            / Raw(body)).ljust(60, b"\0")

    return build


def messages():
    rng = random.Random(4)
    for length in [*range(0, 140), 1000, 4096, 5001]:
        yield rng.randbytes(length), rng.choice([None, rng.getrandbits(32)])


def test_frames_are_scapys(scapy_frame):
    sender = wire.Sender(0x123456, HERE, THERE, segment=1024, psn=(1 << 24) - 20)
    for payload, immediate in messages():
        for packet in sender.packets(payload, immediate):
            frame = wire.to_frame(packet, identification=77)
            assert frame == scapy_frame(packet, 77)
            assert wire.from_frame(frame) == packet
            assert wire.from_datagram(wire.to_datagram(packet), source=HERE,
                                      destination=THERE) == packet


def test_datagrams_are_sealed_as_frames_are():
    sender = wire.Sender(0x123456, HERE, THERE, segment=1024)
    ends = (HERE.ip, HERE.port), (THERE.ip, THERE.port)
    for payload, immediate in messages():
        for packet in sender.packets(payload, immediate):
            datagram = wire.seal(wire.to_datagram(packet), *ends)
            assert wire.sealed(datagram, *ends) and not wire.sealed(datagram, *ends[::-1])
            frame = wire.encapsulate(datagram, HERE, THERE)
            assert frame == wire.to_frame(packet)
            damaged = bytearray(datagram)
            damaged[len(datagram) // 2] ^= 1
            assert not wire.sealed(bytes(damaged), *ends)


def test_damage_is_seen():
    rng = random.Random(9)
    frame, = wire.Sender(9, HERE, THERE).frames(rng.randbytes(100), 5)
    good = wire.from_frame(frame)
    for position in range(14, len(frame)):
        mutant = bytearray(frame)
        mutant[position] ^= 1 << rng.randrange(8)
        if position in MASKED and not 22 <= position < 26 and position != 15:
            assert wire.from_frame(mutant) == good
        else:
            with pytest.raises(wire.PacketError):
                wire.from_frame(mutant)
    for length in range(len(frame)):
        with pytest.raises(wire.PacketError):
            wire.from_frame(frame[:length])
    with pytest.raises(wire.PacketError, match="^ICRC: a wrong invariant CRC$"):
        wire.from_frame(frame[:-1] + bytes([frame[-1] ^ 1]))
    assert wire.from_frame(frame[:-4] + bytes(4), check=False) == good
    with pytest.raises(wire.PacketError) as info:
        wire.from_frame(bytes(60))
    assert info.value.outcome == Outcome.TYPE and info.value.outcome.dropped
    assert not Outcome.PACKET.dropped and not Outcome.LOST.dropped


def test_messages_come_back_whole_or_not_at_all():
    rng = random.Random(2)
    senders = [wire.Sender(queue, HERE, THERE, segment=64) for queue in range(3)]
    assembler = wire.Reassembler()
    sent, got, whole = {}, {}, 0
    for number in range(600):
        sender = rng.choice(senders)
        payload = rng.randbytes(rng.randrange(500))
        packets = sender.packets(payload, number)
        sent[number] = payload
        fate = rng.randrange(4)
        if fate == 0 and len(packets) > 1:
            del packets[rng.randrange(len(packets))]
        else:
            whole += 1
        for packet in packets:
            message = assembler.feed(packet)
            if message:
                got[message.immediate] = message.payload
    assert all(sent[number] == payload for number, payload in got.items())
    assert len(got) == whole and assembler.lost > 20 and assembler.ignored > 20


def test_responses():
    sender = wire.Sender(1, THERE, HERE, segment=64)
    assembler = wire.Reassembler()
    fields = dict(request=77, status=Status.OK, bytes=100, height=10, width=10, cycles=1234)
    *_, message = map(assembler.feed, wire.response(sender, fields, bytes(range(100))))
    completion, result = wire.from_response(message)
    assert result == bytes(range(100))
    assert completion == {**dict.fromkeys(COMPLETION.fields, 0), **fields}
    *_, message = map(assembler.feed, wire.response(sender, dict(request=5, status=2)))
    assert wire.from_response(message)[1] == b""
    *_, message = map(assembler.feed, sender.packets(COMPLETION.pack(status=Status.LOST)))
    assert wire.from_response(message)[0]["status"] == Status.LOST
    *_, message = map(assembler.feed, wire.request(sender, 6, b"no response"))
    with pytest.raises(ValueError, match="^Message must be a response, not 11 bytes$"):
        wire.from_response(message)


@pytest.mark.parametrize("wrong, message", [
    (dict(ip="10.0.0"), "Ip must be an IPv4 address, not '10.0.0'"),
    (dict(ip="10.0.0.256"), "Ip must be an IPv4 address, not '10.0.0.256'"),
    (dict(ip="localhost"), "Ip must be an IPv4 address, not 'localhost'"),
    (dict(ip=10), "Ip must be an IPv4 address, not 10"),
    (dict(mac="02:00"), "Mac must be like 02:00:00:00:00:01, not '02:00'"),
    (dict(mac="02:00:00:00:00:0g"), "Mac must be like 02:00:00:00:00:01, not '02:00:00:00:00:0g'"),
    (dict(mac=2), "Mac must be like 02:00:00:00:00:01, not 2"),
    (dict(port=1 << 16), "Port must be within range(65536), not 65536"),
    (dict(port=-1), "Port must be within range(65536), not -1"),
])
def test_stations_have_addresses(wrong, message):
    with pytest.raises(ValueError) as info:
        wire.Station(**{"mac": HERE.mac, "ip": HERE.ip, **wrong})
    assert str(info.value) == message


def test_stations_from_numbers():
    assert HERE.numbers == (0x020000000001, 0x0a000001)
    assert wire.Station.of(*HERE.numbers, HERE.port) == HERE
    assert wire.Station(None, "10.0.0.1").mac is None


def test_wrong_arguments():
    with pytest.raises(ValueError, match="^Segment must be 64 or more, not 63$"):
        wire.segments(b"x", 63)
    with pytest.raises(ValueError, match="^Header must be whole bytes, not 9 bits$"):
        Header(a=9)
    with pytest.raises(ValueError, match=r"^psn must be within range\(2 \*\* 24\), not -1$"):
        BTH.pack(psn=-1)
    assert Opcode.SEND_LAST_IMMEDIATE.immediate and not Opcode.SEND_LAST_IMMEDIATE.begins


def test_header_bits():
    header = IPV4.pack(fragment=0x1abc, version=4, source=0x01020304)
    value = int.from_bytes(header, "little")
    for name, expected in ("fragment", 0x1abc), ("version", 4), ("source", 0x01020304):
        got = shift = 0
        for low, end in IPV4.bits(name):
            got |= (value >> low & (1 << end - low) - 1) << shift
            shift += end - low
        assert got == expected
