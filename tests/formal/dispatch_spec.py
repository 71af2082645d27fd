# SPDX-License-Identifier: Apache-2.0
"""What the dispatcher must do, as assertions around it."""

from amaranth import *
from amaranth.hdl import Assert, Assume, Cover

from headrace.hw.card.completion import NETWORK
from headrace.hw.card.config import BUS, CardConfig
from headrace.hw.card.dispatch import Dispatcher
from headrace.hw.card.jobs import (
    JOB, RECIPE_BYTES, TABLE_RECORD, TABLE_RECORD_BYTES, TEXT_RECIPE, Kernel, Kind)
from headrace.hw.status import Detail, Status
from inside import Inside
from specs import Spec


__all__ = ["DispatcherSpec"]


#: Elements of the tables of a recipe.
ELEMENTS = 3 * 256


class DispatcherSpec(Spec):
    """Each job leaves once, as it came, to an idle context, a text lane or as a completion.

    A model holds the job that was taken and not yet given away, what is left of a batch and of a
    load, and which recipes are known. Of the inputs is assumed that

    - what is offered stays so until it is taken;
    - an image lane is ready for a job if the job's context is idle;
    - what is idle stays so until it takes a job, and then is not idle;
    - the memory answers with no more beats than were asked for.
    """

    def __init__(self, dut=Dispatcher, **parameters):
        self.config = CardConfig(recipes=2, **parameters)
        super().__init__(dut(self.config))

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = self.dut
        m.d.comb += Assume(~ResetSignal())
        self.inside = Inside(self.dut)
        self.recipes = Inside(self.inside["recipes"])
        self._streams(m)
        self._lanes(m)
        self._hold(m)
        self._batch(m)
        self._load(m)
        self._judge(m)
        self._leave(m)
        self._progress(m)
        self._turns(m)
        return m

    def _network(self):
        return list(self.dut.i_job) if self.config.wire else []

    def _streams(self, m):
        """What is offered stays so."""
        dut = self.dut
        for port in *dut.i, *self._network():
            self.keeps(m, port, Assume)
        for port in *dut.o_image, *dut.o_text, dut.o, *dut.request:
            self.keeps(m, port, Assert)

    def _lanes(self, m):
        """A context gets a job only if it is idle."""
        dut = self.dut
        for lane, out in enumerate(dut.o_image):
            mine = dut.idle[lane].bit_select(out.p.context, 1)
            m.d.comb += [
                Assume(out.ready == mine), Assert(~out.valid | mine),
                Assert(~out.valid | (out.p.context < self.config.contexts)),
            ]
            self._rests(m, dut.idle[lane], (out.valid & out.ready) << out.p.context)
        for lane, out in enumerate(dut.o_text):
            self._rests(m, dut.text_idle[lane], out.valid & out.ready)

    def _rests(self, m, idle, takes):
        """Assume that what is ``idle`` stays so until it ``takes`` a job, and then is not."""
        rested, took = Signal(len(idle)), Signal(len(idle))
        m.d.sync += [rested.eq(idle & ~takes), took.eq(takes)]
        m.d.comb += [Assume((rested & ~idle) == 0), Assume((took & idle) == 0)]

    def _hold(self, m):
        """A job is taken when there is none, and leaves once."""
        dut, inside = self.dut, self.inside
        self.takes = [port.valid & port.ready for port in (dut.i[0], *self._network())]
        self.exits = [port.valid & port.ready for port in (*dut.o_image, *dut.o_text, dut.o)]
        offers = [port.valid for port in (*dut.o_image, *dut.o_text, dut.o)]
        self.held, self.origin = Signal(), Signal(2)
        self.job, self.error = Signal(8 * BUS), Signal()
        self.take, self.leaves = Signal(), Signal()
        held, network = self.held, self._network()
        self.fields = JOB.view(self.job)
        m.d.comb += [
            self.take.eq(Cat(self.takes).any()), self.leaves.eq(Cat(self.exits).any()),
            Assert(sum(self.takes, 0) <= 1), Assert(sum(offers, 0) <= 1),
            Assert(~(held & self.take)), Assert(held | ~Cat(offers).any()),
        ]
        with m.If(self.take):
            m.d.sync += [held.eq(1), self.error.eq(0)]
        with m.If(self.leaves):
            m.d.sync += held.eq(0)
        with m.If(self.takes[0]):
            m.d.sync += [self.origin.eq(0), self.job.eq(dut.i[0].p.data),
                         self.error.eq(dut.i[0].p.error)]
        for number, port in enumerate(network, 1):
            with m.If(self.takes[number]):
                m.d.sync += [self.origin.eq(number), self.job.eq(port.payload)]
        m.d.comb += [
            Assert(inside.legal), Assert(held == ~inside.state("Next")),
            Assert(self.origin <= len(network)), Assert(inside["source"] == self.origin),
        ]
        with m.If(held):
            m.d.comb += [Assert(inside["beat"] == self.job), Assert(inside["error"] == self.error)]

    def _batch(self, m):
        """As many jobs of a batch are taken and leave as were asked for, before it is over."""
        dut, inside = self.dut, self.inside
        running, batch = Signal(), Signal()
        left, small = Signal(32), Signal()   # jobs that have not left; there were two
        mine = self.held & (self.origin == 0)
        m.d.comb += [
            Assert(dut.batch == batch), Assert(inside["running"] == running),
            Assert(inside["some"] == (inside["left"] != 0)),
            Assert(dut.begin == dut.request[0].valid),
            Assert(dut.request[0].ready | ~dut.request[0].valid),
            Assert(~dut.begin | (dut.start & ~running & ~dut.active.bit_select(batch, 1))),
            Assert(~self.takes[0] | running), Assert(~dut.ready | running),
            Assert(~dut.ready | (left == 0)), Cover(dut.ready & small), Cover(dut.begin & batch),
        ]
        with m.If(dut.begin):
            m.d.comb += [Assert(dut.request[0].p.beats == dut.count),
                         Assert(dut.request[0].p.address == dut.jobs[6:])]
            m.d.sync += [running.eq(1), left.eq(dut.count), small.eq(dut.count == 2)]
        with m.If(dut.ready):
            m.d.sync += [running.eq(0), batch.eq(~batch)]
        with m.If(self.leaves & (self.origin == 0)):
            m.d.sync += left.eq(left - 1)
        with m.If(running):
            m.d.comb += Assert(left == inside["left"] + mine)
        with m.Else():
            m.d.comb += Assert(~mine)
        self.running, self.left = running, inside["left"]

    def _load(self, m):
        """A load takes the beats it asked for, and writes each element or record once."""
        dut, inside, recipes, fields = self.dut, self.inside, self.recipes, self.fields
        request, beats = dut.request[1], dut.i[1]
        self.owed, self.fault = owed, fault = Signal(32), Signal()
        written, records = Signal(10), Signal(32)   # elements; records that are not yet
        rest = Signal(8 * BUS)                      # of the beat, what is not yet
        self.kernel = TEXT_RECIPE.view(rest)["kernel"]
        kind = fields["kind"]
        self.loads = loads = Signal()
        element, left = recipes["element"], recipes["left"]
        m.d.comb += [
            loads.eq((kind == Kind.LOAD) | (kind == Kind.LOAD_TEXT) | (kind == Kind.TABLE)),
            Assume((owed != 0) | ~beats.valid), Assert((owed != 0) | ~beats.ready),
            Assert(recipes.legal), Assert(recipes.state("Idle") == ~inside.state("Loading")),
        ]
        with m.If(request.valid):
            m.d.comb += [
                Assert(self.held & loads & (owed == 0)),
                Assert(request.p.address == fields["payload"][6:]),
                Assert(request.p.beats == (fields["length"] + BUS - 1)[6:]),
            ]
            with m.If(request.ready):
                m.d.sync += [owed.eq(request.p.beats), fault.eq(0), written.eq(0),
                             records.eq(fields["length"] // TABLE_RECORD_BYTES)]
        with m.If(beats.valid & beats.ready):
            m.d.sync += [owed.eq(owed - 1), fault.eq(fault | beats.p.error), rest.eq(beats.p.data)]
        with m.If(dut.write_valid):
            m.d.sync += [written.eq(written + 1), rest.eq(rest >> 32)]
        with m.If(dut.text_write_valid):
            m.d.sync += [records.eq(records - 1), rest.eq(rest >> 8 * TABLE_RECORD_BYTES)]

        # Tables are written while no lane uses them.
        images_idle = Cat(idle.all() for idle in dut.idle).all()
        with m.If(dut.write_valid):
            m.d.comb += [
                Assert(images_idle), Assert(kind == Kind.LOAD), Assert(~dut.text_write_valid),
                Assert(dut.write.recipe == fields["recipe"]),
                Assert(Cat(dut.write.value, dut.write.channel) == written),
                Assert(dut.write.element == rest[:32]),
            ]
        with m.If(dut.text_write_valid):
            m.d.comb += [
                Assert(dut.text_idle.all()), Assert(kind == Kind.TABLE), Assert(records != 0),
                *(Assert(dut.text_write[name] == field)
                  for name, field in TABLE_RECORD.view(rest).items()),
            ]

        # Where in the load its state is.
        with m.If(inside.state("Loading")):
            m.d.comb += Assert(Mux(kind == Kind.LOAD, images_idle, dut.text_idle.all()))
        with m.Else():
            m.d.comb += Assert(owed == 0)
        with m.If(inside.state("Load", "Loading")):
            m.d.comb += Assert(loads)
        with m.If(recipes.state("Image recipe")):
            m.d.comb += [Assert(owed == ELEMENTS // 16 + 1), Assert(element == 0)]
        with m.If(recipes.state("Elements", "Element")):
            m.d.comb += Assert(element <= ELEMENTS)
        with m.If(recipes.state("Elements")):
            m.d.comb += [Assert(owed == ELEMENTS // 16 - element[4:]), Assert(element[:4] == 0)]
        with m.If(recipes.state("Element")):
            m.d.comb += [Assert(owed == ELEMENTS // 16 - 1 - element[4:]),
                         Assert(recipes["table"] == rest)]
        with m.If(recipes.state("Image recipe", "Elements", "Element")):
            m.d.comb += [Assert(kind == Kind.LOAD), Assert(written == element)]
        with m.If(recipes.state("Text recipe")):
            m.d.comb += [Assert(owed == 1), Assert(kind == Kind.LOAD_TEXT), Assert(~fault)]
        with m.If(recipes.state("Kernel")):
            m.d.comb += [Assert(owed == 0), Assert(kind == Kind.LOAD_TEXT),
                         Assert(recipes.component.text.kernel == self.kernel)]
        with m.If(recipes.state("Records", "Record")):
            m.d.comb += [Assert(kind == Kind.TABLE), Assert(left == records),
                         Assert(left[28:] == 0)]
        with m.If(recipes.state("Records")):
            m.d.comb += [Assert(element[:2] == 0), Assert(owed == (left + 3)[2:])]
        with m.If(recipes.state("Record")):
            within = (4 - element[:2])[:3]      # of the records of this beat
            m.d.comb += [
                Assert(owed == Mux(left > within, (left - within + 3)[2:32], 0)),
                Assert((left == 0) | (recipes["table"] == rest)),
            ]
        # All there is has been written.
        with m.If(recipes.state("Done")):
            m.d.comb += [
                Assert(owed == 0), Assert((kind != Kind.LOAD) | (written == ELEMENTS)),
                Assert((kind != Kind.TABLE) | (records == 0)),
            ]
        with m.If(~recipes.state("Idle")):
            m.d.comb += Assert(recipes.component.error == fault)

    def _judge(self, m):
        """Why a job is refused, by the first rule that is broken; what is known of recipes."""
        inside, recipes, fields = self.inside, self.recipes, self.fields
        kind, number, length = fields["kind"], fields["recipe"], fields["length"]
        families = [Kind.IMAGE, *[Kind.TEXT] * (self.config.text_lanes != 0)]
        kinds = [Kind.LOAD, Kind.IMAGE]
        if self.config.text_lanes:
            kinds += [Kind.TEXT, Kind.LOAD_TEXT, Kind.TABLE]
        known = {"image": Signal(2, name="knows_image"), "text": Signal(2, name="knows_text")}

        def beyond(address, size):
            return fields[address] + fields[size] > 1 << 64

        def among(choice):
            return Cat(kind == value for value in choice).any()

        refusals = [
            (self.error, Detail.BUS), ((self.origin != 0) & ~among(families), Detail.KIND),
            ((kind != Kind.TABLE) & (number >= self.config.recipes), Detail.RECIPE),
            (fields["payload"][:6] != 0, Detail.ALIGNMENT),
            (beyond("payload", "length"), Detail.LENGTH), (~among(kinds), Detail.KIND),
            ((kind == Kind.LOAD) & (length != RECIPE_BYTES), Detail.LENGTH),
            ((kind == Kind.LOAD_TEXT) & (length != BUS), Detail.LENGTH),
            ((kind == Kind.TABLE) & ((length == 0) | (length % TABLE_RECORD_BYTES != 0)),
             Detail.LENGTH),
            ((kind == Kind.IMAGE) & ~known["image"].bit_select(number[:1], 1), Detail.RECIPE),
            ((kind == Kind.IMAGE) & ((fields["height"] == 0) != (fields["width"] == 0)),
             Detail.LENGTH),
            ((kind == Kind.TEXT) & ~known["text"].bit_select(number[:1], 1), Detail.RECIPE),
            ((kind == Kind.TEXT) & (fields["result"][:6] != 0), Detail.ALIGNMENT),
            (among(families) & beyond("result", "capacity"), Detail.CAPACITY),
        ]
        self.detail = detail = Signal(8)
        for broken, why in reversed(refusals):
            with m.If(broken):
                m.d.comb += detail.eq(why)
        # A load changes what is known when it has been completed.
        ended = recipes.state("Done") | (inside.state("Complete") & self.loads & (detail == 0))
        there = self.kernel < len(Kernel)
        for family, load, good in ("image", Kind.LOAD, 1), ("text", Kind.LOAD_TEXT, there):
            mine = self.loads & (kind == load)
            expected = Signal(2, name=f"expects_{family}")
            m.d.comb += [
                expected.eq(known[family]),
                Assert(recipes[f"{family}_known"] == expected),
            ]
            with m.If(ended & mine):
                m.d.comb += expected.bit_select(number[:1], 1).eq(~self.fault & good)
            with m.If(self.dut.o.valid & self.dut.o.ready):
                m.d.sync += known[family].eq(expected)

    def _leave(self, m):
        """A job leaves where it belongs, with what came with it."""
        dut, inside, fields, detail = self.dut, self.inside, self.fields, self.detail
        batch = Mux(self.origin == 0, dut.batch, NETWORK)
        kind = fields["kind"]

        def same(payload, *names):
            return [Assert(payload[name] == fields[name]) for name in names]

        for ports, mine, names in (
                (dut.o_image, Kind.IMAGE, ("request", "height", "width", "result", "capacity")),
                (dut.o_text, Kind.TEXT, ("request", "result", "capacity"))):
            for out in ports:
                with m.If(out.valid):
                    m.d.comb += [
                        Assert(kind == mine), Assert(detail == 0), Assert(out.p.batch == batch),
                        Assert(dut.payload.address == fields["payload"][6:]),
                        Assert(dut.payload.beats == (fields["length"] + BUS - 1)[6:]),
                        Assert(dut.length == fields["length"]), *same(out.p, *names),
                    ]
        with m.If(dut.o.valid):
            why = Mux(detail != 0, detail, Mux(self.fault, Detail.BUS, Detail.NONE))
            m.d.comb += [
                Assert((detail != 0) | self.loads), Assert(dut.o.p.batch == batch),
                *same(dut.o.p, "request"), Assert(dut.o.p.detail == why),
                Assert(dut.o.p.status == Mux(why == 0, Status.OK, Status.BAD_JOB)),
                *(Assert(dut.o.p[name] == 0) for name in ("bytes", "height", "width", "cycles")),
            ]
        with m.If(inside.state("Image")):
            m.d.comb += [Assert(kind == Kind.IMAGE), Assert(detail == 0)]
        with m.If(inside.state("Text")):
            m.d.comb += [Assert(kind == Kind.TEXT), Assert(detail == 0)]
        with m.If(inside.state("Load", "Loading")):
            m.d.comb += [Assert(detail == 0), Assert(dut.o.p.status == Status.OK),
                         Assert(dut.o.p.detail == Detail.NONE)]
        m.d.comb += Cover(dut.o.valid & (dut.o.p.detail == Detail.ALIGNMENT))
        # The shortest way to an image, past the load of its recipe, takes too long to show.
        for out in dut.o_text:
            m.d.comb += [
                Cover(out.valid & ~out.ready), Cover(out.valid & out.ready),
                Cover(dut.o.valid & (dut.o.p.status == Status.OK)),
                Cover(dut.text_write_valid & (self.fields["length"] == 2 * TABLE_RECORD_BYTES)),
            ]

    def _progress(self, m):
        """A job goes on with every cycle, or waits for what only others can give.

        What is left of its way is a number that falls, so if others do their part it leaves.
        """
        dut, inside, recipes = self.dut, self.inside, self.recipes
        phase, steps = Signal(2), Signal(5)
        rank = Cat(steps, self.owed, phase)
        before, waits, waited = Signal(len(rank)), Signal(), Signal()
        element = recipes["element"]
        idle = Mux(self.fields["kind"] == Kind.LOAD,
                   Cat(idle.all() for idle in dut.idle).all(), dut.text_idle.all())
        beats = dut.i[1]
        for state, number in ("Check", 3), ("Load", 2), ("Loading", 1):
            with m.If(inside.state(state)):
                m.d.comb += phase.eq(number)
        with m.If(recipes.state("Image recipe", "Elements", "Text recipe", "Kernel", "Records")):
            m.d.comb += steps.eq(1)
        with m.If(recipes.state("Element")):
            m.d.comb += steps.eq(17 - element[:4])
        with m.If(recipes.state("Record")):
            m.d.comb += steps.eq(5 - element[:2])
        with m.If(inside.state("Image", "Text", "Complete")):
            m.d.comb += steps.eq(1)
        for state, lacks in (
                ("Image", ~Cat(idle.any() for idle in dut.idle).any()),
                ("Text", ~Cat(out.valid & out.ready for out in dut.o_text).any()),
                ("Load", ~idle | ~dut.request[1].ready),
                ("Loading", beats.ready & ~beats.valid), ("Complete", ~dut.o.ready)):
            with m.If(inside.state(state)):
                m.d.comb += waits.eq(lacks)
        m.d.sync += [before.eq(rank), waited.eq(waits | ~self.held)]
        started = Signal()
        m.d.sync += started.eq(1)
        with m.If(started & ~waited):
            m.d.comb += Assert(rank < before)
        m.d.comb += [
            # A text is offered to one lane, whether or not it is ready.
            Assert(~inside.state("Text") | (sum((out.valid for out in dut.o_text), 0) == 1)),
            # A batch begins, and ends.
            Assert(dut.ready == (self.running & ~self.held & (self.left == 0))),
            Assert(dut.begin == (
                dut.start & ~self.running & ~self.held & dut.request[0].ready
                & ~dut.active.bit_select(dut.batch, 1))),
        ]

    def _turns(self, m):
        """A job that could be taken is, after one of each other source at most."""
        dut = self.dut
        image_room = Cat(idle.any() for idle in dut.idle).any()
        text_room = Cat(out.ready for out in dut.o_text).all()
        kind = JOB.view(dut.i[0].p.data)["kind"]
        held_up = ((kind == Kind.IMAGE) & ~image_room) | ((kind == Kind.TEXT) & ~text_room)
        able = Signal(1 + len(self._network()))
        m.d.comb += [
            able[0].eq(self.running & (self.left != 0) & dut.i[0].valid
                       & ~(held_up if self.config.wire else 0)),
            *(able[n].eq(port.valid & room) for n, (port, room) in enumerate(
                zip(self._network(), (image_room, text_room)), 1)),
            Assert(~able.any() | self.held | self.take),
        ]
        if not self.config.wire:
            return
        for number, takes in enumerate(self.takes):
            passed = Signal(2, name=f"passed_{number}")
            ahead = Array((number - latest - 1) % 3 for latest in range(3))[self.origin]
            with m.If(~self.held & ~able[number] | takes):
                m.d.sync += passed.eq(0)
            with m.Elif(self.take):
                m.d.sync += passed.eq(passed + 1)
            m.d.comb += [
                Assert(passed <= 2), Assert((passed == 0) | (passed + ahead <= 2)),
                Cover(takes),
            ]
