# SPDX-License-Identifier: Apache-2.0
# Stand-ins for Vivado's commands, as its documentation (UG835) and public scripts have them. They
# reject options they do not know, wrong numbers of arguments, files, cells and pins that are not
# there; what is not here is an unknown command to Tcl. Each call is a line of $::log.

namespace eval ipx {}
set log {}

# name: flags, options with a value, those whose value is a file that must be there, least and most
# other arguments.
array set commands {
    create_project                 {{-force} {-part} {} 1 2}
    close_project                  {{-delete} {} {} 0 0}
    add_files                      {{-norecurse} {-fileset} {} 1 1}
    set_property                   {{} {-dict} {} 1 3}
    get_property                   {{} {} {} 2 2}
    current_fileset                {{} {} {} 0 0}
    current_project                {{} {} {} 0 0}
    update_compile_order           {{} {-fileset} {} 0 0}
    get_board_parts                {{-quiet} {} {} 1 1}
    update_ip_catalog              {{} {} {} 0 0}
    ipx::package_project           {{-import_files} {-root_dir -vendor -library -taxonomy -set_current} {} 0 0}
    ipx::unload_core               {{} {} {} 1 1}
    ipx::edit_ip_in_project        {{} {-upgrade -name -directory} {} 1 1}
    ipx::current_core              {{} {} {} 0 0}
    ipx::get_user_parameters       {{} {-of_objects} {} 0 0}
    ipx::remove_user_parameter     {{} {} {} 2 2}
    ipx::get_bus_interfaces        {{-quiet} {-of_objects} {} 1 1}
    ipx::infer_bus_interface       {{} {} {} 3 3}
    ipx::add_bus_parameter         {{-quiet} {} {} 2 2}
    ipx::associate_bus_interfaces  {{} {-busif -clock -reset} {} 1 1}
    ipx::add_memory_map            {{-quiet} {} {} 2 2}
    ipx::add_address_block         {{-quiet} {} {} 2 2}
    ipx::add_register              {{} {} {} 2 2}
    ipx::add_field                 {{} {} {} 2 2}
    ipx::get_registers             {{} {-of_objects} {} 1 1}
    ipx::add_register_parameter    {{} {} {} 2 2}
    ipx::create_xgui_files         {{} {} {} 1 1}
    ipx::update_checksums          {{} {} {} 1 1}
    ipx::check_integrity           {{-kernel} {} {} 1 1}
    ipx::save_core                 {{} {} {} 1 1}
    package_xo                     {{} {-xo_path -kernel_name -ip_directory -kernel_xml} {-ip_directory -kernel_xml} 0 0}
    create_bd_design               {{} {} {} 1 1}
    create_bd_cell                 {{} {-type -vlnv} {} 1 1}
    apply_bd_automation            {{} {-rule -config} {} 1 1}
    get_bd_pins                    {{} {} {} 1 1}
    get_bd_intf_pins               {{} {} {} 1 1}
    connect_bd_net                 {{} {} {} 2 2}
    connect_bd_intf_net            {{} {} {} 2 2}
    assign_bd_address              {{} {} {} 0 0}
    validate_bd_design             {{} {} {} 0 0}
    save_bd_design                 {{} {} {} 0 0}
    get_files                      {{} {} {} 1 1}
    make_wrapper                   {{-top -import} {-files} {-files} 0 0}
    generate_target                {{} {} {} 2 2}
    launch_runs                    {{} {-to_step -jobs} {} 1 1}
    wait_on_run                    {{} {} {} 1 1}
    get_runs                       {{} {} {} 1 1}
    read_verilog                   {{-quiet -sv} {} {} 1 1}
    read_xdc                       {{-quiet} {-mode} {} 1 1}
    create_clock                   {{} {-name -period} {} 1 1}
    get_ports                      {{} {} {} 1 1}
    synth_design                   {{} {-mode -top -part} {} 0 0}
    opt_design                     {{} {} {} 0 0}
    place_design                   {{} {} {} 0 0}
    phys_opt_design                {{} {} {} 0 0}
    route_design                   {{} {} {} 0 0}
    report_utilization             {{} {-file} {} 0 0}
    report_timing_summary          {{} {-file} {} 0 0}
    get_timing_paths               {{-setup} {-max_paths} {} 0 0}
}

# Take a call apart: a dict of options, and the other arguments under "".
proc parse {name arguments} {
    lassign $::commands($name) flags values files least most
    set found {"" {}}
    for {set n 0} {$n < [llength $arguments]} {incr n} {
        set word [lindex $arguments $n]
        if {$word in $flags} {
            dict set found $word 1
        } elseif {$word in $values} {
            incr n
            if {$n == [llength $arguments]} { error "$name: $word has no value" }
            dict set found $word [lindex $arguments $n]
            if {$word in $files && ![file exists [lindex $arguments $n]]} {
                error "$name: no such file: [lindex $arguments $n]"
            }
        } elseif {[string match {-[a-z]*} $word]} {
            error "$name: unknown option $word"
        } else {
            dict lappend found "" $word
        }
    }
    set count [llength [dict get $found ""]]
    if {$count < $least || $count > $most} { error "$name: $count arguments" }
    lappend ::log [list $name $arguments]
    return $found
}

