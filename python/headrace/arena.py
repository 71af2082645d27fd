# SPDX-License-Identifier: Apache-2.0
"""Room in the card's memory for one round of jobs."""


from headrace.errors import CardError


__all__ = ["Arena", "NoRoom"]


class NoRoom(CardError):
    """The card's memory is too small for recipes and tables."""


class Arena:
    """Hands out a range of addresses from bottom to top; all of it is freed at once.

    Parameters
    ----------
    start, stop : int
        The range, in bytes.
    alignment : int
        Of every block's address and length, in bytes: a power of two.
    """

    def __init__(self, start, stop, alignment):
        self.alignment = alignment
        self.start = self.rounded(start)
        self.stop = stop
        self.next = self.start

    def rounded(self, length):
        """``length`` rounded up to whole units of the alignment."""
        return (length + self.alignment - 1) & -self.alignment

    @property
    def size(self):
        """Bytes in all."""
        return max(0, self.stop - self.start)

    def take(self, length):
        """Address of a free block of ``length`` bytes, or None if there is none."""
        address = self.next
        if address + self.rounded(length) > self.stop:
            return None
        self.next += self.rounded(length)
        return address

    def need(self, length):
        """As :meth:`take`.

        Raises
        ------
        NoRoom
            If there is none.
        """
        address = self.take(length)
        if address is None:
            raise NoRoom(f"The card's memory must have room for {length} bytes of recipes and "
                         f"tables, and has {self.stop - self.next}: give the card more")
        return address

    def clear(self):
        """Free every block."""
        self.next = self.start
