# SPDX-License-Identifier: Apache-2.0
"""Messages of a control queue pair against the model, with stalls on every side."""

import os

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteSlave
from cocotbext.axi.address_space import Region

from card_box import stalls
from headrace.hw.card.commands import COMMAND, REPEATS, Command, key_words
from headrace.hw.card.completion import NETWORK, Completion
from headrace.hw.card.config import BUS
from headrace.hw.card.jobs import JOB
from headrace.hw.card.read_dma import ReadBeat, ReadRequest
from headrace.hw.card.write_dma import WriteBeat
from headrace.hw.status import Detail, Status
from remote_model import RemoteModel
from wire_bench import Bench, pack, unpack


#: Bytes of the memory; behind its end it does not answer. Where payloads and results are.
SIZE, PAYLOAD, RESULT, MOST = 0x8000, 0x4000, 0x6000, 0x2000
#: Bits of a beat of memory, and bytes.
PORT = int(os.environ["HEADRACE_PORT"])
BEAT = PORT // 8
#: Registers below are there, those above are not.
LIMIT = 0x800
#: The lane's key, and cycles until its owner has been silent for too long.
KEY, LAPSE = bytes.fromhex(os.environ["HEADRACE_KEY"]), int(os.environ["HEADRACE_LAPSE"])
SESSION = 0x8000_0000_0000_0001


class Registers(Region):
    """Registers that note what is done to them."""

    def __init__(self, test):
        super().__init__(1 << 12)
        self.values, self.log, self.test = {}, [], test

    def read_value(self, address):
        if address >= LIMIT:
            raise LookupError(address)
        value = self.values.get(address, address * 0x10001)
        self.log.append(("read", address, value))
        return value

    def write_value(self, address, value):
        if address >= LIMIT:
            raise LookupError(address)
        self.log.append(("write", address, value))
        self.values[address] = value

    async def _read(self, address, length, **options):
        return self.read_value(address).to_bytes(4, "little")

    async def _write(self, address, data, **options):
        assert len(data) == 4
        # What a command before it wrote to memory is there.
        assert all(RESULT <= at < RESULT + MOST for at, _ in self.test.unanswered)
        self.write_value(address, int.from_bytes(data, "little"))


