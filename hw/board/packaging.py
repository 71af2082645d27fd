# SPDX-License-Identifier: Apache-2.0
"""Tcl that packages a kernel for Vivado's catalog, and for Vitis as ``.xo``."""

from ..card import registers
from ..card.read_dma import ReadDma
from ..card.write_dma import WriteDma
from .identity import CONTROL, LIBRARY, MEMORY, REVISION, VENDOR
from .kernel import interfaces
from .register_map import register_map


__all__ = ["package_tcl"]


#: Bus parameters of the memory port: without them interconnects let 2 transfers be under way. It
#: waits for no answer to what it writes, so that number is as good as another. All bursts are of
#: whole beats, at addresses that count up.
BURSTS = {"MAX_BURST_LENGTH": max(ReadDma.BURST, WriteDma.BURST),
          "NUM_READ_OUTSTANDING": ReadDma.BURSTS, "NUM_WRITE_OUTSTANDING": 16,
          "HAS_BURST": 0, "SUPPORTS_NARROW_BURST": 0}


PROJECT = """\
# Packages {sources} as IP in ./ip{also}. Run: vivado -mode batch -source package.tcl
set here [file dirname [file normalize [info script]]]
file delete -force $here/ip $here/package

create_project -force package $here/package -part {part}
add_files -norecurse $here/{sources}
set_property top {module} [current_fileset]
update_compile_order -fileset sources_1
ipx::package_project -root_dir $here/ip -vendor {vendor} -library {library} -taxonomy /KernelIP \\
    -import_files -set_current false
ipx::unload_core $here/ip/component.xml
ipx::edit_ip_in_project -upgrade true -name edit -directory $here/ip $here/ip/component.xml
set core [ipx::current_core]
set_property name {module} $core
set_property version {revision} $core
set_property core_revision 1 $core
foreach parameter [ipx::get_user_parameters -of_objects $core] {{
    ipx::remove_user_parameter [get_property NAME $parameter] $core
}}

# Clock, reset and buses are found by their names; one clock is for all.
foreach {{name type}} {{ap_clk clock_rtl ap_rst_n reset_rtl interrupt interrupt_rtl}} {{
    if {{[llength [ipx::get_bus_interfaces -quiet $name -of_objects $core]] == 0}} {{
        ipx::infer_bus_interface $name xilinx.com:signal:$type:1.0 $core
    }}
}}
foreach bus {{{buses}}} {{
    ipx::associate_bus_interfaces -busif $bus -clock ap_clk $core
}}
ipx::associate_bus_interfaces -clock ap_clk -reset ap_rst_n $core
set bus [ipx::get_bus_interfaces {memory} -of_objects $core]
foreach {{name value}} {{
{bursts}
}} {{
    set_property value $value [ipx::add_bus_parameter -quiet $name $bus]
}}

# Registers
set map [ipx::add_memory_map -quiet s_axi_control $core]
set_property slave_memory_map_ref s_axi_control \\
    [ipx::get_bus_interfaces {control} -of_objects $core]
set block [ipx::add_address_block -quiet reg0 $map]
set_property range {range} $block
set_property width 32 $block
set_property usage register $block
foreach {{name address bits access fields}} {{
{registers}
}} {{
    set register [ipx::add_register $name $block]
    set_property address_offset $address $register
    set_property size $bits $register
    set_property access $access $register
    foreach {{name bit access}} $fields {{
        set field [ipx::add_field $name $register]
        set_property bit_offset $bit $field
        set_property bit_width 1 $field
        set_property access $access $field
    }}
}}
foreach name {{{pointers}}} {{
    set register [ipx::get_registers $name -of_objects $block]
    set_property value {memory} [ipx::add_register_parameter ASSOCIATED_BUSIF $register]
}}

set_property supported_families {{}} $core
set_property auto_family_support_level level_2 $core
{kernel}ipx::create_xgui_files $core
ipx::update_checksums $core
ipx::check_integrity {check}$core
ipx::save_core $core
close_project -delete
"""

#: What the check of a kernel wants. Its clock is the linker's affair.
KERNEL = """\
set_property sdx_kernel true $core
set_property sdx_kernel_type rtl $core
set_property xpm_libraries {XPM_CDC XPM_MEMORY XPM_FIFO} $core
set_property ipi_drc {ignore_freq_hz true} $core
set_property vitis_drc {ctrl_protocol ap_ctrl_hs} $core
"""

XO = """
file delete -force $here/{module}.xo
package_xo -xo_path $here/{module}.xo -kernel_name {module} -ip_directory $here/ip \\
    -kernel_xml $here/kernel.xml
"""


def line(register):
    """A register in Tcl."""
    fields = " ".join(f"{name} {bit} {access}" for name, bit, access in register.fields)
    return (f"    {register.name} 0x{register.address:03X} {register.bits} {register.access} "
            f"{{{fields}}}")


def package_tcl(board, component, *, xo):
    """Text of ``package.tcl``; with ``xo`` it makes the file that ``v++`` links, otherwise all
    registers have 32 bits, as PYNQ on a Zynq needs them."""
    found = register_map(bool(component.config.wire), words=not xo)
    text = PROJECT.format(
        module=board.module, sources=board.sources, part=board.part.name,
        vendor=VENDOR, library=LIBRARY, revision=REVISION, control=CONTROL, memory=MEMORY,
        also=f", and as {board.module}.xo" if xo else "",
        buses=" ".join(interfaces(component)), range=1 << registers.ADDRESS_BITS,
        bursts="\n".join(f"    {name} {value}" for name, value in BURSTS.items()),
        registers="\n".join(map(line, found)),
        pointers=" ".join(register.name for register in found if register.pointer),
        kernel=KERNEL if xo else "", check="-kernel " if xo else "")
    return text + (XO.format(module=board.module) if xo else "")
