# SPDX-License-Identifier: Apache-2.0
# OpenNIC shell, box at 250 MHz: 250 MHz for the card by itself, as alone.tcl implements it. In the whole design
# the shell's clock wizard makes it. All pins are the platform's.

create_clock -name ap_clk -period 4.000 [get_ports ap_clk]
