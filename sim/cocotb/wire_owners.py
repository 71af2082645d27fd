# SPDX-License-Identifier: Apache-2.0
"""Whose a queue pair is: strangers change nothing, whatever they send and whenever."""

import random

import cocotb
from cocotb.triggers import RisingEdge

from headrace.hw.wire import layout
from headrace.hw.wire.outcome import Outcome
from headrace.hw.wire.receive import SETTLING
from wire_bench import PEER_IP, PEER_MAC, beats, pack, reset
from wire_model import OPCODES, Owner, roce
from wire_receive import BASE, FRAME, OPEN, QUEUES, SIZE, Test


PORT = 0xC123
#: Sources that differ in one thing from the owner of most queue pairs here.
SOURCES = [dict(source_mac=PEER_MAC, source_ip=PEER_IP, source_port=PORT)]
SOURCES += [{**SOURCES[0], name: value} for name, value in (
    ("source_mac", PEER_MAC ^ 1), ("source_mac", PEER_MAC ^ 1 << 47), ("source_ip", PEER_IP ^ 1),
    ("source_ip", PEER_IP ^ 1 << 31), ("source_port", PORT ^ 1), ("source_port", PORT ^ 1 << 15))]
OWNER, *STRANGERS = SOURCES
NAMED = dict(mac=PEER_MAC, ip=PEER_IP, port=PORT)
BOUND = dict(bind=True, window=True)


class Owned(Test):
    """A receiver whose queue pairs get owners."""

    def __init__(self, dut, **options):
        super().__init__(dut, **options)
        self.open = OPEN

    async def own(self, queue, settling=SETTLING, **fields):
        """Give a queue an owner; it is closed for a while, and open behind it."""
        owner = Owner(**fields)
        self.dut.open.value = self.open & ~(1 << queue)
        self.dut.set_queue.value, self.dut.nonce.value = queue, owner.nonce
        self.dut.owner.value = pack(
            layout.Owner, peer=dict(mac=owner.mac or 0, ip=owner.ip or 0, port=owner.port or 0),
            match_mac=owner.mac is not None, match_ip=owner.ip is not None,
            match_port=owner.port is not None, bind=owner.bind, window=owner.window,
            numbered=owner.first is not None, first=owner.first or 0)
        self.dut.set.value = 1
        await self.step()
        self.dut.set.value = 0
        for _ in range(settling - 1):
            await self.step()
        self.dut.open.value = self.open
        self.model.close(queue)
        self.model.closed.remove(queue)
        self.model.owners[queue] = owner


def nonsense(rng, queue, psn, source):
    """A packet of a stranger: any opcode, and a number that fits, or is old, or far away."""
    opcode = rng.choice(list(OPCODES.values()))
    number = (psn + rng.choice([0, 0, 0, 1, -1, -5, 7, 1 << 21, 1 << 23])) % (1 << 24)
    return roce(opcode, BASE + queue, number, rng.randbytes(64),
                immediate=7 if opcode in (0x23, 0x25) else None, **source)


@cocotb.test()
async def strangers(dut):
    """Packets of others, at every place of messages, are counted, and nothing else happens."""
    await reset(dut)
    rng = random.Random(1)
    t = Owned(dut)
    for stall in 0.0, 0.3:
        t.i_stall, t.o_stall["o_segment"] = stall, stall
        psn = [0xFFFFF0, 1 << 23]
        await t.own(0, **NAMED, window=True, first=psn[0])
        await t.own(1, **BOUND)
        for number in range(30):
            queue = number % 2
            for frame in t.message(queue, psn[queue], rng.randbytes(rng.randrange(400)), mtu=64,
                                   immediate=number, **OWNER):
                for source in rng.sample(STRANGERS, rng.randrange(4)) if number > 1 else ():
                    assert t.send(nonsense(rng, queue, psn[queue], source)) == Outcome.STRANGER
                assert t.send(frame) == Outcome.PACKET
                psn[queue] = (psn[queue] + 1) % (1 << 24)
        await t.finish()
    assert t.model.counters[Outcome.STRANGER] > 50
    assert t.model.counters[Outcome.SEQUENCE] == 0


@cocotb.test()
async def what_is_compared(dut):
    """Each part of the source counts if it is to, and only then."""
    await reset(dut)
    t = Owned(dut, i_stall=0.1, o_stall=0.1)
    for parts in range(8):
        names = [name for n, name in enumerate(NAMED) if parts >> n & 1]
        await t.own(2, **{name: NAMED[name] for name in names})
        for source in SOURCES:
            other = [name for name in NAMED if source[f"source_{name}"] != NAMED[name]]
            frame = roce(OPCODES["only"], BASE + 2, 5, b"x", **source)
            assert t.send(frame) == (
                Outcome.STRANGER if set(other) & set(names) else Outcome.PACKET)
        await t.drain()
    await t.finish()


