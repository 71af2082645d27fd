# SPDX-License-Identifier: Apache-2.0
"""HuffmanBuilder: every code decodes through the two levels; what libjpeg rejects is ``bad``."""

import random

import cocotb
from cocotb.triggers import RisingEdge
from headrace.hw.jpeg.entropy import ENTRY, LEVEL_BITS, TableWrite
from streams import Source, begin, field


CONTEXTS = 2
WRITE = TableWrite(CONTEXTS)


def codes(counts):
    """Canonical (length, code) in order, or None where libjpeg raises JERR_BAD_HUFF_TABLE."""
    result, code = [], 0
    for length, count in enumerate(counts, 1):
        result += [(length, code + n) for n in range(count)]
        code += count
        if count and code >= 1 << length:
            return None
        code <<= 1
    return result


def random_counts(rng):
    """Counts of a valid table of at most 256 symbols, from bushy to a single long branch."""
    late = rng.randrange(1, 17)
    counts, free, left = [], 1, 256
    for length in range(1, 17):
        free *= 2
        most = min(free - 1, left, 255)
        count = rng.choice([0, min(1, most), most, rng.randint(0, most)]) if length >= late else \
            rng.choice([0, 0, min(1, most)])
        counts.append(count)
        free -= count
        left -= count
    return counts


#: Tables whose sub-tables take the most entries that a search found, and other extremes.
EXTREMES = [
    [0] * 16,
    [1] + [0] * 15,
    [1] * 16,
    [0] * 15 + [1],
    [0] * 15 + [256],
    [0] * 8 + [0, 0, 0, 0, 0, 0, 0, 255],
    [0] * 7 + [255] + [0] * 7 + [1],
    [0, 0, 0, 0, 0, 0, 0, 0, 256] + [0] * 7,
    [0] * 8 + [255, 1] + [0] * 6,
    [0] * 9 + [1, 2, 4, 8, 16, 32, 64],
    [0] * 9 + [1, 1, 1, 1, 1, 1, 250],
]


def sub_table_entries(counts):
    """Entries of the second level, by the rule in the builder's docstring."""
    left, total, room = list(counts), 0, 0
    for length in range(LEVEL_BITS + 1, 17):
        while left[length - 1]:
            if not room:
                reach, space = length, 1 << length - LEVEL_BITS
                while left[reach - 1] < space and reach < 16:
                    space = (space - left[reach - 1]) * 2
                    reach += 1
                depth = reach - LEVEL_BITS
                room = 1 << depth
                total += room
            left[length - 1] -= 1
            room -= 1 << LEVEL_BITS + depth - length
    return total


def greedy(rng, rounds):
    """Counts with as many sub-table entries as a random search finds."""
    best = max((random_counts(rng) for _ in range(200)), key=sub_table_entries)
    for _ in range(rounds):
        counts = list(best)
        for _ in range(rng.choice([1, 2, 3])):
            at = rng.randrange(16)
            counts[at] = max(counts[at] + rng.choice([-8, -2, -1, 1, 2, 8]), 0)
        if sum(counts) <= 256 and codes(counts) is not None \
                and sub_table_entries(counts) >= sub_table_entries(best):
            best = counts
    return best


class Builder:
    def __init__(self, dut, stall, seed):
        self.dut = dut
        self.source = Source(dut, "i", stall=stall, seed=seed)

    async def start(self, context, ac, number, data):
        dut = self.dut
        dut.context.value, dut.ac.value, dut.number.value = context, ac, number
        dut.start.value = 1
        self.writes = []
        await RisingEdge(dut.clk)
        dut.start.value = 0
        self.source.queue.extend(data)
        await RisingEdge(dut.clk)

    async def finish(self, limit):
        """Writes until it is no longer busy."""
        dut = self.dut
        for _ in range(limit):
            await RisingEdge(dut.clk)
            if not dut.busy.value:
                return
            if dut.write_valid.value:
                self.writes.append(int(dut.write.value))
        raise AssertionError("busy for ever")

    def levels(self, context, ac, number):
        """Entries of both levels by index; each is written once."""
        levels = {}, {}
        for bits in self.writes:
            level, index = field(WRITE, bits, "level"), field(WRITE, bits, "index")
            assert (field(WRITE, bits, "context"), field(WRITE, bits, "ac"),
                    field(WRITE, bits, "number")) == (context, ac, number)
            assert index not in levels[level], "an entry was written twice"
            levels[level][index] = field(WRITE, bits, "entry")
        assert len(levels[0]) == 1 << LEVEL_BITS
        return levels


def look(levels, window):
    """Decode 16 bits: (run, size, length, total of the symbol), or None for no code."""
    entry = ENTRY.from_bits(levels[0][window >> 16 - LEVEL_BITS])
    before = 0
    if entry.miss:
        assert entry.total == LEVEL_BITS
        before, miss = LEVEL_BITS, entry.symbol.miss
        entry = ENTRY.from_bits(levels[1][
            miss.base + ((window & (1 << 16 - LEVEL_BITS) - 1) >> miss.shift)])
        assert not entry.miss
    hit = entry.symbol.hit
    return (hit.run, hit.size, before + hit.length, before + entry.total) if entry.total else None


