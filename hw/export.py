# SPDX-License-Identifier: Apache-2.0
"""Plain Verilog or RTLIL of any kernel or card: ``python -m headrace.hw.export NAME``."""

import argparse
import importlib.util
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from .command import check_file, command, lacking, whole_file

if importlib.util.find_spec("amaranth") is None:
    lacking("Amaranth", "hw", __name__)

from amaranth.back import rtlil, verilog

from .card.card import Card
from .card.config import CONFIGS
from .image.layout import Geometry
from .image.plan import Plan
from .image.resize import Resize
from .jpeg.decoder import Decoder
from .jpeg.entropy import EntropyDecoder
from .jpeg.idct import Idct
from .tensor.packer import RowPacker
from .tensor.tables import Tables
from .wire.layout import WIDTHS
from .wire.receive import Receive
from .wire.transmit import Transmit
from .text.characters import CharacterMap
from .text.hashing import Hashing
from .text.utf8 import Utf8Decoder
from .text.wordpiece import WordPiece


__all__ = ["KERNELS", "build", "convert", "convert_component", "main"]


#: Constructors of kernels by name; ``:BITS`` for the width of a beat, ``card:NAME`` for the cards.
KERNELS = {
    "jpeg.decoder": Decoder,
    "jpeg.entropy": lambda: EntropyDecoder(4),
    "jpeg.idct": Idct,
    "image.plan": lambda: Plan(Geometry(2)),
    "image.resize": Resize,
    "tensor.tables": lambda: Tables(2, 4),
    "tensor.packer": lambda: RowPacker(2),
    **{f"wire.receive:{width}": lambda width=width: Receive(width) for width in WIDTHS},
    **{f"wire.transmit:{width}": lambda width=width: Transmit(width) for width in WIDTHS},
    "text.utf8": Utf8Decoder,
    "text.characters": CharacterMap,
    "text.hashing": Hashing,
    "text.wordpiece": WordPiece,
    **{f"card:{name}": lambda config=config: Card(config) for name, config in CONFIGS.items()},
}


def build(name):
    """The component of that name, and the name of its module.

    Raises
    ------
    ValueError
        If there is no such kernel or card.
    """
    if name not in KERNELS:
        raise ValueError(f"Name must be one of {', '.join(KERNELS)}, not {name!r}")
    return KERNELS[name](), name.split(":")[0].split(".")[-1]


#: A cell of RTLIL that sets a memory to zero: what simulators and block RAMs begin with anyway.
ZERO_MEMORY = re.compile(
    r"  cell \$meminit_v2 [^\n]*\n(?:    [^\n]*\n)*?    connect \\DATA \{  \}\n"
    r"(?:    [^\n]*\n)*?  end\n")


class ModuleEmitter(rtlil.ModuleEmitter):
    """Amaranth's, but without the zeros of memories, which it writes one bit at a time: four fifths
    of the time that a card takes."""

    def emit_memory(self, cell_idx, cell):
        if not any(cell.init):
            cell = SimpleNamespace(width=cell.width, depth=cell.depth, init=(),
                                   src_loc=cell.src_loc)
        super().emit_memory(cell_idx, cell)


def convert(name, *, language="verilog"):
    """Text of a kernel or card in ``"verilog"`` or ``"rtlil"``."""
    return convert_component(*build(name), language=language)


def convert_component(component, module, *, language="verilog", platform=None):
    """Text of a component as module ``module``; its memories are zero at first. ``platform`` is
    what components are elaborated for."""
    with mock.patch.object(rtlil, "ModuleEmitter", ModuleEmitter):
        text = rtlil.convert(component, name=module, emit_src=False, platform=platform)
    text = ZERO_MEMORY.sub("", text)
    if language == "rtlil":
        return text
    return verilog._convert_rtlil_text(text, strip_internal_attrs=True)


@command("export", verilog.YosysError)
def main(argv=None):
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m headrace.hw.export", description=__doc__)
    parser.add_argument("name", nargs="?", help="what to export")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: print it")
    parser.add_argument("--rtlil", action="store_true", help="Yosys' format instead of Verilog")
    parser.add_argument("--list", action="store_true", help="name everything there is")
    args = parser.parse_args(argv)
    if args.list or args.name is None:
        print(*KERNELS, sep="\n")
        return 0
    check_file(args.output)
    text = convert(args.name, language="rtlil" if args.rtlil else "verilog")
    if args.output:
        with whole_file(args.output, "w", encoding="utf-8") as file:
            file.write(text)
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