@cocotb.test()
async def first_come(dut):
    """The first message binds, frame behind frame; what is wrong in any way does not."""
    await reset(dut)
    t = Owned(dut)
    for stall in 0.0, 0.4:
        t.i_stall = stall
        for source in SOURCES:
            for other in SOURCES:
                for queue in 0, 1, 2, 6:
                    await t.own(queue, **BOUND)
                # Wrong ones: a CRC, a middle, a number that is closed, another nonce.
                for queue in 0, 1, 2:
                    damaged = roce(OPCODES["only"], BASE + queue, 5, b"wrong", **other)
                    assert t.send(damaged[:54] + b"W" + damaged[55:]) == Outcome.ICRC
                    assert t.send(roce(OPCODES["middle"], BASE + queue, 1 << 22, bytes(64),
                                       **other)) == Outcome.SEQUENCE
                    assert t.send(roce(OPCODES["only"], BASE + queue + QUEUES, 5, b"number",
                                       **other)) == Outcome.QUEUE
                # The queues are bound one after the other, and others come at once.
                for queue in 0, 1, 2:
                    assert t.send(roce(OPCODES["only"], BASE + queue, 1 << 23, bytes([queue]),
                                       **source)) == Outcome.PACKET
                    if queue == 2:
                        continue
                    for again in other, source:
                        assert t.send(roce(OPCODES["only"], BASE + queue, (1 << 23) + 1, b"2",
                                           **again)) == (
                            Outcome.PACKET if again == source else Outcome.STRANGER)
                assert t.send(roce(OPCODES["first"], BASE + 6, 9, bytes(64), **other)) \
                    == Outcome.PACKET
                assert t.send(roce(OPCODES["last"], BASE + 6, 10, b"", **source)) == (
                    Outcome.PACKET if source == other else Outcome.STRANGER)
                assert t.send(roce(OPCODES["last"], BASE + 6, 10, b"", **other)) == (
                    Outcome.SEQUENCE if source == other else Outcome.PACKET)
                await t.drain(quiet=30)
        await t.finish()


@cocotb.test()
async def numbers(dut):
    """A number far from the expected one is dropped; all that are near begin messages anew."""
    await reset(dut)
    t = Owned(dut, i_stall=0.2, o_stall=0.1)
    rng = random.Random(4)
    block = 1 << 20

    def send(psn, kind="only"):
        return t.send(roce(OPCODES[kind], BASE + 4, psn % (1 << 24), bytes(64), **OWNER))

    for first in 0, 5, block - 1, 0xFFFFFF, rng.getrandbits(24):
        for distance, outcome in (
                (0, Outcome.PACKET), (-block, Outcome.PACKET), (block, Outcome.PACKET),
                (2 * block, Outcome.FAR), (-2 * block, Outcome.FAR), (1 << 23, Outcome.FAR)):
            await t.own(4, **NAMED, window=True, first=first)
            assert send(first + distance) == outcome    # of the first packet
            if outcome == Outcome.FAR:
                assert send(first) == Outcome.PACKET
            expected = t.model.expected[4]
            assert send(expected, "first") == Outcome.PACKET
            assert send(expected + 1 + distance, "only") == outcome    # of a later one
            assert send(expected + 2, "last") == Outcome.SEQUENCE
            await t.drain(quiet=30)
    # A message goes on behind a number that is far, and any number is the first without one.
    for owner in dict(**NAMED, window=True), BOUND, dict(**BOUND, first=5), {}:
        await t.own(4, **owner)
        assert send(7 * block, "first") == Outcome.PACKET
        assert send(12 * block) == (Outcome.FAR if owner else Outcome.PACKET)
        assert send(7 * block + 1, "last") == (Outcome.PACKET if owner else Outcome.SEQUENCE)
        # So many lost at once are no harm.
        assert send(8 * block) == (Outcome.PACKET)
        await t.drain(quiet=30)
    await t.finish()


