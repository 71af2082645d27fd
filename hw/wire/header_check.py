# SPDX-License-Identifier: Apache-2.0
"""What the headers of a frame say, and what is wrong with them."""

from amaranth import *
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..stream.delay import Delay
from .headers import (
    ARP, BLOCK, BROADCAST, BTH, ETHERNET, HEADER_BYTES, ICMP, ICRC_BYTES, IMMEDIATE, IPV4,
    ROCE_PORT, UDP, EtherType, Opcode, Protocol)
from .intake import HEADER
from .layout import Peer, field


__all__ = ["FLAGS", "TTL", "Verdict", "HeaderCheck"]


#: Time to live of what is sent.
TTL = 64

AT_IP = ETHERNET.size
AT_UDP = AT_IP + IPV4.size
AT_BTH = AT_UDP + UDP.size

#: Bytes of an IPv4 packet of RoCEv2 besides its payload, padding and immediate.
OVERHEAD = HEADER_BYTES - ETHERNET.size + ICRC_BYTES

#: What can be wrong with headers alone.
FLAGS = data.StructLayout({name: 1 for name in (
    "foreign", "type", "arp", "ip_header", "ip_checksum", "ip_address", "fragment", "protocol",
    "icmp", "port", "short", "length", "transport", "opcode", "payload", "queue")})


def Verdict(width, queues):
    """Fields and flags of a frame; see :func:`.layout.Descriptor` for the last ones."""
    size = width // 8
    return data.StructLayout({
        "flags": FLAGS, "is_ip": 1, "is_arp": 1, "is_icmp": 1, "ip_length": 16, "check": 1,
        "peer": Peer, "queue": range(queues), "psn": 24, "begins": 1, "ends": 1,
        "has_immediate": 1, "immediate": 32,
        "steps": 16, "tail": 1, "count": range(size + 1)})


def folded(m, total, name):
    """A sum of 16-bit words, with its carry added once."""
    result = Signal(17, name=name)
    m.d.sync += result.eq(total[:16] + total[16:])
    return result


