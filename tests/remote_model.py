# SPDX-License-Identifier: Apache-2.0
"""What a remote card does with the messages of its control queue pair, in Python."""

from headrace.hw.card import registers
from headrace.hw.card.commands import COMMAND, REPEATS, Command
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
        Reads behind its end fail, writes there do nothing.
    read, write : callable
        ``read(address)`` and ``write(address, value)`` a register; LookupError: there is none.
    """

    def __init__(self, memory, read, write):
        self.memory, self.read, self.write = memory, read, write
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
            if (command == Command.TAG) == bool(begun):
                raise Refusal(Status.BAD_JOB, Detail.KIND)
            if command == Command.TAG:
                self._tag(value, begun, repeated)
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
                if not repeated and address < len(self.memory):
                    part = payload[at:at + min(size, len(self.memory) - address)]
                    self.memory[address:address + len(part)] = part
                at += size
            else:
                raise Refusal(Status.BAD_JOB, Detail.KIND)
            yield command

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