@cocotb.test()
async def other_nonces(dut):
    """Only the number with a queue's own nonce is its."""
    await reset(dut)
    t = Owned(dut, o_stall=0.1)
    rng = random.Random(6)
    shift = (QUEUES - 1).bit_length()
    for _ in range(8):
        nonces = [rng.getrandbits(24 - shift) for _ in range(4)]
        for queue, nonce in enumerate(nonces):
            await t.own(queue, nonce=nonce)
        for queue, nonce in enumerate(nonces):
            for change in (0, *(1 << bit for bit in range(24 - shift))):
                number = (BASE + queue + ((nonce ^ change) << shift)) % (1 << 24)
                assert t.send(roce(OPCODES["only"], number, 3, b"x")) == (
                    Outcome.QUEUE if change else Outcome.PACKET)
        await t.drain()
    await t.finish()


@cocotb.test()
async def a_new_owner(dut):
    """However a frame is timed, nothing of the former owner is left when the queue is another's."""
    await reset(dut)
    t = Owned(dut)
    old, new = dict(**NAMED, nonce=5), dict(window=True, nonce=9)
    for owner in dict(new, bind=True), dict(new, **{**NAMED, "port": PORT + 1}, first=9):
        for wait in range(30 + 128 // SIZE):
            await t.own(0, **old)
            for frame in t.message(old["nonce"] << 3, 1 << 23, bytes(120), mtu=64, **OWNER):
                t.put["i"] += beats(FRAME, frame)
            for _ in range(wait):
                await t.step()
            await t.own(0, **owner)
            await t.drain(quiet=30)
            before = await t.counters()
            t.put["i"] += beats(FRAME, roce(
                OPCODES["only"], BASE + (new["nonce"] << 3), 9, b"mine",
                **{**OWNER, "source_port": PORT + 1}))
            await t.drain(quiet=30)
            after = await t.counters()
            assert {outcome for outcome in Outcome if after[outcome] != before[outcome]} \
                == {Outcome.PACKET}, (wait, owner)


@cocotb.test()
async def owners_take_no_time(dut):
    """Frames of the smallest size behind one another, of owners and strangers in turn."""
    await reset(dut)
    t = Owned(dut)
    for queue in range(4):
        await t.own(queue, **(BOUND if queue % 2 else dict(**NAMED, window=True, first=0)))
    count = 400 if SIZE == 64 else 120
    for n in range(count):
        source = SOURCES[n % 3 and n // 3 % 7]
        t.send(roce(OPCODES["only"], BASE + n % 4, n // 4 % 7, b"", **source))
    await t.drain(quiet=30)
    gone = t.gone["i"]
    assert len(gone) == count * 64 // SIZE
    assert gone[-1] - gone[0] == len(gone) - 1, "the input waited"
    await t.finish()
    assert min(t.model.counters[outcome] for outcome in (
        Outcome.PACKET, Outcome.STRANGER)) > count // 4


@cocotb.test()
async def owners_of_all_kinds(dut):
    """Owners by chance, messages of anybody, losses: as the model has it."""
    await reset(dut)
    t = Owned(dut)
    await RisingEdge(dut.clk)
    for seed, (i_stall, o_stall) in enumerate([(0.0, 0.0), (0.3, 0.1), (0.0, 0.6), (0.0, 0.0)]):
        t.i_stall, t.o_stall["o_segment"] = i_stall, o_stall
        rng = random.Random(seed)
        psn, own = [rng.getrandbits(24) for _ in range(7)], [None] * 7
        for step in range(150):
            queue = rng.randrange(7)
            if own[queue] is None or rng.random() < 0.05:
                await t.drain(quiet=30)
                own[queue] = dict(
                    {name: NAMED[name] for name in NAMED if rng.random() < 0.6},
                    bind=rng.random() < 0.4, window=rng.random() < 0.6,
                    nonce=rng.getrandbits(21), first=rng.choice([None, psn[queue]]))
                await t.own(queue, **own[queue])
            source = OWNER if rng.random() < 0.6 else rng.choice(STRANGERS)
            at = psn[queue] + (rng.choice([1, -3, 1 << 21, 1 << 23]) if rng.random() < 0.1 else 0)
            index = queue + (own[queue]["nonce"] << 3)
            frames = list(t.message(index, at % (1 << 24), rng.randbytes(rng.randrange(250)),
                                    mtu=64, immediate=step, **source))
            if rng.random() < 0.2:
                del frames[rng.randrange(len(frames))]
            for frame in frames:
                outcome = t.send(frame)
            if frames and outcome == Outcome.PACKET:
                psn[queue] = t.model.expected[queue]
        await t.finish()
    assert min(t.model.counters[outcome] for outcome in (
        Outcome.STRANGER, Outcome.FAR, Outcome.SEQUENCE, Outcome.LOST, Outcome.GAP)) > 10
