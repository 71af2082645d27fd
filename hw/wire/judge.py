# SPDX-License-Identifier: Apache-2.0
"""Decides what becomes of each frame."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.delay import Delay
from ..stream.fifo import Fifo
from .header_check import HeaderCheck, Verdict
from .headers import ARP, ETHERNET, IPV4, MIN_FRAME
from .icrc import IcrcCheck
from .intake import FrameEnd
from .layout import Descriptor, Owner, Peer
from .outcome import Outcome
from .owners import Owners
from .sequence import Sequence


__all__ = ["Judge"]


class Judge(wiring.Component):
    """Brings together headers, lengths, CRC, owners and sequence; one frame a cycle.

    Parameters
    ----------
    width, queues, timeout
        Of :class:`.receive.Receive`.
    echo_beats : int
        Beats of echoes that may wait for transmission.

    Members
    -------
    end_valid, end, header_valid, header : :py:`In(...)`
        Of :class:`.intake.Intake`; the CRC is given to ``good``.
    good : :py:`In(1)`
        Of :class:`.icrc.IcrcCheck`.
    set, set_queue, owner, nonce : :py:`In(...)`
        Of :class:`.receive.Receive`.
    o_valid, o : :py:`Out(...)`
        Strobe: a descriptor. There must be room for it.
    outcome_valid, outcome : :py:`Out(...)`
        Strobe: a frame's outcome.
    lost, gap : :py:`Out(1)`
        Strobes, for the counters of that name.
    idle : :py:`In(1)`
        There is room for a descriptor that no frame asked for.
    swept : :py:`Out(1)`
        Strobe, at least a cycle before it: such a descriptor comes.
    echo_left : :py:`In(1)`
        Strobe: a beat of an echo has been transmitted.
    o_arp : :py:`Out(stream.Signature(Peer))`
        Who asked for the MAC address.
    """

    #: ARP requests that may wait for their answers.
    REQUESTS = 4
    #: What the headers are compared with.
    HEADERS = "mac", "ip", "queue_base", "check", "set", "set_queue", "nonce"

    def __init__(self, width, queues, *, timeout, echo_beats):
        self.width, self.queues = width, queues
        self.timeout, self.echo_beats = timeout, echo_beats
        self.check_headers = HeaderCheck(width, queues)
        super().__init__({
            "end_valid": In(1), "end": In(FrameEnd(width)),
            "header_valid": In(1), "header": In(self.check_headers.header.shape()),
            "good": In(1),
            **{name: In(getattr(self.check_headers, name).shape())
               for name in self.HEADERS},
            "open": In(queues), "owner": In(Owner),
            "o_valid": Out(1), "o": Out(Descriptor(width, queues)),
            "outcome_valid": Out(1), "outcome": Out(5), "lost": Out(1), "gap": Out(1),
            "idle": In(1), "swept": Out(1), "echo_left": In(1),
            "o_arp": Out(stream.Signature(Peer)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.headers = headers = self.check_headers
        m.d.comb += [headers.valid.eq(self.header_valid), headers.header.eq(self.header),
                     *(getattr(headers, name).eq(getattr(self, name))
                       for name in self.HEADERS)]

        # The last frame's verdict is held until its end has come the same way. The header is
        # there one cycle behind the end at the latest.
        held = Signal(Verdict(self.width, self.queues))
        # Its queue pair is closed, or was for a while since.
        closed, shut = Signal(), Signal()
        m.d.comb += closed.eq(shut | ~self.open.bit_select(held.queue, 1))
        m.d.sync += shut.eq(closed)
        with m.If(headers.o_valid):
            m.d.sync += [held.eq(headers.o), shut.eq(0)]
        cycles = 1 + HeaderCheck.LATENCY + 1
        assert cycles == IcrcCheck.LATENCY + 1
        m.submodules.delay = delay = Delay(self.end.shape(), cycles)
        strobes = Signal(cycles)
        m.d.comb += [delay.enable.eq(1), delay.i.eq(self.end)]
        m.d.sync += strobes.eq(Cat(self.end_valid, strobes))

        # 1: every reason
        reasons = self.reasons(held, delay.o, closed)
        wrong = Signal(len(reasons))
        first_valid, verdict, end = Signal(), Signal(held.shape()), Signal(self.end.shape())
        m.d.sync += [first_valid.eq(strobes[-1]), verdict.eq(held), end.eq(delay.o),
                     wrong.eq(Cat(flag for flag, _ in reasons))]
        self.own(m, held, verdict, first_valid & ~wrong.any())
        # 2: the first reason, and the descriptor
        second_valid, code = Signal(), Signal(5)
        descriptor, psn, begins, ends = Signal(self.o.shape()), Signal(24), Signal(), Signal()
        m.d.sync += [second_valid.eq(first_valid),
                     code.eq(Mux(verdict.is_arp, Outcome.ARP_ANSWERED, Mux(
                         verdict.is_icmp, Outcome.ECHO_ANSWERED, Outcome.PACKET)))]
        for n, (_, outcome) in reversed(list(enumerate(reasons))):
            with m.If(wrong[n]):
                m.d.sync += code.eq(outcome)
        self.describe(m, descriptor, verdict, end)
        absent = Signal()
        m.d.sync += [absent.eq(end.absent), psn.eq(verdict.psn), begins.eq(verdict.begins),
                     ends.eq(verdict.ends)]
        # 3: what depends on the frames before
        self.conclude(m, second_valid, code, descriptor, absent, psn, begins, ends)
        return m

    def own(self, m, held, verdict, right):
        """Stage 2: whether the packet of stage 1 comes from the owner of its queue pair."""
        # Only if a frame is one beat do packets follow each other.
        m.submodules.owners = self.owners = owners = Owners(
            self.queues, adjacent=8 * MIN_FRAME <= self.width)
        m.d.comb += [
            *(getattr(owners, name).eq(getattr(self, name)) for name in (
                "set", "set_queue", "owner", "open")),
            owners.queue.eq(held.queue), owners.peer.eq(verdict.peer), owners.psn.eq(verdict.psn),
            owners.begins.eq(verdict.begins),
            owners.right.eq(right & verdict.is_ip & ~verdict.is_icmp),
        ]

    def reasons(self, held, end, closed):
        """Pairs of a flag and an outcome, the most important first."""
        f = held.flags
        ip, arp = held.is_ip, held.is_arp
        udp = ip & ~held.is_icmp
        short = ((end.length < ETHERNET.size)
                 | (ip & (end.length < ETHERNET.size + IPV4.size))
                 | (arp & (end.length < ETHERNET.size + ARP.size)))
        return [
            (end.overflow, Outcome.OVERFLOW), (end.error, Outcome.DAMAGED),
            (end.long, Outcome.TOO_LONG), (short, Outcome.RUNT), (f.foreign, Outcome.FOREIGN),
            (f.type, Outcome.TYPE), (arp & f.arp, Outcome.ARP),
            (ip & f.ip_header, Outcome.IP_HEADER), (ip & f.ip_checksum, Outcome.IP_CHECKSUM),
            (ip & f.ip_address, Outcome.IP_ADDRESS), (ip & f.fragment, Outcome.FRAGMENT),
            (ip & (held.ip_length + ETHERNET.size > end.length), Outcome.TRUNCATED),
            (ip & f.protocol, Outcome.PROTOCOL), (ip & held.is_icmp & f.icmp, Outcome.ICMP),
            (udp & f.short, Outcome.LENGTH), (udp & f.port, Outcome.PORT),
            (udp & f.length, Outcome.LENGTH), (udp & f.transport, Outcome.TRANSPORT),
            (udp & f.opcode, Outcome.OPCODE), (udp & f.payload, Outcome.LENGTH),
            (udp & (f.queue | closed), Outcome.QUEUE),
            (udp & held.check & ~self.good, Outcome.ICRC),
        ]

    def describe(self, m, descriptor, verdict, end):
        """The frame in the buffer; ``packet`` and ``echo`` are decided later."""
        shift = (self.width // 8).bit_length() - 1
        final = (end.length - 1)[:len(end.length)]
        m.d.sync += [
            descriptor.beats.eq(end.beats), descriptor.queue.eq(verdict.queue),
            descriptor.peer.eq(verdict.peer),
            descriptor.immediate.eq(Mux(verdict.has_immediate | verdict.is_icmp,
                                        verdict.immediate, 0)),
            descriptor.has_immediate.eq(verdict.has_immediate),
            descriptor.first.eq(verdict.begins), descriptor.last.eq(verdict.ends),
            descriptor.steps.eq(verdict.steps), descriptor.tail.eq(verdict.tail),
            descriptor.count.eq(verdict.count),
        ]
        with m.If(verdict.is_icmp):
            m.d.sync += [
                descriptor.steps.eq(final[shift:]), descriptor.tail.eq(0),
                descriptor.has_immediate.eq(0), descriptor.count.eq(final[:shift] + 1),
            ]

    def conclude(self, m, valid, code, descriptor, absent, psn, begins, ends):
        """Stage 3: sequence numbers, and room for answers."""
        m.submodules.sequence = sequence = Sequence(self.queues, timeout=self.timeout)
        m.submodules.requests = requests = Fifo(Peer, self.REQUESTS)
        wiring.connect(m, requests.o, wiring.flipped(self.o_arp))
        waiting = Signal(range(self.echo_beats + 1))
        fits = Signal()
        packet, echo, arp = (Signal(name=name) for name in ("packet", "echo", "arp"))
        owners, owned = self.owners, Signal()
        m.d.comb += [
            packet.eq(valid & (code == Outcome.PACKET)),
            owned.eq(packet & ~owners.stranger & ~owners.unowned),
            *(getattr(sequence, name).eq(getattr(owners, name)) for name in (
                "window", "astray", "missed")),
            echo.eq(valid & (code == Outcome.ECHO_ANSWERED)),
            arp.eq(valid & (code == Outcome.ARP_ANSWERED)),
            sequence.valid.eq(owned), sequence.queue.eq(descriptor.queue),
            sequence.psn.eq(psn), sequence.begins.eq(begins), sequence.ends.eq(ends),
            sequence.open.eq(self.open), sequence.sweep.eq(self.idle & ~valid),
            requests.i.valid.eq(arp), requests.i.payload.eq(descriptor.peer),
            # What leaves: the buffer may have a last beat without bytes, too.
            fits.eq(waiting + descriptor.steps < self.echo_beats),
            self.swept.eq(sequence.swept),
        ]
        m.d.sync += [
            waiting.eq(waiting + Mux(echo & fits, descriptor.steps + 1, 0) - self.echo_left),
            self.o_valid.eq((valid & ~absent) | sequence.swept), self.o.eq(descriptor),
            self.o.packet.eq(owned & sequence.good), self.o.echo.eq(echo & fits),
            self.o.cut.eq(sequence.cut | sequence.swept),
            self.outcome_valid.eq(valid), self.outcome.eq(code),
            self.lost.eq(sequence.cut | sequence.swept), self.gap.eq(sequence.gap),
        ]
        with m.If(packet & owners.stranger):
            m.d.sync += self.outcome.eq(Outcome.STRANGER)
        with m.Elif(owned & sequence.far):
            m.d.sync += self.outcome.eq(Outcome.FAR)
        with m.Elif(packet & ~(owned & sequence.good)):
            m.d.sync += self.outcome.eq(Outcome.SEQUENCE)
        with m.If((echo & ~fits) | (arp & ~requests.i.ready)):
            m.d.sync += self.outcome.eq(Outcome.BUSY)
        with m.If(~valid):
            m.d.sync += [self.o.beats.eq(0), self.o.queue.eq(sequence.swept_queue)]
