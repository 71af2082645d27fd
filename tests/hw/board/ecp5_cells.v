// SPDX-License-Identifier: Apache-2.0
// What the ECP5's cells do. Only the delays that one asks for are there.
`timescale 1ns / 1ps

module IDDRX1F (input D, SCLK, RST, output reg Q0, Q1);
  reg rising, falling;
  always @(posedge SCLK) rising <= D;
  always @(negedge SCLK) falling <= D;
  // Both halves of a period, at the edge that ends it.
  always @(posedge SCLK) begin
    Q0 <= rising;
    Q1 <= falling;
  end
endmodule

module ODDRX1F (input D0, D1, SCLK, RST, output Q);
  reg first, second;
  always @(posedge SCLK) begin
    first <= D0;
    second <= D1;
  end
  assign Q = SCLK ? first : second;
endmodule

module DELAYG #(parameter DEL_MODE = "USER_DEFINED", parameter DEL_VALUE = 0) (
    input A, output Z);
  assign #(0.025 * DEL_VALUE) Z = A;
endmodule

module EHXPLLL #(
    parameter PLLRST_ENA = "DISABLED", INTFB_WAKE = "DISABLED", STDBY_ENABLE = "DISABLED",
    parameter DPHASE_SOURCE = "DISABLED", FEEDBK_PATH = "CLKOP",
    parameter OUTDIVIDER_MUXA = "DIVA", OUTDIVIDER_MUXB = "DIVB", OUTDIVIDER_MUXC = "DIVC",
    parameter OUTDIVIDER_MUXD = "DIVD",
    parameter CLKI_DIV = 1, CLKFB_DIV = 1,
    parameter CLKOP_ENABLE = "ENABLED", CLKOP_DIV = 8, CLKOP_CPHASE = 0, CLKOP_FPHASE = 0,
    parameter CLKOS_ENABLE = "DISABLED", CLKOS_DIV = 8, CLKOS_CPHASE = 0, CLKOS_FPHASE = 0) (
    input CLKI, CLKFB, RST, STDBY, PHASESEL0, PHASESEL1, PHASEDIR, PHASESTEP, PHASELOADREG,
    input PLLWAKESYNC, ENCLKOP, ENCLKOS,
    output CLKOP, CLKOS, LOCK);
  // In ns, between two changes of the outputs.
  localparam real PERIOD = 10.0 * CLKI_DIV / CLKFB_DIV;
  reg first = 0, second = 0, locked = 0;
  always #(PERIOD / 2) first = ~first;
  always #(PERIOD / 2 * CLKOS_DIV / CLKOP_DIV) second = ~second;
  initial #500 locked = 1;
  assign CLKOP = first, CLKOS = second, LOCK = locked;
endmodule
