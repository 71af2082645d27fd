# SPDX-License-Identifier: Apache-2.0
"""The life of one request in the decoder."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..status import Detail, Status
from .markers import Header
from .unstuff import FILL


__all__ = ["Sequencer"]


class Sequencer(wiring.Component):
    """Takes a context through header, scan, tail and last rows, or through an error, to its end.

    Every state has a way out: each thing waited for either comes or is cut short by the end of
    the payload, given that the consumer takes what it is offered.

    Members
    -------
    available, ended : :py:`In(1)`
        A payload has begun; has no more bytes.
    parse, tail : :py:`Out(1)`
        Wants the marker parser. ``parsed`` is its ``done``, with ``status``, ``detail`` and
        ``parsed_header``.
    header : :py:`Out(Header)`
        Valid from ``frame_valid`` on.
    frame_valid, frame_ready, done_valid, done_ready
        Handshakes of the streams that announce the image and end the request.
    scanning, discard, resume
        To the unstuffer. ``stopped``, ``marker``, ``chunk`` (one is waiting) come from it.
    start, kill, restart, active, waiting, stray, mcu_done, last_mcu, last_of_interval, finished,
    error, error_detail
        This context's bits of the entropy decoder.
    overflow : :py:`In(1)`
        Strobe: a block is not exact.
    running : :py:`Out(1)`
        Blocks and rows may move on.
    quiet : :py:`In(1)`
        No row of the context is under way.
    rows_done : :py:`In(1)`
        All rows have been started.
    drain, next, clear : :py:`Out(1)`
        To the byte reader; ``clear`` resets the context everywhere else.
    """

    available: In(1)
    ended: In(1)
    parse: Out(1)
    tail: Out(1)
    parsed: In(1)
    status: In(4)
    detail: In(8)
    parsed_header: In(Header)
    header: Out(Header)
    frame_valid: Out(1)
    frame_ready: In(1)
    done_valid: Out(1)
    done_ready: In(1)
    done_status: Out(4)
    done_detail: Out(8)
    scanning: Out(1)
    discard: Out(1)
    resume: Out(1)
    stopped: In(1)
    marker: In(8)
    tail_marker: Out(8)
    chunk: In(1)
    start: Out(1)
    kill: Out(1)
    restart: Out(1)
    active: In(1)
    waiting: In(1)
    stray: In(1)
    mcu_done: In(1)
    last_mcu: Out(1)
    last_of_interval: Out(1)
    finished: In(1)
    error: In(1)
    error_detail: In(8)
    overflow: In(1)
    running: Out(1)
    quiet: In(1)
    rows_done: In(1)
    drain: Out(1)
    next: Out(1)
    clear: Out(1)

    #: Cycles after which a killed context has left the pipeline up to the row buffers.
    SETTLE = 95

    def elaborate(self, platform):
        m = Module()
        header = self.header

        mcu_x, mcu_y, in_interval = Signal(13), Signal(13), Signal(16)
        number = Signal(3)     # of the next restart marker
        settle = Signal(range(self.SETTLE + 1))
        m.d.comb += [
            self.last_mcu.eq((mcu_x == header.mcus_x) & (mcu_y == header.mcus_y)),
            self.last_of_interval.eq(
                (header.interval != 0) & (in_interval == header.interval - 1)),
        ]
        with m.If(self.mcu_done):
            m.d.sync += [mcu_x.eq(mcu_x + 1), in_interval.eq(in_interval + 1)]
            with m.If(mcu_x == header.mcus_x):
                m.d.sync += [mcu_x.eq(0), mcu_y.eq(mcu_y + 1)]
            with m.If(self.last_of_interval):
                m.d.sync += in_interval.eq(0)

        def end(status, detail):
            m.d.sync += [self.done_status.eq(status), self.done_detail.eq(detail)]

        is_restart, is_fill = self.marker[3:] == 0xd0 >> 3, self.marker == FILL
        truncated = self.stopped & (self.marker == 0)

        with m.FSM():
            with m.State("Idle"):
                m.d.sync += [
                    mcu_x.eq(0), mcu_y.eq(0), in_interval.eq(0), number.eq(0), settle.eq(0),
                    header.eq(0),
                ]
                with m.If(self.available | self.ended):
                    m.next = "Header"

            with m.State("Header"):
                m.d.comb += self.parse.eq(1)
                with m.If(self.parsed):
                    m.d.sync += header.eq(self.parsed_header)
                    end(self.status, self.detail)
                    m.next = "Frame"
                    with m.If(self.status != Status.OK):
                        m.next = "Drain"

            with m.State("Frame"):
                m.d.comb += self.frame_valid.eq(1)
                with m.If(self.frame_ready):
                    m.next = "Start"

            with m.State("Start"):
                m.d.comb += [self.start.eq(~self.active), self.scanning.eq(1),
                             self.running.eq(1)]
                with m.If(self.active):
                    m.next = "Scan"

            with m.State("Scan"):
                m.d.comb += [self.scanning.eq(1), self.running.eq(1)]
                with m.If(self.error):
                    end(Status.CORRUPT, self.error_detail)
                    # What was cut off may have begun with the last bits.
                    with m.If(truncated):
                        end(Status.TRUNCATED, Detail.ENDED)
                    with m.Elif(self.stopped & is_fill & (self.error_detail == Detail.BITS)):
                        end(Status.CORRUPT, Detail.FILL)
                    m.next = "Kill"
                with m.Elif(self.finished):
                    m.next = "Scan end"
                with m.Elif(self.waiting):
                    with m.If(self.stray | self.chunk):
                        end(Status.CORRUPT, Detail.RESTART)
                        m.next = "Kill"
                    with m.Elif(truncated):
                        end(Status.TRUNCATED, Detail.ENDED)
                        m.next = "Kill"
                    with m.Elif(self.stopped):
                        with m.If(is_restart & (self.marker[:3] == number)):
                            m.d.comb += self.resume.eq(1)
                            m.next = "Restart"
                        with m.Else():
                            end(Status.CORRUPT, Mux(is_fill, Detail.FILL, Detail.RESTART))
                            m.next = "Kill"

            with m.State("Restart"):
                m.d.comb += [self.scanning.eq(1), self.running.eq(1),
                             self.restart.eq(self.waiting)]
                with m.If(~self.waiting):
                    m.d.sync += number.eq(number + 1)
                    m.next = "Scan"

            with m.State("Scan end"):
                # Bytes, of whatever kind, and restart markers up to the next other marker do not
                # matter.
                m.d.comb += [self.scanning.eq(1), self.running.eq(1), self.discard.eq(1)]
                with m.If(self.stopped & ~self.chunk):
                    with m.If(is_restart | is_fill):
                        m.d.comb += self.resume.eq(1)
                    with m.Else():
                        m.d.sync += self.tail_marker.eq(self.marker)
                        m.next = "Tail"

            with m.State("Tail"):
                m.d.comb += [self.parse.eq(1), self.tail.eq(1), self.running.eq(1)]
                with m.If(self.parsed):
                    end(self.status, self.detail)
                    m.next = "Rows"

            with m.State("Rows"):
                m.d.comb += self.running.eq(1)
                with m.If(self.rows_done & self.quiet):
                    m.next = "Drain"

            with m.State("Kill"):
                m.d.comb += self.kill.eq(1)
                with m.If(~self.active & (settle != self.SETTLE)):
                    m.d.sync += settle.eq(settle + 1)
                with m.If((settle == self.SETTLE) & self.quiet):
                    m.next = "Drain"

            with m.State("Drain"):
                m.d.comb += self.drain.eq(1)
                with m.If(self.ended):
                    m.next = "Done"

            with m.State("Done"):
                m.d.comb += self.done_valid.eq(1)
                with m.If(self.done_ready):
                    m.d.comb += [self.next.eq(1), self.clear.eq(1)]
                    m.next = "Idle"

        with m.If(self.overflow & (self.running | self.kill)):
            overflowed = Signal()
            m.d.sync += overflowed.eq(1)
        with m.If(self.clear):
            m.d.sync += overflowed.eq(0)
        with m.If(overflowed & self.drain & (self.done_status == Status.OK)):
            end(Status.CORRUPT, Detail.OVERFLOW)
        return m
