# SPDX-License-Identifier: Apache-2.0
"""Units of work of a pass: what comes next for one image, and when it may start."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


__all__ = ["Units"]


class Units(wiring.Component):
    """Sequence of units of one pass over one image.

    A unit of the vertical pass is one output row: it needs the source rows under its window and
    room for a row. Behind it, the rows before the next window are free. A unit of the horizontal
    pass is a group of ``pixels`` rows, which it needs and needs room for.

    The window of the next unit is walked tap by tap (see :class:`.taps.Taps`) before the unit is
    offered, so a vertical unit costs about one and a half windows of cycles here, which the engine
    spends on units it already has.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    config : :py:`In(geometry.pass_)`
        Stable from ``start`` to the end of the image.
    start, clear : :py:`In(1)`
        Strobe: an image begins. ``clear``: drop it.
    written, released : :py:`In(geometry.line)`
        Source rows below ``written`` are complete; destination rows below ``released`` are free.
        Both only grow.
    rows : :py:`In(geometry.line + 1)`
        Rows that the destination holds.
    valid, unit, command : :py:`Out(...)`
        The unit that may start, and its taps.
    take : :py:`In(1)`
        Strobe: it was started.
    """

    def __init__(self, geometry):
        self.geometry = g = geometry
        super().__init__({
            "config": In(g.pass_), "start": In(1), "clear": In(1),
            "written": In(g.line), "released": In(g.line), "rows": In(g.line + 1),
            "valid": Out(1), "unit": Out(g.unit), "command": Out(g.command), "take": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        g = self.geometry
        config = self.config
        line, count = Signal(g.line), Signal(g.side)
        final = Signal()           # the last unit
        begin, begin_t = Signal(g.side), Signal(signed(g.t))  # first tap of this unit
        x, t = Signal(g.side), Signal(signed(g.t))            # walked: of the next, then last
        next_x, next_t = Signal(g.side), Signal(signed(g.t))
        needed = Signal(g.line)    # source rows that must be complete
        started = Signal(g.line)   # destination rows of units taken
        source_ready, room = Signal(), Signal()

        # Constant during an image, registered to keep them out of the walk's path.
        larger = Signal(g.side)
        support = Signal(signed(g.t))
        step_in, step_out = Signal(g.side + 1), Signal(g.side + 1)
        last_t = Signal(signed(g.t))
        group = Signal(range(g.pixels + 1))
        m.d.sync += [
            larger.eq(Mux(config.size_in > config.size_out, config.size_in, config.size_out)),
            support.eq(Mux(config.bicubic, larger << 2, larger << 1)),
            step_in.eq(config.size_in << 1), step_out.eq(config.size_out << 1),
            last_t.eq(support - step_out),
            group.eq(Mux(config.vertical, 1, g.pixels)),
            source_ready.eq(self.written >= needed),
            room.eq(started + group - self.released <= self.rows),
        ]

        end = Signal(g.line + 1)
        m.d.comb += [
            end.eq(line + group),
            self.unit.vertical.eq(config.vertical), self.unit.line.eq(line),
            self.unit.word.eq(config.word), self.unit.words.eq(config.words),
            self.unit.release.eq(Mux(final, ~C(0, g.line),
                                     Mux(config.vertical, next_x, end))),
            self.unit.done.eq(Mux(config.vertical | ~final, end, config.end)),
            self.command.size_in.eq(config.size_in), self.command.size_out.eq(config.size_out),
            self.command.bicubic.eq(config.bicubic),
            self.command.x.eq(begin), self.command.t.eq(begin_t),
            self.command.count.eq(Mux(config.vertical, 1, config.count)),
            self.command.repeat.eq(Mux(config.vertical, config.words, 1)),
        ]
        with m.FSM():
            with m.State("Idle"):
                m.d.sync += [
                    line.eq(Mux(config.vertical, 0, config.first)),
                    started.eq(Mux(config.vertical, 0, config.first)),
                    count.eq(config.count),
                    begin.eq(config.x), begin_t.eq(config.t),
                ]
                with m.If(self.start):
                    m.next = "Wait"
            with m.State("Wait"):
                # For the constants: two cycles.
                m.next = "Begin"
            with m.State("Begin"):
                m.d.sync += [
                    final.eq(Mux(config.vertical, count == 1, end >= config.end)),
                    x.eq(begin), t.eq(begin_t - step_in),
                ]
                m.next = "Seek"
            with m.State("Seek"):
                # The first tap of the next unit is the first with t > -support.
                m.d.sync += [next_x.eq(x), next_t.eq(t)]
                with m.If(~config.vertical):
                    m.d.sync += needed.eq(Mux(final, config.end, end))
                    m.next = "Settle"
                with m.Elif(final | (t + support > 0)):
                    m.d.sync += [x.eq(begin), t.eq(begin_t)]
                    m.next = "Scan"
                with m.Else():
                    m.d.sync += [x.eq(x + 1), t.eq(t + step_out)]
            with m.State("Scan"):
                m.d.sync += [x.eq(x + 1), t.eq(t + step_out), needed.eq(x + 1)]
                with m.If((t >= last_t) | (x + 1 == config.size_in)):
                    m.next = "Settle"
            with m.State("Settle"):
                # `source_ready` and `room` are one cycle behind, and then only err on the safe
                # side.
                m.next = "Ready"
            with m.State("Ready"):
                m.d.comb += self.valid.eq(source_ready & room)
                with m.If(self.take):
                    m.d.sync += [
                        line.eq(end), started.eq(started + group), count.eq(count - 1),
                    ]
                    with m.If(config.vertical):
                        m.d.sync += [begin.eq(next_x), begin_t.eq(next_t)]
                    m.next = "Begin"
                    with m.If(final):
                        m.next = "Idle"
            # Last, so that it wins over every state.
        with m.If(self.clear):
            m.d.comb += self.valid.eq(0)
        return ResetInserter(self.clear)(m)
