# SPDX-License-Identifier: Apache-2.0
"""What memories of a family are made of: Amaranth's ``platform`` when a card is converted."""

from amaranth.hdl import Shape


__all__ = ["PLATFORMS", "UltraScalePlus"]


#: Bits of a block RAM of 36 kb; bits and words of an UltraRAM (UG573).
BLOCK, WIDTH, DEPTH = 36 * 1024, 72, 4096

#: Block RAMs that an UltraRAM, which has the bits of 8, must replace; of a memory of more than 8 it
#: need not be as many, but more than parts have for each UltraRAM.
REPLACED, LARGE, REPLACED_OF_LARGE = 4, 8, 2.5


class UltraScalePlus:
    """Large memories become UltraRAM, by the attribute ``ram_style`` of Vivado and yosys.

    That has two ports of one clock, and is zero at first; so memories with one clocked port to read
    and one to write are taken, whose contents are written before they are read.
    """

    def get_memory(self, memory):
        """What Amaranth asks for each memory."""
        reads, writes = memory.read_ports, memory.write_ports
        width = Shape.cast(memory.shape).width
        blocks = -(-width * memory.depth // BLOCK)
        ultra = -(-width // WIDTH) * -(-memory.depth // DEPTH)
        if len(reads) == len(writes) == 1 and reads[0].domain == writes[0].domain \
                and not any(memory.data.init) and blocks >= ultra * (
                    REPLACED if blocks <= LARGE else REPLACED_OF_LARGE):
            memory.attrs.setdefault("ram_style", "ultra")
        return memory.elaborate(None)


#: By family.
PLATFORMS = {"ecp5": None, "xcup": UltraScalePlus()}
