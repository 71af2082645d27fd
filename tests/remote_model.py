# SPDX-License-Identifier: Apache-2.0
"""What a remote card does with the messages of its control queue pair, in Python."""

from headrace.hw.card import registers
from headrace.hw.card.commands import COMMAND, NO_KEY, REPEATS, Command, key_words
from headrace.hw.card.config import BUS
from headrace.hw.status import Detail, Status


__all__ = ["RemoteModel"]


class Refusal(Exception):
    """Status and detail of a message that ends early."""


class RemoteModel:
    """Executes messages on a memory and registers of Python.

    Parameters
    ----------
    memory : bytearray
        Reads and writes behind its end fail.
    read, write : callable
        ``read(address)`` and ``write(address, value)`` a register; LookupError: there is none.
    key : bytes

    Attributes
    ----------
    session : int or None
        Of the owner.
    denied : int
    lapsed : bool
        The owner has been silent for too long; set by whoever knows.
    """

    def __init__(self, memory, read, write, key=NO_KEY):
        self.memory, self.read, self.write = memory, read, write
        self.key, self.keyed = key_words(key), key != NO_KEY
        self.session, self.denied, self.lapsed = None, 0, False
        self.latest, self.outcome = None, (Status.OK, Detail.NONE)

    def execute(self, payload, room):
        """Status, detail and result of a message; the result has ``room`` bytes at most."""
        begun, repeated, result = [], [], bytearray()
        try:
            for _ in self._commands(payload, room, begun, repeated, result):
                pass
            outcome = Status.OK, Detail.NONE
        except Refusal as refusal:
            outcome, result = refusal.args, b""
        if begun and not repeated:
            self.outcome = outcome
        return *outcome, bytes(result)

    def _commands(self, payload, room, begun, repeated, result):
        if not payload or len(payload) % BUS:
            raise Refusal(Status.BAD_JOB, Detail.LENGTH)
        at = 0
        while at < len(payload):
            block = COMMAND.unpack(payload[at:at + BUS])
            at += BUS
            command, value, address = block["command"], block["value"], block["address"]
            if (command in (Command.TAG, Command.TAKE)) == bool(begun):
                raise Refusal(Status.BAD_JOB, Detail.KIND)
            if command == Command.TAG:
                if address != self.session:
                    self._deny(Detail.OWNER)
                self._tag(value, begun, repeated)
            elif command == Command.TAKE:
                self._take(block)
                begun.append(None)
                repeated.append(None)
            elif command == Command.RELEASE:
                self.session = None
            elif command in (Command.WRITE_REGISTER, Command.READ_REGISTER):
                if command == Command.WRITE_REGISTER and repeated:
                    continue
                if command == Command.READ_REGISTER and len(result) + BUS > room:
                    raise Refusal(Status.NO_ROOM, Detail.CAPACITY)
                if address % 4:
                    raise Refusal(Status.BAD_JOB, Detail.ALIGNMENT)
                self._register(command, address, value, result)
            elif command in (Command.WRITE_MEMORY, Command.READ_MEMORY):
                if address % BUS:
                    raise Refusal(Status.BAD_JOB, Detail.ALIGNMENT)
                size = value * BUS
                if command == Command.READ_MEMORY:
                    if len(result) + size > room:
                        raise Refusal(Status.NO_ROOM, Detail.CAPACITY)
                    if size and address + size > len(self.memory):
                        raise Refusal(Status.BAD_JOB, Detail.BUS)
                    result += self.memory[address:address + size]
                    continue
                if at + size > len(payload):
                    raise Refusal(Status.BAD_JOB, Detail.LENGTH)
                if not repeated:
                    part = payload[at:at + max(0, min(size, len(self.memory) - address))]
                    self.memory[address:address + len(part)] = part
                    if len(part) < size:
                        raise Refusal(Status.BAD_JOB, Detail.BUS)
                at += size
            else:
                raise Refusal(Status.BAD_JOB, Detail.KIND)
            yield command

    def _deny(self, detail):
        self.denied += 1
        raise Refusal(Status.BAD_JOB, detail)

    def _take(self, block):
        if any(block[name] != word for name, word in self.key.items()):
            self._deny(Detail.KEY)
        if self.session == block["address"]:
            return
        if self.session is not None and not self.keyed and not self.lapsed:
            self._deny(Detail.OWNER)
        self.session, self.latest = block["address"], None

    def _tag(self, number, begun, repeated):
        begun.append(number)
        age = None if self.latest is None else (self.latest - number) % (1 << 32)
        if age is not None and age < REPEATS:
            repeated.append(number)
            if age == 0 and self.outcome[0] != Status.OK:
                raise Refusal(*self.outcome)
        else:
            self.latest = number

    def _register(self, command, address, value, result):
        try:
            if address >> registers.ADDRESS_BITS:
                raise LookupError(address)
            if command == Command.WRITE_REGISTER:
                self.write(address, value)
            else:
                result += self.read(address).to_bytes(4, "little").ljust(BUS, b"\0")
        except LookupError:
            raise Refusal(Status.BAD_JOB, Detail.BUS) from None
