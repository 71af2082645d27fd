# SPDX-License-Identifier: Apache-2.0
"""What the receiver must do with frames, from scapy and the rules in ``docs/packets.md``."""

import dataclasses
import struct

from scapy.contrib.roce import BTH
from scapy.layers.inet import IP as IPv4
from scapy.layers.inet import UDP, checksum
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import checksum as internet_checksum

from headrace.hw.wire.outcome import Outcome
from wire_bench import IP, MAC, PEER_IP, PEER_MAC, ip_text, mac_text


__all__ = ["OPCODES", "roce", "icrc_is_right", "Owner", "Receiver"]


OPCODES = {"first": 0x20, "middle": 0x21, "last": 0x22, "last_imm": 0x23, "only": 0x24,
           "only_imm": 0x25}
BEGINS = {0x20, 0x24, 0x25}
ENDS = {0x22, 0x23, 0x24, 0x25}


def roce(opcode, queue_pair, psn, payload=b"", *, immediate=None, source_port=0xC000,
         source_mac=PEER_MAC, source_ip=PEER_IP, ttl=64, identification=1, checksum=None,
         pad=None, **bth):
    """A frame, its CRC included, as scapy builds it."""
    if pad is None:
        pad = -len(payload) % 4
    body = payload + bytes(pad)
    if immediate is not None:
        body = struct.pack("!I", immediate) + body
    packet = (Ether(dst=mac_text(MAC), src=mac_text(source_mac))
              / IPv4(dst=ip_text(IP), src=ip_text(source_ip), ttl=ttl, id=identification)
              / UDP(sport=source_port, dport=4791, chksum=checksum or 0)
              / BTH(opcode=opcode, dqpn=queue_pair, psn=psn, padcount=pad, **bth)
              / Raw(body))
    return bytes(packet)


def icrc_is_right(frame):
    """Whether scapy would have built the same CRC."""
    length = struct.unpack_from("!H", frame, 16)[0]
    ip = IPv4(frame[14:14 + length])
    got = ip[BTH].icrc
    ip[BTH].icrc = None
    built = bytes(ip)
    return struct.pack("!I", got) == built[-4:]


@dataclasses.dataclass
class Owner:
    """Whose a queue pair is: numbers of the source that must be met, None for those that need not;
    or whoever sends the first message (``bind``)."""

    mac: int | None = None
    ip: int | None = None
    port: int | None = None
    bind: bool = False
    window: bool = False
    first: int | None = None
    nonce: int = 0

    def meets(self, source):
        return all(wanted in (None, found) for wanted, found in
                   zip((self.mac, self.ip, self.port), source))


