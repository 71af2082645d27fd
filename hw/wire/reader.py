# SPDX-License-Identifier: Apache-2.0
"""The receiver's buffer: frames wait for their verdict, then leave without their headers."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.fifo import Fifo
from ..stream.layout import Beat
from ..stream.register import Register
from .header_check import TTL
from .headers import ETHERNET, HEADER_BYTES, ICMP, IMMEDIATE, IPV4, MAX_FRAME
from .layout import Descriptor, Peer, Segment, field


__all__ = ["Reader"]


class Reader(wiring.Component):
    """Reads frames in the order of their descriptors, one beat a cycle, without gaps.

    A frame that is dropped costs one cycle, however long it is. Payloads are moved to the start
    of a beat: each beat that leaves is made of two that follow each other in the buffer.

    Parameters
    ----------
    width, queues
        Of :class:`.receive.Receive`.
    depth : int
        Beats of the buffer, a power of two.
    frames : int
        Descriptors that may wait, a power of two.
    echo_beats : int
        Beats of echoes that may wait, a power of two.

    Members
    -------
    accept, begin : :py:`In(1)`
        Strobe: a beat is under way to ``write``; it is a frame's first.
    write, data : :py:`In(...)`
        A beat of a frame.
    descriptor_valid, descriptor : :py:`In(...)`
        A frame's verdict, in the order of the frames, not before its last beat was written.
    swept : :py:`In(1)`
        Strobe: a descriptor without a frame is under way.
    room : :py:`Out(1)`
        There is room for a frame and its beats; comes a cycle late.
    mac, ip : :py:`In(...)`
        Own addresses.
    o : :py:`Out(stream.Signature(Segment(width, queues)))`
    o_echo : :py:`Out(stream.Signature(Beat(width)))`
        Answers to echo requests. They never wait for anything but their own room, which whoever
        wrote the descriptor has made sure of.
    """

    def __init__(self, width, queues, *, depth, frames, echo_beats):
        self.width, self.queues, self.depth = width, queues, depth
        self.frames, self.echo_beats = frames, echo_beats
        self.descriptors = Fifo(Descriptor(width, queues), frames)
        super().__init__({
            "accept": In(1), "begin": In(1), "write": In(1), "data": In(width),
            "descriptor_valid": In(1), "descriptor": In(Descriptor(width, queues)),
            "swept": In(1), "room": Out(1),
            "mac": In(48), "ip": In(32),
            "o": Out(stream.Signature(Segment(width, queues))),
            "o_echo": Out(stream.Signature(Beat(width))),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.descriptors = descriptors = self.descriptors
        m.submodules.out = out = Register(self.o.payload.shape())
        m.submodules.echoes = echoes = Fifo(Beat(self.width), self.echo_beats)
        wiring.connect(m, out.o, wiring.flipped(self.o))
        wiring.connect(m, echoes.o, wiring.flipped(self.o_echo))
        m.d.comb += [descriptors.i.valid.eq(self.descriptor_valid),
                     descriptors.i.payload.eq(self.descriptor)]
        go = out.i.ready

        # What each step of reading is for. It goes along with the beat.
        tag = data.StructLayout({
            "emit": 1, "echo": 1, "first": 1, "last": 1, "end": 1, "lost": 1,
            "count": range(self.width // 8 + 1), "index": 3, "queue": range(self.queues),
            "has_immediate": 1, "immediate": 32, "peer": Peer})
        tags = [Signal(tag, name=f"tag_{n}") for n in range(4)]
        address, freed, retired = self.schedule(m, go, descriptors.o, tags[0])
        self.account(m, freed, retired)

        m.submodules.memory = cells = memory.Memory(shape=self.width, depth=self.depth, init=[])
        port, read = cells.write_port(), cells.read_port()
        m.d.comb += [port.en.eq(self.write), port.data.eq(self.data),
                     read.addr.eq(address), read.en.eq(go)]
        with m.If(self.write):
            m.d.sync += port.addr.eq(port.addr + 1)
        later, now = Signal(self.width), Signal(self.width)
        with m.If(go):
            m.d.sync += [later.eq(read.data), now.eq(later)]
            m.d.sync += [new.eq(old) for old, new in zip(tags, tags[1:])]
        self.emit(m, go, tags[3], now, later, out.i, echoes.i)
        return m

    def schedule(self, m, go, frames, tag):
        """One step a cycle: which beat, and what for."""
        size = self.width // 8
        d = frames.p
        base = Signal(range(self.depth))
        step = Signal(range(MAX_FRAME // size))
        cut = Signal()   # the open message has ended
        cutting, final, taken = Signal(), Signal(), Signal()
        starts = [(HEADER_BYTES + extra) // size for extra in (0, IMMEDIATE.size)]
        keep = d.packet | d.echo
        m.d.comb += [
            cutting.eq(d.cut & ~cut), final.eq(~cutting & (~keep | (step == d.steps))),
            taken.eq(go & frames.valid), frames.ready.eq(go & final),
        ]
        with m.If(taken):
            m.d.sync += [cut.eq((cut | cutting) & ~final),
                         step.eq(Mux(cutting | final, 0, step + 1))]
            with m.If(final):
                m.d.sync += base.eq(base + d.beats)
        address, freed = Signal(range(self.depth)), Signal(range(MAX_FRAME // size + 1))
        with m.If(taken & ~cutting):
            m.d.comb += freed.eq(Mux(final, d.beats - step, 1))
        m.d.comb += address.eq(base + step + Mux(
            d.packet, Mux(d.has_immediate, starts[1], starts[0]), 0))

        last_out = Signal()  # nothing is first in the beat of the last step
        m.d.comb += last_out.eq(step == d.steps - d.tail)
        m.d.comb += [
            tag.emit.eq(frames.valid & (cutting | (keep & ~(final & d.tail)))),
            tag.echo.eq(d.echo & ~cutting), tag.index.eq(Mux(step > 7, 7, step)),
            tag.first.eq(d.first & (step == 0) & ~cutting),
            tag.last.eq(cutting | ((d.last | d.echo) & last_out)),
            tag.end.eq(cutting | last_out), tag.lost.eq(cutting),
            tag.count.eq(Mux(cutting, 0, Mux(last_out, d.count, size))),
            tag.queue.eq(d.queue), tag.peer.eq(d.peer), tag.immediate.eq(d.immediate),
            tag.has_immediate.eq(d.has_immediate & ~cutting),
        ]
        return address, freed, taken & final

    def account(self, m, freed, retired):
        """Room, with a margin for what is under way when it ends."""
        used, waiting = Signal(range(self.depth + 1)), Signal(range(self.frames + 1))
        m.d.sync += [
            used.eq(used + self.accept - freed),
            waiting.eq(waiting + self.begin + self.swept - retired),
            self.room.eq((used < self.depth - 3) & (waiting < self.frames - 5)),
        ]

    def emit(self, m, go, tag, now, later, out, echo):
        """Cut the payload out of two beats, or turn a request into an answer."""
        starts = [8 * (HEADER_BYTES + extra) % self.width for extra in (0, IMMEDIATE.size)]
        cuts = [Cat(now[start:], later[:start]) for start in starts]
        o = out.p
        m.d.comb += [
            out.valid.eq(tag.emit & ~tag.echo),
            o.data.eq(Mux(tag.has_immediate, cuts[1], cuts[0])),
            *(o[name].eq(tag[name]) for name in (
                "count", "first", "last", "end", "lost", "queue", "has_immediate", "immediate",
                "peer")),
            echo.valid.eq(go & tag.emit & tag.echo), echo.p.data.eq(now),
            echo.p.count.eq(tag.count), echo.p.last.eq(tag.last),
        ]
        answer = Signal(512)
        at_ip, at_icmp = ETHERNET.size, ETHERNET.size + IPV4.size
        fields = [
            (ETHERNET, 0, "destination", tag.peer.mac), (ETHERNET, 0, "source", self.mac),
            (IPV4, at_ip, "ttl", TTL), (IPV4, at_ip, "checksum", tag.immediate[:16]),
            (IPV4, at_ip, "source", self.ip), (IPV4, at_ip, "destination", tag.peer.ip),
            (ICMP, at_icmp, "type", 0), (ICMP, at_icmp, "checksum", tag.immediate[16:]),
        ]
        for header, at, name, value in fields:
            m.d.comb += field(answer, header, name, at).eq(value)
            for low, end in header.bits(name, at):
                beat, bit = divmod(low, self.width)
                with m.If(tag.index == beat):
                    m.d.comb += echo.p.data[bit:bit + end - low].eq(answer[low:end])
