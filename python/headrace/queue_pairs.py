# SPDX-License-Identifier: Apache-2.0
"""Queue pairs of a card, as they are opened by its registers."""

import dataclasses

from headrace import wire
from headrace.hw.card import registers
from headrace.hw.card.jobs import Kind
from headrace.recipe import Recipe


__all__ = ["QueuePair", "QueuePairs"]


@dataclasses.dataclass
class QueuePair:
    """A queue pair that is open, or closed with messages of it still under way.

    Parameters
    ----------
    work : Recipe, HashingRecipe or TokenRecipe
    reply : "sender", Station or None
        As of :meth:`headrace.nic.Nic.listen`.
    queue_pair : int
        The receiver's.
    check : bool
    """

    work: object
    reply: object
    queue_pair: int
    check: bool
    closed: bool = False

    def __post_init__(self):
        if isinstance(self.reply, wire.Station):
            self.mode = registers.Mode.FORWARD
        elif self.reply == "sender":
            self.mode = registers.Mode.REPLY
        elif self.reply is None:
            self.mode = registers.Mode.HOST
        else:
            raise ValueError(f"Reply must be \"sender\", a Station or None, not {self.reply!r}")

    @property
    def station(self):
        """Where responses are forwarded to."""
        return (self.reply if self.mode == registers.Mode.FORWARD
                else wire.Station("00:00:00:00:00:00", "0.0.0.0"))


class QueuePairs:
    """Opens queue pairs of a :class:`headrace.bus_card.BusCard`, which inherits this, too."""

    def _write(self, name, value):
        """Write an argument of the network."""
        address, bits = registers.NETWORK[name]
        for offset in range(0, bits, 32):
            self._bus.write_register(address + offset // 8, value >> offset & 0xFFFFFFFF)

    def _commit(self, index, **fields):
        self._write("queue", index)
        self._write("queue_options", registers.queue_options(**fields))
        self._bus.write_register(registers.COMMIT, registers.SET | registers.RESTART)

    def _open(self, index, queue):
        """Load what a queue pair needs, and have the card take its messages."""
        if isinstance(queue.work, Recipe):
            kind, recipe = Kind.IMAGE, self._open_images(queue.work)
        else:
            kind, recipe = Kind.TEXT, self._texts.open(queue.work)
        self._direct(index, queue, open=1, check=int(queue.check), kind=kind, recipe=recipe)

    def _direct(self, index, queue, **fields):
        """Set a queue pair; its responses go where they are to."""
        mac, ip = queue.station.numbers
        for name, value in (("queue_pair", queue.queue_pair), ("queue_port", queue.station.port),
                            ("queue_mac", mac), ("queue_ip", ip)):
            self._write(name, value)
        self._commit(index, reply_port=1, mode=queue.mode, **fields)

    def _open_images(self, recipe):
        """Load an image recipe for a queue pair; its number."""
        arena = self._rounds.arena()
        number, jobs, note = self._setup(recipe, arena)
        self._rounds.load(jobs, arena)
        note()
        self._recipes.use(recipe)
        return number

    def _let_go(self, queue):
        """What a queue pair needed may be replaced."""
        if isinstance(queue.work, Recipe):
            self._recipes.leave(queue.work)
        else:
            self._texts.close(queue.work)
