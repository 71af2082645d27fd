# SPDX-License-Identifier: Apache-2.0
"""The card as a black box: cocotbext-axi is the bus, Pillow says what must come of it."""

import io
import os
import random

import cocotb
import numpy as np
from PIL import Image
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam
from headrace.hw.card import registers
from headrace.hw.card.config import BUS
from headrace.hw.card.control import SLVERR
from headrace.hw.card.jobs import (
    COMPLETION, JOB, RECIPE, RECIPE_BYTES, TEXT_RECIPE, Kernel, Kind, TextTable)
from headrace.hw.status import Detail, Status
from headrace.hw.text.tables import EntryBits, TableImage, hashing_config, hashing_entries
from headrace.sim_text import records
from resized import resized


JOBS, COMPLETIONS, TABLES, PAYLOADS, RESULTS = 0x0, 0x2000, 0x4000, 0x8000, 0x80000
CHARACTERS = 0x100000
RNG = np.random.default_rng(3)


def stalls(probability, seed):
    rng = random.Random(seed)
    while True:
        yield rng.random() < probability


class Host:
    """What software does: memory, registers, one batch at a time. ``refused``: the memory takes no
    writes to these addresses, and says so."""

    refused = range(0)

    def __init__(self, dut, stall):
        self.dut = dut
        self.control = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi_control"), dut.ap_clk,
                                     dut.ap_rst_n, reset_active_level=False)
        self.ram = AxiRam(AxiBus.from_prefix(dut, "m_axi_gmem"), dut.ap_clk, dut.ap_rst_n,
                          reset_active_level=False, size=1 << 21)
        write = self.ram.write_if._write

        async def write_or_not(address, data):
            if max(address, self.refused.start) < min(address + len(data), self.refused.stop):
                raise ValueError("no such memory")
            await write(address, data)

        self.ram.write_if._write = write_or_not
        if stall:
            channels = [self.ram.write_if.aw_channel, self.ram.write_if.w_channel,
                        self.ram.write_if.b_channel, self.ram.read_if.ar_channel,
                        self.ram.read_if.r_channel]
            for seed, channel in enumerate(channels):
                channel.set_pause_generator(stalls(stall, seed))

    async def reset(self):
        self.dut.ap_rst_n.value = 0
        await ClockCycles(self.dut.ap_clk, 10)
        self.dut.ap_rst_n.value = 1
        await ClockCycles(self.dut.ap_clk, 5)
        await self.control.write_dword(registers.GIE, 1)
        await self.control.write_dword(registers.IER, 1)

    async def start(self, jobs):
        self.ram.write(JOBS, b"".join(jobs))
        for name, value in ("jobs", JOBS), ("count", len(jobs)), ("completions", COMPLETIONS):
            address, bits = registers.ARGUMENTS[name]
            await self.control.write(address, value.to_bytes(bits // 8, "little"))
        await self.control.write_dword(registers.CTRL, registers.START)

    async def run(self, jobs):
        """Completions of a batch, by request."""
        await self.start(jobs)
        while not self.dut.interrupt.value:
            await RisingEdge(self.dut.ap_clk)
        assert await self.control.read_dword(registers.ISR) == 1
        await self.control.write_dword(registers.ISR, 1)
        assert await self.control.read_dword(registers.CTRL) & registers.DONE
        assert await self.control.read_dword(registers.CTRL) == registers.IDLE
        done = [COMPLETION.unpack(self.ram.read(COMPLETIONS + BUS * n, BUS))
                for n in range(len(jobs))]
        assert len({completion["request"] for completion in done}) == len(jobs)
        return {completion["request"]: completion for completion in done}

    def recipe(self, number, request, table, **fields):
        """Job that loads a recipe; tables lie behind one another."""
        address = TABLES + number * 0x1000
        self.ram.write(address, RECIPE.pack(**fields) + table.astype("<u4").tobytes())
        return JOB.pack(kind=Kind.LOAD, recipe=number, request=request, payload=address,
                        length=RECIPE_BYTES)


def jpeg(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "jpeg", quality=90)
    return file.getvalue()


def padded(pixels):
    """Bytes of pixels as a payload: rows of whole words."""
    return np.pad(pixels, ((0, 0), (0, -pixels.shape[1] % 8), (0, 0))).tobytes()


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def images_are_exact(dut):
    """JPEG files and pixels, good and bad, through two recipes, at odd result addresses."""
    cocotb.start_soon(Clock(dut.ap_clk, 10, "ns").start())
    host = Host(dut, float(os.environ.get("HEADRACE_STALL", "0")))
    await host.reset()
    read = host.control.read_dword
    assert await read(registers.CAPABILITIES["identity"]) == registers.IDENTITY
    refused = await host.control.read(0xF00, 4)
    assert refused.resp != 0

    table = RNG.integers(0, 1 << 16, (3, 256))
    jobs = [host.recipe(0, 100, table, filter=1, rule=1, height=9, width=13, element=1),
            host.recipe(1, 101, np.tile(np.arange(256), (3, 1)), interleaved=1, raw=1)]
    expected, address = {}, PAYLOADS
    result = RESULTS
    for n in range(10):
        pixels = RNG.integers(0, 256, (5 + 3 * n, 31 - 2 * n, 3), np.uint8)
        if n % 2:
            data = jpeg(pixels)
            height = width = 0
            pixels = np.array(Image.open(io.BytesIO(data)))
        else:
            height, width = pixels.shape[:2]
            data = padded(pixels)
        recipe = n // 2 % 2
        if n == 7:
            data = data[:len(data) // 2]
            want = None
        elif recipe:
            want = pixels.tobytes()
        else:
            small = np.array(resized(
                Image.fromarray(pixels), (13, 9), Image.Resampling.BILINEAR))
            want = table[np.arange(3), small].transpose(2, 0, 1).astype("<u2").tobytes()
        capacity = 3 * 9 * 13 * 2 if not recipe else pixels.size
        host.ram.write(address, data)
        host.ram.write(result - 1, b"\xEE" * (capacity + 2))
        jobs.append(JOB.pack(kind=Kind.IMAGE, recipe=recipe, request=n, payload=address,
                             length=len(data), height=height, width=width, result=result,
                             capacity=capacity - (n == 8)))
        expected[n] = result, want, capacity
        address += -(-len(data) // BUS) * BUS
        result += capacity + 37
    wrong = {
        20: (dict(kind=7), Detail.KIND), 21: (dict(kind=Kind.IMAGE, recipe=200), Detail.RECIPE),
        22: (dict(kind=Kind.LOAD, length=5), Detail.LENGTH),
        23: (dict(kind=Kind.IMAGE, payload=3), Detail.ALIGNMENT),
        24: (dict(kind=Kind.IMAGE, width=8), Detail.LENGTH),
        25: (dict(kind=Kind.IMAGE, width=8, height=8, length=50, capacity=1000,
                  result=RESULTS + 0x10000), Detail.LENGTH),
    }
    jobs += [JOB.pack(request=request, **fields) for request, (fields, _) in wrong.items()]
    jobs.append(JOB.pack(kind=Kind.IMAGE, request=30, payload=PAYLOADS, length=0))

    for _ in range(2):
        done = await host.run(jobs)
        assert done[100]["status"] == done[101]["status"] == Status.OK
        for n, (at, want, capacity) in expected.items():
            memory = host.ram.read(at - 1, capacity + 2)
            assert memory[0] == memory[-1] == 0xEE, f"image {n} was written beside its place"
            if n == 8:
                assert (done[n]["status"], done[n]["detail"]) == (Status.NO_ROOM, Detail.CAPACITY)
            elif want is None:
                assert done[n]["status"] == Status.TRUNCATED
            else:
                assert done[n]["status"] == Status.OK and done[n]["bytes"] == capacity, done[n]
                assert memory[1:-1] == want, f"image {n} is wrong"
        for request, (_, detail) in wrong.items():
            assert done[request]["status"] == Status.BAD_JOB
            assert done[request]["detail"] == detail, (request, done[request])
        assert done[30]["status"] == Status.TRUNCATED or done[30]["status"] == Status.CORRUPT
    requests = await read(registers.COUNTERS["requests"])
    assert requests == 2 * len(jobs)
    total = [await read(address) for name, address in registers.COUNTERS.items()
             if name.startswith("status_")]
    assert sum(total) == requests

    # A batch without jobs is over at once.
    assert await host.run([]) == {}


class Pixels:
    """A card whose recipe 0 makes images of 8 x 8 pixels, and jobs for it."""

    def __init__(self, dut, stall=0):
        self.host = Host(dut, stall)
        self.address, self.result = PAYLOADS, RESULTS

    async def start(self):
        cocotb.start_soon(Clock(self.host.dut.ap_clk, 10, "ns").start())
        await self.host.reset()
        load = self.host.recipe(0, 0, np.tile(np.arange(256), (3, 1)), filter=1, rule=1, height=8,
                                width=8, interleaved=1, raw=1)
        assert (await self.host.run([load]))[0]["status"] == Status.OK

    def job(self, request, payload, height=0, width=0, capacity=1024):
        self.host.ram.write(self.address, payload)
        job = JOB.pack(kind=Kind.IMAGE, request=request, payload=self.address,
                       length=len(payload), height=height, width=width, result=self.result,
                       capacity=capacity)
        self.address += -(-len(payload) // BUS) * BUS
        self.result += capacity
        return job

    def array(self, n):
        """A job of one pixel of the value ``n``."""
        return self.job(n, bytes([n]) * 24, 1, 1)

    def is_array(self, n):
        """Whether 64 such pixels are the result of job ``n``."""
        return self.host.ram.read(RESULTS + 1024 * n, 192) == bytes([n]) * 192


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def sizes_take_turns(dut):
    """Of many small arrays, whose plans take longer than they do, none waits for all others."""
    done = await run_arrays(dut, files=())
    late = max(place - n for place, n in enumerate(done))
    assert late <= 4, f"an array is {late} jobs late: {list(done)}"


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def files_fail_among_arrays(dut):
    """Files that end in their headers, at different times, while sizes of arrays wait."""
    await run_arrays(dut, files=range(0, 96, 16))


async def run_arrays(dut, files):
    """Completions of 96 jobs: arrays, and files without a scan where ``files`` says so."""
    card = Pixels(dut)
    await card.start()
    file = jpeg(RNG.integers(0, 256, (16, 16, 3), np.uint8))
    jobs = []
    for n in range(96):
        if n in files:
            comment = b"\xff\xfe" + (2 + 7 * n).to_bytes(2, "big") + bytes(7 * n)
            data = file[:2] + comment + file[2:file.index(b"\xff\xda") + 14] + b"\xff\xd9"
            jobs.append(card.job(n, data))
        else:
            jobs.append(card.array(n))
    done = await card.host.run(jobs)
    for n in range(96):
        assert (done[n]["status"] == Status.OK) == (n not in files), done[n]
        assert n in files or card.is_array(n), f"array {n} is wrong"
    return done


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def data_before_addresses(dut):
    """Memory that takes no address for a long time still gets data of more bursts than are held."""
    card = Pixels(dut)
    await card.start()
    jobs = [card.array(n) for n in range(40)]
    ports = card.host.ram.write_if
    ports.w_channel.queue_occupancy_limit = 1000
    ports.aw_channel.pause = True

    async def go_on():
        await ClockCycles(dut.ap_clk, 15000)
        assert ports.w_channel.count() > 64, "data waits for addresses"
        ports.aw_channel.pause = False

    later = cocotb.start_soon(go_on())
    done = await card.host.run(jobs)
    await later
    for n in range(40):
        assert done[n]["status"] == Status.OK and card.is_array(n)


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def longest_rows(dut):
    """The widest pixels that a job can announce are refused like others, and taken."""
    card = Pixels(dut)
    await card.start()
    done = await card.host.run([
        card.job(width, bytes(3 * 65536), 1, width) for width in (65529, 65535)] + [
            card.job(1, bytes(3 * 64), 8, 8)])
    assert [done[n]["status"] for n in (65529, 65535, 1)] == [
        Status.TOO_LARGE, Status.TOO_LARGE, Status.OK]


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def refused_words_are_dropped(dut):
    """Words of an image without room, which the resizer takes late, are in no other image."""
    card = Pixels(dut)
    await card.start()
    images = RNG.integers(0, 256, (12, 8, 8, 3), np.uint8)
    done = await card.host.run([job for n, image in enumerate(images) for job in (
        card.job(100 + n, bytes(24), 1, 1, 0), card.job(n, image.tobytes(), 8, 8))])
    for n, image in enumerate(images):
        assert done[100 + n]["status"] == Status.NO_ROOM and done[n]["status"] == Status.OK
        data = card.host.ram.read(RESULTS + 1024 * n, image.size)
        assert data == image.tobytes(), f"image {n} is wrong"


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def refused_writes(dut):
    """What the memory did not take is not OK; nor is what might have been it, but nothing else."""
    card = Pixels(dut)
    await card.start()
    host, jobs = card.host, [card.array(n) for n in range(24)]
    errors = await host.control.read_qword(registers.COUNTERS["bus_errors"])
    for bad in 0, 11, 23:
        # One byte of a row will do.
        host.refused = range(RESULTS + 1024 * bad + 100, RESULTS + 1024 * bad + 101)
        host.ram.write(RESULTS, bytes(1024 * 24))
        done = await host.run(jobs)
        assert (done[bad]["status"], done[bad]["detail"]) == (Status.BAD_JOB, Detail.BUS)
        assert not any(done[bad][name] for name in ("bytes", "height", "width"))
        for n in range(24):
            if done[n]["status"] == Status.OK:
                assert card.is_array(n), f"array {n} is wrong"
            else:
                assert (done[n]["status"], done[n]["detail"]) == (Status.BAD_JOB, Detail.BUS)
        # Those that were under way at the same time.
        assert sum(completion["status"] == Status.OK for completion in done.values()) > 12
    found = await host.control.read_qword(registers.COUNTERS["bus_errors"])
    assert found >= errors + 3
    host.refused = range(0)
    done = await host.run(jobs)
    assert all(completion["status"] == Status.OK for completion in done.values())
    # Of a completion that is refused nothing is there, and the batch is over all the same.
    host.refused = range(COMPLETIONS + 5 * BUS, COMPLETIONS + 7 * BUS)
    host.ram.write(COMPLETIONS, bytes(BUS * len(jobs)))
    await host.start(jobs)
    while not await host.control.read_dword(registers.CTRL) & registers.IDLE:
        pass
    await host.control.write_dword(registers.ISR, 1)
    records = [host.ram.read(COMPLETIONS + BUS * n, BUS) for n in range(len(jobs))]
    assert [n for n, record in enumerate(records) if not any(record[:20])] == [5, 6]
    host.refused = range(0)
    done = await host.run(jobs)
    assert all(completion["status"] == Status.OK for completion in done.values())


async def access(host, address):
    """Answers to a read and a write of a register, at an address that need not be a word's."""
    reads, writes = host.control.read_if, host.control.write_if

    async def send(channel, **fields):
        transaction = channel._transaction_obj()
        for name, value in fields.items():
            setattr(transaction, name, value)
        await channel.send(transaction)

    await send(reads.ar_channel, araddr=address)
    answers = [int((await reads.r_channel.recv()).rresp)]
    await send(writes.aw_channel, awaddr=address)
    await send(writes.w_channel, wdata=0xFFFFFFFF, wstrb=0xF)
    return (*answers, int((await writes.b_channel.recv()).bresp))


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def ends_of_addresses(dut):
    """Payloads and results end with the last address, and never begin again with the first;
    registers are whole words."""
    card = Pixels(dut)
    await card.start()
    top, host = 1 << 64, card.host
    bad = {
        1: (dict(payload=top - BUS, length=BUS + 1), Detail.LENGTH),
        2: (dict(payload=top - BUS, length=0xFFFFFFFF), Detail.LENGTH),
        3: (dict(result=top - 1, capacity=2), Detail.CAPACITY),
        4: (dict(result=top - 192, capacity=193), Detail.CAPACITY),
        5: (dict(result=top - (1 << 32), capacity=0xFFFFFFFF, payload=top - BUS, length=BUS + 1),
            Detail.LENGTH),
    }
    good = {6: dict(result=top - 192, capacity=192),
            7: dict(result=top - (1 << 32), capacity=0xFFFFFFFF),
            8: dict(result=RESULTS, capacity=192)}
    host.ram.write(PAYLOADS, bytes(24))
    usual = dict(kind=Kind.IMAGE, payload=PAYLOADS, length=24, height=1, width=1, result=RESULTS,
                 capacity=192)
    jobs = [JOB.pack(request=request, **{**usual, **fields}) for request, fields in (
        *((n, fields) for n, (fields, _) in bad.items()), *good.items())]
    done = await host.run(jobs)
    for n, (_, detail) in bad.items():
        assert (done[n]["status"], done[n]["detail"]) == (Status.BAD_JOB, detail), (n, done[n])
    assert all(done[n]["status"] == Status.OK for n in good), done
    value = (await host.control.read(registers.GIE, 4)).data
    for address in registers.GIE, registers.ARGUMENTS["count"][0], registers.CTRL:
        for low in 1, 2, 3:
            assert await access(host, address + low) == (SLVERR, SLVERR), (address, low)
    assert (await host.control.read(registers.GIE, 4)).data == value
    assert await host.control.read_dword(registers.CTRL) & registers.IDLE


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def what_is_not_needed_is_not_read(dut):
    """Bytes behind EOI, or behind what is wrong with a file, and files without room, between good
    ones: all are as without those bytes, of which few are read."""
    card = Pixels(dut, float(os.environ.get("HEADRACE_STALL", "0")))
    await card.start()
    pixels = RNG.integers(0, 256, (8, 8, 3), np.uint8)
    file = jpeg(pixels)
    want = np.array(Image.open(io.BytesIO(file))).tobytes()
    tail = RNG.integers(0, 256, 20000, np.uint8).tobytes()
    kinds = {"whole": (file, Status.OK), "tail": (file + tail, Status.OK),
             "another": (file + file + tail, Status.OK),
             "no file": (b"no" + tail, Status.CORRUPT),
             "header": (file[:2] + b"\xff\x02" + tail, Status.CORRUPT),
             "scan": (file[:-20] + b"\xff\xff\0" + tail, Status.CORRUPT),
             "no room": (file + tail, Status.NO_ROOM)}
    order = [name for name in kinds for _ in range(4)]
    random.Random(4).shuffle(order)
    order += ["whole"]
    before = await card.host.control.read_dword(registers.COUNTERS["read_beats"])
    done = await card.host.run([
        card.job(n, kinds[name][0], capacity=0x400 if name != "no room" else 0)
        for n, name in enumerate(order)])
    after = await card.host.control.read_dword(registers.COUNTERS["read_beats"])
    result = RESULTS
    for n, name in enumerate(order):
        assert done[n]["status"] == kinds[name][1], (name, done[n])
        if name == "scan":
            assert done[n]["detail"] == Detail.FILL, done[n]
        if done[n]["status"] == Status.OK:
            assert card.host.ram.read(result, len(want)) == want, f"{name}, job {n}"
        result += 0x400 if name != "no room" else 0
    beat = len(dut.m_axi_gmem_rdata) // 8
    needed = sum(len(file) // beat + BUS // beat for _ in order)
    # Beside what is needed, what is ahead of it in FIFO and registers.
    assert after - before <= needed + 80 * len(order), (before, after, needed)
    assert after - before < sum(len(kinds[name][0]) for name in order) // beat // 2


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def texts_are_exact(dut):
    """Texts, good and bad, between images: features as scikit-learn has them."""
    from sklearn.feature_extraction.text import HashingVectorizer
    cocotb.start_soon(Clock(dut.ap_clk, 10, "ns").start())
    host = Host(dut, float(os.environ.get("HEADRACE_STALL", "0")))
    await host.reset()
    pages, rows, max_n = (int(os.environ[f"HEADRACE_{name}"]) for name in (
        "PAGES", "ROWS", "MAX_N"))
    image = TableImage.pack(hashing_entries(), pages, EntryBits.WIDTH)
    table = records(TextTable.CHARACTERS + Kernel.HASHING, np.arange(len(image)), image)
    host.ram.write(CHARACTERS, table)
    options = dict(n_features=1000, ngram_range=(1, 2))
    host.ram.write(TABLES + 0x3000, TEXT_RECIPE.pack(kernel=Kernel.HASHING, **hashing_config(
        options["n_features"], options["ngram_range"], rows=rows, max_n=max_n)))
    pixels = RNG.integers(0, 256, (9, 16, 3), np.uint8)
    host.ram.write(PAYLOADS + 0x10000, jpeg(pixels))
    host.ram.write(TABLES + 0x3040, TEXT_RECIPE.pack(kernel=len(Kernel)))
    jobs = [JOB.pack(kind=Kind.TABLE, request=200, payload=CHARACTERS, length=len(table)),
            JOB.pack(kind=Kind.TEXT, request=201, recipe=1),
            JOB.pack(kind=Kind.LOAD_TEXT, request=202, recipe=1, payload=TABLES + 0x3000,
                     length=BUS),
            host.recipe(0, 203, np.tile(np.arange(256), (3, 1)), interleaved=1, raw=1)]
    texts = ["", "Words of ÉTÉ, words of words", "a b c", "x" * 300, "Привет, мир! ΟΔΟΣ",
             "end of it", "one two three four five six seven eight nine ten", "\xff"]
    for n, text in enumerate(texts):
        data = text.encode("latin-1" if n == len(texts) - 1 else "utf-8")
        at = PAYLOADS + 0x400 * n
        host.ram.write(at, data)
        jobs.append(JOB.pack(kind=Kind.TEXT, request=n, recipe=1, payload=at, length=len(data),
                             result=RESULTS + 0x400 * n, capacity=40 if n == 6 else 0x400))
        jobs.append(JOB.pack(kind=Kind.IMAGE, request=100 + n, payload=PAYLOADS + 0x10000,
                             length=len(jpeg(pixels)), result=RESULTS + 0x8000 + 0x400 * n,
                             capacity=pixels.size))
    jobs += [JOB.pack(kind=Kind.TEXT, request=204, recipe=1, result=4),
             JOB.pack(kind=Kind.TABLE, request=205, payload=CHARACTERS, length=24),
             JOB.pack(kind=Kind.LOAD_TEXT, request=206, payload=TABLES + 0x3040, length=BUS),
             JOB.pack(kind=Kind.TEXT, request=207)]
    expected = HashingVectorizer(norm=None, **options).transform(texts[:-1])
    decoded = np.array(Image.open(io.BytesIO(jpeg(pixels)))).tobytes()

    done = await host.run(jobs)
    details = {201: Detail.RECIPE, 204: Detail.ALIGNMENT, 205: Detail.LENGTH,
               207: Detail.RECIPE}
    for request, detail in details.items():
        assert (done[request]["status"], done[request]["detail"]) == (Status.BAD_JOB, detail)
    for n in range(len(texts)):
        at = RESULTS + 0x400 * n
        assert done[100 + n]["status"] == Status.OK
        assert host.ram.read(at + 0x8000, pixels.size) == decoded
        if n == 6:
            assert (done[n]["status"], done[n]["detail"]) == (Status.NO_ROOM, Detail.CAPACITY)
        elif n == len(texts) - 1:
            assert (done[n]["status"], done[n]["detail"]) == (Status.CORRUPT, Detail.UTF8)
        else:
            assert done[n]["status"] == Status.OK, (n, done[n])
            found = np.frombuffer(host.ram.read(at, done[n]["bytes"]), "<i4").reshape(-1, 2)
            row = expected[n]
            assert found[:, 0].tolist() == row.indices.tolist()
            assert found[:, 1].tolist() == row.data.tolist()

    # A text whose features the memory does not take.
    for bad in range(0x10), range(0):
        host.refused = range(RESULTS + 0x400 + bad.start, RESULTS + 0x400 + bad.stop)
        done = await host.run(jobs)
        assert (done[1]["status"], done[1]["detail"]) == (
            (Status.BAD_JOB, Detail.BUS) if bad else (Status.OK, Detail.NONE))
