# SPDX-License-Identifier: Apache-2.0
"""The card on the network: frames of clients go in, what comes out is Pillow's, or says why not."""

import dataclasses
import io
import os
import random

import cocotb
import numpy as np
from PIL import Image
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Event, RisingEdge, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource
from scapy.layers.inet import ICMP
from scapy.layers.inet import IP as IPv4
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from card_box import CHARACTERS, COMPLETIONS, PAYLOADS, RESULTS, TABLES, Host, jpeg, stalls
from headrace import wire
from headrace.hw.card import registers
from headrace.hw.card.config import BUS
from headrace.hw.card.jobs import COMPLETION, JOB, TEXT_RECIPE, Kernel, Kind, TextTable
from headrace.hw.card.registers import Mode
from headrace.hw.status import Detail, Status
from headrace.hw.text.tables import EntryBits, TableImage, hashing_config, hashing_entries
from headrace.hw.wire.headers import ROCE_PORT, Opcode
from headrace.hw.wire.outcome import Outcome
from headrace.sim_text import records
from resized import resized
from wire_bench import IP, MAC, PEER_IP, PEER_MAC, ip_text, mac_text
from wire_model import roce


SLOTS = int(os.environ.get("HEADRACE_SLOTS", "4"))
STALL = float(os.environ.get("HEADRACE_STALL", "0"))
QUEUE_BASE = 0x100
MESSAGES, MESSAGE_BYTES = 0x140000, 0x1000
RECORDS, RECORD_BYTES = 0x180000, 0x2000
OTHER_MAC, OTHER_IP, OTHER_PORT = 0x02000000BEEF, 0x0A000044, 0x1234
CARD = wire.Station.of(MAC, IP, ROCE_PORT)

#: Of each queue pair: options, its client, and where responses go.
REPLY, PORT, HOST, FORWARD, UNKNOWN = range(5)
OPTIONS = [
    dict(mode=Mode.REPLY, recipe=0), dict(mode=Mode.REPLY, recipe=1, reply_port=1),
    dict(mode=Mode.HOST, recipe=1), dict(mode=Mode.FORWARD, recipe=1),
    dict(mode=Mode.REPLY, recipe=9),
]
CLIENTS = [wire.Station.of(PEER_MAC + q, PEER_IP - q, 0xC100 + q) for q in range(5)]
ANSWERED = [wire.Station.of(PEER_MAC + q, PEER_IP - q, 0xC101 if q == PORT else ROCE_PORT)
            for q in range(5)]
ANSWERED[FORWARD] = wire.Station.of(OTHER_MAC, OTHER_IP, OTHER_PORT)


