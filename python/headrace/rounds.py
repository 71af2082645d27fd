# SPDX-License-Identifier: Apache-2.0
"""Many jobs of one kind, as many at a time as the card's memory holds.

What is done for each job is done for all of a round at once: one copy to the card, one back.

A completion belongs to the batch that waits for it: jobs have numbers that no other batch has, and
where completions will be is zero when the batch is started, which is the number of no job. So what
a card did not do, or did before, is never taken for done.
"""

import random

import numpy as np

from headrace.arena import Arena, NoRoom
from headrace.errors import CardError
from headrace.hw.card.config import BUS
from headrace.hw.card.jobs import COMPLETION, JOB
from headrace.hw.status import Detail, Status


__all__ = ["ROUND", "NUMBERS", "NOWHERE", "Rounds", "Results"]


#: Items of one round.
ROUND = 256
#: Jobs have numbers from 1 up to this, then from 1 on again.
NUMBERS = 0xFFFFFFFF
#: Bytes that are rather copied in vain than two transfers made. Results of as many are not copied
#: twice.
GAP = 1 << 16

#: Capacity of what no card has room for.
NOWHERE = 1 << 32

PADDING = [bytes(n) for n in range(BUS)]


def rounded(lengths):
    """Lengths rounded up to whole beats."""
    return (lengths + (BUS - 1)) & -BUS


class Rounds:
    """Used by :class:`headrace.bus_card.BusCard` under its lock.

    Parameters
    ----------
    memory
        Of the card, see :class:`headrace.transport.Transport`.
    run
        Function that has the card do a batch, as ``Transport.run``.
    start, stop : int
        The range of the memory that may be used.
    reset
        Function to call when a batch did not do what it was told.
    """

    def __init__(self, memory, run, start, stop, reset=lambda: None):
        self.memory, self.run, self.reset = memory, run, reset
        self.start, self.stop = start, stop
        # Not where another driver of the card began.
        self._number = random.randint(1, NUMBERS)

    def arena(self):
        """All the memory, for a new round."""
        return Arena(self.start, self.stop, BUS)

    def load(self, jobs, arena):
        """Do packed jobs that have no results, whatever their numbers."""
        if jobs:
            address = arena.need(2 * BUS * len(jobs))
            self._batch(address, jobs, np.zeros(0, JOB.dtype), [])

    def do(self, kind, setup, items, lengths, capacities, payload=memoryview, **fields):
        """Do a job with each item.

        Parameters
        ----------
        kind : Kind
        setup
            Function of an arena, called before each round: the number of the recipe; packed jobs
            to do first, with what they need in the arena; and a function to call when they are
            done. May raise :exc:`NoRoom`: then no item has room.
        items : list
        lengths, capacities : ndarray of int
            Bytes of the payload and of the longest result of each.
        payload
            Function of an item: its payload, bytes-like. Called when the item's turn comes.
        **fields : ndarray or int
            Other fields of the jobs.

        Yields
        ------
        completions : ndarray of ``COMPLETION.dtype``, or None
            Of the next items, in order. None: the next item has no room at all.
        results : Results or None
        """
        sizes, rooms = rounded(lengths), rounded(capacities)
        needs = sizes + rooms + 2 * BUS
        needs[capacities >= NOWHERE] = 1 << 50   # no memory has that, and sums of them fit
        fields = {"length": lengths, "capacity": capacities, **fields}
        first = 0
        while first < len(items):
            arena = self.arena()
            try:
                number, loads, note = setup(arena)
            except NoRoom:
                yield from [(None, None)] * (len(items) - first)
                return
            room = arena.stop - arena.next - 2 * BUS * len(loads)
            ends = np.cumsum(needs[first:first + ROUND])
            count = int(np.searchsorted(ends, room, "right"))
            if not count:
                first += 1
                yield None, None
                continue
            part = slice(first, first + count)
            jobs = np.zeros(count, JOB.dtype)
            jobs["kind"], jobs["recipe"] = kind, number
            for name, value in fields.items():
                jobs[name] = value[part] if isinstance(value, np.ndarray) else value
            total = BUS * (len(loads) + count)
            payloads, results = np.cumsum(sizes[part]), np.cumsum(rooms[part])
            completions = arena.next + total + int(payloads[-1])
            jobs["payload"] = arena.next + total + payloads - sizes[part]
            jobs["result"] = completions + total + results - rooms[part]
            pieces = [b""] * (2 * count)
            pieces[::2] = map(payload, items[part])
            pieces[1::2] = [PADDING[n] for n in (sizes[part] - lengths[part]).tolist()]
            done = self._batch(arena.next, loads, jobs, pieces)
            note()
            yield done, Results(self.memory, jobs["result"].astype(np.int64), done)
            first += count

    def _batch(self, address, loads, jobs, pieces):
        """Have the card do packed loads, then jobs, an ndarray.

        At the address lie, one behind the other, all of these, the ``pieces``, which are payloads,
        and completions.

        Returns
        -------
        ndarray of ``COMPLETION.dtype``
            Of ``jobs``, in their order.

        Raises
        ------
        CardError
            If the card did not do each of them once, or refused a load.
        """
        jobs = np.frombuffer(bytearray().join([*loads, jobs]), JOB.dtype)
        total = len(jobs)
        first = self._numbers(total)
        jobs["request"] = np.arange(first, first + total)
        data = b"".join([jobs, *pieces, bytes(total * BUS)])
        self.memory.write(address, data)
        completions = address + len(data) - total * BUS
        self.run(address, total, completions)
        raw = np.empty(total * BUS, np.uint8)
        self.memory.read_into(completions, raw)
        raw = raw.view(COMPLETION.dtype)
        try:
            done = _in_order(raw, first)
            for status, detail in done[["status", "detail"]][:len(loads)].tolist():
                if status != Status.OK:
                    raise CardError(f"The card refuses a recipe or a table: {Detail(detail).text}")
        except CardError:
            self.reset()
            raise
        return done[len(loads):]

    def _numbers(self, count):
        """The first of as many numbers in a row that no job has had for long."""
        first = self._number if self._number + count - 1 <= NUMBERS else 1
        self._number = first + count
        return first


