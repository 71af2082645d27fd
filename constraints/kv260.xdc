# SPDX-License-Identifier: Apache-2.0
# Kria KV260: 150 MHz for the card by itself, as alone.tcl implements it. In the whole design
# clk_wiz makes them. All pins are the platform's.

create_clock -name ap_clk -period 6.667 [get_ports ap_clk]
