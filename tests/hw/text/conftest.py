# SPDX-License-Identifier: Apache-2.0
import pytest
from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In

from headrace.hw.text.case import CaseFolder
from headrace.hw.text.characters import CharacterMap
from headrace.hw.text.columns import Columns
from headrace.hw.text.features import FeatureTable
from headrace.hw.text.layout import CharacterWrite
from headrace.hw.text.ngrams import Ngrams
from headrace.hw.text.utf8 import Utf8Decoder
from headrace.hw.text.words import WordSplitter
from verilated import StreamBench


class LoadedMap(wiring.Component):
    """A CharacterMap that is written through a stream."""

    def __init__(self, lanes, width, sets, pages):
        self.map = CharacterMap(lanes, width, sets, pages)
        members = {name: member for name, member in self.map.signature.members.items()
                   if not name.startswith("write")}
        super().__init__({
            **members, "write": In(stream.Signature(CharacterWrite(width, sets, pages)))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.map = self.map
        for name in ("select", "i"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(self.map, name))
        wiring.connect(m, self.map.o, wiring.flipped(self.o))
        m.d.comb += [
            self.map.write.eq(self.write.p), self.map.write_valid.eq(self.write.valid),
            self.write.ready.eq(1),
        ]
        return m


class SideBySide(wiring.Component):
    """Kernels of which all ports are streams; ports are NAME_PORT."""

    def __init__(self, kernels):
        self.kernels = kernels
        super().__init__({f"{name}_{port}": member for name, kernel in kernels.items()
                          for port, member in kernel.signature.members.items()})

    def elaborate(self, platform):
        m = Module()
        for name, kernel in self.kernels.items():
            m.submodules[name] = kernel
            for port in kernel.signature.members:
                wiring.connect(m, wiring.flipped(getattr(self, f"{name}_{port}")),
                               getattr(kernel, port))
        return m


#: One Verilated model is compiled faster than many.
KERNELS = {
    "utf8": lambda: Utf8Decoder(4), "utf8_1": lambda: Utf8Decoder(1),
    "characters": lambda: LoadedMap(4, 13, 2, 48), "case": CaseFolder, "words": WordSplitter,
    "ngrams": lambda: Ngrams(3), "columns": lambda: Columns(3, 992),
    "features": lambda: FeatureTable(64, 200, 5),
}


class Kernels:
    """``run(name, stall, port=items)`` gives the outputs of a kernel, in order."""

    def __init__(self, folder):
        top = SideBySide({name: make() for name, make in KERNELS.items()})
        flows = {flow: [name for name, member in top.signature.members.items()
                        if member.flow.name == flow] for flow in ("In", "Out")}
        self.bench = StreamBench(
            top, folder, first=["characters_write"], outputs=flows["Out"], quiet=2000,
            inputs=[name for name in flows["In"] if name != "characters_write"])

    def run(self, name, stall=0.0, **items):
        found = self.bench.run(stall, **{f"{name}_{port}": some for port, some in items.items()})
        mine = [found[port] for port in self.bench.outputs if port.rpartition("_o")[0] == name
                or port == f"{name}_o_done"]
        others = sum(map(len, found.values())) - sum(map(len, mine))
        assert not others
        return mine


@pytest.fixture(scope="session")
def kernels(tmp_path_factory):
    return Kernels(tmp_path_factory.mktemp("kernels"))
