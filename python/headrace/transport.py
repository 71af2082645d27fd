# SPDX-License-Identifier: Apache-2.0
"""How a driver reaches a card: its registers, its memory, and waiting for it."""

import abc
import dataclasses
import time

import numpy as np

from headrace.errors import CardError
from headrace.hw.card import registers
from headrace.hw.card.config import CardConfig


__all__ = ["Transport", "MirroredMemory", "Patience"]


class Transport(abc.ABC):
    """A way to a card. Addresses are the card's, for registers and for memory.

    Members
    -------
    memory
        The card's memory: ``write(address, source)`` copies a C-contiguous buffer into it,
        ``read_into(address, target)`` copies from it; ``size`` is the end of it.
    start, stop : int
        The range of the memory that the driver may use, in bytes.
    readable : bool
        Whether registers can be read. If not, nothing is known of the card but what it is taken
        for: it is not checked, it has no counters, and is one of ``CardConfig()``.
    """

    memory: object
    start: int
    stop: int
    readable = True

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

    def cancel(self):  # noqa: B027
        """The interpreter ends: :meth:`wait` should raise :class:`CardError` soon. May be called
        from any thread."""

    def run(self, jobs, count, completions):
        """Have the card do the ``count`` jobs at an address, and return when it has.

        Raises
        ------
        CardError
            If it never will.
        """
        for name, value in ("jobs", jobs), ("count", count), ("completions", completions):
            self.write_argument(name, value)
        self.write_register(registers.CTRL, registers.START)
        self.wait()

    def check(self):
        """Raise :class:`CardError` if the card is not one of headrace's, of this version."""
        if not self.readable:
            return
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

    def config(self):
        """:class:`headrace.hw.card.config.CardConfig` of the card."""
        if not self.readable:
            return CardConfig()
        limits = self.limits()
        names = {field.name for field in dataclasses.fields(CardConfig)}
        config = CardConfig(**{name: value for name, value in limits.items() if name in names})
        if config.text_lanes and config.max_features != limits["max_features"]:
            raise CardError(f"The card's texts must have up to {config.max_features} features, "
                            f"not {limits['max_features']}")
        return config

    def counters(self):
        """The card's own 64-bit counters, as a dict."""
        if not self.readable:
            return {}
        words = self.read_registers([address + offset for address in registers.COUNTERS.values()
                                     for offset in (0, 4)])
        return {name: low | high << 32 for name, low, high in zip(
            registers.COUNTERS, words[::2], words[1::2])}

    def write_argument(self, name, value):
        """Write an argument, see :data:`headrace.hw.card.registers.ARGUMENTS`."""
        address, bits = registers.ARGUMENTS[name]
        for offset in range(0, bits, 32):
            self.write_register(address + offset // 8, value >> offset & 0xFFFFFFFF)


class Patience:
    """Waits for a card as long as it moves something.

    Parameters
    ----------
    transport : Transport
    seconds : float
        Without a transfer, after which something is wrong for sure. If registers cannot be read,
        in all.
    advice : str
        What to do then.
    """

    def __init__(self, transport, seconds, advice):
        self._transport = transport
        self._seconds, self._advice = seconds, advice
        self._moved = None
        self._look = time.monotonic() + 1
        self._deadline = self._look + seconds

    def check(self):
        """Raise :class:`CardError` if there is none left. To be called while waiting."""
        if (now := time.monotonic()) < min(self._look, self._deadline):
            return
        self._look = now + 1
        counters = self._transport.counters()
        moved = counters.get("read_beats"), counters.get("write_beats")
        if self._moved != moved:
            self._moved, self._deadline = moved, now + self._seconds
        elif now > self._deadline:
            what = "made no transfer for" if counters else "did not end a batch in"
            raise CardError(f"The card {what} {self._seconds:.0f} s: {self._advice}")


class MirroredMemory(abc.ABC):
    """A part of a card's memory, and a buffer on the host whose parts are copied to and from it.

    Parameters
    ----------
    host : ndarray of uint8
        The buffer.
    start : int
        Address of the part.
    """

    def __init__(self, host, start):
        self.host = host
        self.start, self.size = start, start + len(host)

    @abc.abstractmethod
    def push(self, offset, length):
        """Copy a part of the buffer to the card."""

    @abc.abstractmethod
    def pull(self, offset, length):
        """Copy a part of the card's memory to the buffer."""

    def _offset(self, address, length):
        offset = address - self.start
        if not 0 <= offset <= offset + length <= len(self.host):
            raise IndexError(f"Address range must lie within the driver's buffer, not {address} + "
                             f"{length}")
        return offset

    def write(self, address, source):
        """Copy a C-contiguous buffer to the card."""
        data = np.frombuffer(memoryview(source).cast("B"), np.uint8)
        offset = self._offset(address, len(data))
        if len(data):
            self.host[offset:offset + len(data)] = data
            self.push(offset, len(data))

    def read_into(self, address, target):
        """Fill a C-contiguous buffer from the card."""
        data = np.frombuffer(memoryview(target).cast("B"), np.uint8)
        offset = self._offset(address, len(data))
        if len(data):
            self.pull(offset, len(data))
            data[:] = self.host[offset:offset + len(data)]
