# SPDX-License-Identifier: Apache-2.0
"""Reads jobs, loads recipes, gives images to the lane."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..image.layout import Recipe
from ..status import Detail, Status
from ..tensor.layout import Elements, TableWrite
from .completion import Completion
from .config import BUS
from .image_lane import ImageJob
from .jobs import JOB, RECIPE, RECIPE_BYTES, Kind
from .read_dma import ReadBeat, ReadRequest


__all__ = ["Dispatcher"]


class Dispatcher(wiring.Component):
    """One job after the other, into free contexts. A recipe is loaded when the lane is idle.

    Parameters
    ----------
    config : CardConfig

    Members
    -------
    start, jobs, count, ready
        Level: a batch is wanted, of ``count`` jobs at that address. ``ready``: strobe, the last of
        them has been given away.
    active, begin, batch
        To :class:`.completion.Completer`.
    request, i : arrays of 2
        To the read DMA: jobs, and recipes.
    idle, o_job, payload : to the lane; ``payload`` is what to read, along with ``o_job``, and
        ``length`` its bytes.
    write, write_valid
        To the tables.
    o : :py:`Out(stream.Signature(Completion))`
        Of jobs that no lane sees.
    """

    def __init__(self, config):
        self.config = config
        n = config.contexts
        super().__init__({
            "start": In(1), "jobs": In(64), "count": In(32), "ready": Out(1),
            "active": In(2), "begin": Out(1), "batch": Out(1),
            "request": Out(stream.Signature(ReadRequest)).array(2),
            "i": In(stream.Signature(ReadBeat)).array(2),
            "idle": In(n), "o_job": Out(stream.Signature(ImageJob(config))),
            "payload": Out(ReadRequest), "length": Out(32),
            "write": Out(TableWrite(config.recipes)), "write_valid": Out(1),
            "o": Out(stream.Signature(Completion)),
        })

    def elaborate(self, platform):
        m = Module()
        r = self.config.recipes
        beat = Signal(512)
        job = {name: Signal(len(field), name=f"job_{name}")
               for name, field in JOB.view(beat).items()}
        m.d.comb += [job[name].eq(field) for name, field in JOB.view(beat).items()]
        images = Array(Signal(Recipe, name=f"image_{k}") for k in range(r))
        elements = Array(Signal(Elements(r), name=f"elements_{k}") for k in range(r))
        loaded = Signal(r)
        left = Signal(32)
        valid_recipe = job["recipe"] < r
        number = Signal(range(r))
        element = Signal(range(3 * 256 + 1))
        table = Signal(512)
        context = Signal(range(self.config.contexts))
        for c in reversed(range(self.config.contexts)):
            with m.If(self.idle[c]):
                m.d.comb += context.eq(c)
        m.d.comb += [
            number.eq(job["recipe"]),
            self.payload.address.eq(job["payload"][6:]),
            self.payload.beats.eq((job["length"] + (BUS - 1)) >> 6),
            self.length.eq(job["length"]),
            self.request[0].p.address.eq(self.jobs[6:]), self.request[0].p.beats.eq(self.count),
            self.request[1].payload.eq(self.payload),
            self.o.p.batch.eq(self.batch), self.o.p.request.eq(job["request"]),
            self.o_job.p.context.eq(context), self.o_job.p.batch.eq(self.batch),
            self.o_job.p.request.eq(job["request"]),
            self.o_job.p.image.eq(images[number]), self.o_job.p.elements.eq(elements[number]),
            self.o_job.p.height.eq(job["height"]), self.o_job.p.width.eq(job["width"]),
            self.o_job.p.result.eq(job["result"]), self.o_job.p.capacity.eq(job["capacity"]),
            self.write.recipe.eq(number), self.write.channel.eq(element[8:]),
            self.write.value.eq(element[:8]), self.write.element.eq(table[:32]),
        ]

        def fail(detail):
            m.d.sync += [self.o.p.status.eq(Status.BAD_JOB), self.o.p.detail.eq(detail)]
            m.next = "Complete"

        with m.FSM():
            with m.State("Idle"):
                with m.If(self.start & ~self.active.bit_select(self.batch, 1)
                          & self.request[0].ready):
                    m.d.comb += [self.begin.eq(1), self.request[0].valid.eq(1)]
                    m.d.sync += left.eq(self.count)
                    m.next = "Next"
            with m.State("Next"):
                with m.If(left == 0):
                    m.d.comb += self.ready.eq(1)
                    m.d.sync += self.batch.eq(~self.batch)
                    m.next = "Idle"
                with m.Else():
                    m.d.comb += self.i[0].ready.eq(1)
                    m.d.sync += beat.eq(self.i[0].p.data)
                    with m.If(self.i[0].valid):
                        m.d.sync += left.eq(left - 1)
                        m.next = "Check"
            with m.State("Check"):
                m.d.sync += [self.o.p.status.eq(Status.OK), self.o.p.detail.eq(Detail.NONE)]
                with m.If((job["kind"] != Kind.LOAD) & (job["kind"] != Kind.IMAGE)):
                    fail(Detail.KIND)
                with m.Elif(~valid_recipe):
                    fail(Detail.RECIPE)
                with m.Elif(job["payload"][:6] != 0):
                    fail(Detail.ALIGNMENT)
                with m.Elif(job["kind"] == Kind.LOAD):
                    m.next = "Load"
                    with m.If(job["length"] != RECIPE_BYTES):
                        fail(Detail.LENGTH)
                with m.Elif(~loaded.bit_select(number, 1)):
                    fail(Detail.RECIPE)
                with m.Elif((job["height"] == 0) != (job["width"] == 0)):
                    fail(Detail.LENGTH)
                with m.Else():
                    m.next = "Image"
            with m.State("Image"):
                m.d.comb += self.o_job.valid.eq(self.idle.any())
                with m.If(self.o_job.valid & self.o_job.ready):
                    m.next = "Next"
            with m.State("Load"):
                with m.If(self.idle.all()):
                    m.d.comb += self.request[1].valid.eq(1)
                    with m.If(self.request[1].ready):
                        m.next = "Header"
            with m.State("Header"):
                m.d.comb += self.i[1].ready.eq(1)
                m.d.sync += element.eq(0)
                field = RECIPE.view(self.i[1].p.data)
                with m.If(self.i[1].valid):
                    m.d.sync += [
                        *(images[number][name].eq(field[name]) for name in (
                            "filter", "rule", "height", "width", "crop_height", "crop_width")),
                        images[number].planar.eq(field["interleaved"] == 0),
                        elements[number].recipe.eq(number),
                        elements[number].element.eq(field["element"]),
                        elements[number].interleaved.eq(field["interleaved"] != 0),
                        elements[number].raw.eq(field["raw"] != 0),
                        loaded.bit_select(number, 1).eq(1),
                    ]
                    m.next = "Beat"
            with m.State("Beat"):
                m.d.sync += table.eq(self.i[1].p.data)
                with m.If(element == 3 * 256):
                    m.next = "Complete"
                with m.Else():
                    m.d.comb += self.i[1].ready.eq(1)
                    with m.If(self.i[1].valid):
                        m.next = "Table"
            with m.State("Table"):
                m.d.comb += self.write_valid.eq(1)
                m.d.sync += [table.eq(table >> 32), element.eq(element + 1)]
                with m.If(element[:4] == 15):
                    m.next = "Beat"
            with m.State("Complete"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "Next"
        return m