def _in_order(completions, first):
    """Completions of jobs whose numbers begin with ``first``, in the order of these.

    Raises
    ------
    CardError
        If they are not of each of the jobs, once.
    """
    requests = completions["request"].astype(np.int64) - first
    places = np.argsort(requests, kind="stable")
    wrong = np.flatnonzero(requests[places] != np.arange(len(requests)))
    if len(wrong):
        missing = min(set(range(len(requests))) - set(requests.tolist()))
        raise CardError(f"The card did not do what it was told: there is no completion of job "
                        f"{missing + 1} of {len(requests)} in a batch. Its start, or a write to "
                        f"its memory, was lost or refused")
    return completions[places]


class Results:
    """Results of a round, in the card's memory. Those that are small are fetched together.

    Parameters
    ----------
    memory
    addresses : ndarray of int
        Ascending.
    completions : ndarray of ``COMPLETION.dtype``
    """

    def __init__(self, memory, addresses, completions):
        self._memory, self._addresses = memory, addresses
        sizes = completions["bytes"].astype(np.int64)
        self._small = {}
        small = np.flatnonzero((sizes > 0) & (sizes < GAP))
        starts = addresses[small]
        ends = starts + sizes[small]
        cuts = np.flatnonzero(starts[1:] - ends[:-1] > GAP) + 1
        for group in np.split(np.arange(len(small)), cuts):
            if len(group):
                base = starts[group[0]]
                block = np.empty(ends[group[-1]] - base, np.uint8)
                memory.read_into(int(base), block)
                self._small.update(zip(small[group].tolist(), [
                    block[start:end] for start, end in zip(
                        (starts[group] - base).tolist(), (ends[group] - base).tolist())]))

    def read_into(self, n, array):
        """Fill a C-contiguous array with result ``n`` of the round."""
        small = self._small.get(n)
        if small is None:
            self._memory.read_into(int(self._addresses[n]), array)
        else:
            array.reshape(-1).view(np.uint8)[:] = small

    def bytes(self, n, size):
        """The bytes of result ``n`` of the round, an ndarray of uint8."""
        small = self._small.get(n)
        if small is None:
            small = np.empty(size, np.uint8)
            if size:
                self._memory.read_into(int(self._addresses[n]), small)
        return small
