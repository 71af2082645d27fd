# SPDX-License-Identifier: Apache-2.0
"""Queue pairs of a card, as they are opened by its registers."""

import dataclasses
import secrets

from headrace import wire
from headrace.hw.card import registers
from headrace.hw.card.jobs import Kind
from headrace.recipe import Recipe


__all__ = ["QueuePair", "QueuePairs"]


#: What does not matter in registers.
NOBODY = wire.Station("00:00:00:00:00:00", "0.0.0.0", 0)


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
    peer, first
        As of :meth:`headrace.nic.Nic.listen`.
    nonce : int
        Part of its number.
    number : int
        Its number in packets.
    """

    work: object
    reply: object
    queue_pair: int
    check: bool
    peer: wire.Owner | None = None
    first: int | None = None
    nonce: int = 0
    number: int = 0
    closed: bool = False

    def __post_init__(self):
        self.window = self.peer is None or self.first is not None
        if isinstance(self.reply, wire.Station):
            self.mode = registers.Mode.FORWARD
        elif self.reply == "sender":
            self.mode = registers.Mode.REPLY
        elif self.reply is None:
            self.mode = registers.Mode.HOST
        else:
            raise ValueError(f"Reply must be \"sender\", a Station or None, not {self.reply!r}")
        if not (self.peer is None or isinstance(self.peer, wire.Owner)):
            raise ValueError(f"Peer must be an Owner or None, not {self.peer!r}")
        if self.first is not None and self.first not in range(1 << 24):
            raise ValueError(f"First must be within range(1 << 24), not {self.first!r}")

    @property
    def station(self):
        """Where responses are forwarded to."""
        return self.reply if self.mode == registers.Mode.FORWARD else NOBODY

    @property
    def owner(self):
        """A station with what is compared of a packet's source."""
        peer = self.peer.station if self.peer else NOBODY
        return peer if peer.mac else dataclasses.replace(peer, mac=NOBODY.mac)

    @property
    def options(self):
        """Fields of :data:`headrace.hw.card.registers.QUEUE_OPTIONS` about peers."""
        peer = self.peer
        ports = int(peer is None or peer.port is not None)
        return dict(
            reply_port=ports, mode=self.mode, bind=int(peer is None),
            window=int(self.window), numbered=int(self.first is not None),
            match_ip=int(peer is not None),
            match_mac=int(peer is not None and peer.mac is not None),
            match_port=int(peer is not None and peer.port is not None))


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
        for prefix, station in ("queue_", queue.station), ("queue_owner_", queue.owner):
            mac, ip = station.numbers
            for name, value in ("mac", mac), ("ip", ip), ("port", station.port):
                self._write(prefix + name, value)
        for name, value in (("queue_pair", queue.queue_pair), ("queue_nonce", queue.nonce),
                            ("queue_first", queue.first or 0)):
            self._write(name, value)
        self._commit(index, **queue.options, **fields)

    def _number(self, queue, index, base):
        """Give a queue pair a number that is not to be guessed."""
        queues = self.config.queues
        queue.nonce = secrets.randbelow(registers.nonces(queues))
        queue.number = registers.queue_number(base, queues, index, queue.nonce)

    def _index(self, queue_pair):
        """Index of the queue pair of that number that is open."""
        for index, queue in self._queues.items():
            if queue.number == queue_pair and not queue.closed:
                return index
        raise ValueError(f"Queue pair must be open, not {queue_pair!r}")

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
