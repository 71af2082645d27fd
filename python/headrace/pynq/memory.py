# SPDX-License-Identifier: Apache-2.0
"""Memory of cards, from which ``pynq.allocate`` takes buffers."""

import ctypes
import math
import os
import threading

import numpy as np
from pynq.buffer import PynqBuffer

from headrace import xrt
from headrace.errors import CardError
from headrace.processes import ProcessLock


__all__ = ["SimMemory", "XrtMemory"]


#: Bytes: of a buffer's address, and of what is never given away, so that no buffer is at 0.
PAGE = 4096

# Arrays of NumPy 2 have an attribute of this name, which cannot be written.
if "device" not in vars(PynqBuffer):
    PynqBuffer.device = None


class CardMemory:
    """A bank of memory. Buffers are in the host's memory; syncing them copies.

    Parameters
    ----------
    device : pynq.Device
    size : int
        Bytes, 0 if that is not known.
    """

    base_address = 0
    idx = 0

    def __init__(self, device, size=0):
        self.device = device
        self.size = size
        self._taken = {}  # size by address
        # A buffer may be freed in the middle of anything.
        self._lock = ProcessLock(threading.RLock)
        self._process_id = os.getpid()

    # What a kind of card implements

    def _take(self, size):
        """Address of a free block, and a buffer on the host, ndarray of uint8."""
        raise NotImplementedError

    def push(self, start, offset, pointer, size):
        """Copy a part of the buffer at ``start``, which is at ``pointer``, to the card."""
        raise NotImplementedError

    def pull(self, start, offset, pointer, size):
        """Copy a part of the buffer at ``start``, which is at ``pointer``, from the card."""
        raise NotImplementedError

    # For PYNQ

    @property
    def num_buffers(self):
        """Buffers that are not freed."""
        return len(self._taken)

    @property
    def mem_used(self):
        """Bytes of them, in whole pages."""
        return sum(self._taken.values())

    def allocate(self, shape, dtype, **kwargs):
        """A buffer of zeros on the host; what the card has at its place is arbitrary.

        Parameters
        ----------
        shape : int or tuple of int
        dtype : numpy.dtype
        **kwargs
            Those of real devices, such as ``cacheable``, change nothing.
        """
        shape = (shape,) if np.ndim(shape) == 0 else tuple(shape)
        length = math.prod(shape) * np.dtype(dtype).itemsize
        size = max(1, -(-length // PAGE)) * PAGE
        with self._lock:
            address, host = self._take(size)
            self._taken[address] = size
        host[:length] = 0
        buffer = PynqBuffer(shape, dtype, buffer=host, device=self.device, bo=address,
                            device_address=address, coherent=False)
        buffer.memory, buffer.pointer, buffer.return_to = self, address, self
        buffer.freed = True  # what PYNQ itself would unmap
        return buffer

    def return_pointer(self, address):
        """A buffer is freed; called by PYNQ. In a forked process it is the parent's."""
        if self._process_id != os.getpid():
            return
        with self._lock:
            self._taken.pop(address, None)
            self._let_go(address)

    def _let_go(self, address):
        """Forget what a kind of card keeps of a buffer."""

    def place(self, start, offset, size):
        """Address of a part of the buffer at ``start``."""
        taken = self._taken.get(start)
        if taken is None:
            raise ValueError("Buffer must be one that is not freed")
        if offset < 0 or offset + size > taken:
            raise ValueError("Buffer must be one of pynq.allocate or a part of one, not the result "
                             "of an expression")
        return start + offset


class SimMemory(CardMemory):
    """The simulated card's memory."""

    def _take(self, size):
        free = PAGE
        for address, taken in sorted(self._taken.items()):
            if address - free >= size:
                break
            free = address + taken
        if free + size > self.size:
            raise MemoryError(f"The card's memory of {self.size} bytes has no room for a "
                              f"buffer of {size}: {self.mem_used} are in use")
        return free, np.zeros(size, np.uint8)

    def push(self, start, offset, pointer, size):
        self.device.bus.memory.write(self.place(start, offset, size),
                                     (ctypes.c_ubyte * size).from_address(pointer))

    def pull(self, start, offset, pointer, size):
        self.device.bus.memory.read_into(self.place(start, offset, size),
                                         (ctypes.c_ubyte * size).from_address(pointer))


class XrtMemory(CardMemory):
    """An Alveo card's memory, of which each buffer is one of XRT's."""

    def __init__(self, device):
        super().__init__(device)
        self._buffers = {}  # MirroredMemory by address

    def _take(self, size):
        if self.device.kernel is None:
            raise CardError("An overlay must be downloaded before memory is allocated")
        buffer = xrt.XrtMemory(self.device.kernel, size)
        self._buffers[buffer.start] = buffer
        return buffer.start, buffer.host

    def _let_go(self, address):
        self._buffers.pop(address, None)

    def push(self, start, offset, pointer, size):
        self.place(start, offset, size)
        self._buffers[start].push(offset, size)

    def pull(self, start, offset, pointer, size):
        self.place(start, offset, size)
        self._buffers[start].pull(offset, size)

    def part(self, address, size):
        """Of the buffer that holds a range, see :meth:`headrace.xrt.XrtMemory.part`."""
        for buffer in self._buffers.values():
            if buffer.start <= address and address + size <= buffer.size:
                return buffer.part(address, size)
        raise ValueError(f"Address range must lie within a buffer, not {address:#x} + {size}")
