# amaranth: UnusedElaboratable=no

# SPDX-License-Identifier: Apache-2.0
"""Messages to slots: what lies in memory, what is said of it, and what finds no room."""

import collections
import dataclasses
import os

import cocotb
from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from headrace.hw.card.config import BUS
from headrace.hw.card.gather import Arrival, Gather
from headrace.hw.card.slots import Slots
from headrace.hw.card.widen import SegmentWidener
from headrace.hw.card.write_dma import WriteDma
from headrace.hw.status import Detail, Status
from headrace.hw.wire.layout import Segment
from wire_bench import Bench, pack, unpack


QUEUES, SLOTS = 4, 6
BASE, BLOCKS = 0x1000, 8   # of slot 0, and of each
WIDTH, PORT = (int(os.environ.get(f"HEADRACE_{name}", 512)) for name in ("WIDTH", "PORT"))
BEAT = PORT // 8
ARRIVAL = Arrival(QUEUES, SLOTS)
AW, W = (WriteDma(PORT).signature.members[name].signature.members["payload"].shape
         for name in ("aw", "w"))


class Ports(wiring.Component):
    """What stands between segments and memory."""

    def __init__(self, width, port):
        self.width, self.port = width, port
        self.gather = Gather(QUEUES, SLOTS, port=port, bursts=width == port)
        self.slots = Slots(SLOTS)
        self.writes = WriteDma(port)
        slots, writes = (part.signature.members for part in (self.slots, self.writes))
        super().__init__({
            "i": In(stream.Signature(Segment(width, QUEUES))),
            "messages": In(58), "message_beats": In(26),
            **{name: slots[name] for name in ("post", "posted", "lent", "lent_slot")},
            "free": slots["i"], "aw": writes["aw"], "w": writes["w"], "b": writes["b"],
            "o": Out(stream.Signature(ARRIVAL)), "whole": Out(1), "refused": Out(1),
            "spare": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.gather = gather = self.gather
        m.submodules.slots = slots = self.slots
        m.submodules.writes = writes = self.writes
        segments = wiring.flipped(self.i)
        if self.width != self.port:
            m.submodules.widener = widener = SegmentWidener(self.width, QUEUES)
            wiring.connect(m, segments, widener.i)
            segments = widener.o
        wiring.connect(m, segments, gather.i)
        wiring.connect(m, slots.o, gather.slot)
        wiring.connect(m, gather.o_write, writes.i)
        wiring.connect(m, gather.o, wiring.flipped(self.o))
        wiring.connect(m, wiring.flipped(self.free), slots.i)
        wiring.connect(m, writes.aw, wiring.flipped(self.aw))
        wiring.connect(m, writes.w, wiring.flipped(self.w))
        wiring.connect(m, wiring.flipped(self.b), writes.b)
        m.d.comb += [
            gather.messages.eq(self.messages), gather.message_beats.eq(self.message_beats),
            gather.sent.eq(writes.sent), gather.answered.eq(writes.answered),
            gather.failed.eq(writes.failed),
            gather.spare.eq(slots.spare), slots.take_spare.eq(gather.take_spare),
            self.whole.eq(gather.whole), self.refused.eq(gather.refused),
            self.spare.eq(slots.spare),
            *(getattr(slots, name).eq(getattr(self, name)) for name in (
                "post", "posted", "lent", "lent_slot")),
        ]
        return m


@dataclasses.dataclass
class Message:
    """A message as it is sent; ``number`` is also its sender's UDP port."""

    number: int
    queue: int
    packets: list
    lost: bool
    immediate: int | None

    @property
    def payload(self):
        return b"".join(self.packets)

    def peer(self, packet):
        return dict(mac=self.number << 8 | packet, ip=self.number * 7, port=self.number)

    def segments(self, packet, width):
        """Payloads of the beats of one packet; the last one of a lost message is its end."""
        layout, size = Segment(width, QUEUES), width // 8
        if packet == len(self.packets):
            return [pack(layout, last=1, end=1, lost=1, queue=self.queue, data=3, immediate=5,
                         peer=dict(mac=1, ip=1, port=1))]
        data = self.packets[packet]
        final = packet == len(self.packets) - 1 and not self.lost
        beats = []
        for at in range(0, len(data) or 1, size):
            part, end = data[at:at + size], at + size >= len(data)
            beats.append(pack(
                layout, data=int.from_bytes(part.ljust(size, b"\xA5"), "little"),
                count=len(part), first=packet == 0 and at == 0, last=final and end, end=end,
                queue=self.queue, has_immediate=final and self.immediate is not None,
                immediate=(self.immediate or 0) if final else 0, peer=self.peer(packet)))
        return beats


class Test(Bench):
    """The component, its memory, and the host's side of slots."""

    def __init__(self, dut, *, stall=0.0, seed=1, refusal=0.0):
        super().__init__(dut, ["i", "free", "b"], ["aw", "w", "o"], seed=seed, i_stall=stall,
                         o_stall=stall)
        self.memory, self.bursts, self.beats = {}, [], []
        self.unanswered = set()         # addresses of beats
        self.answers = []
        self.sent, self.arrivals = [], []
        self.whole = self.refused = 0
        # How many bursts the memory refuses; slots of such bursts, until their messages have ended.
        self.refusal, self.spoilt = refusal, set()
        self.busy, self.number = set(), 1
        dut.messages.value, dut.message_beats.value = BASE, BLOCKS

    async def start(self):
        for name in "post", "lent", "posted", "lent_slot":
            getattr(self.dut, name).value = 0
        self.dut.rst.value = 1
        for _ in range(3):
            await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0

    async def post(self, slot):
        self.dut.post.value, self.dut.posted.value = 1, slot
        await self.step()
        self.dut.post.value = 0

    async def step(self):
        moved = await super().step()
        self.whole += int(self.dut.whole.value)
        self.refused += int(self.dut.refused.value)
        for value in self.take("aw"):
            address = unpack(AW, value)
            self.bursts.append((address["address"], address["beats"]))
        self.beats += [unpack(W, value) for value in self.take("w")]
        # Either may come first.
        while self.bursts and len(self.beats) >= self.bursts[0][1]:
            self.store()
        if self.answers and self.rng.random() < 0.2:
            bad = self.rng.random() < self.refusal
            self.put["b"].append(int(bad))
            answered = self.answers.pop(0)
            self.unanswered -= set(answered)
            if bad:
                self.spoilt.add((answered[0] * BEAT // BUS - BASE) // BLOCKS)
        for value in self.take("o"):
            self.arrive(unpack(ARRIVAL, value))
        return moved

    def store(self):
        address, count = self.bursts.pop(0)
        beats, self.beats = self.beats[:count], self.beats[count:]
        assert [beat["last"] for beat in beats] == [0] * (count - 1) + [1]
        addresses = range(address, address + count)
        for at, beat in zip(addresses, beats):
            assert BASE <= at * BEAT // BUS < BASE + BLOCKS * SLOTS, "a beat beside the slots"
            data = beat["data"].to_bytes(BEAT, "little")
            for byte in range(BEAT):
                if beat["strobe"] >> byte & 1:
                    self.memory[at * BEAT + byte] = data[byte]
        self.unanswered |= set(addresses)
        self.answers.append(addresses)

    def message(self, queue, *, lengths, lost=False):
        immediate = self.rng.choice([None, self.rng.getrandbits(32)])
        self.number += 1
        return Message(self.number, queue, [self.rng.randbytes(n) for n in lengths], lost,
                       None if lost else immediate)

    def random_message(self, queue, longest):
        lost = self.rng.random() < 0.15
        lengths = [BUS * self.rng.randrange(1, 3) for _ in range(self.rng.randrange(longest))]
        if lost:
            lengths = lengths or [BUS]
        else:
            lengths.append(self.rng.randrange(3 * BUS))
        return self.message(queue, lengths=lengths, lost=lost)

    def send(self, messages):
        """Queue messages, packets of different queues in random order."""
        waiting = {queue: [m for m in messages if m.queue == queue] for queue in range(QUEUES)}
        at = dict.fromkeys(waiting, 0)
        while any(waiting.values()):
            queue = self.rng.choice([queue for queue, rest in waiting.items() if rest])
            message = waiting[queue][0]
            self.put["i"] += message.segments(at[queue], WIDTH)
            at[queue] += 1
            if at[queue] == len(message.packets) + message.lost:
                at[queue] = 0
                self.sent.append(waiting[queue].pop(0))

    def arrive(self, arrival):
        """One that was sent, none before it that had to arrive, and all in memory."""
        while self.sent[0].number != arrival["peer"]["port"]:
            self.missing += 1
            self.sent.pop(0)
        message = self.sent.pop(0)
        assert arrival["queue"] == message.queue
        assert arrival["peer"] == message.peer(len(message.packets) - 1)
        assert arrival["has_immediate"] == (message.immediate is not None)
        assert arrival["immediate"] == (message.immediate or 0)
        assert arrival["slot"] not in self.busy
        self.busy.add(arrival["slot"])
        self.arrivals.append((arrival, message))
        how = arrival["status"], arrival["detail"]
        spoilt = arrival["slot"] in self.spoilt
        self.spoilt.discard(arrival["slot"])
        if message.lost:
            assert how == (Status.LOST, Detail.NONE)
        elif len(message.payload) > BLOCKS * BUS or arrival["slot"] == SLOTS:
            assert how == (Status.NO_ROOM, Detail.CAPACITY)
        elif how == (Status.BAD_JOB, Detail.BUS):
            assert self.refusal
        else:
            assert how == (Status.OK, Detail.NONE) and not spoilt
            assert arrival["length"] == len(message.payload)
            first = (BASE + arrival["slot"] * BLOCKS) * BUS // BEAT
            assert not self.unanswered & set(range(first, first + BLOCKS * BUS // BEAT))
            self.verify(arrival, message)

    missing = 0

    def verify(self, arrival, message):
        start = (BASE + arrival["slot"] * BLOCKS) * BUS
        found = bytes(self.memory[start + n] for n in range(len(message.payload)))
        assert found == message.payload

    def release(self):
        """Slots whose messages have been looked at again are free."""
        arrival, message = self.arrivals.pop(0)
        if arrival["status"] == Status.OK:
            self.verify(arrival, message)
        self.busy.discard(arrival["slot"])
        self.put["free"].append(arrival["slot"])

    def account(self, messages):
        """Every message is answered, or refused and counted."""
        self.missing += len(self.sent)
        self.sent = []
        spares = sum(arrival["slot"] == SLOTS for arrival in self.all)
        assert self.refused == self.missing + spares, (self.refused, self.missing, spares)
        assert len(self.all) + self.missing == messages
        assert self.whole == sum(arrival["status"] in (Status.OK, Status.BAD_JOB)
                                 for arrival in self.all)


async def begin(dut, **options):
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    test = Test(dut, **options)
    await test.start()
    for slot in range(SLOTS):
        await test.post(slot)
    for _ in range(8):
        await test.step()
    return test


async def mixed(dut, stall, seed, release, **options):
    """Random messages; a slot is given back with that probability in a cycle."""
    test = await begin(dut, stall=stall, seed=seed, **options)
    test.all = []
    messages = [test.random_message(test.rng.randrange(QUEUES), 6) for _ in range(250)]
    test.send(messages)
    quiet = 0
    while quiet < 300:
        before = len(test.arrivals)
        moved = await test.step()
        test.all += [arrival for arrival, _ in test.arrivals[before:]]
        if test.arrivals and test.rng.random() < release:
            test.release()
            moved = True
        quiet = 0 if moved or test.answers else quiet + 1
        assert test.cycle < 100000
    assert not test.put["i"] and not test.bursts
    test.account(len(messages))
    return test


@cocotb.test()
async def many_slots(dut):
    """Slots come back quickly."""
    test = await mixed(dut, 0.3, 5, 0.5)
    statuses = {arrival["status"] for arrival in test.all}
    assert statuses == {Status.OK, Status.LOST, Status.NO_ROOM}
    dut._log.info(f"{test.whole} whole, {test.refused} refused of 250")


@cocotb.test()
async def refused_bursts(dut):
    """Of a message that the memory did not take it is said so; few others suffer."""
    for stall in 0.0, 0.4:
        test = await mixed(dut, stall, 8, 0.5, refusal=0.02)
        statuses = collections.Counter(arrival["status"] for arrival in test.all)
        assert statuses[Status.BAD_JOB] > 3 and statuses[Status.OK] > statuses[Status.BAD_JOB]


@cocotb.test()
async def few_slots(dut):
    """Slots come back slowly: most messages find none."""
    test = await mixed(dut, 0.0, 6, 0.01)
    assert test.refused > 50 and test.missing > 20
    assert sum(arrival["slot"] == SLOTS for arrival in test.all) > 2


@cocotb.test()
async def exact(dut):
    """Lengths around the room of a slot, with a slot for each."""
    test = await begin(dut)
    for lengths in ([0], [1], [BUS * BLOCKS], [BUS * BLOCKS + 1], [BUS * BLOCKS, 0],
                    [BUS * BLOCKS, 1], [BUS * BLOCKS, BUS, 0],
                    [BUS * (BLOCKS - 1), BUS, BUS, 5], [BUS, 0]):
        test.send([test.message(1, lengths=lengths)])
        await test.drain()
        while test.answers or not test.arrivals:
            await test.step()
        (arrival, message), = test.arrivals
        fits = len(message.payload) <= BUS * BLOCKS
        assert arrival["status"] == (Status.OK if fits else Status.NO_ROOM), lengths
        test.release()
        await test.drain()
    assert not test.refused


@cocotb.test()
async def every_cycle(dut):
    """A beat a cycle, from packet to packet and from message to message."""
    test = await begin(dut)
    test.send([test.message(n % QUEUES, lengths=[BUS, 2 * BUS, 50][n % 3:]) for n in range(6)])
    count = len(test.put["i"])
    while len(test.gone["i"]) < count:
        await test.step()
    assert test.gone["i"][-1] - test.gone["i"][0] == count - 1
    while len(test.arrivals) < 6:
        await test.step()
    assert test.whole == 6


@cocotb.test()
async def no_slots(dut):
    """Without slots every message is taken at once; the spare slot answers for one."""
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    test = Test(dut)
    await test.start()
    await test.post(SLOTS)        # not the host's
    test.send([test.message(n % QUEUES, lengths=[BUS, 9]) for n in range(10)])
    count = len(test.put["i"])
    await test.drain()
    assert test.gone["i"][-1] - test.gone["i"][0] == count - 1
    assert test.refused == 10 and not dut.spare.value
    (arrival, _), = test.arrivals
    assert arrival["slot"] == SLOTS and not test.memory
    test.release()
    await test.drain()
    assert dut.spare.value

    # A slot is the card's once, however often it is posted.
    for slot in 2, 2, 40:
        await test.post(slot)
    await test.drain()
    test.send([test.message(0, lengths=[7]), test.message(0, lengths=[8])])
    await test.drain(quiet=200)
    assert [arrival["slot"] for arrival, _ in test.arrivals] == [2, SLOTS]
    assert test.refused == 11 and test.whole == 1

    # The host has taken both, and gives them back.
    test.arrivals.clear()
    test.busy.clear()
    for slot in 2, SLOTS:
        dut.lent.value, dut.lent_slot.value = 1, slot
        await test.step()
        dut.lent.value = 0
        await test.post(slot)
    await test.drain()
    test.send([test.message(3, lengths=[7]), test.message(2, lengths=[8])])
    await test.drain(quiet=200)
    assert sorted(arrival["slot"] for arrival, _ in test.arrivals) == [2, SLOTS]
