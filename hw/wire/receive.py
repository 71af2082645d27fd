# SPDX-License-Identifier: Apache-2.0
"""Frames in, messages out."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.layout import Beat
from .counters import Counters
from .header_check import HeaderCheck
from .headers import MAX_FRAME
from .icrc import IcrcCheck
from .intake import Intake
from .judge import Judge
from .layout import WIDTHS, Frame, Owner, Peer, Segment
from .reader import Reader


__all__ = ["SETTLING", "Receive"]


#: Cycles from a header, which is compared with what a queue pair is, until its frame may be dropped
#: because the queue pair is closed.
SETTLING = HeaderCheck.LATENCY + 2


class Receive(wiring.Component):
    """Messages that arrive by RoCEv2 SEND on unreliable connections.

    A frame waits in the buffer until it has been seen as a whole; if anything is wrong with it,
    its CRC too, nothing of it leaves and a counter says why (:class:`.outcome.Outcome`). So beats
    of ``o`` are good once and for all, but a message may still end as ``lost`` because a later
    packet is missing; see :func:`.layout.Segment` and :class:`.sequence.Sequence`.

    Throughput is 1 beat a cycle in and out, also with frames of a single beat; a cycle is lost
    only where a message ends as lost. Answers never hold up messages: if there is no room for one
    the request is dropped.

    Parameters
    ----------
    width : int
        Bits of a beat, 64 or 512.
    queues : int
        Queue pairs, within ``range(2, 257)``.
    buffer : int
        Bytes of the frame buffer, a power of two, at least a frame and a half.
    frames : int
        Frames that may wait in it, a power of two from 16 on.
    echo : int
        Bytes of echo requests that may wait for transmission, a power of two.
    timeout : int
        A message of which no packet comes for 2 ** timeout to 2 ** (timeout + 1) cycles is lost.

    Members
    -------
    i : :py:`In(stream.Signature(Frame(width)))`
    mac, ip : :py:`In(...)`
        Own addresses, the first byte the most significant.
    queue_base : :py:`In(24)`
        Number of the first queue pair without its nonce; the others follow.
    set, set_queue, owner, nonce : :py:`In(...)`
        Strobe: from now on that queue pair is the owner's, and ``nonce`` is added to the number of
        a queue pair above the bits that :py:`range(queues)` needs. It must be closed then, and for
        :data:`SETTLING` cycles. What memory has at first is all zeros: anyone's, whatever number.
    open, check : :py:`In(queues)`
        Queue pairs that are open, and of which the CRC must be right. While a queue is closed its
        packets are dropped, one that is under way, too; a message that is open ends as lost. A
        cycle is enough for that.
    lossy : :py:`In(1)`
        For a MAC that cannot wait: once ``ready`` is high ``i`` always is, and a frame for which
        there is no room is dropped and counted.
    o : :py:`Out(stream.Signature(Segment(width, queues)))`
    o_arp : :py:`Out(stream.Signature(Peer))`
        Who asked for the MAC address.
    o_echo : :py:`Out(stream.Signature(Beat(width)))`
        Frames that answer echo requests.
    index, count
        Of :class:`.counters.Counters`.
    ready : :py:`Out(1)`
        High from 33 cycles after reset on.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    def __init__(self, width=512, queues=16, *, buffer=16384, frames=64, echo=2048, timeout=24):
        if width not in WIDTHS:
            raise ValueError(f"Width must be one of {WIDTHS}, not {width!r}")
        if queues not in range(2, 257):
            raise ValueError(f"Queues must be within range(2, 257), not {queues!r}")
        for name, value, least in (("Buffer", buffer, 3 * MAX_FRAME // 2), ("Frames", frames, 16),
                                   ("Echo", echo, 2 * width // 8)):
            if not isinstance(value, int) or value < least or value & value - 1:
                raise ValueError(f"{name} must be a power of two from {least} on, not {value!r}")
        if not isinstance(timeout, int) or timeout < 1:
            raise ValueError(f"Timeout must be 1 or more, not {timeout!r}")
        self.width, self.queues, self.buffer, self.frames = width, queues, buffer, frames
        self.echo, self.timeout = echo, timeout
        super().__init__({
            "i": In(stream.Signature(Frame(width))),
            "mac": In(48), "ip": In(32), "queue_base": In(24), "open": In(queues),
            "check": In(queues), "set": In(1), "set_queue": In(range(queues)), "owner": In(Owner),
            "nonce": In(24), "lossy": In(1),
            "o": Out(stream.Signature(Segment(width, queues))),
            "o_arp": Out(stream.Signature(Peer)),
            "o_echo": Out(stream.Signature(Beat(width))),
            "index": In(5), "count": Out(32), "ready": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        size = self.width // 8
        m.submodules.intake = intake = Intake(self.width)
        m.submodules.icrc = icrc = IcrcCheck(self.width)
        m.submodules.judge = judge = Judge(self.width, self.queues, timeout=self.timeout,
                                           echo_beats=self.echo // size)
        m.submodules.reader = reader = Reader(
            self.width, self.queues, depth=self.buffer // size, frames=self.frames,
            echo_beats=self.echo // size)
        m.submodules.counters = counters = Counters()
        wiring.connect(m, reader.o, wiring.flipped(self.o))
        wiring.connect(m, reader.o_echo, wiring.flipped(self.o_echo))
        wiring.connect(m, judge.o_arp, wiring.flipped(self.o_arp))
        m.d.comb += [
            intake.i.payload.eq(self.i.payload),
            intake.i.valid.eq(self.i.valid & counters.ready),
            self.i.ready.eq(intake.i.ready & counters.ready),
            intake.lossy.eq(self.lossy), intake.room.eq(reader.room),
            icrc.valid.eq(intake.covered_valid), icrc.i.eq(intake.covered),
            *(getattr(judge, name).eq(getattr(intake, name)) for name in (
                "end_valid", "end", "header_valid", "header")),
            *(getattr(judge, name).eq(getattr(self, name)) for name in (
                "mac", "ip", "queue_base", "open", "check", "set", "set_queue", "owner", "nonce")),
            judge.good.eq(icrc.good), judge.idle.eq(reader.room),
            judge.echo_left.eq(self.o_echo.valid & self.o_echo.ready),
            *(getattr(reader, name).eq(getattr(intake, name)) for name in (
                "accept", "begin", "write", "data")),
            reader.descriptor_valid.eq(judge.o_valid), reader.descriptor.eq(judge.o),
            reader.swept.eq(judge.swept), reader.mac.eq(self.mac), reader.ip.eq(self.ip),
            counters.valid.eq(judge.outcome_valid), counters.outcome.eq(judge.outcome),
            counters.lost.eq(judge.lost), counters.gap.eq(judge.gap),
            counters.index.eq(self.index), self.count.eq(counters.count),
            self.ready.eq(counters.ready),
        ]
        return m