def check(levels, counts, symbols, ac, rng):
    used = 0
    for (length, code), symbol in zip(codes(counts), symbols):
        run, size = symbol >> 4, symbol & 15
        usable = size <= 10 if ac else run == 0 and size <= 11
        if size == 0 and run != 15:
            run = 0
        wanted = (run, size, length, length + size) if usable else None
        for fill in (0, (1 << 16 - length) - 1, rng.getrandbits(16 - length)):
            got = look(levels, code << 16 - length | fill)
            assert got == wanted, (counts, length, code, symbol, got)
        used = (code + 1) << 16 - length
    # Behind the last code there is none.
    for window in {used, 0xffff, rng.randint(used, 0xffff)}:
        assert look(levels, window) is None, (counts, window)


async def build(builder, counts, symbols, rng):
    dut = builder.dut
    context, ac, number = rng.randrange(CONTEXTS), rng.randrange(2), rng.randrange(2)
    if not ac and rng.random() < 0.9:
        symbols = [symbol & 15 for symbol in symbols]
    await builder.start(context, ac, number, bytes(counts + symbols))
    await builder.finish(40000)
    await builder.source.drained(10)
    assert dut.symbols.value == len(symbols) or not dut.counted.value
    bad = codes(counts) is None or (not ac and any(symbol > 15 for symbol in symbols))
    assert dut.bad.value == bad, (counts, ac)
    if not bad:
        levels = builder.levels(context, ac, number)
        assert len(levels[1]) == sub_table_entries(counts)
        check(levels, counts, symbols, ac, rng)
    return bad


@cocotb.test()
async def valid_tables_decode(dut):
    await begin(dut)
    builder, rng = Builder(dut, 0, 1), random.Random(11)
    worst = greedy(rng, 3000)
    dut._log.info(f"{worst} takes {sub_table_entries(worst)} entries")
    assert 256 < sub_table_entries(worst) <= 496
    for counts in [*EXTREMES, worst, *(random_counts(rng) for _ in range(40))]:
        counts = [min(count, 255) for count in counts]
        await build(builder, counts, [rng.randrange(256) for _ in range(sum(counts))], rng)


@cocotb.test()
async def invalid_tables_are_bad(dut):
    """All ones, too many codes; the next table is good."""
    await begin(dut)
    builder, rng = Builder(dut, 0.3, 2), random.Random(12)
    wrong = 0
    for n in range(60):
        counts = random_counts(rng)
        at = rng.randrange(16)
        if n % 3 == 0:   # a full tree: its last code is all ones
            free = 1
            for length in range(at):
                free = 2 * free - counts[length]
            counts[at:] = [min(2 * free, 255)] + [0] * (15 - at)
        else:
            counts[at] = min(counts[at] + rng.choice([1, 2, 100]), 255)
        if sum(counts) > 256:
            continue
        wrong += await build(builder, counts, [rng.randrange(256) for _ in range(sum(counts))],
                             rng)
    assert wrong > 15
    await build(builder, [0, 2, 3, 1, 1, 1] + [0] * 10, list(range(8)), rng)


@cocotb.test()
async def an_abort_ends_a_table(dut):
    """Cut off anywhere, it is bad, and over; what follows is good."""
    await begin(dut)
    builder, rng = Builder(dut, 0, 3), random.Random(13)
    for n in range(20):
        counts = random_counts(rng)
        data = bytes(counts + [rng.randrange(11) for _ in range(sum(counts))])
        await builder.start(0, 1, 0, data[:rng.randrange(len(data) - 1) if n else 0])
        while not builder.source.idle:
            await RisingEdge(dut.clk)
        dut.abort.value = 1
        await builder.finish(3000)
        dut.abort.value = 0
        assert dut.bad.value
        counts = random_counts(rng)
        await build(builder, counts, [rng.randrange(11) for _ in range(sum(counts))], rng)


@cocotb.test()
async def the_same_table_is_only_read(dut):
    """Unless something else came to its place; also if that was checked alone, or cut off."""
    await begin(dut)
    builder = Builder(dut, 0.2, 4)
    place, data = (1, 1, 0), bytes([0, 1, 2, 3] + [0] * 12 + [1, 2, 3, 4, 5, 6])
    other = data[:-1] + b"\7"

    async def written(place, data, abort=False):
        await builder.start(*place, data)
        while not builder.source.idle:
            await RisingEdge(dut.clk)
        dut.abort.value = abort
        await builder.finish(3000)
        dut.abort.value = 0
        assert dut.bad.value == abort
        return bool(builder.writes)

    assert await written(place, data)
    for elsewhere in (0, 1, 0), (1, 0, 0), (1, 1, 1):
        assert await written(elsewhere, other)
        assert not await written(place, data)
    assert await written(place, other)
    assert await written(place, data)
    assert not await written((1, 1, 2), other)   # checked: there is no such table
    assert await written(place, data)
    assert not await written(place, data[:20], abort=True)
    assert await written(place, data)
    assert not await written(place, data)