class HeaderCheck(wiring.Component):
    """Looks at the gathered header of one frame a cycle; latency 4 cycles.

    Parameters
    ----------
    width : int
        Bits of a beat.
    queues : int
        Queue pairs.

    Members
    -------
    valid, header : :py:`In(...)`
    mac, ip, queue_base, check, set, set_queue, nonce
        Of :class:`.receive.Receive`.
    o_valid, o : :py:`Out(...)`
    """

    LATENCY = 4

    def __init__(self, width, queues):
        self.width, self.queues = width, queues
        super().__init__({
            "valid": In(1), "header": In(8 * HEADER),
            "mac": In(48), "ip": In(32), "queue_base": In(24), "check": In(queues),
            "set": In(1), "set_queue": In(range(queues)), "nonce": In(24),
            "o_valid": Out(1), "o": Out(Verdict(width, queues)),
        })

    def elaborate(self, platform):
        m = Module()
        verdict = Signal(Verdict(self.width, self.queues))  # with what is known after stage 1
        strobes = Signal(3)
        m.d.sync += [strobes.eq(Cat(self.valid, strobes)), self.o_valid.eq(strobes[2])]
        self.addresses(m, verdict)
        other = self.transport(m, verdict)
        late = {**self.sizes(m, verdict), **self.checksums(m)}
        m.submodules.delay = delay = Delay(verdict.shape(), 3)
        m.d.comb += [delay.enable.eq(1), delay.i.eq(verdict), self.o.eq(delay.o)]
        # What took longer comes in time all the same.
        m.d.comb += [self.o.flags.payload.eq(late.pop("payload")),
                     self.o.flags.ip_checksum.eq(late.pop("wrong")),
                     self.o.flags.queue.eq(delay.o.flags.queue | other)]
        with m.If(delay.o.is_icmp):
            m.d.comb += self.o.immediate.eq(late.pop("answers"))
        m.d.comb += [self.o[name].eq(value) for name, value in late.items()]
        return m

    def addresses(self, m, verdict):
        """Stage 1 of Ethernet, ARP and IPv4."""
        def eth(name):
            return field(self.header, ETHERNET, name)

        def arp(name):
            return field(self.header, ARP, name, AT_IP)

        def ip(name):
            return field(self.header, IPV4, name, AT_IP)

        flags = verdict.flags
        is_ip, is_arp = eth("type") == EtherType.IPV4, eth("type") == EtherType.ARP
        m.d.sync += [
            verdict.is_ip.eq(is_ip), verdict.is_arp.eq(is_arp),
            verdict.ip_length.eq(ip("length")),
            verdict.peer.mac.eq(Mux(is_arp, arp("sender_mac"), eth("source"))),
            verdict.peer.ip.eq(Mux(is_arp, arp("sender_ip"), ip("source"))),
            flags.foreign.eq((eth("destination") != self.mac)
                             & (eth("destination") != BROADCAST)),
            flags.type.eq(~is_ip & ~is_arp),
            flags.arp.eq(
                (arp("hardware") != 1) | (arp("protocol") != EtherType.IPV4)
                | (arp("hardware_bytes") != 6) | (arp("protocol_bytes") != 4)
                | (arp("operation") != 1) | (arp("target_ip") != self.ip)),
            flags.ip_header.eq((ip("version") != 4) | (ip("words") != IPV4.size // 4)),
            flags.ip_address.eq(ip("destination") != self.ip),
            flags.fragment.eq(ip("more") | (ip("fragment") != 0)),
            verdict.is_icmp.eq(ip("protocol") == Protocol.ICMP),
            flags.protocol.eq((ip("protocol") != Protocol.ICMP)
                              & (ip("protocol") != Protocol.UDP)),
            flags.icmp.eq((field(self.header, ICMP, "type", AT_UDP) != 8)
                          | (field(self.header, ICMP, "code", AT_UDP) != 0)
                          | (ip("length") < IPV4.size + ICMP.size)),
        ]

    def transport(self, m, verdict):
        """Stage 1 of UDP and BTH; whether the queue pair has another nonce, for stage 4."""
        def udp(name):
            return field(self.header, UDP, name, AT_UDP)

        def bth(name):
            return field(self.header, BTH, name, AT_BTH)

        flags = verdict.flags
        length = field(self.header, IPV4, "length", AT_IP)
        offset, number = Signal(24), Signal(range(self.queues))
        m.d.comb += [offset.eq(bth("queue") - self.queue_base), number.eq(offset)]
        # The low bits are the index of the queue pair, the others its nonce.
        high = offset[len(number):]
        m.submodules.nonces = nonces = memory.Memory(
            shape=len(high), depth=self.queues, init=[])
        write, read = nonces.write_port(), nonces.read_port()
        nonce, other = Signal(len(high)), Signal(3)
        m.d.comb += [
            write.en.eq(self.set), write.addr.eq(self.set_queue), write.data.eq(self.nonce),
            read.addr.eq(number),
        ]
        m.d.sync += [nonce.eq(high), other.eq(Cat(read.data != nonce, other))]
        codes = {name: [op for op in Opcode if getattr(op, name)]
                 for name in ("begins", "ends", "immediate")}
        m.d.sync += [
            verdict.peer.port.eq(udp("source")),
            flags.port.eq(udp("destination") != ROCE_PORT),
            flags.short.eq(length < IPV4.size + UDP.size),
            flags.length.eq((udp("length") + IPV4.size != length) | length[:2].any()
                            | (length < OVERHEAD)),
            flags.transport.eq(bth("version") != 0),
            flags.opcode.eq(~bth("opcode").matches(*Opcode)),
            flags.queue.eq(number >= self.queues),
            verdict.queue.eq(number), verdict.check.eq(self.check.bit_select(number, 1)),
            verdict.psn.eq(bth("psn")),
            verdict.begins.eq(bth("opcode").matches(*codes["begins"])),
            verdict.ends.eq(bth("opcode").matches(*codes["ends"])),
            verdict.has_immediate.eq(bth("opcode").matches(*codes["immediate"])),
            verdict.immediate.eq(field(self.header, IMMEDIATE, "value", HEADER_BYTES)),
            # Until the next stage: the padding.
            verdict.count.eq(bth("pad")),
        ]
        return other[-1]

    def sizes(self, m, verdict):
        """Stages 2 to 4: how long the payload is, and where it lies in the beats."""
        size = self.width // 8
        shift = size.bit_length() - 1
        pad = verdict.count[:2]
        payload, good = Signal(signed(18)), Signal()
        immediate = Signal(2)
        m.d.sync += [
            payload.eq(verdict.ip_length - OVERHEAD - (verdict.has_immediate << 2) - pad),
            good.eq(verdict.ends | (pad == 0)), immediate.eq(Cat(verdict.has_immediate, immediate)),
        ]
        ends = Signal()
        m.d.sync += ends.eq(verdict.ends)
        # 3
        wrong = Signal(2)
        full, reach, count = Signal(17), Signal(17), Signal(range(size + 1))
        starts = [(HEADER_BYTES + extra) % size for extra in (0, IMMEDIATE.size)]
        less, last, partial = Signal(17), Signal(17), Signal()
        m.d.comb += [
            less.eq(Mux(payload > 0, payload - 1, 0)),
            last.eq(payload + Mux(immediate[0], starts[1], starts[0]) - 1),
            partial.eq(payload[:BLOCK.bit_length() - 1].any()),
        ]
        m.d.sync += [
            wrong.eq(Cat(~good | (payload < 0) | (~ends & ((payload <= 0) | partial)), wrong)),
            full.eq(less[shift:]), reach.eq(last[shift:]),
            count.eq(Mux(payload > 0, less[:shift] + 1, 0)),
        ]
        # 4
        steps, tail, count_4 = Signal(16), Signal(), Signal.like(count)
        m.d.sync += [steps.eq(reach), tail.eq(reach != full), count_4.eq(count)]
        return {"payload": wrong[1], "steps": steps, "tail": tail, "count": count_4}

    def checksums(self, m):
        """Stages 1 to 4: IPv4's checksum, and those of the answer to an echo request."""
        def word(n):
            return Cat(self.header[8 * AT_IP + 16 * n + 8:8 * AT_IP + 16 * n + 16],
                       self.header[8 * AT_IP + 16 * n:8 * AT_IP + 16 * n + 8])

        sums = [Signal(18, name=f"sum_{n}") for n in range(4)]
        parts = [range(0, 3), range(3, 6), range(6, 8), range(8, 10)]
        for total, part in zip(sums, parts):
            m.d.sync += total.eq(sum((word(n) for n in part[1:]), word(part[0])))
        total = Signal(20)
        m.d.sync += total.eq((sums[0] + sums[1]) + (sums[2] + sums[3]))
        once = folded(m, total, "once")
        wrong = Signal()
        m.d.sync += wrong.eq((once[:16] + once[16])[:16] != 0xffff)

        # RFC 1624: ~(~checksum + ~old + new). The addresses only change places.
        ttl = field(self.header, IPV4, "ttl", AT_IP)
        new_ip, new_icmp = Signal(18), Signal(18)
        m.d.sync += [
            new_ip.eq((~field(self.header, IPV4, "checksum", AT_IP))[:16]
                      + Cat(C(0xff, 8), (~ttl)[:8]) + (TTL << 8)),
            new_icmp.eq((~field(self.header, ICMP, "checksum", AT_UDP))[:16]
                        + (0xffff - (8 << 8))),
        ]
        answers = []
        for name, value in ("ip", new_ip), ("icmp", new_icmp):
            once_more = folded(m, folded(m, value, f"{name}_once"), f"{name}_twice")
            last = Signal(16, name=f"{name}_checksum")
            m.d.sync += last.eq(~once_more[:16])
            answers.append(last)
        return {"wrong": wrong, "answers": Cat(answers)}
