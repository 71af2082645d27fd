# SPDX-License-Identifier: Apache-2.0
"""OpenNIC shell: a plugin for its box at 250 MHz, on an Alveo U55C."""

from ..card.config import CardConfig
from .board import Board, Part
from .plugin import BOX, STREAM, Plugin
from .window import ADDRESS_BITS


__all__ = ["BOARD"]


#: Wires of the box's AXI4-Lite: bits, and whether the host drives them.
LITE = {"awvalid": (1, True), "awaddr": (32, True), "awready": (1, False), "wvalid": (1, True),
        "wdata": (32, True), "wready": (1, False), "bvalid": (1, False), "bresp": (2, False),
        "bready": (1, True), "arvalid": (1, True), "araddr": (32, True), "arready": (1, False),
        "rvalid": (1, False), "rdata": (32, False), "rresp": (2, False), "rready": (1, True)}

LICENCE = "// SPDX-License-Identifier: Apache-2.0\n"

INSTANCE = LICENCE + """\
// Included in box_250mhz: one port, one function of the host.
initial begin
  if (NUM_PHYS_FUNC != 1 || NUM_CMAC_PORT != 1) begin
    $fatal(1, "Needs -num_phys_func 1 -num_cmac_port 1");
  end
end

wire headrace_axis_rstn;
wire headrace_axil_rstn;

assign mod_rst_done[15:1] = {{15{{1'b1}}}};

// The first clock is the slower one.
generic_reset #(
  .NUM_INPUT_CLK (2)
) headrace_reset_inst (
  .mod_rstn     (mod_rstn[0]),
  .mod_rst_done (mod_rst_done[0]),
  .clk          ({{axis_aclk, axil_aclk}}),
  .rstn         ({{headrace_axis_rstn, headrace_axil_rstn}})
);

// The shell's own, to the clock of the streams.
axi_lite_clock_converter headrace_axil_inst (
{converter}
  .s_axi_awprot  (3'd0),
  .s_axi_arprot  (3'd0),
  .s_axi_wstrb   (4'hF),
  .m_axi_awprot  (),
  .m_axi_arprot  (),
  .m_axi_wstrb   (),
  .s_axi_aclk    (axil_aclk),
  .s_axi_aresetn (headrace_axil_rstn),
  .m_axi_aclk    (axis_aclk),
  .m_axi_aresetn (headrace_axis_rstn)
);

{module} headrace_inst (
{ports}
  .interrupt (),
  .ap_clk    (axis_aclk),
  .ap_rst_n  (headrace_axis_rstn)
);
"""

ADDRESS_INSTANCE = LICENCE + """\
// Included in box_250mhz: all of its addresses are ours.
{wires}
box_250mhz_address_map address_map_inst (
{ports}
);
"""

ADDRESS_MAP = LICENCE + """\
// Addresses of the box, which is at 0x100000 of BAR 2: see docs/boards.md.
module box_250mhz_address_map (
{ports}
);
{assigns}
endmodule
"""

CROSSBAR = """\
# All addresses of the box are the plugin's: there is no crossbar to make.
"""

#: It is sourced in the plugin's folder.
READ = """\
read_verilog -quiet {sources}
"""

BUILD = """\
#!/bin/sh
# Makes the shell with the plugin: needs vivado on PATH, the shell at $OPEN_NIC_SHELL,
# and the free licence "UltraScale+ Integrated 100G Ethernet" (cmac_usplus) installed.
set -eu
: "${{OPEN_NIC_SHELL:?must name a clone of Xilinx/open-nic-shell}}"
OPEN_NIC_SHELL=$(cd "$OPEN_NIC_SHELL" && pwd)
cd "$(dirname "$0")"
here=$PWD
cd "$OPEN_NIC_SHELL/script"
vivado -mode batch -notrace -source build.tcl -tclargs -board {board} -tag headrace \\
    -user_plugin "$here/plugin" -num_phys_func 1 -num_cmac_port 1 -max_pkt_len 9600 \\
    -rebuild 1 -overwrite 1 -impl 1 -post_impl 1
"""

#: The shell's name of the board.
SHELL_BOARD = "au55c"


def instance(module):
    """The plugin in the box."""
    converter = []
    for name in LITE:
        converter.append(f"  .s_axi_{name} (axil_headrace_{name}),")
        converter.append(f"  .m_axi_{name} (headrace_{name}),")
    ports = [f"  .s_axil_{name} (headrace_{name}"
             f"{f'[{ADDRESS_BITS - 1}:0]' if name.endswith('addr') else ''}),"
             for name in LITE]
    ports += [f"  .{name}_{part} ({name}_{part})," for name in BOX
              for part in (*STREAM, "tready")]
    wires = "\n".join(wire(f"headrace_{name}", bits) for name, (bits, _) in LITE.items())
    text = INSTANCE.format(module=module, converter="\n".join(converter), ports="\n".join(ports))
    return text.replace("// The shell's own", f"{wires}\n\n// The shell's own")


def wire(name, bits):
    """A declaration."""
    return f"wire {f'[{bits - 1}:0] ' if bits > 1 else ''}{name};"


def address_instance():
    """What leads to the plugin in the box."""
    return ADDRESS_INSTANCE.format(
        wires="\n".join(wire(f"axil_headrace_{name}", bits) for name, (bits, _) in LITE.items()),
        ports=",\n".join(
            f"  .s_axil_{name} (s_axil_{name}),\n  .m_axil_headrace_{name} (axil_headrace_{name})"
            for name in LITE))


def address_map():
    """A module that passes everything on."""
    ports, assigns = [], []
    for name, (bits, driven) in LITE.items():
        size = f"[{bits - 1}:0] " if bits > 1 else ""
        for prefix, inward in (("s_axil", driven), ("m_axil_headrace", not driven)):
            ports.append(f"  {'input ' if inward else 'output'} {size}{prefix}_{name}")
        outer, inner = f"s_axil_{name}", f"m_axil_headrace_{name}"
        assigns.append(f"  assign {inner} = {outer};" if driven
                       else f"  assign {outer} = {inner};")
    return ADDRESS_MAP.format(ports=",\n".join(ports), assigns="\n".join(assigns))


def files(board, component):
    """The board's files."""
    folder = "plugin/box_250mhz"
    return {
        f"{folder}/user_plugin_250mhz_inst.vh": instance(board.module),
        f"{folder}/box_250mhz_address_map_inst.vh": address_instance(),
        f"{folder}/box_250mhz_address_map.v": address_map(),
        f"{folder}/box_250mhz_axi_crossbar.tcl": CROSSBAR,
        "plugin/build_box_250mhz.tcl": READ.format(sources=board.sources.split("/")[-1]),
        "build.sh": BUILD.format(board=SHELL_BOARD)}


BOARD = Board(
    name="opennic", title="OpenNIC shell on an AMD Alveo U55C",
    part=Part("xcu55c-fsvh2892-2L-e", 1_303_680, 2_607_360, 9_024, 2_016, 960),
    config=CardConfig(wire=512), top=Plugin, module="headrace_250mhz",
    sources="plugin/headrace_250mhz.v", files=files, tools=("vivado",),
    folders={"OPEN_NIC_SHELL": "a clone of Xilinx/open-nic-shell"},
    result=f"$OPEN_NIC_SHELL/build/{SHELL_BOARD}_headrace/open_nic_shell/"
           "open_nic_shell.runs/impl_1/open_nic_shell.bit", clock=250)
