# SPDX-License-Identifier: Apache-2.0
"""The parts of WordPiece side by side, so that they are built once."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from headrace.hw.text.assembler import WordAssembler
from headrace.hw.text.decomposer import Decomposer
from headrace.hw.text.serializer import Serializer
from headrace.hw.text.special import SpecialMatcher


__all__ = ["LANES", "Parts"]


LANES = 4


class Parts(wiring.Component):
    """Each part under its name."""

    def __init__(self, geometry):
        self.parts = {
            "serializer": Serializer(LANES, geometry), "decomposer": Decomposer(geometry),
            "special": SpecialMatcher(geometry), "assembler": WordAssembler(geometry),
        }
        super().__init__({name: Out(part.signature) for name, part in self.parts.items()})

    def elaborate(self, platform):
        m = Module()
        for name, part in self.parts.items():
            m.submodules[name] = part
            wiring.connect(m, part, wiring.flipped(getattr(self, name)))
        return m
