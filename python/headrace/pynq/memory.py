# SPDX-License-Identifier: Apache-2.0
"""The simulated card's memory, from which ``pynq.allocate`` takes buffers."""

import threading

import numpy as np
from pynq.buffer import PynqBuffer


__all__ = ["SimMemory"]


#: Bytes: of a buffer's address, and of what is never given away, so that no buffer is at 0.
PAGE = 4096

# Arrays of NumPy 2 have an attribute of this name, which cannot be written.
if "device" not in vars(PynqBuffer):
    PynqBuffer.device = None


class SimMemory:
    """A bank of memory. Buffers are in the host's memory; syncing them copies.

    Parameters
    ----------
    device : SimDevice
    size : int
        Bytes.
    """

    base_address = 0
    idx = 0

    def __init__(self, device, size):
        self.device = device
        self.size = size
        self._taken = {}  # size by address
        # A buffer may be freed in the middle of anything.
        self._lock = threading.RLock()

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
        host = np.zeros(shape, dtype)
        address = self._take(max(1, -(-host.nbytes // PAGE)) * PAGE)
        buffer = PynqBuffer(host.shape, host.dtype, buffer=host.view(np.uint8).reshape(-1)
                            if host.nbytes else np.zeros(1, np.uint8), device=self.device,
                            bo=address, device_address=address, coherent=False)
        buffer.memory, buffer.pointer, buffer.return_to = self, address, self
        return buffer

    def _take(self, size):
        with self._lock:
            free = PAGE
            for address, taken in sorted(self._taken.items()):
                if address - free >= size:
                    break
                free = address + taken
            if free + size > self.size:
                raise MemoryError(f"The card's memory of {self.size} bytes has no room for a "
                                  f"buffer of {size}: {self.mem_used} are in use")
            self._taken[free] = size
            return free

    def return_pointer(self, address):
        """A buffer is freed; called by PYNQ."""
        with self._lock:
            self._taken.pop(address, None)

    def place(self, start, offset, size):
        """Address of a part of the buffer at ``start``."""
        taken = self._taken.get(start)
        if taken is None:
            raise ValueError("Buffer must be one that is not freed")
        if offset < 0 or offset + size > taken:
            raise ValueError("Buffer must be one of pynq.allocate or a part of one, not the result "
                             "of an expression")
        return start + offset