foreach name [array names commands] {
    proc $name args [format {
        set call [parse %1$s $args]
        if {[info commands ::%2$s] ne ""} { return [::%2$s $call] }
        return %1$s
    } $name do.[string map {:: .} $name]]
}

proc touch {path} {
    file mkdir [file dirname $path]
    close [open $path w]
}

# What some of them do.
proc do.create_project {call} {
    lassign [dict get $call ""] ::project_name ::project
    file mkdir $::project
    set ::cells {}
    set ::ports {}
}
proc do.add_files {call} {
    foreach file [dict get $call ""] {
        if {![file exists $file]} { error "add_files: no such file: $file" }
    }
}
proc do.read_verilog {call} { do.add_files $call }
# Constraints are read when the design is synthesised.
set constraint_files {}
proc do.read_xdc {call} {
    do.add_files $call
    lappend ::constraint_files [lindex [dict get $call ""] 0]
}
proc do.get_ports {call} {
    set name [lindex [dict get $call ""] 0]
    if {$name ni $::pins} { error "no port $name" }
    return $name
}
# Each step needs the one before.
set done {}
proc do.synth_design {call} {
    set ::done synth_design
    foreach file $::constraint_files { uplevel #0 [list source $file] }
}
foreach {name before} {opt_design synth_design place_design opt_design
                       phys_opt_design place_design route_design phys_opt_design} {
    proc do.$name {call} [format {
        if {$::done ne "%s"} { error "%s: not after $::done" }
        set ::done %s
    } $before $name $name]
}
proc do.report_utilization {call} { touch [dict get $call -file] }
proc do.report_timing_summary {call} { touch [dict get $call -file] }
set slack_found 0.1
proc do.get_timing_paths {call} {
    if {$::done ne "route_design"} { error "get_timing_paths: not routed" }
    return path
}
# It has an option to replace one.
proc do.ipx.package_project {call} {
    set component [dict get $call -root_dir]/component.xml
    if {[file exists $component]} { error "there is $component" }
    touch $component
}
proc do.ipx.edit_ip_in_project {call} {
    if {![file exists [lindex [dict get $call ""] 0]]} { error "no component" }
}
proc do.ipx.get_user_parameters {call} { return {} }
# As Vivado finds them, from the ports of the Verilog: $::buses is set by the test.
proc do.ipx.get_bus_interfaces {call} {
    set name [lindex [dict get $call ""] 0]
    if {$name in $::buses} { return $name }
    if {![dict exists $call -quiet]} { error "no bus interface $name" }
    return {}
}
proc do.ipx.infer_bus_interface {call} {
    set name [lindex [dict get $call ""] 0]
    if {$name ni $::pins} { error "no port $name" }
    lappend ::buses $name
    return $name
}
proc do.ipx.associate_bus_interfaces {call} {
    foreach option {-busif -clock -reset} {
        if {[dict exists $call $option] && [dict get $call $option] ni $::buses} {
            error "no bus interface [dict get $call $option]"
        }
    }
}
proc do.ipx.add_bus_parameter {call} {
    lassign [dict get $call ""] name bus
    if {$bus ni $::buses} { error "no bus interface $bus" }
    return parameter:$bus/$name
}
set registers {}
proc do.ipx.add_register {call} {
    set register register:[lindex [dict get $call ""] 0]
    if {$register in $::registers} { error "$register is there" }
    lappend ::registers $register
    return $register
}
proc known {register} {
    if {$register ni $::registers} { error "no $register" }
    return $register
}
proc do.ipx.get_registers {call} { return [known register:[lindex [dict get $call ""] 0]] }
proc do.ipx.add_field {call} {
    lassign [dict get $call ""] name register
    return field:[string range [known $register] 9 end]/$name
}
proc do.ipx.add_register_parameter {call} {
    lassign [dict get $call ""] name register
    return parameter:[string range [known $register] 9 end]/$name
}
# What a kernel must have: properties of the core, and what is in them.
array set kernel_has {
    sdx_kernel true sdx_kernel_type rtl xpm_libraries XPM_MEMORY
    ipi_drc {ignore_freq_hz true} vitis_drc {ctrl_protocol ap_ctrl_hs}
}
proc do.ipx.check_integrity {call} {
    if {![dict exists $call -kernel]} { return }
    foreach {name value} [array get ::kernel_has] {
        if {![info exists ::core_has($name)] || [string first $value $::core_has($name)] < 0} {
            error "check_integrity: $name is not $value"
        }
    }
}
proc do.package_xo {call} {
    if {![file exists [dict get $call -ip_directory]/component.xml]} { error "no component" }
    touch [dict get $call -xo_path]
}
# Properties of objects that have others than the core.
array set property_names {
    register {address_offset size access} field {bit_offset bit_width access} parameter value
}
proc do.set_property {call} {
    set rest [dict get $call ""]
    if {[dict exists $call -dict]} {
        if {[llength [dict get $call -dict]] % 2} { error "set_property: odd dict" }
        foreach {name value} [dict get $call -dict] {
            if {![string match CONFIG.* $name]} { error "set_property: $name" }
        }
        if {[llength $rest] != 1} { error "set_property: one object" }
        configure [lindex $rest 0] [dict get $call -dict]
        return
    }
    if {[llength $rest] != 3} { error "set_property: name, value, object" }
    lassign $rest name value object
    set kind [lindex [split $object :] 0]
    if {[info exists ::property_names($kind)] && $name ni $::property_names($kind)} {
        error "set_property: no $name of $object"
    }
    if {$object eq "ipx::current_core"} { set ::core_has($name) $value }
    if {$name eq "ip_repo_paths"} {
        if {![file exists $value/component.xml]} { error "no IP at $value" }
        set ::repository $value
    }
}
proc do.get_property {call} {
    return [expr {[lindex [dict get $call ""] 0] eq "SLACK" ? $::slack_found : "100%"}]
}
proc do.get_board_parts {call} { return xilinx.com:kv260_som:part0:1.4 }

# Block designs: pins and buses of each kind of cell.
array set cell_pins {
    xilinx.com:ip:zynq_ultra_ps_e {maxihpm0_fpd_aclk saxihp0_fpd_aclk pl_clk0 pl_resetn0 pl_ps_irq0}
    xilinx.com:ip:proc_sys_reset {slowest_sync_clk ext_reset_in dcm_locked peripheral_aresetn interconnect_aresetn}
    xilinx.com:ip:smartconnect {aclk aresetn}
    xilinx.com:ip:clk_wiz {clk_in1 reset clk_out1 locked}
}
array set cell_buses {
    xilinx.com:ip:zynq_ultra_ps_e {M_AXI_HPM0_FPD S_AXI_HP0_FPD}
    xilinx.com:ip:proc_sys_reset {}
    xilinx.com:ip:smartconnect {S00_AXI M00_AXI}
    xilinx.com:ip:clk_wiz {}
}
# What configures a cell and changes its pins.
proc configure {cell values} {
    if {[dict exists $values CONFIG.RESET_TYPE] && [dict get $values CONFIG.RESET_TYPE] eq "ACTIVE_LOW"
            && [dict get $::cells $cell] eq "xilinx.com:ip:clk_wiz"} {
        set ::cell_pins(xilinx.com:ip:clk_wiz) {clk_in1 resetn clk_out1 locked}
    }
}
proc do.create_bd_cell {call} {
    set vlnv [dict get $call -vlnv]
    if {[string match headrace:* $vlnv]} {
        if {$vlnv ne "headrace:kernel:headrace:1.0" || ![info exists ::repository]} {
            error "no IP $vlnv"
        }
    } elseif {![info exists ::cell_pins($vlnv)]} {
        error "no IP $vlnv"
    }
    set name [lindex [dict get $call ""] 0]
    dict set ::cells $name $vlnv
    return $name
}
proc find {path own table} {
    lassign [split $path /] cell pin
    if {![dict exists $::cells $cell]} { error "no cell $cell" }
    set vlnv [dict get $::cells $cell]
    upvar #0 $table known
    set there [expr {[string match headrace:* $vlnv] ? $own : $known($vlnv)}]
    if {$pin ni $there} { error "no pin $path" }
    return $path
}
proc do.get_bd_pins {call} { return [find [lindex [dict get $call ""] 0] $::pins cell_pins] }
proc do.get_bd_intf_pins {call} {
    return [find [lindex [dict get $call ""] 0] $::buses cell_buses]
}
set connected {}
proc do.connect_bd_net {call} { lappend ::connected {*}[dict get $call ""] }
proc do.connect_bd_intf_net {call} { lappend ::connected {*}[dict get $call ""] }
# Everything that a cell has must be connected.
proc do.validate_bd_design {call} {
    foreach {cell vlnv} $::cells {
        set own [string match headrace:* $vlnv]
        foreach pin [expr {$own ? [concat ap_clk ap_rst_n interrupt $::buses]
                           : [concat $::cell_pins($vlnv) $::cell_buses($vlnv)]}] {
            if {"$cell/$pin" ni $::connected} { error "$cell/$pin is not connected" }
        }
    }
}
proc do.create_bd_design {call} {
    set ::design $::project/$::project_name.srcs/[lindex [dict get $call ""] 0].bd
    touch $::design
}
proc do.get_files {call} {
    if {[lindex [dict get $call ""] 0] ne [file tail $::design]} { error "no such file" }
    return $::design
}
proc do.generate_target {call} {
    touch $::project/$::project_name.gen/sources_1/bd/system/hw_handoff/system.hwh
}
proc do.launch_runs {call} {
    if {[dict get $call -to_step] ne "write_bitstream"} { error "to_step" }
    touch $::project/$::project_name.runs/impl_1/system_wrapper.bit
}
