# SPDX-License-Identifier: Apache-2.0
"""Tcl that packages a kernel for Vivado's catalog, and for Vitis as ``.xo``."""

from ..card import registers
from .identity import CONTROL, LIBRARY, MEMORY, REVISION, VENDOR
from .kernel import interfaces


__all__ = ["register_map", "package_tcl"]


def register_map(wired):
    """Name, address and bits of all registers, in the order of addresses; with those of the
    network if ``wired``."""
    found = [(name, getattr(registers, name), 32) for name in ("CTRL", "GIE", "IER", "ISR")]
    found += [(name, *place) for name, place in registers.ARGUMENTS.items()]
    found += [(name, address, 32) for name, address in registers.CAPABILITIES.items()]
    found += [(f"count_{name}", address, 64) for name, address in registers.COUNTERS.items()]
    if wired:
        found += [(name, *place) for name, place in registers.NETWORK.items()]
        # The argument `count` is another.
        found += [("COMMIT", registers.COMMIT, 32), ("wire_count", registers.COUNT, 32),
                  ("RECEIVED", registers.RECEIVED, 32), ("POST", registers.POST, 32)]
    return sorted(found, key=lambda item: item[1])


PROJECT = """\
# Packages {sources} as IP in ./ip{also}. Run: vivado -mode batch -source package.tcl
set here [file dirname [file normalize [info script]]]

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

# Registers
set map [ipx::add_memory_map -quiet s_axi_control $core]
set_property slave_memory_map_ref s_axi_control \\
    [ipx::get_bus_interfaces {control} -of_objects $core]
set block [ipx::add_address_block -quiet reg0 $map]
set_property range {range} $block
set_property width 32 $block
set_property usage register $block
foreach {{name address bits}} {{
{registers}
}} {{
    set register [ipx::add_register $name $block]
    set_property address_offset $address $register
    set_property size $bits $register
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

XO = """
file delete -force $here/{module}.xo
package_xo -xo_path $here/{module}.xo -kernel_name {module} -ip_directory $here/ip \\
    -kernel_xml $here/kernel.xml
"""


def package_tcl(board, component, *, xo):
    """Text of ``package.tcl``; with ``xo`` it makes the file that ``v++`` links."""
    text = PROJECT.format(
        module=board.module, sources=board.sources, part=board.part.name,
        vendor=VENDOR, library=LIBRARY, revision=REVISION, control=CONTROL, memory=MEMORY,
        also=f", and as {board.module}.xo" if xo else "",
        buses=" ".join(interfaces(component)), range=1 << registers.ADDRESS_BITS,
        registers="\n".join(f"    {name} 0x{address:03X} {bits}" for name, address, bits
                            in register_map(bool(component.config.wire))),
        pointers=" ".join(name for name, (_, bits) in registers.ARGUMENTS.items() if bits == 64),
        kernel="set_property sdx_kernel true $core\nset_property sdx_kernel_type rtl $core\n"
        if xo else "", check="-kernel " if xo else "")
    return text + (XO.format(module=board.module) if xo else "")
