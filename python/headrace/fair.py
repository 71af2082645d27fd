# SPDX-License-Identifier: Apache-2.0
"""Fairness among peers: queues that take turns, and allowances that come back with time."""

import collections
import time


__all__ = ["FairQueue", "Allowance"]


#: Bytes that an item takes besides its own: what holds it.
OVERHEAD = 256


class FairQueue:
    """A queue of several peers, who take turns: a greedy one only makes its own items wait.

    Parameters
    ----------
    each, total : int
        Bytes that wait at most, of a peer and in all.
    """

    def __init__(self, each, total):
        self._each, self._total = each, total
        self._items = {}  # those of each peer; the next one's first
        self._sizes = collections.Counter()
        self._size = 0

    def __bool__(self):
        return bool(self._items)

    def put(self, peer, item, size):
        """Append an item of so many bytes. Returns whether there was room for it."""
        size += OVERHEAD
        if self._sizes[peer] + size > self._each or self._size + size > self._total:
            return False
        self._items.setdefault(peer, collections.deque()).append((item, size))
        self._sizes[peer] += size
        self._size += size
        return True

    def get(self):
        """The first item of the peer whose turn it is."""
        peer = next(iter(self._items))
        queue = self._items.pop(peer)
        item, size = queue.popleft()
        self._size -= size
        self._sizes[peer] -= size
        if queue:
            self._items[peer] = queue  # behind the others
        else:
            del self._sizes[peer]
        return item


class Allowance:
    """So much at once, and so much a second.

    Parameters
    ----------
    most : float
        What there is after a while without use, and at first.
    rate : float
        What comes back a second.
    """

    def __init__(self, most, rate):
        self.most, self.rate = most, rate
        self.left, self._filled = most, time.monotonic()

    def fill(self):
        """Add what has come back; return what is left, which may be below 0."""
        now = time.monotonic()
        self.left = min(self.most, self.left + (now - self._filled) * self.rate)
        self._filled = now
        return self.left

    def missing(self, amount):
        """Seconds until so much will be there."""
        return max(0.0, (amount - self.fill()) / self.rate)
