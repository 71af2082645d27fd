# SPDX-License-Identifier: Apache-2.0
"""Taps of filter windows: which source index, and how far from the centre."""

from amaranth import *
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from .layout import coarse


__all__ = ["Taps"]


class Taps(wiring.Component):
    """Walks over the taps of the windows of consecutive outputs, one tap every ``pace`` cycles.

    With the notions of :func:`.model.window`: to the next tap, ``t`` grows by ``2 * out``; to the
    next output it falls by ``2 * in``. The first tap of the next outputs is searched while the
    taps of this one go out, so that there is no gap between outputs.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    i : :py:`In(stream.Signature(geometry.command))`
        ``x`` and ``t`` of the first tap of the first of ``count`` outputs, each of which is
        emitted ``repeat`` times.
    o : :py:`Out(StructLayout(...))`, ``o_valid``
        ``x`` and ``t``; ``d``, twice the larger size; ``bicubic``; ``coarse``, as of
        :func:`.layout.coarse`; ``first`` and ``last`` of the output; ``end``, the last tap of the
        command.
    """

    def __init__(self, geometry):
        self.geometry = g = geometry
        self._constants = data.StructLayout({
            "d": g.side + 1, "bicubic": 1, "coarse": g.coarse, "step": g.side + 1, "edge": g.side,
            "last_t": signed(g.t),
        })
        self._start = data.StructLayout({
            "x": g.side, "t": signed(g.t), "fresh": 1, "end": 1,
        })
        super().__init__({
            "i": In(stream.Signature(g.command)),
            "o": Out(data.StructLayout({
                "x": g.side, "t": signed(g.t), "d": g.side + 1, "bicubic": 1, "coarse": g.coarse,
                "first": 1, "last": 1, "end": 1,
            })),
            "o_valid": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = fifo.SyncFIFO(width=self._start.size, depth=4)
        constants = Signal(self._constants)
        popped = Signal()  # strobe: the emitter took the first start of a command
        self._walk(m, queue, constants, popped)
        self._emit(m, queue, constants, popped)
        return m

    def _walk(self, m, queue, constants, popped):
        """Find the first tap of every output."""
        g = self.geometry
        command = Signal(g.command)
        loaded = Signal()
        prepared = Signal()
        x, t = Signal(g.side), Signal(signed(g.t))
        # Prepared: of the next command; without: of this one.
        p_lowest, lowest = Signal(signed(g.t)), Signal(signed(g.t))  # -support
        p_stride, stride = Signal(signed(g.t)), Signal(signed(g.t))  # to output and next tap
        p_start = Signal(g.command)
        p_constants = Signal(self._constants)
        larger = Signal(g.side)
        support = Signal(g.side + 2)
        m.d.comb += [
            larger.eq(Mux(command.size_in > command.size_out, command.size_in,
                          command.size_out)),
            support.eq(Mux(command.bicubic, larger << 2, larger << 1)),
        ]

        busy = Signal()
        fresh = Signal()
        taken = Signal(init=1)  # the emitter has this command's constants
        repeat, repeats = Signal(g.word), Signal(g.word)
        count = Signal(g.side)
        step_in, step_out = Signal(g.side + 1), Signal(g.side + 1)
        final = Signal()
        valid = Signal()
        start = Signal(self._start)
        m.d.comb += [
            valid.eq(busy & (t > lowest)),
            final.eq((repeat == 1) & (count == 1)),
            start.eq(Cat(x, t, fresh, final)),
            queue.w_data.eq(start),
            queue.w_en.eq(valid),
            self.i.ready.eq(~loaded | ~prepared),
        ]
        # Two registers ahead of the walk: the command, and what follows from it.
        advance = Signal()
        m.d.comb += advance.eq(prepared & ~busy & taken)
        with m.If(self.i.ready):
            m.d.sync += [loaded.eq(self.i.valid), command.eq(self.i.payload)]
        with m.If(~prepared | advance):
            m.d.sync += prepared.eq(0)
        with m.If(loaded & ~prepared):
            m.d.sync += [
                prepared.eq(1),
                p_lowest.eq(-support),
                p_stride.eq((command.size_out - command.size_in) << 1),
                p_start.eq(command),
                p_constants.d.eq(larger << 1),
                p_constants.bicubic.eq(command.bicubic),
                p_constants.coarse.eq(coarse(command.size_in, command.size_out)),
                p_constants.step.eq(command.size_out << 1),
                p_constants.edge.eq(command.size_in - 1),
                p_constants.last_t.eq(support - (command.size_out << 1)),
            ]
        with m.If(popped):
            m.d.sync += taken.eq(1)
        with m.If(valid):
            with m.If(queue.w_rdy):
                m.d.sync += [fresh.eq(0), repeat.eq(repeat - 1)]
                with m.If(repeat == 1):
                    m.d.sync += [repeat.eq(repeats), count.eq(count - 1)]
                    # When enlarging, at most one tap is left behind: one cycle an output.
                    with m.If(t <= lowest + step_in):
                        m.d.sync += [t.eq(t + stride), x.eq(x + 1)]
                    with m.Else():
                        m.d.sync += t.eq(t - step_in)
        with m.Elif(busy):
            m.d.sync += [t.eq(t + step_out), x.eq(x + 1)]
        with m.If(valid & queue.w_rdy & final):
            m.d.sync += busy.eq(0)
        with m.If(advance):
            m.d.sync += [
                busy.eq(1), fresh.eq(1), taken.eq(0),
                x.eq(p_start.x), t.eq(p_start.t), count.eq(p_start.count),
                repeat.eq(p_start.repeat), repeats.eq(p_start.repeat),
                step_in.eq(p_start.size_in << 1), step_out.eq(p_start.size_out << 1),
                lowest.eq(p_lowest), stride.eq(p_stride), constants.eq(p_constants),
            ]

    def _emit(self, m, queue, constants, popped):
        """Send the taps of one output after the other."""
        g = self.geometry
        start = Signal(self._start)
        now = Signal(self._constants)
        active, first, end = Signal(), Signal(), Signal()
        x, t = Signal(g.side), Signal(signed(g.t))
        last = Signal()
        pop = Signal()
        step = C(1, 1)      # a tap may go out
        if g.pace == 2:
            step = Signal()
            m.d.sync += step.eq(~step)
        m.d.comb += [
            start.eq(queue.r_data),
            last.eq((t >= now.last_t) | (x == now.edge)),
            pop.eq(step & queue.r_rdy & (~active | last)),
            queue.r_en.eq(pop),
            popped.eq(pop & start.fresh),
            self.o_valid.eq(active & step),
            self.o.x.eq(x), self.o.t.eq(t), self.o.d.eq(now.d),
            self.o.bicubic.eq(now.bicubic), self.o.coarse.eq(now.coarse),
            self.o.first.eq(first), self.o.last.eq(last), self.o.end.eq(last & end),
        ]
        with m.If(step):
            m.d.sync += [first.eq(0), x.eq(x + 1), t.eq(t + now.step)]
        with m.If(step & active & last):
            m.d.sync += active.eq(0)
        with m.If(pop):
            m.d.sync += [
                active.eq(1), first.eq(1), x.eq(start.x), t.eq(start.t), end.eq(start.end),
            ]
        with m.If(popped):
            m.d.sync += now.eq(constants)
