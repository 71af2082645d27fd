# SPDX-License-Identifier: Apache-2.0
"""One direction of a separable resize."""

from amaranth import *
from amaranth.lib import data, fifo, wiring
from amaranth.lib.wiring import In, Out

from .coefficients import Coefficients
from .layout import PRECISION
from .units import Units


__all__ = ["Pass"]


class Pass(wiring.Component):
    """Resizes rows or columns of several images, between two tile buffers.

    One coefficient after the other meets a word of pixels of 3 channels: in the vertical direction
    neighbours of a row, in the horizontal one neighbours of a column. Each of the sums, one for a
    channel of a pixel, begins at one half, is shifted down and clipped to 0 to 255: Pillow's
    integer arithmetic.

    Units of work (see :class:`.units.Units`) are taken from the images in turns, only when they can
    run to their end; up to :attr:`QUEUE` are under way, so there is no gap between them. Throughput
    is 1 tap per cycle, or per 2 cycles with half the multipliers.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    config : :py:`In(geometry.pass_).array(contexts)`
    start, clear : :py:`In(contexts)`
        Strobe: an image begins; level: no further units of it.
    written, released, rows : :py:`In(...).array(contexts)`
        See :class:`.units.Units`.
    source_shift, shift : :py:`In(geometry.shift).array(contexts)`
        Of the source, of the destination.
    read, read_valid, read_data, write, write_data, write_valid
        To the source's read port and the destination's write port.
    release, release_context, release_line : :py:`Out(...)`
        Strobe: source rows below the line are not needed any more.
    done, done_context, done_line : :py:`Out(...)`
        Strobe: destination rows below the line are complete.
    tie, tie_context : :py:`Out(...)`
        Strobe: a coefficient may be rounded otherwise by Pillow.
    busy : :py:`Out(contexts)`
        Units are under way.
    """

    #: Units under way.
    QUEUE = 8

    def __init__(self, geometry):
        self.geometry = g = geometry
        n = g.contexts
        word = data.ArrayLayout(24, g.pixels)
        super().__init__({
            "config": In(g.pass_).array(n), "start": In(n), "clear": In(n),
            "written": In(g.line).array(n), "released": In(g.line).array(n),
            "rows": In(g.line + 1).array(n),
            "source_shift": In(g.shift).array(n), "shift": In(g.shift).array(n),
            "read": Out(g.place), "read_valid": Out(1), "read_data": In(word),
            "write": Out(g.place), "write_data": Out(word), "write_valid": Out(1),
            "release": Out(1), "release_context": Out(range(n)), "release_line": Out(g.line),
            "done": Out(1), "done_context": Out(range(n)), "done_line": Out(g.line),
            "tie": Out(1), "tie_context": Out(range(n)),
            "busy": Out(n),
        })

    def elaborate(self, platform):
        m = Module()
        g = self.geometry
        m.submodules.coefficients = coefficients = Coefficients(g)
        # The same units for the reading end and for the writing end.
        queues = []
        for name in ("reading", "writing"):
            m.submodules[name] = queue = fifo.SyncFIFOBuffered(width=g.unit.size,
                                                               depth=self.QUEUE)
            queues.append(queue)
        self._schedule(m, coefficients, queues)
        item = self._read(m, coefficients, queues[0])
        ended, end = self._accumulate(m, item)
        self._write(m, ended, end, queues[1])
        return m

    def _schedule(self, m, coefficients, queues):
        """Take units from the contexts in turns."""
        g = self.geometry
        n = g.contexts
        turn = Signal(range(n))
        pending = Signal()
        unit, command = Signal(g.unit), Signal(g.command)
        offers = [Units(g) for _ in range(n)]
        m.d.sync += turn.eq(Mux(turn == n - 1, 0, turn + 1))
        go = Signal()
        m.d.comb += [
            go.eq(pending & queues[0].w_rdy & queues[1].w_rdy),
            coefficients.i.valid.eq(go), coefficients.i.payload.eq(command),
        ]
        for queue in queues:
            m.d.comb += [queue.w_data.eq(unit), queue.w_en.eq(go & coefficients.i.ready)]
        with m.If(go & coefficients.i.ready):
            m.d.sync += pending.eq(0)
        for c, units in enumerate(offers):
            m.submodules[f"units_{c}"] = units
            m.d.comb += [
                units.config.eq(self.config[c]), units.start.eq(self.start[c]),
                units.clear.eq(self.clear[c]), units.written.eq(self.written[c]),
                units.released.eq(self.released[c]), units.rows.eq(self.rows[c]),
                units.take.eq(units.valid & ~pending & (turn == c)),
            ]
            with m.If(units.take):
                m.d.sync += [pending.eq(1), unit.eq(units.unit), unit.context.eq(c),
                             command.eq(units.command)]
            flying = Signal(range(self.QUEUE + 2), name=f"flying_{c}")
            m.d.sync += flying.eq(flying + units.take - (self.done & (self.done_context == c)))
            m.d.comb += self.busy[c].eq(flying != 0)

    def _position(self, m, unit, advance, end, name):
        """Word or column that the unit is at."""
        offset = Signal(self.geometry.side, name=f"{name}_offset")
        with m.If(advance):
            m.d.sync += offset.eq(Mux(end, 0, offset + 1))
        return offset, Cat(C(0, self.geometry.column),
                           (unit.word + offset)[:self.geometry.word])

    def _read(self, m, coefficients, queue):
        """Fetch the pixels of every tap; return the tap, delayed until they are there."""
        g = self.geometry
        tap, valid = coefficients.o, coefficients.o_valid
        unit = Signal(g.unit)
        m.d.comb += [unit.eq(queue.r_data), queue.r_en.eq(valid & tap.end)]
        _, column = self._position(m, unit, valid & tap.last, tap.end, "read")
        m.d.sync += [
            self.read_valid.eq(valid), self.read.context.eq(unit.context),
            self.read.vertical.eq(~unit.vertical),
            self.read.y.eq(Mux(unit.vertical, tap.x, unit.line)),
            self.read.x.eq(Mux(unit.vertical, column, tap.x)),
            self.read.shift.eq(Array(self.source_shift)[unit.context]),
            self.release.eq(valid & tap.end), self.release_context.eq(unit.context),
            self.release_line.eq(unit.release),
            self.tie.eq(valid & tap.tie), self.tie_context.eq(unit.context),
        ]
        layout = data.StructLayout({
            "k": signed(PRECISION + 2), "first": 1, "last": 1, "end": 1, "valid": 1})
        delayed = Signal(layout)
        m.d.comb += delayed.eq(Cat(tap.k, tap.first, tap.last, tap.end, valid))
        for stage in range(g.latency + 1):
            following = Signal(layout, name=f"tap_{stage}")
            m.d.sync += following.eq(delayed)
            delayed = following
        return delayed

    def _accumulate(self, m, item):
        """The multipliers and the sums; return strobes: an output, the last one of its unit."""
        pace = self.geometry.pace
        size = 3 * self.geometry.pixels // pace       # sums that grow in a cycle
        k, tag, samples = self._share(m, item, size)
        parts, product_tag = (Signal(tag.shape(), name=name)
                              for name in ("parts_tag", "product_tag"))
        complete, complete_end = Signal(pace), Signal()
        ended, end_out = Signal(), Signal()
        m.d.sync += [
            parts.eq(tag), product_tag.eq(parts), complete_end.eq(product_tag.end),
            complete.eq((product_tag.valid & product_tag.last) << product_tag.part),
            ended.eq(complete[-1]), end_out.eq(complete_end),
        ]
        # Sums need no reset, they begin with `first`.
        results = Signal(24 * self.geometry.pixels, reset_less=True)
        m.d.comb += self.write_data.eq(results)
        for lane in range(size):
            product = Signal(signed(PRECISION + 11), name=f"product_{lane}", reset_less=True)
            multiplied = self._multiply(m, k, samples.word_select(lane, 8), tag.valid, lane)
            with m.If(parts.valid):
                m.d.sync += product.eq(multiplied)
            for part in range(pace):
                channel = lane + part * size
                total = Signal(signed(PRECISION + 11), name=f"total_{channel}", reset_less=True)
                value = total[PRECISION:].as_signed()
                with m.If(product_tag.valid & (product_tag.part == part)):
                    m.d.sync += total.eq(
                        Mux(product_tag.first, 1 << (PRECISION - 1), total) + product)
                with m.If(complete[part]):
                    m.d.sync += results.word_select(channel, 8).eq(
                        Mux(value < 0, 0, Mux(value > 255, 255, value)))
        return ended, end_out

    def _share(self, m, item, size):
        """What the multipliers take in a cycle: coefficient, tag and samples. With a pace of 2 the
        second half of the samples waits for a cycle, in which no tap comes."""
        layout = data.StructLayout({
            "first": 1, "last": 1, "end": 1, "valid": 1, "part": range(self.geometry.pace)})
        tag = Signal(layout, name="share_tag")
        given = Cat(item.first, item.last, item.end, item.valid)
        samples = Value.cast(self.read_data)
        if self.geometry.pace == 1:
            m.d.comb += tag.eq(given)
            return item.k, tag, samples
        k, waiting_k = (Signal.like(item.k, name=f"{name}_k", reset_less=True)
                        for name in ("share", "waiting"))
        share, waiting_share = (Signal(8 * size, name=name, reset_less=True)
                                for name in ("share", "waiting_share"))
        waiting = Signal(len(given))
        m.d.sync += [
            waiting.eq(given), waiting_k.eq(item.k), waiting_share.eq(samples[8 * size:]),
            tag.eq(Mux(item.valid, given, Cat(waiting, C(1, 1)))),
            k.eq(Mux(item.valid, item.k, waiting_k)),
            share.eq(Mux(item.valid, samples[:8 * size], waiting_share)),
        ]
        return k, tag, share

    def _multiply(self, m, k, sample, valid, lane):
        """A coefficient times a sample, of the cycle before; a sum, if ``k`` is wider than
        multipliers are."""
        bits = len(k) if len(k) <= self.geometry.multiplier else self.geometry.multiplier - 1
        low = Signal(Shape(bits + 8, signed=bits == len(k)), name=f"low_{lane}", reset_less=True)
        if bits == len(k):
            with m.If(valid):
                m.d.sync += low.eq(k * sample)
            return low
        high = Signal(signed(len(k) - bits + 8), name=f"high_{lane}", reset_less=True)
        with m.If(valid):
            m.d.sync += [low.eq(k[:bits] * sample), high.eq(k[bits:].as_signed() * sample)]
        return low + (high << bits)

    def _write(self, m, ended, end, queue):
        """Where results go. They are in ``write_data`` when ``ended`` is set."""
        unit = Signal(self.geometry.unit)
        offset, column = self._position(m, unit, ended, end, "write")
        m.d.comb += [
            unit.eq(queue.r_data), queue.r_en.eq(ended & end),
            self.write_valid.eq(ended),
            self.write.context.eq(unit.context), self.write.vertical.eq(~unit.vertical),
            self.write.y.eq(unit.line), self.write.x.eq(Mux(unit.vertical, column, offset)),
            self.write.shift.eq(Array(self.shift)[unit.context]),
            self.done.eq(ended & end), self.done_context.eq(unit.context),
            self.done_line.eq(unit.done),
        ]
