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

    Each pass takes 1 tap of 8 pixels a cycle. An output row leaves at 1 word a cycle. Memory is a
    ring of rows for each context, so the height of images is not limited by it.

    Parameters
    ----------
    contexts : int
        Images in flight.
    max_width, source_rows, max_side, max_taps, intermediate_bits, output_bits, transit : int
        See :class:`.layout.Geometry`.

    Members
    -------
    i_plan : :py:`In(stream.Signature(geometry.plan))`
        An image begins, as computed by :class:`.plan.Plan` with status ``OK``. Accepted when its
        context is idle.
    room : :py:`Out(contexts)`
        The producer may start a row of that context. From then on it must send the whole row in
        the end, and may have ``transit`` words on the way of rows begun.
    i : :py:`In(stream.Signature(PixelWord(contexts)))`
        Rows of images. Words of idle contexts are dropped. ``i.ready`` is combinational from
        registers and ``i.valid``.
    o : :py:`Out(stream.Signature(PlaneWord(contexts)))`
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
            "i": In(stream.Signature(PixelWord(contexts))),
            "o": Out(stream.Signature(PlaneWord(contexts))),
            "tie": Out(contexts), "idle": Out(contexts),
            "i_abort": In(stream.Signature(range(contexts))),
        })

    def elaborate(self, platform):
        m = Module()
        g = self.geometry
        n = self.contexts
        m.submodules.source = source = TileBuffer(g, g.source_bits)
        m.submodules.between = between = TileBuffer(g, g.intermediate_bits)
        m.submodules.output = output = TileBuffer(g, g.output_bits)
        passes = [Pass(g), Pass(g)]
        m.submodules.pass_0, m.submodules.pass_1 = passes
        m.submodules.reader = reader = RowReader(g)

        self._plans = [Signal(g.plan, name=f"plan_{c}") for c in range(n)]
        self._active, self._start, self._clear = Signal(n), Signal(n), Signal(n)
        # Rows that are complete, and rows that are not needed, of each memory.
        self._written = [[Signal(g.line, name=f"written_{b}_{c}") for c in range(n)]
                         for b in range(3)]
        self._released = [[Signal(g.line, name=f"released_{b}_{c}") for c in range(n)]
                          for b in range(2)]
        self._input_over = Signal(n)

        self._begin(m)
        self._receive(m, source, output, passes[1])
        self._connect(m, passes, [source, between, output], reader)
        self._room(m, reader)
        self._end(m, passes, reader)
        return m

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

    def _receive(self, m, source, output, last_pass):
        """Write pixel words to the source rows or, around the passes, to the output rows."""
        g = self.geometry
        n = self.contexts
        word = Signal(PixelWord(n))
        valid, wanted, bypass, taken = Signal(), Signal(), Signal(), Signal()
        columns = Array(Signal(g.word, name=f"column_{c}") for c in range(n))
        flags = Array(Cat(plan.bypass, self._active[c] & ~self._clear[c] & ~self._input_over[c])
                      for c, plan in enumerate(self._plans))
        m.d.comb += [
            Cat(bypass, wanted).eq(flags[word.context]),
            # The pass cannot be held up, so it goes first.
            taken.eq(valid & ~(bypass & wanted & last_pass.write_valid)),
            self.i.ready.eq(~valid | taken),
        ]
        with m.If(self.i.ready):
            m.d.sync += [valid.eq(self.i.valid), word.eq(self.i.payload)]

        for buffer, number, shifts in ((source, 0, "source_shift"), (output, 2, "output_shift")):
            m.d.comb += [
                buffer.write.context.eq(word.context),
                buffer.write.x.eq(Cat(C(0, 3), columns[word.context])),
                buffer.write.y.eq(Array(self._written[number])[word.context]),
                buffer.write.shift.eq(Array(plan[shifts] for plan in self._plans)[word.context]),
                buffer.write_data.eq(word.pixels.as_value()),
                buffer.write_valid.eq(taken & wanted & (bypass == (number == 2))),
            ]
        with m.If(last_pass.write_valid):
            m.d.comb += [
                output.write.eq(last_pass.write), output.write_data.eq(last_pass.write_data),
                output.write_valid.eq(1),
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

    def _connect(self, m, passes, buffers, reader):
        """Passes between buffers; their progress."""
        g = self.geometry
        bits = (g.intermediate_bits, g.output_bits)
        shifts = ("source_shift", "between_shift", "output_shift")
        for number, pass_ in enumerate(passes):
            m.d.comb += [
                buffers[number].read.eq(pass_.read), pass_.read_data.eq(buffers[number].read_data),
                pass_.clear.eq(self._clear),
            ]
            if number == 0:
                m.d.comb += [
                    buffers[1].write.eq(pass_.write), buffers[1].write_data.eq(pass_.write_data),
                    buffers[1].write_valid.eq(pass_.write_valid),
                ]
            for c, plan in enumerate(self._plans):
                released = self._released[1][c] if number == 0 else reader.released[c]
                m.d.comb += [
                    pass_.config[c].eq(plan.passes[number]),
                    pass_.start[c].eq(self._start[c] & ~plan.bypass),
                    pass_.written[c].eq(self._written[number][c]),
                    pass_.released[c].eq(released),
                    pass_.source_shift[c].eq(plan[shifts[number]]),
                    pass_.shift[c].eq(plan[shifts[number + 1]]),
                ]
                m.d.sync += pass_.rows[c].eq((1 << bits[number]) >> plan[shifts[number + 1]])
                with m.If(pass_.release & (pass_.release_context == c)):
                    m.d.sync += self._released[number][c].eq(pass_.release_line)
                with m.If(pass_.done & (pass_.done_context == c)):
                    m.d.sync += self._written[number + 1][c].eq(pass_.done_line)
                with m.If(pass_.tie & (pass_.tie_context == c)):
                    m.d.sync += self.tie[c].eq(1)

        m.d.comb += [
            buffers[2].read.eq(reader.read), reader.read_data.eq(buffers[2].read_data),
            # An aborted image leaves rows behind, which nobody may read.
            reader.clear.eq(self._clear | self._start | ~self._active),
        ]
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
                most.eq(Mux(plan.bypass, 1 << g.output_bits, 1 << g.source_bits) >> shift),
                used.eq(Mux(plan.bypass, self._written[2][c] - reader.released[c],
                            self._written[0][c] - self._released[0][c])),
                self.room[c].eq(self._active[c] & ~self._start[c] & ~self._clear[c]
                                & (used + 3 + ((2 * g.transit) >> shift) <= most)),
            ]

    def _end(self, m, passes, reader):
        """Free contexts whose image is over, or aborted."""
        done = self.o.valid & self.o.ready & self.o.p.last
        clean = Signal(range(16))
        busy = Signal(self.contexts)
        output_over = Signal(self.contexts)
        m.d.comb += [
            busy.eq(passes[0].busy | passes[1].busy | reader.busy),
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
