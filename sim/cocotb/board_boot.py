# SPDX-License-Identifier: Apache-2.0
"""Registers are written in order after each reset; then another manager has its turn."""

import ast
import os

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiLiteSlave
from cocotbext.axi.address_space import Region

from card_box import stalls


WRITES = ast.literal_eval(os.environ["HEADRACE_WRITES"])
#: There is no register here.
HOLE = 0xF00


class Registers(Region):
    """What was written, in order; a register reads as its address."""

    def __init__(self):
        super().__init__(1 << 12)
        self.log = []

    async def _write(self, address, data, **options):
        self.log.append((address, int.from_bytes(data, "little")))
        if address == HOLE:
            raise LookupError(address)

    async def _read(self, address, length, **options):
        self.log.append(address)
        if address == HOLE:
            raise LookupError(address)
        return address.to_bytes(length, "little")


async def scenario(dut, stall):
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    dut.rst.value = 1
    registers = Registers()
    slave = AxiLiteSlave(AxiLiteBus.from_prefix(dut, "own"), dut.clk, dut.rst, target=registers)
    other = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "lite"), dut.clk, dut.rst)
    channels = [getattr(side, f"{name}_channel") for part in (slave, other)
                for side, names in ((part.write_if, ("aw", "w", "b")), (part.read_if, ("ar", "r")))
                for name in names]
    for part in (slave, other):
        for side in part.write_if, part.read_if:
            side.log.setLevel("ERROR")
    for seed, channel in enumerate(channels if stall else ()):
        channel.set_pause_generator(stalls(stall, seed))
    for _ in range(2):
        registers.log.clear()
        dut.rst.value = 1
        await ClockCycles(dut.clk, 5)
        dut.rst.value = 0
        # These wait, whenever they come.
        write = cocotb.start_soon(other.write(0x40, (5).to_bytes(4, "little")))
        read = cocotb.start_soon(other.read(0x44, 4))
        assert not dut.done.value
        while not dut.done.value:
            await ClockCycles(dut.clk, 1)
            assert len(registers.log) <= len(WRITES)
        assert registers.log == WRITES
        assert (await write).resp == 0
        answer = await read
        assert (answer.data, answer.resp) == ((0x44).to_bytes(4, "little"), 0)
        assert sorted(registers.log[len(WRITES):], key=str) == [(0x40, 5), 0x44]
        assert (await other.write(HOLE, bytes(4))).resp and (await other.read(HOLE, 4)).resp
        for n in range(20):
            await other.write(4 * n, n.to_bytes(4, "little"))
            assert (await other.read(4 * n, 4)).data == (4 * n).to_bytes(4, "little")
            assert registers.log[-2:] == [(4 * n, n), 4 * n]


@cocotb.test()
async def at_once(dut):
    await scenario(dut, 0)


@cocotb.test()
async def with_stalls(dut):
    await scenario(dut, 0.6)