class Receiver:
    """The receiver in software: frames in; segments, answers and counters out."""

    def __init__(self, *, queue_base, queues, closed=(), unchecked=(), longest=9088):
        self.base, self.queues = queue_base, queues
        self.closed, self.unchecked, self.longest = set(closed), set(unchecked), longest
        self.counters = dict.fromkeys(Outcome, 0)
        self.pending, self.expected = {}, {}
        self.owners, self.bound = {}, {}
        self.events = []      # ("packet", queue, fields, payload) or ("lost", queue)
        self.arp, self.echo = [], []

    def frame(self, frame, error=False):
        outcome = self.judge(frame, error)
        self.counters[outcome] += 1
        return outcome

    def judge(self, frame, error):
        if error:
            return Outcome.DAMAGED
        if len(frame) > self.longest:
            return Outcome.TOO_LONG
        if len(frame) < 14:
            return Outcome.RUNT
        kind, = struct.unpack_from("!H", frame, 12)
        if kind == 0x0800 and len(frame) < 34 or kind == 0x0806 and len(frame) < 42:
            return Outcome.RUNT
        if frame[:6] not in (MAC.to_bytes(6, "big"), b"\xff" * 6):
            return Outcome.FOREIGN
        if kind == 0x0806:
            if frame[14:22] != bytes.fromhex("0001080006040001") \
                    or frame[38:42] != IP.to_bytes(4, "big"):
                return Outcome.ARP
            self.arp.append((frame[22:28], frame[28:32]))
            return Outcome.ARP_ANSWERED
        if kind != 0x0800:
            return Outcome.TYPE
        if frame[14] != 0x45:
            return Outcome.IP_HEADER
        if internet_checksum(frame[14:34]):
            return Outcome.IP_CHECKSUM
        if frame[30:34] != IP.to_bytes(4, "big"):
            return Outcome.IP_ADDRESS
        length, _, fragment = struct.unpack_from("!HHH", frame, 16)
        if fragment & 0x3fff:
            return Outcome.FRAGMENT
        if 14 + length > len(frame):
            return Outcome.TRUNCATED
        if frame[23] == 1:
            return self.icmp(frame, length)
        if frame[23] != 17:
            return Outcome.PROTOCOL
        if length < 28:
            return Outcome.LENGTH
        return self.roce(frame, length)

    def icmp(self, frame, length):
        if length < 28 or frame[34:36] != b"\x08\x00":
            return Outcome.ICMP
        self.echo.append(frame)
        return Outcome.ECHO_ANSWERED

    def roce(self, frame, length):
        port, udp_length = struct.unpack_from("!HH", frame, 36)
        if port != 4791:
            return Outcome.PORT
        if udp_length + 20 != length or length % 4 or length < 44:
            return Outcome.LENGTH
        opcode, flags = frame[42], frame[43]
        if flags & 15:
            return Outcome.TRANSPORT
        if opcode not in OPCODES.values():
            return Outcome.OPCODE
        start = 58 if opcode in (0x23, 0x25) else 54
        end = 14 + length - 4 - (flags >> 4 & 3)
        if end < start or opcode not in ENDS and (
                flags >> 4 & 3 or end == start or (end - start) % 64):
            return Outcome.LENGTH
        number = (int.from_bytes(frame[47:50], "big") - self.base) % 2 ** 24
        nonce, queue = divmod(number, 1 << (self.queues - 1).bit_length())
        owner = self.owners.get(queue, Owner())
        if queue >= self.queues or queue in self.closed or nonce != owner.nonce:
            return Outcome.QUEUE
        if queue not in self.unchecked and not icrc_is_right(frame):
            return Outcome.ICRC
        source = tuple(int.from_bytes(frame[at:end], "big")
                       for at, end in ((6, 12), (26, 30), (34, 36)))
        if owner.bind:
            if queue not in self.bound and opcode not in BEGINS:
                return Outcome.SEQUENCE
            if self.bound.setdefault(queue, source) != source:
                return Outcome.STRANGER
        elif not owner.meets(source):
            return Outcome.STRANGER
        psn = int.from_bytes(frame[51:54], "big")
        expected = self.expected.get(queue, None if owner.bind else owner.first)
        if owner.window and expected is not None \
                and (psn // 2 ** 20 - expected // 2 ** 20) % 16 not in (0, 1, 15):
            return Outcome.FAR
        meets = expected == psn
        if expected is not None and not meets:
            self.counters[Outcome.GAP] += 1
        self.expected[queue] = (psn + 1) % 2 ** 24
        good = opcode in BEGINS or self.pending.get(queue, False) and meets
        if self.pending.get(queue) and (opcode in BEGINS or not meets):
            self.lose(queue)
        self.pending[queue] = good and opcode not in ENDS
        if not good:
            return Outcome.SEQUENCE
        immediate = struct.unpack_from("!I", frame, 54)[0] if start == 58 else None
        self.events.append(("packet", queue, opcode, immediate, frame[6:12], frame[26:30],
                            frame[34:36], frame[start:end]))
        return Outcome.PACKET

    def close(self, queue):
        """The queue is closed: nothing is left of what was."""
        self.closed.add(queue)
        self.expected.pop(queue, None)
        self.bound.pop(queue, None)
        if self.pending.get(queue):
            self.lose(queue)

    def lose(self, queue):
        """The queue's open message is lost."""
        self.pending[queue] = False
        self.counters[Outcome.LOST] += 1
        self.events.append(("lost", queue))

    @staticmethod
    def answer(frame):
        """The answer to an echo request, by scapy."""
        packet = Ether(frame)
        length = packet[IPv4].len
        ip = packet[IPv4]
        packet.dst, packet.src = packet.src, mac_text(MAC)
        ip.dst, ip.src, ip.ttl, ip.chksum = ip.src, ip.dst, 64, None
        right = internet_checksum(frame[34:14 + length]) == 0
        body = bytearray(bytes(ip.payload))
        body[0] = 0
        if right:  # a wrong checksum stays wrong
            body[2:4] = bytes(2)
            body[2:4] = struct.pack("!H", checksum(bytes(body[:length - 20])))
        ip.remove_payload()
        built = bytes(packet / Raw(bytes(body)))
        return right, (built + frame[len(built):])[:len(frame)]
