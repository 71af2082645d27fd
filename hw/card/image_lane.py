# SPDX-License-Identifier: Apache-2.0
"""The image lane: payloads to rows of tensors."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..image.layout import Recipe
from ..image.plan import Plan
from ..image.raw import RawSource
from ..image.resize import Resize
from ..jpeg.decoder import Decoder
from ..status import Detail, Status
from ..stream.layout import Frame, PayloadWord, PixelWord
from ..stream.register import Register
from ..stream.turns import next_in_turn
from ..tensor.layout import Elements, TableWrite
from ..tensor.packer import RowPacker
from ..tensor.tables import Tables
from .completion import Completion
from .config import BUS
from .row_queue import RowBeat, RowQueue


__all__ = ["ImageJob", "ImageLane"]


def triple(value):
    """Three times a value, by an adder: synthesis would take a multiplier."""
    return value + (value << 1)


def ImageJob(config):
    """What a context has to do; ``width`` and ``height`` are zero for a JPEG file."""
    return data.StructLayout({
        "context": range(config.contexts), "batch": 2, "request": 32, "image": Recipe,
        "elements": Elements(config.recipes), "width": 16, "height": 16, "result": 64,
        "capacity": 32})


class ImageLane(wiring.Component):
    """JPEG files or pixels to tensors, ``contexts`` at a time.

    A job ends when its payload is over and its last row has left. That of a file is, when the
    decoder has seen enough of it. A job that fails is dropped from the resizer.

    Parameters
    ----------
    config : CardConfig

    Members
    -------
    i_job : :py:`In(stream.Signature(ImageJob(config)))`
        Accepted when its context is idle. Its payload may come at once.
    i : :py:`In(stream.Signature(PayloadWord)).array(contexts)`
    fault : :py:`In(contexts)`
        Strobe: the payload is not what the memory holds.
    drop : :py:`Out(contexts)`
        Level: nothing more of the payload is wanted, until ``dropped``.
    dropped : :py:`In(contexts)`
        Nothing more of it will come, if it has been wanted no more for a cycle.
    failed : :py:`In(1)`
        Of :class:`.write_dma.WriteDma`: results that are under way may not be in memory.
    idle : :py:`Out(contexts)`
    active : :py:`Out(1)`
        There is something to do, or in a moment there will be nothing more.
    write, write_valid
        See :class:`..tensor.tables.Tables`.
    o : :py:`Out(stream.Signature(RowBeat(contexts, port)))`
        If there are other image lanes, without pauses up to ``last``.
    o_completion : :py:`Out(stream.Signature(Completion))`
        Offered when the job's last beat has been taken.
    symbol, starved, stalled, pixel_word : :py:`Out(1)`
        Strobes of the decoder.
    """

    def __init__(self, config):
        self.config = config
        n = config.contexts
        super().__init__({
            "i_job": In(stream.Signature(ImageJob(config))),
            "i": In(stream.Signature(PayloadWord)).array(n),
            "fault": In(n), "drop": Out(n), "dropped": In(n), "failed": In(1), "idle": Out(n),
            "active": Out(1),
            "write": In(TableWrite(config.recipes)), "write_valid": In(1),
            "o": Out(stream.Signature(RowBeat(n, config.port))),
            "o_completion": Out(stream.Signature(Completion)),
            "symbol": Out(1), "starved": Out(1), "stalled": Out(1), "pixel_word": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        n = self.config.contexts
        m.submodules.decoder = decoder = Decoder(
            n, self.config.max_width, self.config.lines, self.config.turns, self.config.pixels)
        m.submodules.raw = raw = RawSource(n, self.config.pixels)
        m.submodules.resize = resize = Resize(n, **self.config.resize)
        m.submodules.plan = plan = Plan(resize.geometry)
        m.submodules.tables = tables = Tables(n, self.config.recipes, self.config.pixels)
        m.submodules.packer = packer = RowPacker(n, self.config.port, tables.size)

        self._jobs = [Signal(ImageJob(self.config), name=f"job_{c}") for c in range(n)]
        # Of each context: there is a job; it is given as pixels; its size is with the planner; it
        # has a plan; it was refused one; its source is through; its payload has been taken.
        (self._busy, self._pixels, self._pending, self._planned, self._refused, self._over,
         self._drained) = (Signal(n, name=name) for name in (
             "busy", "pixels", "pending", "planned", "refused", "over", "drained"))
        self._status = [Signal(4, name=f"status_{c}") for c in range(n)]
        self._detail = [Signal(8, name=f"detail_{c}") for c in range(n)]
        self._bytes = Array(Signal(32, name=f"bytes_{c}") for c in range(n))
        self._size = Array(Signal(data.StructLayout({"height": 16, "width": 16}),
                                  name=f"size_{c}") for c in range(n))

        self._sources(m, decoder, raw, resize)
        self._plans(m, decoder, plan, resize, packer)
        self._results(m, resize, tables, packer)
        self._ends(m, decoder, raw, resize, packer)
        m.d.comb += [
            self.idle.eq(~self._busy),
            self.active.eq(self._busy.any() | self.i_job.valid | Cat(i.valid for i in self.i).any()
                           | self.write_valid | self.o.valid | self.o_completion.valid),
            self.i_job.ready.eq(self.idle.bit_select(self.i_job.p.context, 1)),
            self.symbol.eq(decoder.symbol), self.starved.eq(decoder.starved),
            self.stalled.eq(decoder.stalled),
            self.pixel_word.eq(decoder.o.valid & decoder.o.ready),
        ]
        return m

    def _accepted(self, c):
        return self.i_job.valid & self.i_job.ready & (self.i_job.p.context == c)

    def _sources(self, m, decoder, raw, resize):
        """Payloads to the decoder or the raw source, pixels of both to the resizer."""
        for c in range(self.config.contexts):
            # Whether a word is taken depends on much, and much on that.
            m.submodules[f"words_{c}"] = words = Register(PayloadWord)
            wiring.connect(m, wiring.flipped(self.i[c]), words.i)
            given = words.o
            files = stream.Signature(PayloadWord).create()
            self._link(m, f"files_{c}", files, decoder.i[c])
            cut, fed = Signal(name=f"cut_{c}"), Signal(name=f"fed_{c}")
            pixels, failed = self._pixels[c], self._refused[c]
            with m.If(pixels):
                m.d.comb += given.ready.eq(raw.i[c].ready)
            with m.Elif(cut):
                # What a file still holds need not be read, nor decoded if it was refused: to the
                # decoder it ends here.
                m.d.comb += [given.ready.eq(1), self.drop[c].eq(~self._drained[c])]
            with m.Else():
                m.d.comb += given.ready.eq(files.ready)
            m.d.comb += [
                raw.i[c].payload.eq(given.payload), raw.i[c].valid.eq(given.valid & pixels),
                files.payload.eq(given.payload), files.valid.eq(given.valid & ~pixels),
                raw.start[c].eq(self._accepted(c) & (self.i_job.p.width != 0)),
                raw.width[c].eq(self._jobs[c].width), raw.height[c].eq(self.i_job.p.height),
                raw.grant[c].eq(resize.room[c] | failed),
                decoder.grant[c].eq(resize.room[c] | failed | cut),
            ]
            with m.If(cut):
                m.d.comb += [
                    files.payload.eq(0), files.p.last.eq(1), files.valid.eq(~fed),
                ]
            with m.If(files.valid & files.ready & files.p.last):
                m.d.sync += fed.eq(1)
            with m.If((failed | decoder.drop[c]) & ~pixels & (~files.valid | files.ready)):
                m.d.sync += cut.eq(1)
            with m.If((given.valid & given.ready & given.p.last)
                      | (self.drop[c] & self.dropped[c])):
                m.d.sync += self._drained[c].eq(1)
            with m.If(self._accepted(c)):
                m.d.sync += [cut.eq(0), fed.eq(0), self._drained[c].eq(0)]

        word = Signal(PixelWord(self.config.contexts, self.config.pixels))
        valid, turn = Signal(), Signal()
        # A word that waits may be of a context whose job has ended: nothing begins there yet.
        self._occupied = Signal(self.config.contexts)
        m.d.comb += self._occupied.eq(valid << word.context)
        use_raw = Signal()
        m.d.comb += [
            use_raw.eq(raw.o.valid & (turn | ~decoder.o.valid)),
            resize.i.valid.eq(valid), resize.i.payload.eq(word),
        ]
        with m.If(~valid | resize.i.ready):
            m.d.comb += [decoder.o.ready.eq(~use_raw), raw.o.ready.eq(use_raw)]
            m.d.sync += [
                valid.eq(decoder.o.valid | raw.o.valid), turn.eq(~use_raw),
                word.eq(Mux(use_raw, raw.o.payload, decoder.o.payload)),
            ]

    def _plans(self, m, decoder, plan, resize, packer):
        """Sizes to plans, in turns; then where rows go, and whether there is room."""
        n = self.config.contexts
        announced = Signal(n)   # pixels whose size has not been sent
        files, wants = Signal(n), Signal(n)
        file, jobs = decoder.o_frame, Array(self._jobs)
        frame, turn = Signal(Frame(n)), Signal(range(n))
        valid, sent, is_file = Signal(), Signal(), Signal()
        m.d.comb += [
            plan.i.valid.eq(valid), plan.i.payload.eq(frame),
            files.eq(file.valid << file.p.context), wants.eq(announced | files),
            sent.eq(wants.bit_select(turn, 1)), is_file.eq(files.bit_select(turn, 1)),
        ]
        # Chosen a cycle before: what wants to be sent does so until it is.
        m.d.sync += turn.eq(next_in_turn(m, wants, frame.context, "size"))
        with m.If(~valid | plan.i.ready):
            m.d.comb += file.ready.eq(is_file)
            m.d.sync += valid.eq(sent)
            with m.If(sent):
                m.d.sync += [
                    frame.context.eq(turn),
                    frame.width.eq(Mux(is_file, file.p.width, jobs[turn].width)),
                    frame.height.eq(Mux(is_file, file.p.height, jobs[turn].height)),
                    announced.bit_select(turn, 1).eq(0),
                    self._pending.bit_select(turn, 1).eq(1),
                ]
        for c in range(n):
            m.d.comb += plan.recipe[c].eq(self._jobs[c].image)
            with m.If(self._accepted(c)):
                m.d.sync += [
                    announced[c].eq(self.i_job.p.width != 0),
                    self._pixels[c].eq(self.i_job.p.width != 0),
                    self._pending[c].eq(self.i_job.p.width != 0),
                ]

        context = plan.o.p.context
        elements = Signal(Elements(self.config.recipes))
        job = Signal(ImageJob(self.config))
        row = Signal(20)        # bytes of a row
        plane = Signal(36)      # bytes of a plane, or of all
        total = Signal(38)
        m.d.comb += elements.eq(job.elements)
        m.d.comb += [
            resize.i_plan.payload.eq(plan.o.payload),
            packer.stride.eq(row),
            packer.address[0].eq(job.result), packer.address[1].eq(job.result + plane),
            packer.address[2].eq(job.result + (plane << 1)),
        ]

        def refuse(status, detail):
            m.d.comb += plan.o.ready.eq(1)
            m.d.sync += [self._pending.bit_select(context, 1).eq(0),
                         self._refused.bit_select(context, 1).eq(1)]
            for c in range(n):
                with m.If(context == c):
                    m.d.sync += [self._status[c].eq(status), self._detail[c].eq(detail)]

        with m.FSM():
            with m.State("Idle"):
                m.d.sync += job.eq(jobs[context])
                with m.If(plan.o.valid):
                    m.next = "Row"
            with m.State("Row"):
                m.d.sync += row.eq(Mux(elements.interleaved, triple(plan.o.p.width), plan.o.p.width)
                                   << elements.element)
                with m.If(plan.o.p.status != Status.OK):
                    refuse(plan.o.p.status, plan.o.p.detail)
                    m.next = "Idle"
                with m.Else():
                    m.next = "Plane"
            with m.State("Plane"):
                m.d.sync += plane.eq(row * plan.o.p.height)
                m.next = "Total"
            with m.State("Total"):
                m.d.sync += total.eq(Mux(elements.interleaved, plane, triple(plane)))
                m.next = "Room"
            with m.State("Room"):
                with m.If(total > job.capacity):
                    refuse(Status.NO_ROOM, Detail.CAPACITY)
                    m.next = "Idle"
                with m.Elif(~self._occupied.bit_select(context, 1)):
                    m.next = "Begin"
            with m.State("Begin"):
                m.d.comb += [resize.i_plan.valid.eq(1), plan.o.ready.eq(resize.i_plan.ready)]
                with m.If(resize.i_plan.ready):
                    m.d.comb += packer.start.eq(1 << context)
                    m.d.sync += [
                        self._pending.bit_select(context, 1).eq(0),
                        self._planned.bit_select(context, 1).eq(1),
                        self._bytes[context].eq(total),
                        self._size[context].eq(Cat(plan.o.p.height, plan.o.p.width)),
                    ]
                    m.next = "Idle"

    def _results(self, m, resize, tables, packer):
        """Rows to beats; counts rows under way."""
        self._link(m, "pixels", resize.o, tables.i)
        # Chunks are cut into pieces: whether one is taken is late.
        self._link(m, "chunks", tables.o, packer.i)
        if self.config.image_lanes > 1:
            m.submodules.queue = queue = RowQueue(self.config.contexts, self.config.port)
            wiring.connect(m, packer.o, queue.i)
            wiring.connect(m, queue.o, wiring.flipped(self.o))
        else:
            # Whether a piece of a chunk is taken depends on those who share the port.
            beats = stream.Signature(packer.o.payload.shape()).create()
            self._link(m, "beats", packer.o, beats)
            m.d.comb += [
                self.o.valid.eq(beats.valid), beats.ready.eq(self.o.ready),
                *(self.o.p[name].eq(beats.p[name]) for name in beats.p.shape().members),
                self.o.p.last.eq(beats.p.end),
            ]
        m.d.comb += [tables.write.eq(self.write), tables.write_valid.eq(self.write_valid)]
        inside = Signal()
        entered = resize.o.valid & resize.o.ready
        with m.If(entered):
            m.d.sync += inside.eq(~resize.o.p.row_last)
        left = self.o.valid & self.o.ready & self.o.p.end
        self._rows = [Signal(7, name=f"rows_{c}") for c in range(self.config.contexts)]
        for c, rows in enumerate(self._rows):
            m.d.comb += [tables.config[c].eq(self._jobs[c].elements),
                         tables.width[c].eq(self._size[c].width)]
            m.d.sync += rows.eq(rows + (entered & ~inside & (resize.o.p.context == c))
                                - (left & (self.o.p.context == c)))

    def _link(self, m, name, i, o):
        """Connect a stream: by a register if the memory port is narrow, for then the part is a
        slow one."""
        if self.config.port < 8 * BUS:
            m.submodules[name] = register = Register(i.payload.shape())
            wiring.connect(m, i, register.i)
            i = register.o
        m.d.comb += [o.payload.eq(i.payload), o.valid.eq(i.valid), i.ready.eq(o.ready)]

    def _ends(self, m, decoder, raw, resize, packer):
        """Jobs begin and end."""
        n = self.config.contexts
        now = Signal(32)
        m.d.sync += now.eq(now + 1)
        aborts, settled = Signal(n), Signal(n)
        # A size that still waits was announced before.
        m.d.comb += decoder.o_done.ready.eq(
            ~(decoder.o_frame.valid & (decoder.o_frame.p.context == decoder.o_done.p.context)))
        abort = Signal(range(n))
        abort_valid = Signal()
        m.d.comb += [resize.i_abort.valid.eq(abort_valid), resize.i_abort.payload.eq(abort)]
        with m.If(~abort_valid):
            m.d.sync += abort_valid.eq(aborts.any())
            for c in reversed(range(n)):
                with m.If(aborts[c]):
                    m.d.sync += abort.eq(c)
        with m.Elif(resize.i_abort.ready):
            m.d.sync += abort_valid.eq(0)

        out = self.o_completion
        with m.If(~out.valid | out.ready):
            m.d.sync += out.valid.eq(settled.any())
        for c in range(n):
            job, status, detail = self._jobs[c], self._status[c], self._detail[c]
            faulted = Signal(name=f"faulted_{c}")
            started = Signal(32, name=f"started_{c}")

            def end(value, reason, c=c, status=status, detail=detail):
                m.d.sync += self._over[c].eq(1)
                with m.If(~self._refused[c] & (status == Status.OK)):
                    m.d.sync += [status.eq(value), detail.eq(reason)]

            with m.If(decoder.o_done.valid & decoder.o_done.ready
                      & (decoder.o_done.p.context == c)):
                end(decoder.o_done.p.status, decoder.o_done.p.detail)
            with m.If(self._busy[c] & self._pixels[c] & raw.done[c] & ~self._over[c]):
                end(Mux(raw.short[c], Status.BAD_JOB, Status.OK),
                    Mux(raw.short[c], Detail.LENGTH, Detail.NONE))
            with m.If(self.fault[c] | self.failed):
                m.d.sync += faulted.eq(1)
            m.d.comb += [
                aborts[c].eq(self._busy[c] & self._over[c] & (status != Status.OK)
                             & self._planned[c] & ~resize.idle[c]),
                settled[c].eq(self._busy[c] & self._over[c] & self._drained[c] & ~self._pending[c]
                              & (~self._planned[c]
                                 | (resize.idle[c] & (self._rows[c] == 0)))),
            ]
            before = settled[:c].any() if c else C(0, 1)
            with m.If(settled[c] & ~before & (~out.valid | out.ready)):
                m.d.sync += [
                    self._busy[c].eq(0),
                    out.p.batch.eq(job.batch), out.p.request.eq(job.request),
                    out.p.cycles.eq(now - started),
                    out.p.status.eq(status), out.p.detail.eq(detail),
                    out.p.bytes.eq(0), out.p.height.eq(0), out.p.width.eq(0),
                ]
                with m.If(faulted | self.failed):
                    m.d.sync += [out.p.status.eq(Status.BAD_JOB), out.p.detail.eq(Detail.BUS)]
                with m.Elif((status == Status.OK) & resize.tie[c]):
                    m.d.sync += [out.p.status.eq(Status.UNSUPPORTED), out.p.detail.eq(Detail.TIE)]
                with m.Elif(status == Status.OK):
                    m.d.sync += [
                        out.p.bytes.eq(self._bytes[c]), out.p.height.eq(self._size[c].height),
                        out.p.width.eq(self._size[c].width),
                    ]
            with m.If(self._accepted(c)):
                m.d.sync += [
                    job.eq(self.i_job.payload), self._busy[c].eq(1), started.eq(now),
                    self._planned[c].eq(0), self._refused[c].eq(0), self._over[c].eq(0),
                    faulted.eq(0), status.eq(Status.OK), detail.eq(Detail.NONE),
                ]
