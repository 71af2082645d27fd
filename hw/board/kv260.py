# SPDX-License-Identifier: Apache-2.0
"""Kria KV260: the card beside the processors, and their memory; PYNQ loads it.

Its Ethernet belongs to the processors, so the card has no network port. The part has 144 blocks of
RAM: image lanes for photos up to 1024 pixels wide fit, the tables of a text lane do not.
"""

import dataclasses

from ..card.config import CONFIGS
from .board import Board, Part
from .identity import CONTROL, INSTANCE, MEMORY, NAME, VLNV
from .kernel import Kernel
from .packaging import package_tcl


__all__ = ["BOARD"]


DESIGN = """\
# The card beside the processors: {module}.bit and {module}.hwh. Run after package.tcl:
# vivado -mode batch -source design.tcl
set here [file dirname [file normalize [info script]]]

create_project -force {module} $here/project -part {part}
set boards [lsort [get_board_parts -quiet xilinx.com:kv260_som:part0:*]]
if {{[llength $boards] == 0}} {{
    error "Vivado's board files of the KV260 are not installed"
}}
set_property board_part [lindex $boards end] [current_project]
set_property ip_repo_paths $here/ip [current_project]
update_ip_catalog

create_bd_design system
set ps [create_bd_cell -type ip -vlnv xilinx.com:ip:zynq_ultra_ps_e ps]
apply_bd_automation -rule xilinx.com:bd_rule:zynq_ultra_ps_e -config {{apply_board_preset 1}} $ps
# Registers from HPM0_FPD, memory by HP0, whose 128 bits are its most.
set_property -dict {{
    CONFIG.PSU__USE__M_AXI_GP0 1
    CONFIG.PSU__USE__M_AXI_GP1 0
    CONFIG.PSU__USE__M_AXI_GP2 0
    CONFIG.PSU__USE__S_AXI_GP2 1
    CONFIG.PSU__SAXIGP2__DATA_WIDTH 128
    CONFIG.PSU__USE__IRQ0 1
    CONFIG.PSU__FPGA_PL0_ENABLE 1
    CONFIG.PSU__CRL_APB__PL0_REF_CTRL__SRCSEL IOPLL
    CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ 100
}} $ps
# PYNQ sets the dividers of PL0 only, and none of them makes {clock} MHz of the IOPLL's 1000.
set_property -dict {{
    CONFIG.PRIM_SOURCE No_buffer
    CONFIG.CLKOUT1_REQUESTED_OUT_FREQ {clock}
    CONFIG.RESET_TYPE ACTIVE_LOW
    CONFIG.USE_LOCKED true
}} [create_bd_cell -type ip -vlnv xilinx.com:ip:clk_wiz clock]
create_bd_cell -type ip -vlnv {vlnv} {instance}
create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset reset
foreach name {{control memory}} {{
    set_property -dict {{CONFIG.NUM_SI 1 CONFIG.NUM_MI 1}} \\
        [create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect $name]
}}

connect_bd_net [get_bd_pins ps/pl_clk0] [get_bd_pins clock/clk_in1]
foreach pin {{ps/maxihpm0_fpd_aclk ps/saxihp0_fpd_aclk control/aclk memory/aclk \\
             reset/slowest_sync_clk {instance}/ap_clk}} {{
    connect_bd_net [get_bd_pins clock/clk_out1] [get_bd_pins $pin]
}}
foreach pin {{clock/resetn reset/ext_reset_in}} {{
    connect_bd_net [get_bd_pins ps/pl_resetn0] [get_bd_pins $pin]
}}
connect_bd_net [get_bd_pins clock/locked] [get_bd_pins reset/dcm_locked]
foreach pin {{control/aresetn memory/aresetn}} {{
    connect_bd_net [get_bd_pins reset/interconnect_aresetn] [get_bd_pins $pin]
}}
connect_bd_net [get_bd_pins reset/peripheral_aresetn] [get_bd_pins {instance}/ap_rst_n]
connect_bd_net [get_bd_pins {instance}/interrupt] [get_bd_pins ps/pl_ps_irq0]
foreach {{from to}} {{
    ps/M_AXI_HPM0_FPD control/S00_AXI
    control/M00_AXI {instance}/{control}
    {instance}/{memory} memory/S00_AXI
    memory/M00_AXI ps/S_AXI_HP0_FPD
}} {{
    connect_bd_intf_net [get_bd_intf_pins $from] [get_bd_intf_pins $to]
}}
assign_bd_address
validate_bd_design
save_bd_design

set design [get_files system.bd]
make_wrapper -files $design -top -import
generate_target all $design
set_property top system_wrapper [current_fileset]
update_compile_order -fileset sources_1
launch_runs impl_1 -to_step write_bitstream
wait_on_run impl_1
if {{[get_property PROGRESS [get_runs impl_1]] ne "100%"}} {{
    error "Vivado's run impl_1 failed, see its log in $here/project"
}}
set folder $here/project/{module}
file copy -force $folder.runs/impl_1/system_wrapper.bit $here/{module}.bit
file copy -force $folder.gen/sources_1/bd/system/hw_handoff/system.hwh $here/{module}.hwh
"""

BUILD = """\
#!/bin/sh
# Makes {module}.bit and {module}.hwh: needs vivado on PATH, with the board files of the KV260.
set -eu
cd "$(dirname "$0")"
vivado -mode batch -notrace -source package.tcl
vivado -mode batch -notrace -source design.tcl
"""


def files(board, component):
    """The board's files."""
    names = {"module": board.module, "part": board.part.name, "clock": board.clock,
             "vlnv": VLNV, "instance": INSTANCE, "control": CONTROL, "memory": MEMORY}
    return {"package.tcl": package_tcl(board, component, xo=False),
            "design.tcl": DESIGN.format(**names), "build.sh": BUILD.format(**names)}


BOARD = Board(
    name="kv260", title="AMD Kria KV260",
    part=Part("xck26-sfvc784-2LV-c", 117_120, 234_240, 1_248, 144, 64),
    config=dataclasses.replace(CONFIGS["kv260"], gated=False),
    top=Kernel, module=NAME, sources=f"{NAME}.v", files=files, tools=("vivado",),
    folders={}, result="headrace.bit", clock=150)
