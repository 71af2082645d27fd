# SPDX-License-Identifier: Apache-2.0
"""The card in OpenNIC's box: a batch by way of the window, ARP and ping by way of the port."""

import io

import cocotb
import numpy as np
from PIL import Image
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamSink, AxiStreamSource
from scapy.layers.inet import ICMP
from scapy.layers.inet import IP as IPv4
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from headrace.hw.board.window import PAGE, SIZE, WINDOW
from headrace.hw.card import registers
from headrace.hw.card.config import BUS
from headrace.hw.card.jobs import COMPLETION, JOB, RECIPE, RECIPE_BYTES, Kind
from headrace.hw.status import Status
from wire_bench import IP, MAC, PEER_IP, PEER_MAC, ip_text, mac_text


JOBS, COMPLETIONS, TABLES, PAYLOAD, RESULT = (0x1000 * n for n in range(1, 6))
RX, TX = "s_axis_adap_rx_250mhz", "m_axis_adap_tx_250mhz"


class Box:
    """The shell around the plugin."""

    def __init__(self, dut):
        self.dut = dut
        self.clock = RisingEdge(dut.ap_clk)

    async def transfer(self, channel, **values):
        """Offer something until it is taken."""
        for name, value in values.items():
            getattr(self.dut, f"s_axil_{name}").value = value
        valid = getattr(self.dut, f"s_axil_{channel}valid")
        valid.value = 1
        while True:
            await self.clock
            if getattr(self.dut, f"s_axil_{channel}ready").value:
                break
        valid.value = 0

    async def answer(self, channel):
        """Wait for an answer; it is taken at once."""
        valid = getattr(self.dut, f"s_axil_{channel}valid")
        while True:
            await self.clock
            if valid.value:
                return int(getattr(self.dut, f"s_axil_{channel}resp").value)

    async def write(self, address, value):
        address_sent = cocotb.start_soon(self.transfer("aw", awaddr=address))
        await self.transfer("w", wdata=value)
        assert await self.answer("b") == 0
        await address_sent

    async def read(self, address):
        await self.transfer("ar", araddr=address)
        assert await self.answer("r") == 0
        return int(self.dut.s_axil_rdata.value)

    async def argument(self, name, value):
        address, bits = {**registers.ARGUMENTS, **registers.NETWORK}[name]
        for n in range(0, bits, 32):
            await self.write(address + n // 8, value >> n & 0xFFFFFFFF)

    async def store(self, address, data):
        for n in range(0, len(data), 4):
            await self.write(WINDOW + address + n, int.from_bytes(data[n:n + 4], "little"))

    async def load(self, address, count):
        words = [await self.read(WINDOW + address + n) for n in range(0, count, 4)]
        return b"".join(word.to_bytes(4, "little") for word in words)[:count]


@cocotb.test()
async def box(dut):
    """Registers, memory and frames."""
    await with_timeout(scenario(dut), 2, "ms")


async def scenario(dut):
    cocotb.start_soon(Clock(dut.ap_clk, 4, "ns").start())
    for name in ("awvalid", "wvalid", "arvalid", "awaddr", "araddr", "wdata"):
        getattr(dut, f"s_axil_{name}").value = 0
    dut.s_axil_bready.value = dut.s_axil_rready.value = 1
    for stream in RX, "s_axis_qdma_h2c":
        getattr(dut, f"{stream}_tvalid").value = 0
    dut.ap_rst_n.value = 0
    await ClockCycles(dut.ap_clk, 10)
    dut.ap_rst_n.value = 1
    ports = dut.ap_clk, dut.ap_rst_n
    rx = AxiStreamSource(AxiStreamBus.from_prefix(dut, RX), *ports, reset_active_level=False)
    tx = AxiStreamSink(AxiStreamBus.from_prefix(dut, TX), *ports, reset_active_level=False)
    for port in rx, tx:
        port.log.setLevel("WARNING")
    sizes = []
    cocotb.start_soon(watch(dut, sizes))
    await ClockCycles(dut.ap_clk, 10)
    shell = Box(dut)
    assert await shell.read(registers.CAPABILITIES["identity"]) == registers.IDENTITY
    assert await shell.read(SIZE) == 1 << 16
    await shell.write(PAGE, 0)

    # A batch: jobs, recipe and file are written by words, so is the result read.
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)).save(
        file, "jpeg", quality=90)
    want = np.array(Image.open(file)).tobytes()
    data = file.getvalue()
    await shell.store(TABLES, RECIPE.pack(interleaved=1, raw=1)
                      + np.tile(np.arange(256, dtype="<u4"), 3).tobytes())
    await shell.store(PAYLOAD, data)
    await shell.store(JOBS, JOB.pack(kind=Kind.LOAD, request=1, payload=TABLES,
                                     length=RECIPE_BYTES)
                      + JOB.pack(kind=Kind.IMAGE, request=2, payload=PAYLOAD, length=len(data),
                                 result=RESULT, capacity=len(want)))
    for name, value in ("jobs", JOBS), ("count", 2), ("completions", COMPLETIONS):
        await shell.argument(name, value)
    await shell.write(registers.CTRL, registers.START)
    while not await shell.read(registers.CTRL) & registers.DONE:
        pass
    raw = await shell.load(COMPLETIONS, 2 * BUS)
    done = [COMPLETION.unpack(raw[:BUS]), COMPLETION.unpack(raw[BUS:])]
    assert [(one["request"], one["status"]) for one in done] == [(1, Status.OK), (2, Status.OK)]
    assert await shell.load(RESULT, len(want)) == want
    assert await shell.read(registers.COUNTERS["bus_errors"]) == 0

    # The port
    for name, value in ("mac", MAC), ("ip", IP), ("options", registers.ENABLE):
        await shell.argument(name, value)
    await rx.send(bytes(Ether(src=mac_text(PEER_MAC), dst="ff:ff:ff:ff:ff:ff") / ARP(
        op=1, hwsrc=mac_text(PEER_MAC), psrc=ip_text(PEER_IP), pdst=ip_text(IP))).ljust(60, b"\0"))
    answer = bytes((await tx.recv()).tdata)
    arp = Ether(answer)[ARP]
    assert (arp.op, arp.hwsrc, arp.psrc) == (2, mac_text(MAC), ip_text(IP))
    frames = [answer]
    for length in 10, 100, 1000:
        await rx.send(bytes(Ether(src=mac_text(PEER_MAC), dst=mac_text(MAC)) / IPv4(
            src=ip_text(PEER_IP), dst=ip_text(IP)) / ICMP(id=length) / Raw(bytes(length))))
        frames.append(bytes((await tx.recv()).tdata))
        assert Ether(frames[-1])[ICMP].id == length
    # The shell adds the check sequence alone: no frame is shorter than that allows.
    assert min(map(len, frames)) >= 60
    assert sizes == [len(frame) for frame in frames]
    assert not dut.m_axis_qdma_c2h_tvalid.value and dut.s_axis_qdma_h2c_tready.value


async def watch(dut, sizes):
    """What ``tuser_size`` says of each frame; it must not change within one."""
    size = None
    while True:
        await RisingEdge(dut.ap_clk)
        if not getattr(dut, f"{TX}_tvalid").value:
            continue
        now = int(getattr(dut, f"{TX}_tuser_size").value)
        assert size in (None, now)
        assert int(getattr(dut, f"{TX}_tuser_dst").value) == 0x0040
        size = now
        if getattr(dut, f"{TX}_tready").value and getattr(dut, f"{TX}_tlast").value:
            sizes.append(size)
            size = None
