# SPDX-License-Identifier: Apache-2.0
"""The way to a card through PYNQ: its registers by MMIO, its memory by one buffer."""

import numpy as np
import pynq

from headrace.hw.card import registers
from headrace.transport import MirroredMemory, Patience, Transport


__all__ = ["PynqTransport"]


#: Seconds without a transfer after which something is wrong for sure.
PATIENCE = 30.0


class BufferMemory(MirroredMemory):
    """A part of the card's memory, behind a buffer of PYNQ."""

    def __init__(self, buffer):
        super().__init__(buffer, buffer.device_address)

    def push(self, offset, length):
        self.host[offset:offset + length].sync_to_device()

    def pull(self, offset, length):
        self.host[offset:offset + length].sync_from_device()


class PynqTransport(Transport):
    """The way to a kernel.

    Parameters
    ----------
    ip : Headrace
    memory : int
        Bytes of the card's memory that are allocated.
    """

    def __init__(self, ip, memory):
        self.mmio = ip.mmio
        self.readable = getattr(ip.device, "readable", True)
        self.memory = BufferMemory(pynq.allocate((memory,), np.uint8, target=ip.target))
        self.start, self.stop = self.memory.start, self.memory.size

    def read_register(self, address):
        return self.mmio.read(address)

    def write_register(self, address, value):
        self.mmio.write(address, int(value))

    def reset(self):
        """PYNQ cannot reset a kernel; it is left to end what it has begun."""
        self.wait()

    def wait(self):
        # DONE is cleared by reading, whoever reads it; so this waits for all that is under way.
        patience = Patience(self, PATIENCE, "download the overlay again")
        while not self.read_register(registers.CTRL) & registers.IDLE:
            patience.check()