class Test(Bench):
    """The lane, its memory and registers, and a model of all that."""

    def __init__(self, dut, *, stall=0.0, seed=1):
        super().__init__(dut, ["i_job", "i_beats"], ["request", "o", "o_completion"], seed=seed,
                         i_stall=stall, o_stall=stall)
        self.memory = bytearray(self.rng.randbytes(SIZE))
        self.unanswered, self.burst = [], []    # bursts: where they begin, and their beats
        self.sent = self.answered = 0
        dut.sent.value = dut.answered.value = dut.failed.value = 0
        self.denied = 0
        self.registers, wanted = Registers(self), Registers(self)
        self.model = RemoteModel(self.memory[:], wanted.read_value, wanted.write_value, KEY)
        self.wanted = wanted
        slave = AxiLiteSlave(AxiLiteBus.from_prefix(dut, "lite"), dut.clk, dut.rst,
                             target=self.registers)
        for side in slave.write_if, slave.read_if:
            side.log.setLevel("ERROR")
        if stall:
            for n, channel in enumerate((
                    slave.write_if.aw_channel, slave.write_if.w_channel, slave.write_if.b_channel,
                    slave.read_if.ar_channel, slave.read_if.r_channel)):
                channel.set_pause_generator(stalls(stall, seed + n))
        self.stall = stall

    async def start(self):
        cocotb.start_soon(Clock(self.dut.clk, 10, "ns").start())
        self.dut.rst.value = 1
        for _ in range(4):
            await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0

    async def begin(self):
        """Start, and take the lane."""
        await self.start()
        assert await self.ask(take()) == (Status.OK, Detail.NONE, b"")

    async def step(self):
        moved = await super().step()
        self.denied += int(self.dut.denied.value)
        self.dut.failed.value = 0
        for value in self.take("request"):
            request = unpack(ReadRequest(PORT), value)
            for n in range(request["beats"]):
                at = (request["address"] + n) * BEAT
                data = int.from_bytes(self.memory[at:at + BEAT].ljust(BEAT, b"\xEE"), "little")
                self.put["i_beats"].append(pack(ReadBeat(PORT), data=data, error=at >= SIZE))
        for value in self.take("o"):
            beat = unpack(WriteBeat(PORT), value)
            assert beat["strobe"] in (0, (1 << BEAT) - 1)
            at, size = beat["address"] * BEAT, BEAT if beat["strobe"] else 0
            if self.burst:
                assert at == self.burst[-1][0] + BEAT
            else:
                assert at % BUS == 0
            self.burst.append((at, beat["data"].to_bytes(BEAT, "little")[:size]))
            assert beat["last"] == (len(self.burst) * BEAT == BUS)
            if beat["last"]:
                self.unanswered.append((self.burst[0][0], self.burst))
                self.burst = []
                self.sent += 1
        if self.unanswered and self.rng.random() < 0.1:
            for at, data in self.unanswered.pop(0)[1]:
                if at < SIZE:
                    self.memory[at:at + len(data)] = data
                elif data:
                    self.dut.failed.value = 1
            self.answered += 1
            moved = True
        self.dut.sent.value, self.dut.answered.value = self.sent, self.answered
        return moved

    async def ask(self, payload, *, room=MOST, request=0):
        """Have a message executed; compare all that comes of it with the model."""
        size = len(payload)
        padded = payload.ljust(-(-size // BUS) * BUS, b"\0")
        for memory in self.memory, self.model.memory:
            memory[PAYLOAD:PAYLOAD + len(padded)] = padded
        self.put["i_job"].append(int.from_bytes(JOB.pack(
            request=request, payload=PAYLOAD, length=size, result=RESULT, capacity=room), "little"))
        for _ in range(200 * (size // BUS + 10 + room // BUS)):
            await self.step()
            if self.got["o_completion"]:
                break
        (value,) = self.take("o_completion")
        while self.unanswered:
            await self.step()
        assert not self.put["i_beats"] and self.offered["i_beats"] is None
        done = unpack(Completion, value)
        status, detail, result = self.model.execute(payload, room)
        assert (done["status"], done["detail"]) == (status, detail), (done, status, detail)
        assert done["batch"] == NETWORK and done["request"] == request
        assert done["bytes"] == len(result)
        assert self.memory[RESULT:RESULT + len(result)] == result
        # Parts of a result may be there, never beyond its room.
        area = slice(RESULT, RESULT + room // BUS * BUS)
        self.model.memory[area] = self.memory[area]
        assert self.memory == self.model.memory
        assert self.registers.log == self.wanted.log
        assert self.denied == self.model.denied
        return status, detail, result


def take(session=SESSION, key=KEY):
    return COMMAND.pack(command=Command.TAKE, address=session, **key_words(key))


def tag(number, session=SESSION):
    return COMMAND.pack(command=Command.TAG, value=number, address=session)


def write(address, value):
    return COMMAND.pack(command=Command.WRITE_REGISTER, address=address, value=value)


def read(address):
    return COMMAND.pack(command=Command.READ_REGISTER, address=address)


def store(address, data, beats=None):
    return COMMAND.pack(command=Command.WRITE_MEMORY, address=address,
                        value=len(data) // BUS if beats is None else beats) + data


def load(address, beats):
    return COMMAND.pack(command=Command.READ_MEMORY, address=address, value=beats)


BAD = Status.BAD_JOB


@cocotb.test()
async def every_command(dut):
    """Each command, and each way in which it cannot be executed."""
    test = Test(dut)
    await test.begin()
    number = 0

    async def ask(*commands, wanted=(Status.OK, Detail.NONE), **options):
        nonlocal number
        number += 1
        status, detail, result = await test.ask(b"".join([tag(number), *commands]), **options)
        assert (status, detail) == wanted
        return result

    data = test.rng.randbytes(5 * BUS)
    assert await ask() == b""
    assert await ask(write(0x10, 0xDEADBEEF), read(0x10), request=3) \
        == (0xDEADBEEF).to_bytes(4, "little").ljust(BUS, b"\0")
    assert await ask(store(0x1000, data), load(0x1000, 5), store(0x1000, b""), load(0, 0)) == data
    assert await ask(store(0x1000, data[::-1]), write(0, 1), load(0x1040, 1)) \
        == data[::-1][BUS:2 * BUS]
    assert len(await ask(load(0, MOST // BUS))) == MOST
    for commands, wanted in (
            ([load(0, MOST // BUS + 1)], (Status.NO_ROOM, Detail.CAPACITY)),
            ([load(0, 0xFFFFFFFF)], (Status.NO_ROOM, Detail.CAPACITY)),
            ([load(0, MOST // BUS), read(0)], (Status.NO_ROOM, Detail.CAPACITY)),
            ([load(32, 1)], (BAD, Detail.ALIGNMENT)),
            ([load(SIZE - BUS, 2), write(8, 8)], (BAD, Detail.BUS)),
            ([store(32, data)], (BAD, Detail.ALIGNMENT)),
            ([write(4, 4), store(0, data, 6)], (BAD, Detail.LENGTH)),
            ([store(0, data, 0xFFFFFFFF)], (BAD, Detail.LENGTH)),
            ([write(4, 5), write(LIMIT, 1), write(4, 6)], (BAD, Detail.BUS)),
            ([read(LIMIT)], (BAD, Detail.BUS)), ([read(1 << 12)], (BAD, Detail.BUS)),
            ([write(1 << 40, 1)], (BAD, Detail.BUS)), ([write(2, 1)], (BAD, Detail.ALIGNMENT)),
            ([read(4), tag(9)], (BAD, Detail.KIND)), ([take()], (BAD, Detail.KIND)),
            ([store(SIZE, data), write(8, 9)], (BAD, Detail.BUS)),
            ([store(SIZE - BUS, data)], (BAD, Detail.BUS)),
            ([COMMAND.pack(command=0)], (BAD, Detail.KIND)),
            ([write(4, 7), COMMAND.pack(command=8), write(4, 8)], (BAD, Detail.KIND)),
            ([write(4, 9), bytes(63)], (BAD, Detail.LENGTH))):
        assert await ask(*commands, wanted=wanted) == b""
        # If the answer is lost, it comes again, whatever was wrong.
        number -= 1
        assert await ask(*commands, wanted=wanted) == b""
        assert await ask(read(4)) != b""
    assert (await test.ask(b""))[:2] == (BAD, Detail.LENGTH)
    assert (await test.ask(write(4, 1)))[:2] == (BAD, Detail.KIND)
    assert (await test.ask(tag(1000) + load(0, 2), room=BUS + 63))[0] == Status.NO_ROOM
    assert (await test.ask(tag(1001) + load(0, 1), room=BUS + 63))[0] == Status.OK
    assert (await test.ask(tag(1002) + read(0), room=0))[0] == Status.NO_ROOM
    # A payload that the memory does not hold.
    for payload, detail in (SIZE, Detail.BUS), (SIZE - 2 * BUS, Detail.BUS):
        test.memory[SIZE - 2 * BUS:] = tag(2000 + payload) + store(0, b"", 1)
        before = test.memory[:BUS]
        test.put["i_job"].append(int.from_bytes(JOB.pack(
            payload=payload, length=3 * BUS, result=RESULT, capacity=MOST), "little"))
        await test.drain()
        done = unpack(Completion, test.take("o_completion").pop())
        assert (done["status"], done["detail"], done["bytes"]) == (BAD, detail, 0)
        assert test.memory[:BUS] == before


@cocotb.test()
async def repeats(dut):
    """A message that comes again does nothing again, and answers as before."""
    test = Test(dut, stall=0.3, seed=3)
    await test.begin()
    data = test.rng.randbytes(2 * BUS)
    for number in (0, 5, 1 << 31, 0xFFFFFFF0, 0x10):
        message = tag(number) + write(8, number + 1 & 0xFFFFFFFF) + store(0x800, data) + read(8) \
            + load(0x800, 2)
        before = len(test.registers.log)
        first = await test.ask(message)
        assert test.registers.log[before][:2] == ("write", 8)
        # Something else happens in between, which a repeat must not undo.
        test.registers.values[8] = test.wanted.values[8] = 77
        before = len(test.registers.log)
        again = await test.ask(message)
        assert [entry[0] for entry in test.registers.log[before:]] == ["read"]
        assert again[2][BUS:] == first[2][BUS:] and again[2][:1] == b"M"
    # So does one that was overtaken by some, and one from the future does not.
    for number, known in ((0x10 - 1, True), (0x10 - REPEATS + 1 & 0xFFFFFFFF, True),
                          (0x10 - REPEATS & 0xFFFFFFFF, False), (0x9000, False)):
        before = len(test.registers.log)
        await test.ask(tag(number) + write(8, 1))
        assert (len(test.registers.log) == before) == known, hex(number)


RELEASE = COMMAND.pack(command=Command.RELEASE)


@cocotb.test()
async def owners(dut):
    """Only the session that has taken the lane is heard; what others send does nothing."""
    test = Test(dut, seed=4)
    await test.start()
    mine, other = SESSION, SESSION ^ 1 << 62
    keyed = any(KEY)

    async def denied(message, detail=Detail.OWNER):
        before, log = test.denied, len(test.registers.log)
        assert await test.ask(message) == (BAD, detail, b"")
        assert test.denied == before + 1 and len(test.registers.log) == log

    # It is nobody's at first, which session 0 is not either.
    await denied(tag(1, 0) + write(8, 1))
    for n in range(128):
        wrong = bytearray(KEY)
        wrong[n // 8] ^= 1 << n % 8
        await denied(take(mine, bytes(wrong)) + read(8), Detail.KEY)
    assert (await test.ask(take(mine) + read(8)))[0] == Status.OK
    assert (await test.ask(tag(5) + write(8, 1)))[0] == Status.OK
    # Another one's tag does not make a message of ours a repeat.
    for number in 6, 5, 7:
        await denied(tag(number, other) + write(8, 2) + read(8))
    for n in range(0, 64, 7):
        await denied(tag(6, mine ^ 1 << n) + write(8, 2))
    before = len(test.registers.log)
    assert (await test.ask(tag(6) + write(8, 3)))[0] == Status.OK
    assert test.registers.log[before:] == [("write", 8, 3)]
    # Taking it twice changes nothing: what was executed is not executed again.
    assert (await test.ask(take(mine) + write(8, 5)))[0] == Status.OK
    assert (await test.ask(tag(6) + write(8, 4)))[0] == Status.OK
    assert len(test.registers.log) == before + 1
    if not keyed:
        # Whoever is first, as long as there is a sign of life.
        for n in range(3):
            await denied(take(other))
            for _ in range(LAPSE // 2):
                await test.step()
            await test.ask(tag(10 + n))
        for _ in range(LAPSE):
            await test.step()
        test.model.lapsed = True
    assert (await test.ask(take(other)))[0] == Status.OK
    test.model.lapsed = False
    await denied(tag(20) + write(8, 1))
    before = len(test.registers.log)
    assert (await test.ask(tag(6, other) + write(8, 4)))[0] == Status.OK    # its first
    assert len(test.registers.log) == before + 1
    # Given back, it is nobody's, also if that is said twice.
    assert (await test.ask(tag(7, other) + RELEASE + write(8, 9)))[0] == Status.OK
    await denied(tag(7, other) + RELEASE)
    assert (await test.ask(take(mine)))[0] == Status.OK
    assert (await test.ask(tag(1) + write(8, 4)))[0] == Status.OK


@cocotb.test()
async def anything(dut):
    """Random messages, most of them good."""
    await random_messages(dut, 11, 0.0)


@cocotb.test()
async def anything_with_stalls(dut):
    await random_messages(dut, 12, 0.5)


async def random_messages(dut, seed, stall):
    test = Test(dut, stall=stall, seed=seed)
    await test.begin()
    number = seed << 20
    for _ in range(250):
        number += test.rng.choice([0, 1, 1, 1, 1, 2, 1 << 12])
        commands = [random_command(test.rng) for _ in range(test.rng.randrange(9))]
        if test.rng.random() < 0.1:
            commands.insert(test.rng.randrange(len(commands) + 1), test.rng.randbytes(
                test.rng.choice([BUS, BUS, 7])))
        await test.ask(b"".join([tag(number), *commands]),
                       room=test.rng.choice([MOST, MOST, 6 * BUS]),
                       request=test.rng.randrange(5))


def random_command(rng):
    """One of all, whose address or length is wrong now and then."""
    kind = rng.choice(["write", "read", "store", "load"])
    odd = rng.random() < 0.02
    if kind in ("write", "read"):
        address = 4 * rng.randrange(32) + (LIMIT if odd else 0)
        return write(address, rng.getrandbits(32)) if kind == "write" else read(address)
    beats = rng.randrange(7)
    address = BUS * rng.randrange(64) + (SIZE - 64 * BUS if odd else 0)
    return store(address, rng.randbytes(BUS * beats)) if kind == "store" else load(address, beats)