class Network(Host):
    """Software and the clients of a card on a wire."""

    def __init__(self, dut):
        super().__init__(dut, STALL)
        self.rng = random.Random(7)
        self.pixels = np.random.default_rng(9)
        ports = dut.ap_clk, dut.ap_rst_n
        self.rx = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis_rx"), *ports,
                                  reset_active_level=False)
        self.tx = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis_tx"), *ports,
                                reset_active_level=False)
        for port in self.rx, self.tx:
            port.log.setLevel("WARNING")    # or every frame would be printed
        if STALL:
            self.rx.set_pause_generator(stalls(STALL, 20))
            self.tx.set_pause_generator(stalls(STALL, 21))
        self.table = self.pixels.integers(0, 1 << 16, (3, 256))
        self.senders = [wire.Sender(QUEUE_BASE + q, client, CARD, segment=256)
                        for q, client in enumerate(CLIENTS)]
        self.assemblers = {}
        self.responses, self.others = [], []   # (queue, completion, result, message), frames
        self.psns = {}
        self.batch_over = Event()

    async def write(self, name, value):
        address, bits = {**registers.ARGUMENTS, **registers.NETWORK}[name]
        await self.control.write(address, value.to_bytes(bits // 8, "little"))

    async def queue(self, number, *, what=registers.SET, queue_pair=None, owner=None, first=0,
                    nonce=0, **options):
        await self.write("queue", number)
        station = owner or CARD
        for name, value in zip(("mac", "ip", "port"), (*station.numbers, station.port)):
            await self.write(f"queue_owner_{name}", value)
        await self.write("queue_first", first)
        await self.write("queue_nonce", nonce)
        await self.write("queue_options", registers.queue_options(
            **{"open": 1, "check": 1, "kind": Kind.IMAGE, **options}))
        await self.write("queue_pair", 0x700 + number if queue_pair is None else queue_pair)
        await self.write("queue_mac", OTHER_MAC)
        await self.write("queue_ip", OTHER_IP)
        await self.write("queue_port", OTHER_PORT)
        await self.control.write_dword(registers.COMMIT, what)

    async def counter(self, name):
        address = registers.COUNTERS[name]
        return await self.control.read_qword(address)

    async def outcome(self, outcome):
        await self.write("index", int(outcome))
        return await self.control.read_dword(registers.COUNT)

    async def begin(self, *jobs):
        """Reset, recipes and other jobs, addresses, queue pairs, slots."""
        cocotb.start_soon(Clock(self.dut.ap_clk, 10, "ns").start())
        await self.reset()
        assert await self.control.read_dword(registers.CAPABILITIES["slots"]) == SLOTS
        done = await self.run([
            self.recipe(0, 100, self.table, filter=1, rule=1, height=9, width=13, element=1),
            self.recipe(1, 101, np.tile(np.arange(256), (3, 1)), interleaved=1, raw=1), *jobs])
        assert {completion["status"] for completion in done.values()} == {Status.OK}
        for name, value in dict(
                mac=MAC, ip=IP, queue_base=QUEUE_BASE, segment=512, messages=MESSAGES,
                results=RECORDS, message_bytes=MESSAGE_BYTES, result_bytes=RECORD_BYTES).items():
            await self.write(name, value)
        for number, options in enumerate(OPTIONS):
            await self.queue(number, **options)
        for slot in range(SLOTS):
            await self.control.write_dword(registers.POST, slot)
        await self.write("options", registers.ENABLE)
        await self.control.write_dword(registers.IER, registers.ON_DONE | registers.ON_RECEIVED)
        cocotb.start_soon(self.listen())
        cocotb.start_soon(self.serve())

    async def send(self, frame, error=0):
        await self.rx.send(AxiStreamFrame(frame, tuser=error))

    async def listen(self):
        """What leaves, by what it is."""
        while True:
            frame = bytes((await self.tx.recv()).tdata)
            if frame[12:14] != b"\x08\x00" or frame[23] != 17:
                self.others.append(frame)
                continue
            packet = wire.from_frame(frame)
            assert (packet.source.mac, packet.source.ip) == (CARD.mac, CARD.ip)
            queue = packet.queue_pair - 0x700
            assert packet.destination == ANSWERED[queue], (queue, packet.destination)
            self.psns[queue] = packet.psn
            assembler = self.assemblers.setdefault(queue, wire.Reassembler())
            message = assembler.feed(packet)
            assert not assembler.lost and not assembler.ignored
            if message:
                completion, result = wire.from_response(message)
                self.arrive(queue, completion, result, message.immediate is not None)

    async def serve(self):
        """The host's interrupts: batches that are over, and responses that are its own."""
        while True:
            while not self.dut.interrupt.value:
                await RisingEdge(self.dut.ap_clk)
            events = await self.control.read_dword(registers.ISR)
            await self.control.write_dword(registers.ISR, events)
            if events & registers.ON_DONE:
                self.batch_over.set()
            while events & registers.ON_RECEIVED:
                word = await self.control.read_dword(registers.RECEIVED)
                if not word & registers.VALID:
                    break
                slot = word & 0xFFFF
                assert slot <= SLOTS
                record = self.ram.read(RECORDS + slot * RECORD_BYTES, RECORD_BYTES)
                completion = COMPLETION.unpack(record[:BUS])
                assert completion["queue"] == HOST
                await self.control.write_dword(registers.POST, slot)
                self.arrive(HOST, completion, record[BUS:BUS + completion["bytes"]],
                            bool(completion["has_immediate"]))

    def arrive(self, queue, completion, result, has_immediate):
        assert completion["queue"] == queue
        assert completion["has_immediate"] == has_immediate
        station = wire.Station.of(completion["mac"], completion["ip"], completion["port"])
        assert station == CLIENTS[queue], (queue, station)
        self.responses.append((queue, completion, bytes(result)))

    async def response(self, count=1):
        """Wait until there are so many, and take them."""
        while len(self.responses) < count:
            await RisingEdge(self.dut.ap_clk)
        assert len(self.responses) == count
        taken, self.responses = self.responses, []
        return taken

    def image(self, recipe):
        """A small file, and the bytes that must come of it."""
        shape = self.rng.randrange(4, 20), self.rng.randrange(9, 30), 3
        file = jpeg(self.pixels.integers(0, 256, shape, np.uint8))
        picture = Image.open(io.BytesIO(file))
        if recipe:
            return file, np.array(picture).tobytes()
        small = np.array(resized(picture, (13, 9), Image.Resampling.BILINEAR))
        return file, self.table[np.arange(3), small].transpose(2, 0, 1).astype("<u2").tobytes()


async def within(dut, scenario, milliseconds=6):
    await with_timeout(scenario(Network(dut)), milliseconds, "ms")


@cocotb.test()
async def everything_at_once(dut):
    """Clients of four queue pairs, batches of the host, ARP and ping, each as if it were alone."""
    await within(dut, everything)


async def everything(net):
    await net.begin()
    waiting = {queue: [] for queue in range(4)}   # frames that have not been sent
    expected, outstanding, asked, number = {}, 0, {}, 1000
    total, pings, answered = 32, 0, 0
    batches = cocotb.start_soon(host_batches(net))
    while answered < total:
        while number < 1000 + total and outstanding < SLOTS:
            queue = net.rng.randrange(4)
            file, expected[number] = net.image(OPTIONS[queue]["recipe"])
            if queue == REPLY and number % 3 == 0 and len(file) < 1024:
                frames = [roce(0x25, QUEUE_BASE, net.senders[queue].psn, file, immediate=number,
                               source_port=CLIENTS[queue].port)]
                net.senders[queue].psn += 1
            else:
                frames = net.senders[queue].frames(file, number)
            waiting[queue] += frames
            asked[number] = queue
            outstanding += 1
            number += 1
        ready = [queue for queue, frames in waiting.items() if frames]
        if ready:
            await net.send(waiting[net.rng.choice(ready)].pop(0))
        if number % 6 == 0 and pings < number // 6 - 160:
            pings += 1
            for request in requests(pings):
                await net.send(request)
        await ClockCycles(net.dut.ap_clk, 20)
        responses, net.responses = net.responses, []
        for queue, completion, result in responses:
            request = completion["request"]
            assert completion["status"] == Status.OK, completion
            assert asked.pop(request) == queue and result == expected.pop(request), request
            answered += 1
            outstanding -= 1
    assert await batches == 3
    while len(net.others) < 2 * pings:
        await RisingEdge(net.dut.ap_clk)
    assert pings > 3
    for n in range(pings):
        check_answers(n + 1, [frame for frame in net.others if frame[12:14] == b"\x08\x06"][n],
                      [frame for frame in net.others if frame[12:14] == b"\x08\x00"][n])
    assert await net.counter("messages") == total and await net.counter("refused") == 0
    assert await net.counter("status_ok") == await net.counter("requests")
    assert await net.outcome(Outcome.LOST) == 0


def requests(n):
    """Who has the card's address, and is it there?"""
    yield bytes(Ether(src=mac_text(PEER_MAC), dst="ff:ff:ff:ff:ff:ff") / ARP(
        op=1, hwsrc=mac_text(PEER_MAC), psrc=ip_text(PEER_IP - n), pdst=ip_text(IP)))
    yield bytes(Ether(src=mac_text(PEER_MAC), dst=mac_text(MAC)) / IPv4(
        src=ip_text(PEER_IP), dst=ip_text(IP)) / ICMP(id=n, seq=3) / Raw(bytes(range(100))))


def check_answers(n, arp, echo):
    arp, echo = Ether(arp)[ARP], Ether(echo)
    assert (arp.op, arp.hwsrc, arp.psrc, arp.pdst) == (
        2, mac_text(MAC), ip_text(IP), ip_text(PEER_IP - n))
    assert (echo[ICMP].type, echo[ICMP].id, bytes(echo[Raw])) == (0, n, bytes(range(100)))


async def host_batches(net):
    """Batches of images while others are served; returns how many."""
    count = 3
    for _ in range(count):
        jobs, expected = [], []
        for n in range(4):
            file, want = net.image(n % 2)
            net.ram.write(PAYLOADS + 0x2000 * n, file)
            jobs.append(JOB.pack(kind=Kind.IMAGE, recipe=n % 2, request=n, length=len(file),
                                 payload=PAYLOADS + 0x2000 * n, capacity=len(want),
                                 result=RESULTS + 0x2000 * n))
            expected.append(want)
        # A load waits for idle lanes.
        jobs.insert(2, net.recipe(1, 4, np.tile(np.arange(256), (3, 1)), interleaved=1, raw=1))
        net.batch_over.clear()
        await net.start(jobs)
        await net.batch_over.wait()
        for n in range(len(jobs)):
            record = net.ram.read(COMPLETIONS + BUS * n, BUS)
            completion = COMPLETION.unpack(record)
            assert completion["status"] == Status.OK
            assert not any(record[20:])
            request = completion["request"]
            if request < 4:
                assert net.ram.read(RESULTS + 0x2000 * request, len(expected[request])) \
                    == expected[request]
    return count


@cocotb.test()
async def what_goes_wrong(dut):
    """Each message that cannot be done is answered, and says why."""
    await within(dut, wrong)


async def wrong(net):
    await net.begin()
    file, want = net.image(0)

    async def ask(queue, payload, number, status, detail=Detail.NONE, result=b"", skip=()):
        for n, frame in enumerate(net.senders[queue].frames(payload, number)):
            if n not in skip:
                await net.send(frame)
        (found, completion, bytes_), = await net.response()
        assert (found, completion["status"], completion["detail"]) == (queue, status, detail)
        assert completion["request"] == (number or 0) and bytes_ == result
        assert completion["bytes"] == len(result)

    await ask(REPLY, file, 1, Status.OK, result=want)
    await ask(REPLY, file, None, Status.OK, result=want)
    await ask(REPLY, file, 0xFFFFFFFF, Status.OK, result=want)
    await ask(REPLY, bytes(MESSAGE_BYTES + 1), 2, Status.NO_ROOM, Detail.CAPACITY)
    await ask(PORT, bytes(MESSAGE_BYTES), 3, Status.CORRUPT, Detail.NOT_JPEG)
    await ask(HOST, file[:len(file) // 2], 4, Status.TRUNCATED, Detail.ENDED)
    await ask(UNKNOWN, file, 5, Status.BAD_JOB, Detail.RECIPE)
    await ask(FORWARD, b"", 6, Status.TRUNCATED, Detail.ENDED)

    # A packet in the middle is missing: the message is lost when its successor comes, and the
    # rest of it is thrown away. Of the request the card knows nothing but who sent it.
    frames = net.senders[REPLY].frames(bytes(700), 7)
    assert len(frames) == 3
    await net.send(frames[0])
    await net.send(frames[2])
    (queue, completion, _), = await net.response()
    assert queue == REPLY and completion["status"] == Status.LOST
    assert not completion["request"] and not completion["has_immediate"]
    assert await net.outcome(Outcome.LOST) == 1 and await net.outcome(Outcome.SEQUENCE) == 1
    # One that is damaged is no packet at all.
    frames = net.senders[REPLY].frames(file, 8)
    for n, frame in enumerate(frames):
        await net.send(frame, error=int(n == len(frames) - 1))
    for frame in net.senders[REPLY].frames(file, 9):
        await net.send(frame)
    lost, good = await net.response(2)
    assert lost[1]["status"] == Status.LOST and good[2] == want
    assert await net.outcome(Outcome.DAMAGED) == 1

    # The wire is closed: nothing is taken, not even ARP.
    await net.write("options", 0)
    packets = await net.outcome(Outcome.PACKET)
    for frame in (*net.senders[REPLY].frames(file, 10), *requests(1)):
        await net.send(frame)
    await ClockCycles(net.dut.ap_clk, 3000)
    assert await net.outcome(Outcome.PACKET) == packets
    assert not net.responses and not net.others
    await net.write("options", registers.ENABLE)
    # A queue pair is closed, and opened for something else; its packets are numbered from 0.
    await net.queue(REPLY, **OPTIONS[REPLY], open=0)
    for frame in net.senders[REPLY].frames(file, 11):
        await net.send(frame)
    await ClockCycles(net.dut.ap_clk, 3000)
    assert await net.outcome(Outcome.QUEUE) > 0 and not net.responses
    assert net.psns[REPLY] > 3
    net.assemblers[REPLY] = wire.Reassembler()
    file, want = net.image(1)
    await net.queue(REPLY, what=registers.SET | registers.RESTART, mode=Mode.REPLY, recipe=1)
    await ask(REPLY, file, 12, Status.OK, result=want)
    assert net.psns[REPLY] == (BUS + len(want) - 1) // 512
    # A job that loads a recipe is not for the network.
    await net.queue(PORT, **OPTIONS[PORT], kind=Kind.LOAD)
    await ask(PORT, bytes(64), 13, Status.BAD_JOB, Detail.KIND)
    assert await net.counter("refused") == 0


@cocotb.test()
async def refused_writes(dut):
    """What the memory does not take, of a message, a result or a record, is never an answer."""
    await within(dut, refused)


async def refused(net):
    await net.begin()
    for number in range(3 * SLOTS):
        # One after the other, so each has a slot of its own.
        file, want = net.image(1)
        part, slot = divmod(number, SLOTS)
        message, record = MESSAGES + MESSAGE_BYTES * slot, RECORDS + RECORD_BYTES * slot
        areas = [(message, message + BUS), (record + BUS, record + RECORD_BYTES),
                 (record, record + BUS)]
        net.refused = range(*areas[part])
        for frame in net.senders[REPLY if number % 2 else HOST].frames(file, number):
            await net.send(frame)
        if part < 2:
            (_, completion, result), = await net.response()
            assert completion["request"] == number and result == b""
            assert (completion["status"], completion["detail"]) == (Status.BAD_JOB, Detail.BUS)
        else:
            await ClockCycles(net.dut.ap_clk, 6000)
            assert not net.responses
        net.refused = range(0)
    # Slots have come back, and nothing sticks.
    for number in range(2 * SLOTS):
        file, want = net.image(1)
        for frame in net.senders[PORT].frames(file, number):
            await net.send(frame)
        (_, completion, result), = await net.response()
        assert (completion["request"], completion["status"]) == (number, Status.OK)
        assert result == want


@cocotb.test()
async def owners(dut):
    """A queue pair is its owner's: others get no answer and spoil none, until it is another's."""
    await within(dut, owned)


async def owned(net):
    await net.begin()
    queues = await net.control.read_dword(registers.CAPABILITIES["queues"])
    client = CLIENTS[PORT]
    strangers = [dataclasses.replace(client, **{name: getattr(CLIENTS[REPLY], name)})
                 for name in ("mac", "ip", "port")]
    compared = dict(match_mac=1, match_ip=1, match_port=1, window=1, numbered=1)
    packets = await net.outcome(Outcome.PACKET)
    for nonce, first, options in ((0xABCD, 0xFFFFFE, compared), (7, 5, dict(bind=1, window=1))):
        await net.queue(PORT, **OPTIONS[PORT], owner=client, first=first, nonce=nonce, **options)
        number = registers.queue_number(QUEUE_BASE, queues, PORT, nonce)
        sender = net.senders[PORT] = wire.Sender(number, client, CARD, segment=128, psn=first)
        foreign = await net.outcome(Outcome.STRANGER)
        sent = 0
        for n in range(4):
            file, want = net.image(1)
            for frame in sender.frames(file, n):
                if n or "bind" not in options:
                    for stranger in strangers:
                        psn = wire.from_frame(frame).psn
                        for opcode in Opcode:
                            await net.send(wire.to_frame(wire.Packet(
                                opcode, number, psn, bytes(64), 3 if opcode.immediate else None,
                                stranger, CARD)))
                            sent += 1
                await net.send(frame)
                packets += 1
            (queue, completion, result), = await net.response()
            assert (queue, completion["request"], result) == (PORT, n, want)
        assert await net.outcome(Outcome.STRANGER) == foreign + sent
        assert await net.outcome(Outcome.PACKET) == packets
        # Far numbers, and the same number without its nonce.
        for outcome, pair, psn in (
                (Outcome.FAR, number, sender.psn + (1 << 22)),
                (Outcome.QUEUE, QUEUE_BASE + PORT, sender.psn)):
            before = await net.outcome(outcome)
            await net.send(wire.to_frame(wire.Packet(
                Opcode.SEND_ONLY, pair, psn, b"", None, client, CARD)))
            while await net.outcome(outcome) == before:
                pass
        # Another owner comes while a message is open.
        await net.send(sender.frames(bytes(300), 5)[0])
        packets += 1
        while await net.outcome(Outcome.PACKET) != packets:
            pass
        await net.queue(PORT, **OPTIONS[PORT], bind=1)
        (_, completion, _), = await net.response()
        assert completion["status"] == Status.LOST
    assert not net.others


@cocotb.test()
async def too_many(dut):
    """More messages than slots: each is answered or counted, and later ones are served."""
    await within(dut, flood)


async def flood(net):
    await net.begin()
    # Without a host that takes them, responses keep their slots.
    await net.control.write_dword(registers.IER, registers.ON_DONE)
    files, count = {}, SLOTS + 5
    for number in range(count):
        files[number] = net.image(1)
        for frame in net.senders[HOST].frames(files[number][0], number):
            await net.send(frame)
    while await net.counter("messages") + await net.counter("refused") < count:
        await ClockCycles(net.dut.ap_clk, 100)
    await ClockCycles(net.dut.ap_clk, 4000 * SLOTS)
    slots, statuses = [], []
    while (word := await net.control.read_dword(registers.RECEIVED)) & registers.VALID:
        slots.append(word & 0xFFFF)
    for slot in slots:
        record = net.ram.read(RECORDS + slot * RECORD_BYTES, RECORD_BYTES)
        completion = COMPLETION.unpack(record[:BUS])
        statuses.append(completion["status"])
        if slot == SLOTS:
            assert completion["request"] == SLOTS
            assert (completion["status"], completion["detail"]) == (
                Status.NO_ROOM, Detail.CAPACITY)
        else:
            assert completion["status"] == Status.OK
            want = files[completion["request"]][1]
            assert record[BUS:BUS + completion["bytes"]] == want
    assert sorted(slots) == list(range(SLOTS + 1))
    assert await net.counter("messages") == SLOTS
    assert await net.counter("refused") == count - SLOTS
    assert await net.counter("status_no_room") == 1
    # The slots that the host gives back serve whoever comes next, by whatever way.
    for slot in slots:
        await net.control.write_dword(registers.POST, slot)
    file, want = net.image(1)
    for _ in range(2):
        for number in range(SLOTS):
            for frame in net.senders[PORT].frames(file, number):
                await net.send(frame)
        responses = await net.response(SLOTS)
        assert sorted(completion["request"] for _, completion, _ in responses) == [*range(SLOTS)]
        assert all(result == want for _, _, result in responses)
    assert await net.counter("refused") == count - SLOTS


@cocotb.test(skip=not int(os.environ.get("HEADRACE_TEXTS", "0")))
async def texts_and_images(dut):
    """Texts on one queue pair, images on another: features as scikit-learn has them."""
    await within(dut, texts)


async def texts(net):
    from sklearn.feature_extraction.text import HashingVectorizer
    pages, rows, max_n = (int(os.environ[f"HEADRACE_{name}"]) for name in (
        "PAGES", "ROWS", "MAX_N"))
    image = TableImage.pack(hashing_entries(), pages, EntryBits.WIDTH)
    table = records(TextTable.CHARACTERS + Kernel.HASHING, np.arange(len(image)), image)
    options = dict(n_features=1000, ngram_range=(1, 2))
    net.ram.write(CHARACTERS, table)
    net.ram.write(TABLES + 0x3000, TEXT_RECIPE.pack(kernel=Kernel.HASHING, **hashing_config(
        options["n_features"], options["ngram_range"], rows=rows, max_n=max_n)))
    await net.begin(
        JOB.pack(kind=Kind.TABLE, request=200, payload=CHARACTERS, length=len(table)),
        JOB.pack(kind=Kind.LOAD_TEXT, request=201, recipe=1, payload=TABLES + 0x3000, length=BUS))
    await net.queue(REPLY, mode=Mode.REPLY, kind=Kind.TEXT, recipe=1)
    words = "one two three four five six seven Words of ÉTÉ Привет мир".split()
    expected = {}
    for number in range(12):
        text = " ".join(net.rng.choices(words, k=net.rng.randrange(60)))
        row = HashingVectorizer(norm=None, **options).transform([text])[0]
        expected[REPLY, number] = np.stack([row.indices, row.data], 1).astype("<i4").tobytes()
        file, expected[PORT, number] = net.image(1)
        for queue, payload in (REPLY, text.encode()), (PORT, file):
            for frame in net.senders[queue].frames(payload, number):
                await net.send(frame)
        for queue, completion, result in await net.response(2):
            assert completion["status"] == Status.OK, completion
            assert result == expected.pop((queue, completion["request"]))
    assert not expected and await net.counter("messages") == 24
    # A text overtakes images that wait for a context.
    for queue, payload in [(PORT, file)] * 3 + [(REPLY, b"one")]:
        for frame in net.senders[queue].frames(payload, 98):
            await net.send(frame)
    order = [queue for queue, _, _ in await net.response(4)]
    assert order.index(REPLY) < 2, order
    for frame in net.senders[REPLY].frames(b"\xff", 99):
        await net.send(frame)
    (_, completion, _), = await net.response()
    assert (completion["status"], completion["detail"]) == (Status.CORRUPT, Detail.UTF8)
