# SPDX-License-Identifier: Apache-2.0
"""What a resizer has to do with an image of a given size."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..status import Detail, Status
from ..stream.layout import Frame
from .layout import Filter, Recipe, Rule


__all__ = ["Plan"]


class Plan(wiring.Component):
    """Sizes, window starts and memory layout of an image, from its size and its recipe.

    Follows torchvision for the sizes (see :func:`.model.resized_size`, :func:`.model.crop_offset`)
    and Pillow for the order of the passes. Takes one multiplication and one serial division at a
    time, about 250 cycles an image.

    The plan is a :attr:`.layout.Geometry.plan`: ``status`` and ``detail`` (others are undefined if
    the status is not ``OK``); ``width`` and ``height`` of the result; ``bypass``: the size stays;
    ``repeat``: how often each row leaves; for both ``passes`` their outputs, taps and lines; the
    first rows needed of the source and between the passes; rings, as log2 of words in a row.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    i : :py:`In(stream.Signature(Frame(contexts)))`
        Size of an image.
    recipe : :py:`In(Recipe).array(contexts)`
        Read when the size of that context is transferred.
    o : :py:`Out(stream.Signature(geometry.plan))`
        The plan.
    """

    def __init__(self, geometry):
        self.geometry = g = geometry
        super().__init__({
            "i": In(stream.Signature(Frame(g.contexts))),
            "recipe": In(Recipe).array(g.contexts),
            "o": Out(stream.Signature(g.plan)),
        })

    def elaborate(self, platform):
        m = Module()
        g = self.geometry
        self._recipe = Signal(Recipe)
        # By axis: vertical, horizontal.
        self._input = [Signal(16, name=f"input_{a}") for a in "yx"]
        self._size = [Signal(16, name=f"size_{a}") for a in "yx"]
        self._crop = [Signal(16, name=f"crop_{a}") for a in "yx"]
        axis_layout = data.StructLayout({
            "offset": g.side, "taps": g.side + 3, "x": g.side, "t": signed(g.t), "last": g.side,
        })
        self._axes = [Signal(axis_layout, name=f"axis_{a}") for a in "yx"]
        self._bicubic, self._first = Signal(), Signal()

        self._arithmetic(m)
        with m.FSM():
            self._sizes(m)
            self._windows(m)
            self._memory(m)
        return m

    def _fail(self, m, condition, status, detail, otherwise):
        """End with a status if the condition holds."""
        m.next = otherwise
        with m.If(condition):
            m.d.sync += [self.o.p.status.eq(status), self.o.p.detail.eq(detail)]
            m.next = "Send"

    def _arithmetic(self, m):
        """A multiplier, and a restoring divider of one bit a cycle."""
        width = 2 * self.geometry.side + 4
        self._factors = Signal(16), Signal(16)
        self._product = Signal(32)
        factors = Signal(16), Signal(16)
        m.d.sync += [
            factors[0].eq(self._factors[0]), factors[1].eq(self._factors[1]),
            self._product.eq(factors[0] * factors[1]),
        ]

        self._dividend, self._divisor = Signal(width), Signal(self.geometry.side + 2)
        self._divide, self._divided = Signal(), Signal()
        self._quotient, self._rest = Signal(width), Signal(self.geometry.side + 2)
        left = Signal(range(width + 1))
        shifted = Signal(self.geometry.side + 3)
        difference = Signal(self.geometry.side + 4)
        m.d.comb += [
            shifted.eq(Cat(self._quotient[-1], self._rest)),
            difference.eq(shifted - self._divisor),
            self._divided.eq((left == 0) & ~self._divide),
        ]
        with m.If(self._divide):
            m.d.sync += [self._quotient.eq(self._dividend), self._rest.eq(0), left.eq(width)]
        with m.Elif(left != 0):
            m.d.sync += [
                left.eq(left - 1),
                self._quotient.eq(Cat(~difference[-1], self._quotient)),
                self._rest.eq(Mux(difference[-1], shifted, difference)),
            ]
        m.d.sync += self._divide.eq(0)

    def _sizes(self, m):
        """Resized and cropped size."""
        g = self.geometry
        r = self._recipe
        height, width = self._input
        short, long = Mux(width <= height, width, height), Mux(width <= height, height, width)
        with m.State("Idle"):
            m.d.comb += self.i.ready.eq(1)
            m.d.sync += [
                self.o.p.context.eq(self.i.p.context), r.eq(Array(self.recipe)[self.i.p.context]),
                height.eq(self.i.p.height), width.eq(self.i.p.width),
                self.o.p.status.eq(Status.OK), self.o.p.detail.eq(Detail.NONE),
            ]
            with m.If(self.i.valid):
                m.next = "Input"
        with m.State("Input"):
            m.d.sync += [
                self._bicubic.eq(r.filter == Filter.BICUBIC),
                self._size[0].eq(height), self._size[1].eq(width),
            ]
            with m.If((r.filter != Filter.NONE) & (r.rule != Rule.NONE)):
                m.d.sync += self._size[0].eq(r.height)
                with m.If(r.rule == Rule.EXACT):
                    m.d.sync += self._size[1].eq(r.width)
                with m.Else():
                    m.d.sync += self._size[1].eq(r.height)
            self._fail(m, (height == 0) | (width == 0), Status.BAD_JOB, Detail.EMPTY,
                       "Input width")
        with m.State("Input width"):
            self._fail(m, width > g.max_width, Status.TOO_LARGE, Detail.WIDTH, "Input side")
        with m.State("Input side"):
            self._fail(m, (height > g.max_side) | (self._size[0] > g.max_side),
                       Status.TOO_LARGE, Detail.SIDE, "Scale")
        with m.State("Scale"):
            m.d.sync += [
                self._factors[0].eq(self._size[0]), self._factors[1].eq(long),
                self._divisor.eq(short),
            ]
            m.next = "Size"
            with m.If((r.filter != Filter.NONE) & (r.rule == Rule.SHORTER)):
                m.next = "Scale factors"
        for state, following in (("Scale factors", "Scale product"),
                                 ("Scale product", "Scale division")):
            with m.State(state):
                m.next = following
        with m.State("Scale division"):
            m.d.sync += [self._dividend.eq(self._product), self._divide.eq(1)]
            m.next = "Scale quotient"
        with m.State("Scale quotient"):
            with m.If(self._divided):
                with m.If(width <= height):
                    m.d.sync += self._size[0].eq(self._quotient)
                with m.Else():
                    m.d.sync += self._size[1].eq(self._quotient)
                self._fail(m, self._quotient > g.max_side, Status.TOO_LARGE, Detail.SIDE, "Size")
        with m.State("Size"):
            m.d.sync += [
                self._crop[0].eq(Mux(r.crop_height == 0, self._size[0], r.crop_height)),
                self._crop[1].eq(Mux(r.crop_width == 0, self._size[1], r.crop_width)),
                # Pillow's order.
                self._first.eq((height > self._size[0])
                               & (height - self._size[0]
                                  > (width - self._size[1]) << 1)),
            ]
            self._fail(m, self._size[1] > g.max_side, Status.TOO_LARGE, Detail.SIDE, "Empty")
        with m.State("Empty"):
            self._fail(m, (self._size[0] == 0) | (self._size[1] == 0),
                       Status.BAD_JOB, Detail.EMPTY, "Crop")
        with m.State("Crop"):
            m.d.sync += [
                self.o.p.height.eq(self._crop[0]), self.o.p.width.eq(self._crop[1]),
                self.o.p.bypass.eq(Cat(*(size == crop for size, crop
                                         in zip(self._size, self._crop)),
                                       *(size == side for size, side
                                         in zip(self._size, self._input))).all()),
            ]
            for axis, size, crop in zip(self._axes, self._size, self._crop):
                spare = Signal(g.side)
                m.d.comb += spare.eq(size - crop)
                # Half of it, rounded half to even.
                m.d.sync += axis.offset.eq((spare >> 1) + (spare[0] & spare[1]))
            self._fail(m, (self._crop[0] > self._size[0]) | (self._crop[1] > self._size[1]),
                       Status.UNSUPPORTED, Detail.CROP, "Vertical")

    def _windows(self, m):
        """Source range of each axis, and where the first window begins."""
        g = self.geometry
        support, larger = Signal(g.side + 2), Signal(g.side)
        size_in, size, double = Signal(g.side), Signal(g.side), Signal(g.side + 1)
        begin = Signal(signed(2 * g.side + 4))
        below = Signal()
        for name, following, axis, number in (("Vertical", "Horizontal", self._axes[0], 0),
                                              ("Horizontal", "Memory", self._axes[1], 1)):
            last = Signal(g.side + 1, name=f"output_{number}")
            steps = [
                [larger.eq(Mux(self._input[number] > self._size[number],
                               self._input[number], self._size[number])),
                 size_in.eq(self._input[number]), size.eq(self._size[number]),
                 double.eq(self._size[number] << 1),
                 last.eq(axis.offset + self._crop[number] - 1)],
                [support.eq(Mux(self._bicubic, larger << 2, larger << 1)),
                 self._factors[0].eq((axis.offset << 1) + 1), self._factors[1].eq(size_in),
                 self._divisor.eq(size)],
                # Taps of a full window.
                [self._dividend.eq(support + size - 1), self._divide.eq(1)],
                [axis.taps.eq(self._quotient), begin.eq(self._product - support - size)],
                # The first tap is the first with a distance above -support.
                [self._divisor.eq(double), self._dividend.eq(begin), self._divide.eq(1),
                 below.eq(begin < 0)],
                [axis.x.eq(Mux(below, 0, self._quotient + 1)),
                 axis.t.eq(Mux(below, -(begin + support),
                               double - support - self._rest)),
                 self._factors[0].eq((last << 1) + 1)],
                [], [],
                [self._dividend.eq(self._product + support - size - 1), self._divide.eq(1)],
                [axis.last.eq(Mux(self._quotient >= size_in, size_in - 1, self._quotient))],
            ]
            # The last step's product takes two cycles, hence the empty ones.
            for step, statements in enumerate(steps):
                with m.State(name if step == 0 else f"{name} {step}"):
                    target = f"{name} {step + 1}" if step + 1 < len(steps) else following
                    waits = step in (3, 5, 9)
                    with m.If(self._divided if waits else 1):
                        m.d.sync += statements
                        m.next = target

    def _memory(self, m):
        """Rings of rows, and whether they are large enough."""
        g = self.geometry
        vertical, horizontal = self._axes
        plan = self.o.p
        words_in, words_out = Signal(g.word), Signal(g.word)
        crop_words = Signal(g.word)
        needs = [Signal(g.line + 2, name=f"need_{n}") for n in range(3)]
        rows = [Signal(g.line + 2, name=f"rows_{n}") for n in range(3)]
        shifts = plan.source_shift, plan.between_shift, plan.output_shift
        bits = g.source_bits, g.intermediate_bits, g.output_bits
        with m.State("Memory"):
            m.d.sync += [
                words_in.eq((self._input[1] + (g.pixels - 1)) >> g.column),
                words_out.eq((self._crop[1] + (g.pixels - 1)) >> g.column),
                plan.repeat.eq(Mux(self._recipe.planar, 3, 1)),
            ]
            m.next = "Shifts"
        with m.State("Shifts"):
            for shift, words in zip(shifts, (words_in, Mux(self._first, words_in, words_out),
                                             words_out)):
                for k in range(g.word):
                    with m.If((words - 1)[k]):
                        m.d.sync += shift.eq(k + 1)
                with m.If(words == 1):
                    m.d.sync += shift.eq(0)
            m.next = "Needs"
        with m.State("Needs"):
            transit = [(2 * g.transit) >> shift for shift in (shifts[0], shifts[2])]
            m.d.sync += [
                *(r.eq(g.rows(b, s)) for r, b, s in zip(rows, bits, shifts)),
                # A unit's rows, and what Resize keeps free for the producer. All rows of a group
                # but one may lie above the window that waits for it.
                needs[0].eq(Mux(self._first, vertical.taps, g.pixels) + 2 + transit[0]),
                needs[1].eq(Mux(self._first, g.pixels, vertical.taps + (g.pixels - 1))),
                needs[2].eq(Mux(self._first, g.pixels, 1)),
                crop_words.eq((horizontal.last >> g.column) - (horizontal.x >> g.column) + 1),
            ]
            with m.If(plan.bypass):
                m.d.sync += [n.eq(0) for n in needs[:2]]
                m.d.sync += needs[2].eq(3 + transit[1])
            m.next = "Taps"
        with m.State("Taps"):
            self._fill(m, crop_words, words_out)
            self._fail(m, ~plan.bypass & ((vertical.taps > g.max_taps)
                                          | (horizontal.taps > g.max_taps)),
                       Status.TOO_LARGE, Detail.WINDOW, "Fit")
        with m.State("Fit"):
            self._fail(m, (needs[0] > rows[0]) | (needs[1] > rows[1]),
                       Status.TOO_LARGE, Detail.WINDOW, "Fit output")
        with m.State("Fit output"):
            self._fail(m, needs[2] > rows[2], Status.TOO_LARGE, Detail.OUTPUT_WIDTH, "Send")
        with m.State("Send"):
            m.d.comb += self.o.valid.eq(1)
            with m.If(self.o.ready):
                m.next = "Idle"

    def _fill(self, m, crop_words, words_out):
        """The plan, from the axes."""
        g = self.geometry
        vertical, horizontal = self._axes
        plan = self.o.p
        first = self._first
        group = Cat(C(0, g.column), vertical.x[g.column:])
        for number, pass_ in enumerate((plan.passes[0], plan.passes[1])):
            down = first if number == 0 else ~first
            m.d.sync += [
                pass_.vertical.eq(down), pass_.bicubic.eq(self._bicubic),
                *(pass_[name].eq(Mux(down, values[0], values[1])) for name, values in (
                    ("size_in", self._input), ("size_out", self._size), ("count", self._crop),
                    ("x", (vertical.x, horizontal.x)), ("t", (vertical.t, horizontal.t)))),
                # Vertical first: columns that the horizontal pass needs; rows the other way round.
                pass_.word.eq(horizontal.x >> g.column if number == 0 else 0),
                pass_.words.eq(crop_words if number == 0 else words_out),
                pass_.first.eq(group if number == 0 else 0),
                pass_.end.eq(vertical.last + 1 if number == 0 else self._crop[0]),
            ]
        m.d.sync += [
            plan.source_first.eq(Mux(first, vertical.x, group)),
            plan.between_first.eq(Mux(first, 0, vertical.x)),
            plan.between_written.eq(Mux(first, 0, group)),
            plan.output_words.eq(words_out), plan.output_rows.eq(self._crop[0]),
        ]
