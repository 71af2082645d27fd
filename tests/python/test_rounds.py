# SPDX-License-Identifier: Apache-2.0
"""Rounds of jobs, on a card in a few lines of Python."""

import numpy as np
import pytest

import headrace as hr
from headrace.hw.card.config import BUS
from headrace.hw.card.jobs import COMPLETION, JOB, Kind
from headrace.rounds import GAP, LOADING, ROUND, Rounds


class Card:
    """Turns payloads around; status 1 for those that do not fit. Completes the last job first."""

    def __init__(self, size):
        self.bytes = np.full(size, 0xEE, np.uint8)
        self.writes, self.reads, self.batches, self.lost = 0, [], [], ()

    def write(self, address, source):
        data = np.frombuffer(source, np.uint8)
        assert address % BUS == 0 and address + len(data) <= len(self.bytes)
        self.bytes[address:address + len(data)] = data
        self.writes += 1

    def read_into(self, address, target):
        view = target.reshape(-1).view(np.uint8)
        view[:] = self.bytes[address:address + len(view)]
        self.reads.append(len(view))

    def run(self, jobs, count, completions):
        self.batches.append(count)
        found = self.bytes[jobs:jobs + count * BUS].view(JOB.dtype)
        for place, job in enumerate(found[::-1]):
            data = self.bytes[job["payload"]:][:job["length"]].copy()
            if not (fits := len(data) <= job["capacity"]):
                data = data[:0]
            self.bytes[job["result"]:][:len(data)] = data[::-1]
            number = 7 if job["request"] in self.lost else job["request"]
            self.bytes[completions + place * BUS:][:BUS] = np.frombuffer(COMPLETION.pack(
                request=number, status=not fits, bytes=len(data), height=job["height"]), np.uint8)


def plain(arena):
    return 3, [], lambda: None


def do(rounds, items, capacities=None, setup=plain, **fields):
    """Result of each item, None if it was handed back, "room" if there is none for it."""
    found, heights = [], []
    if capacities is None:
        capacities = [len(item) for item in items]
    lengths, capacities = (np.array(sizes) for sizes in (list(map(len, items)), capacities))
    for done, results in rounds.do(Kind.TEXT, setup, items, lengths, capacities, **fields):
        if done is None:
            found.append("room")
            continue
        for n, record in enumerate(done):
            found.append(None if record["status"] else results.bytes(n, record["bytes"]).tobytes())
        heights += done["height"].tolist()
    return found, heights


def data(*lengths):
    return [bytes(np.random.default_rng(n).integers(0, 256, n, np.uint8)) for n in lengths]


def turned(items):
    return [item[::-1] for item in items]


def test_one_copy_each_way():
    card = Card(1 << 20)
    items = data(*range(0, 200, 3))
    found, heights = do(Rounds(card, card.run, 0, 1 << 20), items, height=np.arange(len(items)))
    assert found == turned(items) and heights == list(range(len(items)))
    # Completions, and all results.
    assert card.writes == 1 and len(card.reads) == 2 and card.batches == [len(items)]


def test_rounds():
    card = Card(1 << 20)
    items = data(*[5] * (2 * ROUND + 1))
    assert do(Rounds(card, card.run, 0, 1 << 20), items)[0] == turned(items)
    assert card.batches == [ROUND, ROUND, 1]


@pytest.mark.parametrize("start, stop", [(0, 8192), (128, 8192 + 64), (100, 8192)])
def test_memory_is_a_limit(start, stop):
    card = Card(stop)
    items = data(100, 3000, 2000, 20, 8000, 2900, 900, 1, 1)
    found, _ = do(Rounds(card, card.run, start, stop), items)
    wanted = turned(items)
    wanted[4] = "room"
    assert found == wanted and len(card.batches) > 2
    assert (card.bytes[:start] == 0xEE).all()


def test_capacity_of_four_gibibytes():
    """Also of several, whose sum is more than can be counted."""
    card = Card(1 << 16)
    assert do(Rounds(card, card.run, 0, 1 << 40), data(5, 5, 5, 5, 5), [1 << 32] * 4 + [5])[0] == [
        *["room"] * 4, data(5)[0][::-1]]


def test_handed_back():
    card = Card(1 << 16)
    items = data(100, 10, 50)
    assert do(Rounds(card, card.run, 0, 1 << 16), items, [100, 9, 50])[0] == [
        items[0][::-1], None, items[2][::-1]]


def test_results_apart():
    """What lies far from the others, or is long, is read for itself."""
    card = Card(1 << 22)
    items = data(10, 20, GAP, 30, GAP - 1, 40)
    capacities = [10, GAP + 200, GAP, 30, GAP, 40]
    assert do(Rounds(card, card.run, 0, 1 << 22), items, capacities)[0] == turned(items)
    _, *reads = card.reads
    assert sorted(reads) == sorted([64 + 20, GAP, 64 + GAP + 40])


def test_read_into():
    card = Card(1 << 22)
    items = data(12, 4 * GAP)
    for _, results in Rounds(card, card.run, 0, 1 << 22).do(
            Kind.TEXT, plain, items, *[np.array([12, 4 * GAP])] * 2):
        small, large = np.empty((3, 2), np.uint16), np.empty(GAP, np.float32)
        results.read_into(0, small)
        results.read_into(1, large)
    assert [small.tobytes(), large.tobytes()] == turned(items)


def test_loads():
    card, notes = Card(1 << 14), []

    def setup(arena):
        if notes:
            return 1, [], lambda: None
        at = arena.take(100)
        card.write(at, bytes(100))
        load = JOB.pack(kind=Kind.LOAD, request=LOADING, payload=at, length=100)
        return 1, [load] * 2, lambda: notes.append(card.batches[:])

    items = data(16000, 10)
    assert do(Rounds(card, card.run, 0, 1 << 14), items, setup=setup)[0] == [
        "room", items[1][::-1]]
    assert notes == [[3]] and card.batches == [3]
    notes.clear()
    assert do(Rounds(card, card.run, 0, 1 << 14), items[1:], setup=setup)[0] == turned(items[1:])
    assert card.batches == [3, 3]


def test_loads_without_room():
    """A recipe that does not fit: no item has room, and nothing is run."""
    card = Card(1 << 12)
    assert do(Rounds(card, card.run, 0, 1 << 12), data(1, 2, 3), setup=lambda arena: (
        1, [], arena.need(1 << 13)))[0] == ["room"] * 3
    assert not card.batches


def test_lost():
    card = Card(1 << 16)
    card.lost = 2,
    with pytest.raises(hr.CardError, match="^The card lost request 2$"):
        do(Rounds(card, card.run, 0, 1 << 16), data(1, 2, 3, 4))
