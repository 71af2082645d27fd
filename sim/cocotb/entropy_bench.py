# SPDX-License-Identifier: Apache-2.0
"""HuffmanBuilder and EntropyDecoder together: tables as a file has them, then scans."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from headrace.hw.jpeg.entropy import EntropyDecoder
from headrace.hw.jpeg.huffman import HuffmanBuilder


__all__ = ["Bench"]


class Bench(wiring.Component):
    """All ports of the decoder but the writes to its tables, which come of ``i_table``."""

    def __init__(self, contexts, turns):
        self.entropy = EntropyDecoder(contexts, turns)
        self.ports = {name: member for name, member in self.entropy.signature.members.items()
                      if not name.startswith("write")}
        self.contexts = contexts
        super().__init__({
            **self.ports, "i_table": In(stream.Signature(8)),
            "table_start": In(1), "context": In(range(contexts)), "ac": In(1), "number": In(2),
            "busy": Out(1), "bad": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.entropy = entropy = self.entropy
        m.submodules.huffman = huffman = HuffmanBuilder(self.contexts)
        wiring.connect(m, wiring.flipped(self.i_table), huffman.i)
        m.d.comb += [
            huffman.start.eq(self.table_start), huffman.context.eq(self.context),
            huffman.ac.eq(self.ac), huffman.number.eq(self.number),
            self.busy.eq(huffman.busy), self.bad.eq(huffman.bad),
            entropy.write.eq(huffman.write), entropy.write_valid.eq(huffman.write_valid),
        ]
        for name, member in self.ports.items():
            inner, outer = getattr(entropy, name), getattr(self, name)
            if name == "i":
                for c in range(self.contexts):
                    wiring.connect(m, wiring.flipped(outer[c]), inner[c])
            elif name == "config":
                m.d.comb += [a.eq(b) for a, b in zip(inner, outer)]
            elif member.flow == In:
                m.d.comb += inner.eq(outer)
            else:
                m.d.comb += outer.eq(inner)
        return m
