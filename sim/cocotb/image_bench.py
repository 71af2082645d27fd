# SPDX-License-Identifier: Apache-2.0
"""Plan and Resize together, as in a lane."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from headrace.hw.image.layout import PlaneWord, Recipe
from headrace.hw.image.plan import Plan
from headrace.hw.image.resize import Resize
from headrace.hw.stream.layout import Frame, PixelWord


__all__ = ["Bench"]


class Bench(wiring.Component):
    """Good plans begin an image, others come out of ``o_refused``."""

    def __init__(self, contexts, **limits):
        self.resize = Resize(contexts, **limits)
        self.geometry = self.resize.geometry
        super().__init__({
            "i_frame": In(stream.Signature(Frame(contexts))),
            "recipe": In(Recipe).array(contexts),
            "o_refused": Out(stream.Signature(self.geometry.plan)),
            "i": In(stream.Signature(PixelWord(contexts, self.geometry.pixels))),
            "room": Out(contexts),
            "o": Out(stream.Signature(PlaneWord(contexts, self.geometry.pixels))),
            "tie": Out(contexts), "idle": Out(contexts),
            "i_abort": In(stream.Signature(range(contexts))),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.plan = plan = Plan(self.geometry)
        m.submodules.resize = resize = self.resize
        wiring.connect(m, wiring.flipped(self.i_frame), plan.i)
        wiring.connect(m, wiring.flipped(self.i), resize.i)
        wiring.connect(m, wiring.flipped(self.i_abort), resize.i_abort)
        wiring.connect(m, resize.o, wiring.flipped(self.o))
        good = plan.o.p.status == 0
        m.d.comb += [
            *(inner.eq(outer) for inner, outer in zip(plan.recipe, self.recipe)),
            resize.i_plan.payload.eq(plan.o.payload), resize.i_plan.valid.eq(plan.o.valid & good),
            self.o_refused.payload.eq(plan.o.payload),
            self.o_refused.valid.eq(plan.o.valid & ~good),
            plan.o.ready.eq(Mux(good, resize.i_plan.ready, self.o_refused.ready)),
            self.room.eq(resize.room), self.tie.eq(resize.tie), self.idle.eq(resize.idle),
        ]
        return m
