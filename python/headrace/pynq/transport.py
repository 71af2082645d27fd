# SPDX-License-Identifier: Apache-2.0
"""The way to a card through PYNQ: its registers by MMIO, its memory by one buffer."""

import time

import numpy as np
import pynq

from headrace.errors import CardError
from headrace.hw.card import registers
from headrace.transport import Transport


__all__ = ["PynqTransport"]


#: Seconds without a transfer after which something is wrong for sure.
PATIENCE = 30.0


class BufferMemory:
    """A part of the card's memory, behind a buffer of PYNQ."""

    def __init__(self, buffer):
        self.buffer = buffer
        self.start = buffer.device_address
        self.size = self.start + buffer.nbytes

    def _part(self, address, length):
        offset = address - self.start
        if not 0 <= offset <= offset + length <= self.buffer.nbytes:
            raise IndexError(f"Address range must lie within the driver's buffer, not {address} + "
                             f"{length}")
        return self.buffer[offset:offset + length]

    def write(self, address, source):
        data = np.frombuffer(memoryview(source).cast("B"), np.uint8)
        part = self._part(address, len(data))
        if len(data):
            part[:] = data
            part.sync_to_device()

    def read_into(self, address, target):
        data = np.frombuffer(memoryview(target).cast("B"), np.uint8)
        part = self._part(address, len(data))
        if len(data):
            part.sync_from_device()
            data[:] = part


class PynqTransport(Transport):
    """The way to a kernel.

    Parameters
    ----------
    mmio : pynq.MMIO
        The kernel's registers.
    target
        Where to allocate: a device of PYNQ, or a memory of one.
    memory : int
        Bytes of it.
    """

    def __init__(self, mmio, target, memory):
        self.mmio = mmio
        self.memory = BufferMemory(pynq.allocate((memory,), np.uint8, target=target))
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
        moved, deadline = None, time.monotonic() + PATIENCE
        look = time.monotonic() + 1
        while not self.read_register(registers.CTRL) & registers.IDLE:
            if (now := time.monotonic()) < look:
                continue
            look = now + 1
            counters = self.counters()
            if moved != (moved := (counters["read_beats"], counters["write_beats"])):
                deadline = now + PATIENCE
            elif now > deadline:
                raise CardError(f"The card made no transfer for {PATIENCE:.0f} s: download the "
                                "overlay again")
