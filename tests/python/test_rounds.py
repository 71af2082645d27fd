# SPDX-License-Identifier: Apache-2.0
"""Rounds of jobs, on a card in a few lines of Python."""

import numpy as np
import pytest

import headrace as hr
from headrace.hw.card.config import BUS
from headrace.hw.card.jobs import COMPLETION, JOB, Kind
from headrace.hw.status import Status
from headrace.rounds import GAP, NUMBERS, ROUND, Rounds


class Card:
    """Turns payloads around; status 1 for those that do not fit. Completes the last job first."""

    def __init__(self, size):
        self.bytes = np.full(size, 0xEE, np.uint8)
        self.writes, self.reads, self.batches = 0, [], []
        self.numbers, self.deaf, self.change = [], False, lambda records: records
        self.refusal = Status.OK    # of loads

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
        if self.deaf:
            return
        found = self.bytes[jobs:jobs + count * BUS].view(JOB.dtype)
        assert not self.bytes[completions:completions + count * BUS].any()
        self.numbers += found["request"].tolist()
        records = []
        for job in found[::-1]:
            data = self.bytes[job["payload"]:][:job["length"]].copy()
            if not (fits := len(data) <= job["capacity"]):
                data = data[:0]
            self.bytes[job["result"]:][:len(data)] = data[::-1]
            status = self.refusal if job["kind"] == Kind.LOAD else not fits
            records.append(COMPLETION.pack(request=job["request"], status=status,
                                           bytes=len(data), height=job["height"]))
        records = b"".join(self.change(records))
        self.bytes[completions:completions + len(records)] = np.frombuffer(records, np.uint8)


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
        load = JOB.pack(kind=Kind.LOAD, payload=at, length=100, capacity=100, result=at)
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


WRONG = "^The card did not do what it was told: there is no completion of job {} of {} in a batch"


@pytest.mark.parametrize("change, missing", [
    (lambda records: records[:1] * 2 + records[2:], 3),             # one twice
    (lambda records: records[:-1], 1),                              # one was not written
    (lambda records: [*records[:2], bytes(BUS), *records[3:]], 2),
    (lambda records: [], 1),
    (lambda records: [b"\xff" * BUS, *records[1:]], 4)])
def test_completions_that_are_not_ours(change, missing):
    card, resets = Card(1 << 16), []
    rounds = Rounds(card, card.run, 0, 1 << 16, lambda: resets.append(1))
    items = data(1, 2, 3, 4)
    assert do(rounds, items)[0] == turned(items)
    card.change = change
    with pytest.raises(hr.CardError, match=WRONG.format(missing, 4)):
        do(rounds, items)
    assert len(resets) == 1


def test_nothing_was_done():
    """Completions of the batch before lie where those of this one should."""
    card = Card(1 << 16)
    items = data(1, 2, 3, 4)
    for rounds in Rounds(card, card.run, 0, 1 << 16), Rounds(card, card.run, 0, 1 << 16):
        card.deaf = False
        assert do(rounds, items)[0] == turned(items)
        card.deaf = True
        with pytest.raises(hr.CardError, match=WRONG.format(1, 4)):
            do(rounds, items)
    # Nor if the card's memory hears nothing, either.
    card.write = lambda address, source: None
    for driver in rounds, Rounds(card, card.run, 0, 1 << 16):
        with pytest.raises(hr.CardError, match=WRONG.format(1, 4)):
            do(driver, items)


def test_numbers():
    """No two jobs have the same, not even 0; after the last one comes the first."""
    card = Card(1 << 16)
    rounds = Rounds(card, card.run, 0, 1 << 16)
    for _ in range(5):
        do(rounds, data(*[3] * 20))
    rounds._number = NUMBERS - 30
    before = len(set(card.numbers))
    assert before == len(card.numbers) == 100
    for _ in range(4):
        items = data(*[3] * 20)
        assert do(rounds, items)[0] == turned(items)
    found = card.numbers[100:]
    assert found == [*range(NUMBERS - 30, NUMBERS - 10), *range(1, 61)]
    rounds._number = NUMBERS - 19
    do(rounds, data(*[3] * 20))
    assert card.numbers[-20:] == list(range(NUMBERS - 19, NUMBERS + 1))
    do(rounds, data(1))
    assert card.numbers[-1] == 1


def test_loads_that_are_refused():
    """What the card did not load is not taken for loaded."""
    card, notes = Card(1 << 14), []
    rounds = Rounds(card, card.run, 0, 1 << 14)
    load = JOB.pack(kind=Kind.LOAD)
    card.refusal = Status.BAD_JOB
    with pytest.raises(hr.CardError, match="^The card refuses a recipe or a table: no detail$"):
        do(rounds, data(1), setup=lambda arena: (1, [load], lambda: notes.append(1)))
    with pytest.raises(hr.CardError, match="^The card refuses a recipe or a table: no detail$"):
        rounds.load([load] * 2, rounds.arena())
    assert not notes
    card.refusal = Status.OK
    rounds.load([load] * 2, rounds.arena())
    rounds.load([], rounds.arena())
