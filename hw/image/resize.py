# SPDX-License-Identifier: Apache-2.0
"""Resize and crop: the composition of two passes."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.layout import PixelWord
from .layout import Geometry, PlaneWord
from .reader import RowReader
from .resize_pass import Pass
from .tile_buffer import TileBuffer


__all__ = ["Resize"]


class Resize(wiring.Component):
    """Pillow's ``resize`` and a centre crop, to the bit, on several images at a time.

    ``i`` -> rows of the source -> first pass -> rows between -> second pass -> rows of the output
    -> ``o``. Only rows and columns that the crop needs are computed. An image that keeps its size
    goes from ``i`` to the output rows directly (``bypass`` of its plan).

    There are two engines, each of which takes 1 tap of a word every ``pace`` cycles. Passes over
    rows are most of the work, so contexts form two groups: for one of them the first engine does
    the first pass and the second the second, for the other one it is the other way round. A single
    engine takes units of both passes in turns. An output row leaves at 1 word a cycle. Memory is a
    ring of rows for each context, so the height of images is not limited by it.

    Parameters
    ----------
    contexts : int
        Images in flight.
    max_width, source_rows, max_side, max_taps, intermediate_bits, output_bits, transit : int
    engines, multiplier, pace, pixels : int
        See :class:`.layout.Geometry`.

    Members
    -------
    i_plan : :py:`In(stream.Signature(geometry.plan))`
        An image begins, as computed by :class:`.plan.Plan` with status ``OK``. Accepted when its
        context is idle.
    room : :py:`Out(contexts)`
        The producer may start a row of that context. From then on it must send the whole row in
        the end, and may have ``transit`` words on the way of rows begun.
    i : :py:`In(stream.Signature(PixelWord(contexts, pixels)))`
        Rows of images. Words of idle contexts are dropped. ``i.ready`` is combinational from
        registers and ``i.valid``.
    o : :py:`Out(stream.Signature(PlaneWord(contexts, pixels)))`
        Rows of results. After ``last`` the context is idle, if the last input word has come too.
    tie : :py:`Out(contexts)`
        Pillow might round a coefficient of this image otherwise: do not use the result. Final when
        the last word is on ``o``; lasts until the next plan of the context.
    idle : :py:`Out(contexts)`
        No image is under way.
    i_abort : :py:`In(stream.Signature(range(contexts)))`
        Drop everything of a context. Accepted when it is clean; until then words of it from ``i``
        are dropped, and the row that ``o`` may have begun is sent to its end.

    Raises
    ------
    :exc:`ValueError`
        If a parameter is out of range.
    """

    def __init__(self, contexts=2, **limits):
        self.contexts = contexts
        self.geometry = g = Geometry(contexts, **limits)
        super().__init__({
            "i_plan": In(stream.Signature(g.plan)),
            "room": Out(contexts),
            "i": In(stream.Signature(PixelWord(contexts, g.pixels))),
            "o": Out(stream.Signature(PlaneWord(contexts, g.pixels))),
            "tie": Out(contexts), "idle": Out(contexts),
            "i_abort": In(stream.Signature(range(contexts))),
        })

    def elaborate(self, platform):
        m = Module()
        g = self.geometry
        n = self.contexts
        self._seats = seats = g.seats()
        # Source, between, output: of each group.
        self._buffers = [[TileBuffer(seats, bits) for _ in range(g.groups)] for bits in (
            g.source_bits, g.intermediate_bits, g.output_bits)]
        for name, buffers in zip(("source", "between", "output"), self._buffers):
            for group, buffer in enumerate(buffers):
                m.submodules[f"{name}_{group}"] = buffer
        engines = [Pass(seats) for _ in range(g.engines)]
        m.submodules.reader = reader = RowReader(g)

        self._plans = [Signal(g.plan, name=f"plan_{c}") for c in range(n)]
        self._active, self._start, self._clear = Signal(n), Signal(n), Signal(n)
        # Rows that are complete, and rows that are not needed, of each memory.
        self._written = [[Signal(g.line, name=f"written_{b}_{c}") for c in range(n)]
                         for b in range(3)]
        self._released = [[Signal(g.line, name=f"released_{b}_{c}") for c in range(n)]
                          for b in range(2)]
        self._input_over = Signal(n)
        self._busy = Signal(n)  # units are under way

        self._begin(m)
        self._receive(m)
        for number, engine in enumerate(engines):
            m.submodules[f"engine_{number}"] = engine
            self._connect(m, number, engine, reader)
        self._send(m, reader)
        self._room(m, reader)
        self._end(m, reader)
        return m

    def _seat(self, context):
        """What the buffers take for a context."""
        return context if self.geometry.engines == 2 else Cat(C(0, 1), context)

    def _begin(self, m):
        """Latch plans."""
        context = self.i_plan.p.context
        aborting = Signal(self.contexts)
        with m.If(self.i_abort.valid):
            m.d.comb += aborting.eq(1 << self.i_abort.payload)
        m.d.comb += [
            self.i_plan.ready.eq(~(self._active | aborting).bit_select(context, 1)),
            self.idle.eq(~self._active),
        ]
        m.d.sync += [self._start.eq(0), self._clear.eq(aborting)]
        for c in range(self.contexts):
            plan = self._plans[c]
            with m.If(self.i_plan.valid & self.i_plan.ready & (context == c)):
                p = self.i_plan.payload
                m.d.sync += [
                    plan.eq(p), self._active[c].eq(1), self._start[c].eq(1),
                    self.tie[c].eq(0), self._input_over[c].eq(0),
                    self._written[0][c].eq(0), self._released[0][c].eq(p.source_first),
                    self._written[1][c].eq(p.between_written),
                    self._released[1][c].eq(p.between_first),
                    self._written[2][c].eq(0),
                ]

    def _receive(self, m):
        """Write pixel words to the source rows or, around the passes, to the output rows."""
        g = self.geometry
        n = self.contexts
        word = Signal(PixelWord(n, g.pixels))
        valid, wanted, bypass, taken = Signal(), Signal(), Signal(), Signal()
        columns = Array(Signal(g.word, name=f"column_{c}") for c in range(n))
        flags = Array(Cat(plan.bypass, self._active[c] & ~self._clear[c] & ~self._input_over[c])
                      for c, plan in enumerate(self._plans))
        #: An engine writes to the output rows of a group.
        self._output_taken = Signal(g.groups)
        m.d.comb += [
            Cat(bypass, wanted).eq(flags[word.context]),
            # The engine cannot be held up, so it goes first.
            taken.eq(valid & ~(bypass & wanted & self._output_taken.bit_select(
                self.geometry.group(word.context), 1))),
            self.i.ready.eq(~valid | taken),
        ]
        with m.If(self.i.ready):
            m.d.sync += [valid.eq(self.i.valid), word.eq(self.i.payload)]

        for number, shifts in ((0, "source_shift"), (2, "output_shift")):
            for group, buffer in enumerate(self._buffers[number]):
                m.d.comb += [
                    buffer.write.context.eq(self._seat(word.context)),
                    buffer.write.x.eq(Cat(C(0, g.column), columns[word.context])),
                    buffer.write.y.eq(Array(self._written[number])[word.context]),
                    buffer.write.shift.eq(
                        Array(plan[shifts] for plan in self._plans)[word.context]),
                    buffer.write_data.eq(word.pixels.as_value()),
                    buffer.write_valid.eq(taken & wanted & (bypass == (number == 2))
                                          & (self.geometry.group(word.context) == group)),
                ]
        for c, plan in enumerate(self._plans):
            with m.If(taken & wanted & (word.context == c)):
                m.d.sync += columns[c].eq(columns[c] + 1)
                with m.If(word.row_last):
                    m.d.sync += columns[c].eq(0)
                    with m.If(plan.bypass):
                        m.d.sync += self._written[2][c].eq(self._written[2][c] + 1)
                    with m.Else():
                        m.d.sync += self._written[0][c].eq(self._written[0][c] + 1)
                with m.If(word.last):
                    m.d.sync += self._input_over[c].eq(1)
            with m.If(self._start[c] | self._clear[c]):
                m.d.sync += columns[c].eq(0)

    def _connect(self, m, number, engine, reader):
        """Engine ``number`` between the buffers of its passes; their progress."""
        g, seats = self.geometry, self._seats
        bits = (g.intermediate_bits, g.output_bits)
        shifts = ("source_shift", "between_shift", "output_shift")
        reads, sources = seats.group(engine.read.context), []
        for half in range(seats.groups):
            stage, group = self._work(number, half)
            source, target = self._buffers[stage][group], self._buffers[stage + 1][group]
            sources.append(source)
            writes = Signal(name=f"writes_{number}_{half}")
            m.d.comb += [
                source.read.eq(engine.read),
                source.read_valid.eq(engine.read_valid & (reads == half)),
                writes.eq(engine.write_valid & (seats.group(engine.write.context) == half)),
            ]
            # Behind what `_receive` says about the output rows.
            with m.If(writes if stage == 1 else 1):
                m.d.comb += [
                    target.write.eq(engine.write), target.write_data.eq(engine.write_data),
                    target.write_valid.eq(writes),
                ]
            if stage == 1:
                m.d.comb += self._output_taken[group].eq(writes)
        self._fetch(m, f"engine_{number}", sources, reads, engine.read_data)

        for seat in range(seats.contexts):
            stage, _ = self._work(number, seat % seats.groups)
            c = seat * self.contexts // seats.contexts
            plan = self._plans[c]
            m.d.comb += [
                engine.config[seat].eq(plan.passes[stage]),
                engine.start[seat].eq(self._start[c] & ~plan.bypass),
                engine.clear[seat].eq(self._clear[c]),
                engine.written[seat].eq(self._written[stage][c]),
                engine.released[seat].eq(self._released[1][c] if stage == 0
                                         else reader.released[c]),
                engine.source_shift[seat].eq(plan[shifts[stage]]),
                engine.shift[seat].eq(plan[shifts[stage + 1]]),
            ]
            m.d.sync += engine.rows[seat].eq(g.rows(bits[stage], plan[shifts[stage + 1]]))
            with m.If(engine.release & (engine.release_context == seat)):
                m.d.sync += self._released[stage][c].eq(engine.release_line)
            with m.If(engine.done & (engine.done_context == seat)):
                m.d.sync += self._written[stage + 1][c].eq(engine.done_line)
            with m.If(engine.tie & (engine.tie_context == seat)):
                m.d.sync += self.tie[c].eq(1)
            with m.If(engine.busy[seat]):
                m.d.comb += self._busy[c].eq(1)

    def _work(self, number, half):
        """Pass of an engine's even (0) or odd seats, and the group of its contexts."""
        return (half, 0) if self.geometry.engines == 1 else ((number + half) % 2, half)

    def _fetch(self, m, name, buffers, group, pixels):
        """Pixels of the group that was asked, :attr:`Geometry.latency` cycles before."""
        if len(buffers) == 1:
            m.d.comb += pixels.eq(buffers[0].read_data)
            return
        for stage in range(TileBuffer.LATENCY):
            following = Signal(name=f"{name}_group_{stage}")
            m.d.sync += following.eq(group)
            group = following
        m.d.sync += pixels.eq(Mux(group, *(Value.cast(buffer.read_data)
                                           for buffer in reversed(buffers))))

    def _send(self, m, reader):
        """Output rows to the reader."""
        for buffer in self._buffers[2]:
            m.d.comb += [buffer.read[name].eq(reader.read[name])
                         for name in ("vertical", "y", "x", "shift")]
            m.d.comb += buffer.read.context.eq(self._seat(reader.read.context))
        m.d.comb += [
            *(buffer.read_valid.eq(reader.read_valid
                                   & (self.geometry.group(reader.read.context) == group))
              for group, buffer in enumerate(self._buffers[2])),
            # An aborted image leaves rows behind, which nobody may read.
            reader.clear.eq(self._clear | self._start | ~self._active),
        ]
        self._fetch(m, "reader", self._buffers[2], self.geometry.group(reader.read.context),
                    reader.read_data)
        wiring.connect(m, reader.o, wiring.flipped(self.o))
        for c, plan in enumerate(self._plans):
            m.d.comb += [
                reader.words[c].eq(plan.output_words), reader.lines[c].eq(plan.output_rows),
                reader.shift[c].eq(plan.output_shift), reader.repeat[c].eq(plan.repeat),
                reader.written[c].eq(self._written[2][c]),
            ]

    def _room(self, m, reader):
        """Grant rows: see ``source_slack`` of :class:`.plan.Plan` for what must be spare."""
        g = self.geometry
        for c, plan in enumerate(self._plans):
            shift = Mux(plan.bypass, plan.output_shift, plan.source_shift)
            most = Signal(g.line + 1, name=f"most_{c}")
            used = Signal(signed(g.line + 1), name=f"used_{c}")
            m.d.sync += [
                most.eq(Mux(plan.bypass, g.rows(g.output_bits, plan.output_shift),
                            g.rows(g.source_bits, plan.source_shift))),
                used.eq(Mux(plan.bypass, self._written[2][c] - reader.released[c],
                            self._written[0][c] - self._released[0][c])),
                self.room[c].eq(self._active[c] & ~self._start[c] & ~self._clear[c]
                                & (used + 3 + ((2 * g.transit) >> shift) <= most)),
            ]

    def _end(self, m, reader):
        """Free contexts whose image is over, or aborted."""
        done = self.o.valid & self.o.ready & self.o.p.last
        clean = Signal(range(16))
        busy = Signal(self.contexts)
        output_over = Signal(self.contexts)
        m.d.comb += [
            busy.eq(self._busy | reader.busy),
            # Long enough for a word on its way from `i`, and for `clear` to be seen.
            self.i_abort.ready.eq(clean == 15),
        ]
        m.d.sync += clean.eq(clean + 1)
        with m.If(~self.i_abort.valid | self.i_abort.ready
                  | busy.bit_select(self.i_abort.payload, 1)):
            m.d.sync += clean.eq(0)
        for c in range(self.contexts):
            with m.If(done & (self.o.p.context == c)):
                m.d.sync += output_over[c].eq(1)
            with m.If(self._start[c]):
                m.d.sync += output_over[c].eq(0)
            with m.If(self._active[c] & ((output_over[c] & self._input_over[c])
                                         | (self._clear[c] & self.i_abort.ready))):
                m.d.sync += self._active[c].eq(0)
