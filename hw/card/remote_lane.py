# SPDX-License-Identifier: Apache-2.0
"""The remote lane: messages of a control queue pair to registers and memory."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..status import Detail, Status
from ..stream.register import Register
from .commands import COMMAND, NO_KEY, REPEATS, Command, key_of, key_words
from .completion import NETWORK, Completion
from .config import BUS, beat_bits
from .control import AXI_LITE
from .jobs import JOB
from .lite import LiteManager
from .read_dma import ReadBeat, ReadRequest
from .write_dma import WriteBeat


__all__ = ["RemoteLane"]


class RemoteLane(wiring.Component):
    """Executes the commands of messages, see :mod:`.commands`, one after the other.

    A message ends with the first command that cannot be executed. What a command writes to memory
    is there before the next command is executed. Of a message that was executed before, by its
    number, nothing is written again; if it failed, it ends as it did then.

    Messages are those of one session, which their sender chose when it took the queue pair; others
    are denied. With a key that the board was built with anyone may take it who has that; without,
    whoever comes first, until ``lapse`` cycles pass in which the session sends nothing.

    Parameters
    ----------
    port : int
        Bits of a beat of memory.
    key : bytes
        See :func:`.commands.key_of`; :data:`.commands.NO_KEY`: there is none.
    lapse : int
        A power of two.

    Members
    -------
    i_job : :py:`In(stream.Signature(512))`
        A :data:`.jobs.JOB` of the network, whose ``payload`` and ``result`` are multiples of 64.
    request, i_beats
        To a client of the read DMA.
    o : :py:`Out(stream.Signature(WriteBeat(port)))`
        Bursts of one block.
    sent, answered, failed
        Of :class:`.write_dma.WriteDma`, into which ``o`` goes at once.
    denied : :py:`Out(1)`
        Strobe: a message is none of the owner's.
    o_completion : :py:`Out(stream.Signature(Completion))`
        Offered when the last beat of the result has been taken.
    lite_* : AXI4-Lite manager
        To the registers.
    """

    def __init__(self, port=8 * BUS, *, key=NO_KEY, lapse=1 << 32):
        self.port, self.lapse = port, lapse
        self.key, self.keyed = key_words(key), key_of(key) != NO_KEY
        super().__init__({
            "i_job": In(stream.Signature(8 * BUS)),
            "request": Out(stream.Signature(ReadRequest(port))),
            "i_beats": In(stream.Signature(ReadBeat(port))),
            "o": Out(stream.Signature(WriteBeat(port))),
            "sent": In(32), "answered": In(32), "failed": In(1), "denied": Out(1),
            "o_completion": Out(stream.Signature(Completion)),
            **{f"lite_{name}": member.flip() for name, member in AXI_LITE.items()},
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.lite = lite = LiteManager()
        for name, member in AXI_LITE.items():
            inner, outer = getattr(lite, name), getattr(self, f"lite_{name}")
            m.d.comb += inner.eq(outer) if member.flow == Out else outer.eq(inner)

        job, parts = JOB.view(self.i_job.payload), 8 * BUS // self.port
        # What shares the way to memory is far away.
        m.submodules.writes = writes = Register(self.o.payload.shape())
        m.submodules.reads = reads = Register(self.request.payload.shape())
        wiring.connect(m, writes.o, wiring.flipped(self.o))
        wiring.connect(m, reads.o, wiring.flipped(self.request))
        self._o = o = writes.i
        self._ask = reads.i
        self._command = command = {name: Signal(8 * size, name=name)
                                   for name, (_, size) in COMMAND.fields.items()
                                   if name not in self.key}
        # Beats of a block, of which this is one, and the last one.
        self._shift = beat_bits(8 * BUS) - beat_bits(self.port)
        # Of a command, a cycle before it is executed: more blocks than are there, or have room.
        self._lacks, self._exceeds, self._empty = Signal(), Signal(), Signal()
        self._again, self._same = Signal(), Signal()    # the message came before, and last of all
        self._index, self._whole = Signal(self._shift), Signal()
        self._begun, self._repeated = Signal(), Signal()  # by its tag; it was executed before
        self._payload, self._left = Signal(58), Signal(26)  # blocks that were not taken yet
        self._result, self._room = Signal(58), Signal(26)   # blocks that were not written yet
        self._latest, self._known = Signal(32), Signal()    # number of a message, if there was one
        self._status, self._detail = Signal(4), Signal(8)   # of it
        self._at, self._data = Signal(58), Signal(self.port)    # a block that is written, a beat
        self._session, self._owned = Signal(64), Signal()       # whose the queue pair is, if so
        # The session is the command's; its key is not the board's.
        self._mine, self._strange = Signal(), Signal()
        lapsed = self._lapsed(m)
        # Of a transfer; of a burst since the message began, which may be its own.
        self._fault, self._refused = Signal(), Signal()
        beat = self.i_beats
        m.d.sync += [
            self._lacks.eq(command["value"] > self._left), self._empty.eq(command["value"] == 0),
            self._exceeds.eq(command["value"] > self._room),
            self._mine.eq(self._owned & (command["address"] == self._session)),
            self._free.eq(~self._owned | lapsed),
        ]
        age = (self._latest - command["value"])[:32]
        m.d.sync += [self._again.eq(self._known & (age < REPEATS)), self._same.eq(age == 0)]
        m.d.comb += [
            self.o_completion.p.batch.eq(NETWORK), o.p.address.eq(Cat(self._index, self._at)),
            o.p.data.eq(self._data), o.p.last.eq(self._whole),
            # What could not be read is not written, but its block is.
            o.p.strobe.eq(Mux(beat.valid & beat.p.error, 0, ~0)),
            self._whole.eq(self._index == parts - 1),
            lite.i.p.address.eq(command["address"]), lite.i.p.data.eq(command["value"]),
            lite.i.p.write.eq(command["command"] == Command.WRITE_REGISTER),
        ]
        # The completer sees to what comes later.
        with m.If(self.failed & ~self.o_completion.valid):
            m.d.sync += self._refused.eq(1)
        with m.FSM():
            self._messages(m, job)
            self._commands(m, lite)
        self._remember(m)
        return m

    def _messages(self, m, job):
        """States between commands: a message begins, its next block comes, it ends."""
        done, beat = self.o_completion.p, self.i_beats
        with m.State("Idle"):
            m.d.comb += self.i_job.ready.eq(1)
            m.d.sync += [
                self._payload.eq(job["payload"][6:]), self._left.eq(job["length"][6:]),
                self._result.eq(job["result"][6:]), self._room.eq(job["capacity"][6:]),
                self._begun.eq(0), self._repeated.eq(0), self._refused.eq(0),
                done.request.eq(job["request"]),
                done.status.eq(Status.OK), done.detail.eq(Detail.NONE), done.bytes.eq(0),
            ]
            with m.If(self.i_job.valid):
                m.next = "Next"
                with m.If((job["length"][:6] != 0) | (job["length"] == 0)):
                    self._fail(m, Status.BAD_JOB, Detail.LENGTH)
        with m.State("Next"):
            m.d.sync += [self._fault.eq(0), self._strange.eq(0)]
            with m.If(self._left == 0):
                m.next = "Complete"
            with m.Elif(self._refused):
                self._fail(m, Status.BAD_JOB, Detail.BUS)
            with m.Else():
                with m.If(self._take(m, 1)):
                    m.next = "Block"
        with m.State("Block"):
            m.d.comb += beat.ready.eq(1)
            for number in range(1 << self._shift):
                with m.If(self._index == number):
                    self._fields(m, COMMAND.view(beat.p.data, number), beat.valid)
            with m.If(beat.valid):
                m.d.sync += [self._index.eq(self._index + 1),
                             self._fault.eq(self._fault | beat.p.error)]
                with m.If(self._whole):
                    m.d.sync += self._fault.eq(0)
                    m.next = "Look"
                    with m.If(self._fault | beat.p.error):
                        self._fail(m, Status.BAD_JOB, Detail.BUS)
        with m.State("Complete"):
            spoilt = self._refused & (done.status == Status.OK)
            m.d.comb += self.o_completion.valid.eq(~self.o.valid & ~spoilt)
            with m.If(spoilt):
                self._fail(m, Status.BAD_JOB, Detail.BUS)
            with m.Elif(self.o_completion.valid & self.o_completion.ready):
                m.next = "Idle"

    def _commands(self, m, lite):
        """States of a command."""
        o, beat, command = self._o, self.i_beats, self._command
        mark = Signal(32)       # bursts when all of a transfer had been sent
        last = command["value"] == 1
        with m.State("Look"):
            m.next = "Execute"
        with m.State("Execute"):
            self._execute(m, lite)
        with m.State("Register"):
            with m.If(lite.o.valid & lite.o.p.error):
                m.d.comb += lite.o.ready.eq(1)
                self._fail(m, Status.BAD_JOB, Detail.BUS)
            with m.Else():
                reads = ~lite.i.p.write
                taken = self._append(m, lite.o.valid & reads,
                                     Mux(self._index == 0, lite.o.p.data, 0))
                m.d.comb += lite.o.ready.eq(~reads | taken)
                with m.If(lite.o.valid & lite.o.ready):
                    m.next = "Next"
        with m.State("Store"):
            m.d.comb += [
                o.valid.eq(beat.valid), self._data.eq(beat.p.data),
                self._at.eq(command["address"][6:]), beat.ready.eq(o.ready),
            ]
            with m.If(beat.valid & beat.ready):
                m.d.sync += [self._index.eq(self._index + 1),
                             self._fault.eq(self._fault | beat.p.error)]
                with m.If(self._whole):
                    m.d.sync += [
                        command["address"].eq(command["address"] + BUS),
                        command["value"].eq(command["value"] - 1),
                    ]
                    with m.If(last):
                        m.next = "Send"
        with m.State("Send"):
            m.d.sync += mark.eq(self.sent)
            with m.If(~self.o.valid):
                m.next = "Settle"
        with m.State("Settle"):
            with m.If((self.answered - mark)[:32].as_signed() >= 0):
                self._end(m, self._fault)
        with m.State("Load"):
            whole = self._append(m, beat.valid, beat.p.data)
            m.d.comb += beat.ready.eq(o.ready)
            with m.If(beat.valid & beat.ready):
                m.d.sync += self._fault.eq(self._fault | beat.p.error)
                with m.If(whole):
                    m.d.sync += command["value"].eq(command["value"] - 1)
                    with m.If(last):
                        self._end(m, self._fault | beat.p.error)

    def _fail(self, m, status, detail):
        """The message ends here."""
        done = self.o_completion.p
        m.d.sync += [done.status.eq(status), done.detail.eq(detail), done.bytes.eq(0)]
        m.next = "Complete"

    def _end(self, m, fault):
        """A transfer has ended."""
        m.next = "Next"
        with m.If(fault):
            self._fail(m, Status.BAD_JOB, Detail.BUS)

    def _take(self, m, count, *, read=1):
        """Go past the next blocks, and ask for them unless they are not to be ``read``; whether
        that was possible."""
        taken = Signal(name="taken")
        m.d.comb += [
            self._ask.valid.eq(read), *self._blocks(self._payload, count),
            taken.eq(Mux(read, self._ask.ready, 1)),
        ]
        with m.If(taken):
            m.d.sync += [self._payload.eq(self._payload + count),
                         self._left.eq(self._left - count)]
        return taken

    def _append(self, m, valid, data):
        """Offer a beat of a block of the result; whether it is taken, and is the last of it."""
        m.d.comb += [self._o.valid.eq(valid), self._at.eq(self._result), self._data.eq(data)]
        with m.If(valid & self._o.ready):
            m.d.sync += self._index.eq(self._index + 1)
            with m.If(self._whole):
                m.d.sync += [self._result.eq(self._result + 1), self._room.eq(self._room - 1),
                             self.o_completion.p.bytes.eq(self.o_completion.p.bytes + BUS)]
        return self._o.ready & self._whole

    def _blocks(self, block, count):
        """Assignments to the request for so many blocks."""
        return (self._ask.p.address.eq(Cat(C(0, self._shift), block)),
                self._ask.p.beats.eq(Cat(C(0, self._shift), count)))

    def _execute(self, m, lite):
        """What a block begins, or why it cannot."""
        value, address = (self._command[name] for name in ("value", "address"))

        def register():
            """Have a register written or read."""
            with m.If(address[:2] != 0):
                self._fail(m, Status.BAD_JOB, Detail.ALIGNMENT)
            with m.Elif(address[len(lite.i.p.address):] != 0):
                self._fail(m, Status.BAD_JOB, Detail.BUS)
            with m.Else():
                m.d.comb += lite.i.valid.eq(1)
                with m.If(lite.i.ready):
                    m.next = "Register"

        command = self._command["command"]
        with m.If(((command == Command.TAG) | (command == Command.TAKE)) == self._begun):
            self._fail(m, Status.BAD_JOB, Detail.KIND)
        with m.Else():
            with m.Switch(command):
                with m.Case(Command.TAG):
                    with m.If(self._mine):
                        self._tag(m, value)
                    with m.Else():
                        self._deny(m, Detail.OWNER)
                with m.Case(Command.TAKE):
                    self._take_over(m, address)
                with m.Case(Command.RELEASE):
                    m.d.sync += self._owned.eq(0)
                    m.next = "Next"
                with m.Case(Command.WRITE_REGISTER):
                    with m.If(self._repeated):
                        m.next = "Next"
                    with m.Else():
                        register()
                with m.Case(Command.READ_REGISTER):
                    with m.If(self._room == 0):
                        self._fail(m, Status.NO_ROOM, Detail.CAPACITY)
                    with m.Else():
                        register()
                with m.Case(Command.WRITE_MEMORY):
                    with m.If(address[:6] != 0):
                        self._fail(m, Status.BAD_JOB, Detail.ALIGNMENT)
                    with m.Elif(self._lacks):
                        self._fail(m, Status.BAD_JOB, Detail.LENGTH)
                    with m.Else():
                        passed = self._repeated | self._empty
                        with m.If(self._take(m, value, read=~passed)):
                            m.next = "Store"
                            with m.If(passed):
                                m.next = "Next"
                with m.Case(Command.READ_MEMORY):
                    with m.If(address[:6] != 0):
                        self._fail(m, Status.BAD_JOB, Detail.ALIGNMENT)
                    with m.Elif(self._exceeds):
                        self._fail(m, Status.NO_ROOM, Detail.CAPACITY)
                    with m.Elif(self._empty):
                        m.next = "Next"
                    with m.Else():
                        m.d.comb += [self._ask.valid.eq(1), *self._blocks(address[6:], value)]
                        with m.If(self._ask.ready):
                            m.next = "Load"
                with m.Default():
                    self._fail(m, Status.BAD_JOB, Detail.KIND)

    def _fields(self, m, fields, valid):
        """Keep the fields of a command; all of the key is looked at, whatever it is."""
        differs = [field != self.key[name] for name, field in fields.items() if name in self.key]
        m.d.sync += [self._command[name].eq(field) for name, field in fields.items()
                     if name not in self.key]
        if differs:
            m.d.sync += self._strange.eq(self._strange | (valid & Cat(differs).any()))

    def _lapsed(self, m):
        """Whether the owner has been silent for too long; with a key nobody waits for that."""
        self._heard, self._free = Signal(), Signal()    # the owner; anyone may take the queue pair
        if self.keyed:
            return C(1, 1)
        silence = Signal(range(self.lapse + 1))
        with m.If(self._heard):
            m.d.sync += silence.eq(0)
        with m.Elif(~silence[-1]):
            m.d.sync += silence.eq(silence + 1)
        return silence[-1]

    def _take_over(self, m, session):
        """The queue pair gets an owner, unless it has another one, or the key is wrong."""
        with m.If(self._strange):
            self._deny(m, Detail.KEY)
        with m.Elif(~self._free & ~self._mine):
            self._deny(m, Detail.OWNER)
        with m.Else():
            # Nothing is written by such a message, whose repeat may come late.
            m.d.comb += self._heard.eq(1)
            m.d.sync += [self._session.eq(session), self._owned.eq(1), self._begun.eq(1),
                         self._repeated.eq(1), self._known.eq(self._known & self._mine)]
            m.next = "Next"

    def _deny(self, m, detail):
        """The message is none of the owner's."""
        m.d.comb += self.denied.eq(1)
        self._fail(m, Status.BAD_JOB, detail)

    def _tag(self, m, number):
        """A message begins; perhaps it was executed before."""
        m.d.comb += self._heard.eq(1)
        m.d.sync += self._begun.eq(1)
        m.next = "Next"
        with m.If(self._again):
            m.d.sync += self._repeated.eq(1)
            with m.If(self._same & (self._status != Status.OK)):
                self._fail(m, self._status, self._detail)
        with m.Else():
            m.d.sync += [self._latest.eq(number), self._known.eq(1)]

    def _remember(self, m):
        """How the latest message ended."""
        done = self.o_completion
        with m.If(done.valid & self._begun & ~self._repeated):
            m.d.sync += [self._status.eq(done.p.status), self._detail.eq(done.p.detail)]
