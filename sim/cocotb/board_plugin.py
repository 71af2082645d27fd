# SPDX-License-Identifier: Apache-2.0
"""The plugin of OpenNIC's box: the host's registers, ARP and echoes."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import (
    AxiLiteBus, AxiLiteMaster, AxiStreamBus, AxiStreamFrame, AxiStreamSource)
from scapy.layers.inet import ICMP
from scapy.layers.inet import IP as IPv4
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from headrace.hw.card import registers
from wire_bench import IP, MAC, PEER_IP, PEER_MAC, ip_text, mac_text


TX = "m_axis_adap_tx_250mhz"


async def frames(dut, got, rng):
    """What leaves; ``tuser_size`` is that of the frame in each of its beats."""
    port = {part: getattr(dut, f"{TX}_{part}") for part in (
        "tvalid", "tready", "tdata", "tkeep", "tlast", "tuser_size", "tuser_src", "tuser_dst")}
    frame, sizes = b"", set()
    while True:
        await RisingEdge(dut.ap_clk)
        if port["tvalid"].value and port["tready"].value:
            keep = int(port["tkeep"].value)
            assert keep & keep + 1 == 0 and keep
            frame += int(port["tdata"].value).to_bytes(64, "little")[:keep.bit_count()]
            sizes.add(int(port["tuser_size"].value))
            assert (int(port["tuser_src"].value), int(port["tuser_dst"].value)) == (1, 0x40)
            if port["tlast"].value:
                assert sizes == {len(frame)}
                got.append(frame)
                frame, sizes = b"", set()
            else:
                assert keep == (1 << 64) - 1
        port["tready"].value = rng.random() < 0.7


@cocotb.test()
async def neighbours(dut):
    await with_timeout(scenario(dut), 1, "ms")


async def scenario(dut):
    cocotb.start_soon(Clock(dut.ap_clk, 4, "ns").start())
    dut.ap_rst_n.value = 0
    dut.s_axis_qdma_h2c_tvalid.value = 0
    getattr(dut, f"{TX}_tready").value = 0
    host = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.ap_clk, dut.ap_rst_n,
                         reset_active_level=False)
    wire = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis_adap_rx_250mhz"), dut.ap_clk,
                           dut.ap_rst_n, reset_active_level=False)
    wire.log.setLevel("ERROR")
    for side in host.write_if, host.read_if:
        side.log.setLevel("ERROR")
    await ClockCycles(dut.ap_clk, 20)
    dut.ap_rst_n.value = 1
    await ClockCycles(dut.ap_clk, 20)
    got, rng = [], random.Random(3)
    cocotb.start_soon(frames(dut, got, rng))
    for name, value in dict(mac=MAC, ip=IP, options=registers.ENABLE).items():
        address, bits = registers.NETWORK[name]
        for n in range(0, bits, 32):
            await host.write_dword(address + n // 8, value >> n & 0xFFFFFFFF)
    await ClockCycles(dut.ap_clk, 600)
    for n in range(6):
        await wire.send(AxiStreamFrame(bytes(
            Ether(src=mac_text(PEER_MAC), dst="ff:ff:ff:ff:ff:ff") / ARP(
                op=1, hwsrc=mac_text(PEER_MAC), psrc=ip_text(PEER_IP),
                pdst=ip_text(IP))).ljust(60, b"\0")))
        await wire.send(AxiStreamFrame(bytes(
            Ether(src=mac_text(PEER_MAC), dst=mac_text(MAC)) / IPv4(
                src=ip_text(PEER_IP), dst=ip_text(IP)) / ICMP(id=n, seq=3) / Raw(
                    bytes(100 * n + 18)))))
    while len(got) < 12:
        await ClockCycles(dut.ap_clk, 10)
    arps = [frame for frame in got if Ether(frame).type == 0x806]
    assert [len(frame) for frame in arps] == [60] * 6
    assert all(Ether(frame)[ARP].hwsrc == mac_text(MAC) for frame in arps)
    echoes = [frame for frame in got if Ether(frame).type == 0x800]
    assert [(len(frame), Ether(frame)[ICMP].id) for frame in echoes] == [
        (60 + 100 * n, n) for n in range(6)]
