# SPDX-License-Identifier: Apache-2.0
"""Small cards on a cocotbext-axi bus."""

import pytest
from amaranth import *
from amaranth.lib import wiring
from headrace.hw.card import image_lane
from headrace.hw.card.card import Card
from headrace.hw.card.config import CardConfig
from headrace.hw.image.resize import Resize
from runner import simulate


SMALL = dict(max_width=64, max_side=256, max_taps=64, source_rows=32, intermediate_bits=10,
             output_bits=8, recipes=2)


class Reluctant(wiring.Component):
    """A resizer that takes no words for 1024 cycles at a time."""

    def __init__(self, contexts, **limits):
        self.resize = Resize(contexts, **limits)
        self.geometry = self.resize.geometry
        super().__init__(self.resize.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.resize = resize = self.resize
        time = Signal(11)
        m.d.sync += time.eq(time + 1)
        for name in "i_plan", "i_abort":
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(resize, name))
        wiring.connect(m, resize.o, wiring.flipped(self.o))
        m.d.comb += [
            resize.i.payload.eq(self.i.payload), resize.i.valid.eq(self.i.valid & time[-1]),
            self.i.ready.eq(resize.i.ready & time[-1]),
            *(getattr(self, name).eq(getattr(resize, name)) for name in ("room", "tie", "idle")),
        ]
        return m


#: Of pixels alone: plans of long sides take longer than small arrays.
ARRAYS = ["sizes_take_turns", "files_fail_among_arrays", "data_before_addresses", "longest_rows"]


@pytest.mark.parametrize("options, more", [
    (dict(contexts=2, image_lanes=2, port=512, lines=4, pixels=16, source_rows=64), []),
    (dict(contexts=4, image_lanes=1, port=64, max_side=8192), ARRAYS)], ids=["512", "64"])
def test_black_box(options, more):
    config = CardConfig(max_ngram=2, feature_rows=64, **{**SMALL, **options})
    simulate(Card(config), "card_box", name=f"card_{config.port}",
             testcase=["images_are_exact", "texts_are_exact", "what_is_not_needed_is_not_read",
                       "refused_writes", "ends_of_addresses", *more],
             env={"HEADRACE_STALL": "0.3", "HEADRACE_PAGES": str(config.pages),
                  "HEADRACE_ROWS": str(config.feature_rows),
                  "HEADRACE_MAX_N": str(config.max_ngram)})


def test_resizer_that_waits(monkeypatch):
    monkeypatch.setattr(image_lane, "Resize", Reluctant)
    card = Card(CardConfig(contexts=1, text_lanes=0, **SMALL))
    simulate(card, "card_box", name="card_reluctant",
             testcase=["images_are_exact", "refused_words_are_dropped",
                       "what_is_not_needed_is_not_read"])


def test_config():
    with pytest.raises(ValueError, match=r"^Contexts must be within range\(1, 17\), not 17$"):
        CardConfig(contexts=17)
    for options in dict(port=128), dict(port=64, wire=512):
        with pytest.raises(ValueError, match=r"^Port must be 64 or 512, and not less than wire,"):
            CardConfig(**options)
    for options in dict(lines=4), dict(lines=2, pixels=16):
        with pytest.raises(ValueError, match=r"^Lines must be 1 or 2, or 4 with 16 pixels, not "):
            CardConfig(**options)
    with pytest.raises(ValueError, match=r"^Pixels must be 8 or 16, not 12$"):
        CardConfig(pixels=12)
    with pytest.raises(ValueError, match=r"^Text lanes must be within range\(17\), not -1$"):
        CardConfig(text_lanes=-1)
