# SPDX-License-Identifier: Apache-2.0
"""The text lane: payloads to hashed features or tokens."""

from amaranth import *
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ..status import Detail, Status
from ..stream.layout import PayloadWord
from ..text.characters import CharacterMap
from ..text.hashing import Hasher
from ..text.layout import CHUNK, Element, TextDone
from ..text.utf8 import Utf8Decoder
from ..text.wordpiece import WordPiece
from .completion import Completion
from .config import BUS
from .jobs import Kernel, TextTable
from .recipes import TextRecipe, TextTableWrite
from .write_dma import WriteBeat


__all__ = ["TextJob", "TextLane"]


#: A text's way through the lane. ``result`` is a multiple of 64.
TextJob = data.StructLayout({
    "batch": 2, "request": 32, "recipe": TextRecipe, "result": 64, "capacity": 32})


class TextLane(wiring.Component):
    """Texts to features or tokens, one behind the other: while the result of one is sent, those
    behind it are on their way.

    UTF-8 and the table of characters are shared; what comes of them goes to the kernel of the
    text's recipe. Results leave in the order of the jobs.

    Parameters
    ----------
    config : CardConfig

    Members
    -------
    i_job : :py:`In(stream.Signature(TextJob))`
    i : :py:`In(stream.Signature(PayloadWord))`
        Payloads in the order of the jobs, none before its job.
    fault : :py:`In(1)`
        Strobe: the payload whose words come is not what the memory holds.
    failed : :py:`In(1)`
        Of :class:`.write_dma.WriteDma`: the result that is sent may not be in memory.
    idle : :py:`Out(1)`
        No text is under way.
    active : :py:`Out(1)`
        There is something to do, or in a moment there will be nothing more.
    write, write_valid : :py:`In(TextTableWrite)`
        Strobe while ``idle``: a word of a table.
    o : :py:`Out(stream.Signature(WriteBeat(512)))`
    o_completion : :py:`Out(stream.Signature(Completion))`
        Offered when the text's last beat has been taken, and its payload read to the end.
    payload_word, element : :py:`Out(1)`
        Strobes: 8 bytes of text were taken, a feature or token came.
    """

    #: Texts under way.
    DEPTH = 8

    def __init__(self, config):
        self.config = config
        super().__init__({
            "i_job": In(stream.Signature(TextJob)), "i": In(stream.Signature(PayloadWord)),
            "fault": In(1), "failed": In(1), "idle": Out(1), "active": Out(1),
            "write": In(TextTableWrite), "write_valid": In(1),
            "o": Out(stream.Signature(WriteBeat(8 * BUS))),
            "o_completion": Out(stream.Signature(Completion)),
            "payload_word": Out(1), "element": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        sets = len(Kernel)
        m.submodules.utf8 = utf8 = Utf8Decoder(CHUNK)
        m.submodules.characters = characters = CharacterMap(
            CHUNK, config.entry_width, sets, config.pages)
        m.submodules.hasher = hasher = Hasher(
            config.max_ngram, config.feature_rows, width=config.entry_width, sets=sets)
        m.submodules.wordpiece = wordpiece = WordPiece(
            CHUNK, config.wordpiece, sets=sets, width=config.entry_width)
        wiring.connect(m, wiring.flipped(self.i), utf8.i)
        wiring.connect(m, utf8.o, characters.i)

        # Mapped characters go to the kernel of their table.
        mapped = characters.o
        for number, kernel in ((Kernel.HASHING, hasher), (Kernel.WORDPIECE, wordpiece)):
            here = mapped.p.set == number
            m.d.comb += [
                kernel.i.payload.eq(mapped.payload), kernel.i.valid.eq(mapped.valid & here)]
            with m.If(here):
                m.d.comb += mapped.ready.eq(kernel.i.ready)
        self._tables(m, characters, wordpiece)
        job, started, taken = self._jobs(m, characters, hasher)
        read, faulted = self._faults(m, taken)
        self._results(m, (hasher, wordpiece), job, started, read, faulted, taken)
        m.d.comb += [
            self.payload_word.eq(self.i.valid & self.i.ready),
            self.active.eq(~self.idle | self.i_job.valid | self.i.valid | self.write_valid
                           | self.o.valid | self.o_completion.valid),
        ]
        return m

    def _tables(self, m, characters, wordpiece):
        w = self.write
        of_characters = w.table < TextTable.CHARACTERS + len(Kernel)
        m.d.comb += [
            characters.write.set.eq(w.table - TextTable.CHARACTERS),
            characters.write.address.eq(w.address), characters.write.data.eq(w.data),
            characters.write_valid.eq(self.write_valid & of_characters),
            wordpiece.write.table.eq(w.table - TextTable.WORDPIECE),
            wordpiece.write.address.eq(w.address), wordpiece.write.data.eq(w.data),
            wordpiece.write_valid.eq(self.write_valid & (w.table >= TextTable.WORDPIECE)),
        ]

    def _jobs(self, m, characters, hasher):
        """Texts under way: the oldest one, when it was accepted; strobe to go on to the next."""
        now, taken = Signal(32), Signal()
        m.d.sync += now.eq(now + 1)
        entry = data.StructLayout({"job": TextJob, "started": 32})
        m.submodules.jobs = jobs = fifo.SyncFIFOBuffered(width=entry.size, depth=self.DEPTH)
        m.submodules.kernels = kernels = fifo.SyncFIFOBuffered(width=1, depth=self.DEPTH)
        given, oldest = self.i_job.payload, Signal(entry)
        accepted, hashed = Signal(), given.recipe.kernel == Kernel.HASHING
        under_way = Signal(range(self.DEPTH + 3))
        m.d.comb += [
            self.i_job.ready.eq(jobs.w_rdy & kernels.w_rdy & hasher.config.ready),
            accepted.eq(self.i_job.valid & self.i_job.ready),
            jobs.w_data.eq(Cat(given, now)), jobs.w_en.eq(accepted),
            kernels.w_data.eq(given.recipe.kernel), kernels.w_en.eq(accepted),
            characters.select.payload.eq(kernels.r_data),
            characters.select.valid.eq(kernels.r_rdy), kernels.r_en.eq(characters.select.ready),
            hasher.config.valid.eq(accepted & hashed),
            *(hasher.config.p[name].eq(given.recipe[name])
              for name in hasher.config.payload.shape().members),
            oldest.eq(jobs.r_data), jobs.r_en.eq(taken), self.idle.eq(under_way == 0),
        ]
        m.d.sync += under_way.eq(under_way + accepted - taken)
        self._available = jobs.r_rdy
        return oldest.job, now - oldest.started, taken

    def _faults(self, m, taken):
        """Whether the payload of the oldest text has come to its end, and whether it could not be
        read as a whole."""
        m.submodules.faults = faults = fifo.SyncFIFO(width=1, depth=2 * self.DEPTH)
        fault = Signal()
        ends = self.i.valid & self.i.ready & self.i.p.last
        m.d.comb += [faults.w_data.eq(fault | self.fault), faults.w_en.eq(ends),
                     faults.r_en.eq(taken)]
        m.d.sync += fault.eq((fault | self.fault) & ~ends)
        return faults.r_rdy, faults.r_data

    def _results(self, m, kernels, job, cycles, read, faulted, taken):
        """Elements of the oldest text to beats; then its completion."""
        element, valid, ready = Signal(Element), Signal(), Signal()
        done, done_valid, done_ready = Signal(TextDone), Signal(), Signal()
        for number, kernel in enumerate(kernels):
            with m.If(job.recipe.kernel == number):
                m.d.comb += [
                    element.eq(kernel.o.payload), valid.eq(kernel.o.valid),
                    kernel.o.ready.eq(ready), done.eq(kernel.o_done.payload),
                    done_valid.eq(kernel.o_done.valid), kernel.o_done.ready.eq(done_ready),
                ]

        words = Signal(16)        # of the beat, 4 bytes each
        beat = Signal(512)
        total, full = Signal(32), Signal()    # bytes; more than the capacity
        at = Signal(58)
        size, fits, room = Signal(4), Signal(), Signal()
        refused = Signal()                    # a burst since the first of this result
        m.d.comb += [
            size.eq(element.bytes), fits.eq(total + size <= job.capacity),
            room.eq(~self.o.valid | self.o.ready),
            self.element.eq(valid & ready & (size != 0)),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)

        def send():
            m.d.sync += [
                self.o.valid.eq(1), self.o.p.address.eq(at), self.o.p.data.eq(beat),
                self.o.p.strobe.eq(Cat(word.replicate(4) for word in words)),
                self.o.p.last.eq(1), at.eq(at + 1), words.eq(0),
            ]

        out = self.o_completion
        with m.If(out.ready):
            m.d.sync += out.valid.eq(0)
        with m.If(self.failed):
            m.d.sync += refused.eq(1)
        with m.FSM():
            with m.State("Idle"):
                m.d.sync += [at.eq(job.result[6:]), total.eq(0), full.eq(0), words.eq(0),
                             refused.eq(0)]
                with m.If(self._available):
                    m.next = "Elements"
            with m.State("Elements"):
                # A beat that is complete leaves before the next element comes.
                with m.If(words.all()):
                    with m.If(room):
                        send()
                with m.Else():
                    m.d.comb += ready.eq(1)
                    with m.If(valid):
                        with m.If(size != 0):
                            with m.If(fits):
                                m.d.sync += total.eq(total + size)
                                self._append(m, element, words, beat)
                            with m.Else():
                                m.d.sync += full.eq(1)
                        with m.If(element.last):
                            m.next = "Rest"
            with m.State("Rest"):
                with m.If(~words.any()):
                    m.next = "Done"
                with m.Elif(room):
                    send()
            with m.State("Done"):
                # The beats come before the completion, and so does what a text that ended early has
                # left of its payload: nobody looks at it, so it never waits.
                m.d.comb += done_ready.eq(~self.o.valid & ~out.valid & read)
                with m.If(done_valid & done_ready):
                    m.d.comb += taken.eq(1)
                    m.d.sync += [
                        out.valid.eq(1), out.p.batch.eq(job.batch), out.p.request.eq(job.request),
                        out.p.status.eq(done.status), out.p.detail.eq(done.detail),
                        out.p.bytes.eq(0), out.p.height.eq(0), out.p.width.eq(0),
                        out.p.cycles.eq(cycles),
                    ]
                    with m.If(faulted | refused | self.failed):
                        m.d.sync += [out.p.status.eq(Status.BAD_JOB), out.p.detail.eq(Detail.BUS)]
                    with m.Elif(done.status == Status.OK):
                        m.d.sync += out.p.bytes.eq(total)
                        with m.If(full):
                            m.d.sync += [out.p.bytes.eq(0), out.p.status.eq(Status.NO_ROOM),
                                         out.p.detail.eq(Detail.CAPACITY)]
                    m.next = "Idle"

    def _append(self, m, element, words, beat):
        """Put an element of 4 or 8 bytes behind the words of the beat."""
        count = Signal(range(17))
        m.d.comb += count.eq(sum(words))
        with m.Switch(count):
            for n in range(16):
                with m.Case(n):
                    m.d.sync += [beat.word_select(n, 32).eq(element.data[:32]), words[n].eq(1)]
                    if n < 15:
                        with m.If(element.bytes == 8):
                            m.d.sync += [beat.word_select(n + 1, 32).eq(element.data[32:]),
                                         words[n + 1].eq(1)]
