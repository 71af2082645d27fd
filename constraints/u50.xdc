# SPDX-License-Identifier: Apache-2.0
# Alveo U50: 150 MHz for the card by itself, as alone.tcl implements it. In the whole design
# v++ sets kernel_frequency of link.cfg. All pins are the platform's.

create_clock -name ap_clk -period 6.667 [get_ports ap_clk]
