# SPDX-License-Identifier: Apache-2.0
"""How a driver reaches a card: its registers, its memory, and waiting for it."""

import abc

from headrace.errors import CardError
from headrace.hw.card import registers


__all__ = ["Transport"]


class Transport(abc.ABC):
    """A way to a card. Addresses are the card's, for registers and for memory.

    Members
    -------
    memory
        The card's memory: ``write(address, source)`` copies a C-contiguous buffer into it,
        ``read_into(address, target)`` copies from it; ``size`` is the end of it.
    start, stop : int
        The range of the memory that the driver may use, in bytes.
    """

    memory: object
    start: int
    stop: int

    @abc.abstractmethod
    def read_register(self, address):
        """Value of a register of 32 bits."""

    @abc.abstractmethod
    def write_register(self, address, value):
        """Write a register of 32 bits."""

    def read_registers(self, addresses):
        """Values of several registers, a list."""
        return [self.read_register(address) for address in addresses]

    @abc.abstractmethod
    def wait(self):
        """Return when the batch that was started is over; ``DONE`` has been cleared then.

        Raises
        ------
        CardError
            If it never will be.
        """

    @abc.abstractmethod
    def reset(self):
        """Nothing is under way afterwards. The card may have forgotten all that it was told."""

    def check(self):
        """Raise :class:`CardError` if the card is not one of headrace's, of this version."""
        if self.read_register(registers.CAPABILITIES["identity"]) != registers.IDENTITY:
            raise CardError("The card is not one of headrace's")
        version = self.read_register(registers.CAPABILITIES["version"])
        if version != registers.VERSION:
            raise CardError(f"The card's interface must be of version {registers.VERSION}, "
                            f"not {version}")

    def limits(self):
        """Values of :data:`headrace.hw.card.registers.LIMITS`, as a dict."""
        return dict(zip(registers.LIMITS, self.read_registers(
            [registers.CAPABILITIES[name] for name in registers.LIMITS])))

    def counters(self):
        """The card's own 64-bit counters, as a dict."""
        words = self.read_registers([address + offset for address in registers.COUNTERS.values()
                                     for offset in (0, 4)])
        return {name: low | high << 32 for name, low, high in zip(
            registers.COUNTERS, words[::2], words[1::2])}

    def write_argument(self, name, value):
        """Write an argument, see :data:`headrace.hw.card.registers.ARGUMENTS`."""
        address, bits = registers.ARGUMENTS[name]
        for offset in range(0, bits, 32):
            self.write_register(address + offset // 8, value >> offset & 0xFFFFFFFF)
