# SPDX-License-Identifier: Apache-2.0
"""Reads jobs and gives them to the lanes."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..status import Detail, Status
from ..tensor.layout import TableWrite
from .blocks import BlockReader
from .completion import NETWORK, Completion
from .config import BUS, beat_bits
from .image_lane import ImageJob
from .jobs import JOB, RECIPE_BYTES, TABLE_RECORD_BYTES, Kind
from .read_dma import ReadBeat, ReadRequest
from .recipes import Recipes, TextTableWrite
from .text_lane import TextJob


__all__ = ["Dispatcher"]


class Dispatcher(wiring.Component):
    """One job after the other: images into free contexts, texts into text lanes that have room.

    Jobs of a batch, and images and texts of the network, take turns. Images go to the lane with the
    fewest of them first. A recipe or a table is loaded when the lanes that might use it are idle.

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
    i_job : :py:`In(stream.Signature(512)).array(2)`
        Jobs of the network, if there is one: each a :data:`.jobs.JOB`; texts are the second.
    request, i : arrays of 2
        To the read DMA: jobs, and recipes.
    idle : :py:`In(contexts).array(image_lanes)`
    text_idle : :py:`In(text_lanes)`
    o_image : :py:`Out(stream.Signature(ImageJob(config))).array(image_lanes)`
    o_text : :py:`Out(stream.Signature(TextJob)).array(text_lanes)`
    payload, length : :py:`Out(...)`
        What to read, along with a job, and its bytes.
    write, write_valid, text_write, text_write_valid
        To the tables of the lanes.
    o : :py:`Out(stream.Signature(Completion))`
        Of jobs that no lane sees.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            "start": In(1), "jobs": In(64), "count": In(32), "ready": Out(1),
            "active": In(2), "begin": Out(1), "batch": Out(1),
            "request": Out(stream.Signature(ReadRequest(config.port))).array(2),
            "i": In(stream.Signature(ReadBeat(config.port))).array(2),
            "idle": In(config.contexts).array(config.image_lanes),
            "text_idle": In(config.text_lanes),
            "o_image": Out(stream.Signature(ImageJob(config))).array(config.image_lanes),
            "o_text": Out(stream.Signature(TextJob)).array(config.text_lanes),
            "payload": Out(ReadRequest(config.port)), "length": Out(32),
            "write": Out(TableWrite(config.recipes)), "write_valid": Out(1),
            "text_write": Out(TextTableWrite), "text_write_valid": Out(1),
            "o": Out(stream.Signature(Completion)),
            **({"i_job": In(stream.Signature(8 * BUS)).array(2)} if config.wire else {}),
        })

    def elaborate(self, platform):
        m = Module()
        port = self.config.port
        size, shift = port // 8, beat_bits(BUS * 8) - beat_bits(port)
        self._jobs = self._gathered(m, "jobs", self.i[0], 8 * BUS)
        width = max(port, 8 * TABLE_RECORD_BYTES)
        m.submodules.recipes = recipes = Recipes(self.config.recipes, width)
        beat, error = Signal(8 * BUS), Signal()
        source, network, job_batch = Signal(range(3)), Signal(), Signal(2)
        job = {name: Signal(len(field), name=f"job_{name}")
               for name, field in JOB.view(beat).items()}
        m.d.comb += [job[name].eq(field) for name, field in JOB.view(beat).items()]
        wiring.connect(m, self._gathered(m, "recipe", self.i[1], width), recipes.i)
        m.d.comb += [
            recipes.number.eq(job["recipe"]), recipes.kind.eq(job["kind"]),
            recipes.length.eq(job["length"]),
            self.write.eq(recipes.write), self.write_valid.eq(recipes.write_valid),
            self.text_write.eq(recipes.text_write),
            self.text_write_valid.eq(recipes.text_write_valid),
            self.payload.address.eq(Cat(C(0, shift), job["payload"][6:])),
            self.payload.beats.eq((job["length"] + (size - 1)) >> beat_bits(port)),
            self.length.eq(job["length"]),
            self.request[0].p.address.eq(Cat(C(0, shift), self.jobs[6:])),
            self.request[0].p.beats.eq(Cat(C(0, shift), self.count)),
            self.request[1].payload.eq(self.payload),
            network.eq(source != 0), job_batch.eq(Mux(network, NETWORK, self.batch)),
            self.o.p.batch.eq(job_batch), self.o.p.request.eq(job["request"]),
        ]
        image, image_taken = self._images(m, job, job_batch, recipes)
        text, text_taken = self._texts(m, job, job_batch, recipes)
        lanes_idle = Signal()
        m.d.comb += lanes_idle.eq(Mux(job["kind"] == Kind.LOAD,
                                      Cat(idle.all() for idle in self.idle).all(),
                                      self.text_idle.all()))
        # Jobs of a batch that is not over; whether there are some.
        left, some, running = Signal(32), Signal(), Signal()
        wants, pick = self._sources(m, source, running & some)

        def fail(detail):
            m.d.sync += [self.o.p.status.eq(Status.BAD_JOB), self.o.p.detail.eq(detail)]
            m.next = "Complete"

        with m.FSM():
            with m.State("Next"):
                with m.If(self.start & ~running & ~self.active.bit_select(self.batch, 1)
                          & self.request[0].ready):
                    m.d.comb += [self.begin.eq(1), self.request[0].valid.eq(1)]
                    m.d.sync += [left.eq(self.count), some.eq(self.count != 0), running.eq(1)]
                with m.If(running & ~some):
                    m.d.comb += self.ready.eq(1)
                    m.d.sync += [self.batch.eq(~self.batch), running.eq(0)]
                with m.If(wants.any()):
                    m.d.sync += source.eq(pick)
                    m.next = "Check"
                with m.If(wants.any() & (pick == 0)):
                    m.d.comb += self._jobs.ready.eq(1)
                    m.d.sync += [beat.eq(self._jobs.p.data), error.eq(self._jobs.p.error),
                                 left.eq(left - 1), some.eq(left != 1)]
                for number, job_in in enumerate(self.i_job if self.config.wire else (), 1):
                    with m.If(wants.any() & (pick == number)):
                        m.d.comb += job_in.ready.eq(1)
                        m.d.sync += [beat.eq(job_in.payload), error.eq(0)]
            with m.State("Check"):
                m.d.sync += [self.o.p.status.eq(Status.OK), self.o.p.detail.eq(Detail.NONE)]
                self._check(m, job, error, network, recipes, fail)
            with m.State("Image"):
                m.d.comb += image.eq(1)
                with m.If(image_taken):
                    m.next = "Next"
            with m.State("Text"):
                m.d.comb += text.eq(1)
                with m.If(text_taken):
                    m.next = "Next"
            with m.State("Load"):
                with m.If(lanes_idle):
                    m.d.comb += self.request[1].valid.eq(1)
                    with m.If(self.request[1].ready):
                        m.d.comb += recipes.begin.eq(1)
                        m.next = "Loading"
            with m.State("Loading"):
                with m.If(recipes.done):
                    m.next = "Complete"
                    with m.If(recipes.error):
                        fail(Detail.BUS)
            with m.State("Complete"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "Next"
        return m

    def _gathered(self, m, name, beats, width):
        """A client of the read DMA with beats of ``width`` bits, connected to be taken from."""
        if width == self.config.port:
            return wiring.flipped(beats)
        m.submodules[name] = reader = BlockReader(self.config.port, width)
        wiring.connect(m, wiring.flipped(beats), reader.i)
        return reader.o

    def _sources(self, m, latest, left):
        """Who has a job, and whose turn it is: 0 the batch, 1 and 2 the network.

        With a network, an image waits for a context and a text for a lane where they do not hold
        up the others.
        """
        wants, pick = Signal(3), Signal(range(3))
        m.d.comb += wants[0].eq(left & self._jobs.valid)
        if self.config.wire:
            kind = JOB.view(self._jobs.p.data)["kind"]
            rooms = [Cat(idle.any() for idle in self.idle).any(),
                     self._text_room if self.config.text_lanes else C(1, 1)]
            m.d.comb += [
                wants[0].eq(left & self._jobs.valid & ~((kind == Kind.IMAGE) & ~rooms[0])
                            & ~((kind == Kind.TEXT) & ~rooms[1])),
                *(wants[n].eq(i.valid & room)
                  for n, (i, room) in enumerate(zip(self.i_job, rooms), 1)),
            ]
            with m.Switch(latest):
                for value in range(3):
                    with m.Case(value):
                        # Last assignment wins: the one behind the latest comes first.
                        for step in reversed(range(1, 4)):
                            with m.If(wants[(value + step) % 3]):
                                m.d.comb += pick.eq((value + step) % 3)
        return wants, pick

    def _check(self, m, job, error, network, recipes, fail):
        """Where a job goes, or why it cannot."""
        texts = self.config.text_lanes != 0

        def beyond(address, size):
            """Whether so many bytes do not end within 2 ** 64."""
            end = Signal(33, name="end")
            m.d.comb += end.eq(address[:32] + size)
            return address[32:].all() & end[32] & (end[:32] != 0)

        no_payload = beyond(job["payload"], job["length"])
        no_room = beyond(job["result"], job["capacity"])
        with m.If(error):
            fail(Detail.BUS)
        with m.Elif(network & (job["kind"] != Kind.IMAGE) & (job["kind"] != Kind.TEXT)):
            fail(Detail.KIND)
        with m.Elif((job["kind"] != Kind.TABLE) & (job["recipe"] >= self.config.recipes)):
            fail(Detail.RECIPE)
        with m.Elif(job["payload"][:6] != 0):
            fail(Detail.ALIGNMENT)
        with m.Elif(no_payload):
            fail(Detail.LENGTH)
        with m.Else():
            with m.Switch(job["kind"]):
                with m.Case(Kind.LOAD):
                    m.next = "Load"
                    with m.If(job["length"] != RECIPE_BYTES):
                        fail(Detail.LENGTH)
                with m.Case(Kind.IMAGE):
                    m.next = "Image"
                    with m.If(~recipes.image_known):
                        fail(Detail.RECIPE)
                    with m.Elif((job["height"] == 0) != (job["width"] == 0)):
                        fail(Detail.LENGTH)
                    with m.Elif(no_room):
                        fail(Detail.CAPACITY)
                with m.Case(*[Kind.TEXT] * texts):
                    m.next = "Text"
                    with m.If(~recipes.text_known):
                        fail(Detail.RECIPE)
                    with m.Elif(job["result"][:6] != 0):
                        fail(Detail.ALIGNMENT)
                    with m.Elif(no_room):
                        fail(Detail.CAPACITY)
                with m.Case(*[Kind.LOAD_TEXT] * texts):
                    m.next = "Load"
                    with m.If(job["length"] != BUS):
                        fail(Detail.LENGTH)
                with m.Case(*[Kind.TABLE] * texts):
                    m.next = "Load"
                    with m.If((job["length"] % TABLE_RECORD_BYTES != 0) | (job["length"] == 0)):
                        fail(Detail.LENGTH)
                with m.Default():
                    fail(Detail.KIND)

    def _images(self, m, job, batch, recipes):
        """Offer a job to an idle context; level: there is one, strobe: it was taken."""
        lanes = self.config.image_lanes
        offer, taken = Signal(), Signal()
        chosen, context = Signal(range(lanes)), Signal(range(self.config.contexts))
        # The last that is idle wins: context 0 of every lane comes before the others.
        for c in reversed(range(self.config.contexts)):
            for lane in reversed(range(lanes)):
                with m.If(self.idle[lane][c]):
                    m.d.comb += [chosen.eq(lane), context.eq(c)]
        for lane, out in enumerate(self.o_image):
            m.d.comb += [
                out.p.context.eq(context), out.p.batch.eq(batch),
                out.p.request.eq(job["request"]),
                out.p.image.eq(recipes.image), out.p.elements.eq(recipes.elements),
                out.p.height.eq(job["height"]), out.p.width.eq(job["width"]),
                out.p.result.eq(job["result"]), out.p.capacity.eq(job["capacity"]),
                out.valid.eq(offer & (chosen == lane) & self.idle[lane].any()),
            ]
        m.d.comb += taken.eq(Cat(out.valid & out.ready for out in self.o_image).any())
        return offer, taken

    def _texts(self, m, job, batch, recipes):
        """Offer a job to a text lane, an idle one if there is; level and strobe as above."""
        lanes = self.config.text_lanes
        offer, taken = Signal(), Signal()
        chosen = Signal(range(max(lanes, 1)))
        self._text_room = Cat(out.ready for out in self.o_text).bit_select(chosen, 1)
        with m.If(taken):
            # The one that waited longest, unless one is idle when the next text comes.
            m.d.sync += chosen.eq(Mux(chosen == lanes - 1, 0, chosen + 1))
        with m.Elif(~offer):
            for lane in reversed(range(lanes)):
                with m.If(self.text_idle[lane]):
                    m.d.sync += chosen.eq(lane)
        for lane, out in enumerate(self.o_text):
            m.d.comb += [
                out.p.batch.eq(batch), out.p.request.eq(job["request"]),
                out.p.recipe.eq(recipes.text), out.p.result.eq(job["result"]),
                out.p.capacity.eq(job["capacity"]), out.valid.eq(offer & (chosen == lane)),
            ]
        m.d.comb += taken.eq(Cat(out.valid & out.ready for out in self.o_text).any())
        return offer, taken
