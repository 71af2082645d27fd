# SPDX-License-Identifier: Apache-2.0
"""Constraints of boards, and Tcl that implements a card under them without its platform."""

from pathlib import Path


__all__ = ["SUFFIXES", "constraints", "alone_tcl"]


#: The project's, or the package's, ``constraints``: a file a board.
FOLDER = Path(__file__).parents[2] / "constraints"

#: How files end, by family: nextpnr's preferences, Vivado's constraints.
SUFFIXES = {"ecp5": "lpf", "xcup": "xdc"}

ALONE = """\
# The card by itself on {part}, out of context: neither platform nor shell, no pins. Makes
# utilization.txt and timing.txt. Run: vivado -mode batch -source alone.tcl
set here [file dirname [file normalize [info script]]]

read_verilog $here/{sources}
read_xdc -mode out_of_context $here/{constraints}
synth_design -mode out_of_context -top {module} -part {part}
opt_design
place_design
phys_opt_design
route_design
report_utilization -file $here/utilization.txt
report_timing_summary -file $here/timing.txt
set slack [get_property SLACK [get_timing_paths -setup -max_paths 1]]
puts "slack of {clock} MHz: $slack ns"
if {{$slack < 0}} {{
    error "{clock} MHz are not met: see $here/timing.txt"
}}
"""


def constraints(board):
    """Path of a board's constraints."""
    return FOLDER / f"{board.name}.{SUFFIXES[board.family]}"


def alone_tcl(board):
    """Text of ``alone.tcl``, for boards that Vivado builds."""
    return ALONE.format(part=board.part.name, sources=board.sources, module=board.module,
                        constraints=constraints(board).name, clock=board.clock)
