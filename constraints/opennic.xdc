# SPDX-License-Identifier: Apache-2.0
# OpenNIC shell: 250 MHz, the clock of its box, for the card by itself, as alone.tcl implements it. In
# the whole design the shell makes it. All pins are the shell's.

create_clock -name ap_clk -period 4.000 [get_ports ap_clk]
