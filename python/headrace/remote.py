# SPDX-License-Identifier: Apache-2.0
"""A board without a host: its registers and memory are reached by a control queue pair.

>>> import headrace as hr
>>> card = hr.open("udp://10.0.0.2")                              # doctest: +SKIP
>>> batch = card.image(resize=256, crop=224)(files)               # doctest: +SKIP
"""

import collections
import contextlib
import functools
import itertools
import os
import secrets
import socket
import time
import urllib.parse
import weakref

from headrace import wire
from headrace.bus_card import BusCard
from headrace.errors import CardError
from headrace.hw.card import registers
from headrace.hw.card.commands import COMMAND, QUEUE_PAIR, Command, key_of, key_words
from headrace.hw.card.config import BUS
from headrace.hw.status import Detail, Status
from headrace.hw.wire.headers import ROCE_PORT
from headrace.packet_socket import PacketSocket, segment_of
from headrace.queue_pairs import QueuePair, QueuePairs
from headrace.transport import Transport


__all__ = ["RemoteCard", "RemoteTransport", "address_of"]


#: The environment variable that has the board's key, unless it is given.
KEY = "HEADRACE_KEY"

#: Statuses of messages that never came to be executed, or may have found no room for an answer.
TRANSIENT = Status.LOST, Status.NO_ROOM
#: Longest pause between two looks at a batch, in seconds.
PAUSE = 0.01
#: Memory is looked for up to this address.
MOST_MEMORY = 1 << 32
#: Bytes that a driver needs at least: a recipe, jobs and completions, and some payloads.
LEAST_MEMORY = 1 << 14
#: Seconds in which a card should have done what it was asked for on a queue pair that is closed.
CLOSING = 0.25
#: Times that a message is sent again whose answer nobody needs.
FAREWELL = 1

#: What to do if the control queue pair is not ours.
ADVICE = {
    Detail.OWNER: "another driver has it, or took it over, or the board was reset. Close that "
                  "driver; if it died without closing, a board without a key is free again when it "
                  "has been silent for a minute, and one with a key is taken over with that. Then "
                  "try again",
    Detail.KEY: "give the one that it was built with, `key=`, or none if it was built without",
}


def address_of(name):
    """IPv4 address and port of a card's name, as ``udp://HOST`` or ``udp://HOST:PORT``.

    Raises
    ------
    ValueError
        If it is none.
    CardError
        If there is no such host.
    """
    try:
        parts = urllib.parse.urlsplit(name)
        host, port = parts.hostname, ROCE_PORT if parts.port is None else parts.port
    except ValueError:
        host = None
    if not host or not port or name.lower() != f"udp://{parts.netloc}".lower() or "@" in name:
        raise ValueError(f"Address must be as udp://HOST or udp://HOST:PORT, not {name!r}")
    try:
        return socket.gethostbyname(host), port
    except OSError as error:
        raise CardError(f"There is no host {host}: {error}") from None


class Refused(CardError):
    """The card did not execute a message to its end."""

    def __init__(self, detail):
        self.detail = detail
        advice = f": {ADVICE[detail]}" if detail in ADVICE else ""
        super().__init__(f"The card refuses a command: {detail.text}{advice}")


class RemoteTransport(Transport):
    """The way to a card by messages of commands, one at a time, each until it is answered.

    Parameters
    ----------
    link
        As :class:`headrace.packet_socket.PacketSocket`.
    sender : Sender
        Makes packets for the control queue pair.
    what : str
        Names the card in errors.
    timeout : float
        Seconds until a message that was not answered is sent again; twice that the next time, and
        so on, up to eight times that.
    retries : int
        Times that a message is sent again.
    patience : float
        Seconds that a batch may take.
    memory : int, optional
        Bytes of the card's memory. Without it they are found by reading: then the memory must
        answer with an error behind its end.
    key : bytes or str, optional
        The board's, see :func:`headrace.hw.card.commands.key_of`.

    Attributes
    ----------
    lapsed : bool
        The control queue pair is not ours any more: what the card was told is gone.
    counts : collections.Counter
        ``asked`` messages, ``retried`` ones, ``incomplete`` answers.

    Raises
    ------
    CardError
        If nothing answers, or what does is none of headrace's cards.
    """

    def __init__(self, link, sender, *, what="the card", timeout=0.25, retries=6, patience=60.0,
                 memory=None, key=None):
        self._key = key_words(key)
        self.link, self._sender, self.what = link, sender, what
        self.timeout, self.retries, self.patience = timeout, retries, patience
        self.counts = collections.Counter()
        self._reassembler = wire.Reassembler()
        # The card knows its owner by the session, and the latest message by its number.
        self._session, self.lapsed = secrets.randbits(64), False
        self._process = os.getpid()
        self._numbers = (number % (1 << 32) for number in itertools.count(secrets.randbits(32)))
        # As little as a card may have, until it is known.
        self._message_bytes, self._result_bytes = 4 * BUS, 2 * BUS
        self.take()
        try:
            self._look(memory)
        except BaseException:
            self.release()
            raise
        self.memory = RemoteMemory(self)

    def _look(self, memory):
        """Find out what card it is, and where its free memory is."""
        self.check()
        slots = self.read_register(registers.CAPABILITIES["slots"])
        messages, results, self._message_bytes, self._result_bytes = (
            self.read_argument(name) for name in (
                "messages", "results", "message_bytes", "result_bytes"))
        self.start = max(messages + slots * self._message_bytes,
                         results + (slots + 1) * self._result_bytes)
        self.stop = memory or self._find_end()
        if self.stop - self.start < LEAST_MEMORY:
            raise CardError(f"Memory of {self.what} must have {LEAST_MEMORY} free bytes or more, "
                            f"not {max(0, self.stop - self.start)}")

    # Whose it is

    def take(self):
        """Make the control queue pair ours, unless it is already.

        Raises
        ------
        CardError
            If it is another driver's, or the key is wrong.
        """
        number = next(self._numbers)
        self._exchange(number, COMMAND.pack(
            command=Command.TAKE, address=self._session, **self._key), self.retries)
        self.lapsed = False

    def release(self):
        """Give it back, if the card still hears us. In a process that was forked off it is not
        ours."""
        if os.getpid() != self._process:
            return
        with contextlib.suppress(CardError):
            self.ask(COMMAND.pack(command=Command.RELEASE), retries=FAREWELL)

    # Messages

    def ask(self, *commands, retries=None):
        """Have commands executed; the result of what they read.

        Raises
        ------
        CardError
            If one cannot be, or nothing answers.
        """
        number = next(self._numbers)
        tag = COMMAND.pack(command=Command.TAG, value=number, address=self._session)
        return self._exchange(number, b"".join((tag, *commands)),
                              self.retries if retries is None else retries)

    def _exchange(self, number, payload, retries):
        """Send a message until it is answered; the result."""
        self.counts["asked"] += 1
        begun, status = time.monotonic(), None
        for attempt in range(retries + 1):
            self.counts["retried"] += attempt > 0
            deadline = time.monotonic() + self.timeout * min(1 << attempt, 8)
            # What others put between our packets has a wrong number.
            self._sender.psn = secrets.randbits(24)
            for packet in wire.request(self._sender, number, payload):
                while not self.link.send(packet) and time.monotonic() < deadline:
                    self.link.wait(0.001)
            answer = self._answer(number, deadline)
            if answer is None:
                continue
            completion, result = answer
            status = Status(completion["status"])
            if status is Status.OK:
                return result
            if status not in TRANSIENT:
                detail = Detail(completion["detail"])
                self.lapsed |= detail in ADVICE
                raise Refused(detail)
            self.link.wait(min(0.001 * 2 ** attempt, self.timeout))
        seconds = time.monotonic() - begun
        if status is not None:
            raise CardError(f"{self.what} had no room for a message, or lost it, "
                            f"{retries + 1} times in {seconds:.1f} s ({status.name}); see who "
                            "else sends to it")
        raise CardError(
            f"No answer from {self.what} in {seconds:.1f} s, asked {retries + 1} times; see "
            f"whether it answers `ping`, whether its control queue pair is "
            f"{self._sender.queue_pair:#x}, and whether the way there changes addresses, ports or "
            f"the IPv4 identification, which the CRC covers (Linux sends as the card expects)")

    def _answer(self, number, deadline):
        """Completion and result of a message; None if there is no answer in time."""
        while True:
            packets, more = self.link.receive()
            for packet in packets:
                before = self._reassembler.lost
                message = self._reassembler.feed(packet)
                self.counts["incomplete"] += self._reassembler.lost - before
                if message is None:
                    continue
                try:
                    completion, result = wire.from_response(message)
                    status, _ = Status(completion["status"]), Detail(completion["detail"])
                except ValueError:
                    continue
                # A message that was lost is answered without its number.
                if message.immediate == number or status in TRANSIENT and not message.immediate:
                    return completion, result
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            if not more:
                self.link.wait(left)

    # Registers

    def read_register(self, address):
        return self.read_registers([address])[0]

    def read_argument(self, name):
        """Value of an argument of the network, see :data:`headrace.hw.card.registers.NETWORK`."""
        address, bits = registers.NETWORK[name]
        words = self.read_registers(range(address, address + bits // 8, 4))
        return sum(word << 32 * n for n, word in enumerate(words))

    def read_registers(self, addresses):
        values, at_once = [], min(self._message_bytes, self._result_bytes) // BUS - 1
        for at in range(0, len(addresses), at_once):
            result = self.ask(*(COMMAND.pack(command=Command.READ_REGISTER, address=address)
                                for address in addresses[at:at + at_once]))
            values += (int.from_bytes(result[n:n + 4], "little")
                       for n in range(0, len(result), BUS))
        return values

    def write_register(self, address, value):
        self.ask(COMMAND.pack(command=Command.WRITE_REGISTER, address=address, value=value))

    # Batches

    def wait(self):
        # IDLE says the same however often it is read; DONE would be lost with an answer.
        deadline, pause = time.monotonic() + self.patience, PAUSE / 64
        while not self.read_register(registers.CTRL) & registers.IDLE:
            if time.monotonic() > deadline:
                raise CardError(f"A batch of {self.what} was not over after {self.patience:g} s; "
                                "reset the board")
            self.link.wait(pause)
            pause = min(2 * pause, PAUSE)

    def reset(self):
        # Nobody can reset the board from here, but what it was told to do comes to an end.
        self.wait()

    # Memory

    def _find_end(self):
        """First address behind the memory."""
        def answers(address):
            try:
                self.load(address, 1)
            except Refused as error:
                if error.detail is not Detail.BUS:
                    raise  # it is not ours any more
                return False
            return True

        low, high = 0, max(BUS, self.start)
        while answers(high):
            low, high = high, 2 * high
            if high > MOST_MEMORY:
                raise CardError(f"Memory of {self.what} seems to have no end: give its bytes, "
                                "`memory=`")
        while high - low > BUS:
            middle = (low + high) // (2 * BUS) * BUS
            low, high = (middle, high) if answers(middle) else (low, middle)
        return high

    def load(self, address, beats):
        """Beats of memory, as bytes."""
        return self.ask(COMMAND.pack(command=Command.READ_MEMORY, address=address, value=beats))

    def store(self, address, data):
        """Write beats to memory."""
        self.ask(COMMAND.pack(command=Command.WRITE_MEMORY, address=address,
                              value=len(data) // BUS), data)

    @property
    def most_load(self):
        """Bytes that a message can read."""
        return self._result_bytes - BUS

    @property
    def most_store(self):
        """Bytes that a message can write."""
        return self._message_bytes - 2 * BUS


class RemoteMemory:
    """The card's memory, as :attr:`headrace.transport.Transport.memory` has it.

    Parameters
    ----------
    transport : RemoteTransport
    """

    def __init__(self, transport):
        self._transport = transport
        self.size = transport.stop

    def _check(self, address, length):
        if address < 0 or address + length > self.size:
            raise ValueError(f"Range must be within the {self.size} bytes of the memory, not "
                             f"{length} bytes at {address:#x}")

    def write(self, address, source):
        """Copy a C-contiguous buffer into the memory. Beats that it covers in part are read."""
        source = memoryview(source).cast("B")
        self._check(address, len(source))
        at = 0
        while at < len(source):
            offset = (address + at) % BUS
            if offset or len(source) - at < BUS:
                beat = bytearray(self._transport.load(address + at - offset, 1))
                part = source[at:at + BUS - offset]
                beat[offset:offset + len(part)] = part
                self._transport.store(address + at - offset, bytes(beat))
            else:
                whole = (len(source) - at) // BUS * BUS
                part = source[at:at + min(whole, self._transport.most_store)]
                self._transport.store(address + at, bytes(part))
            at += len(part)

    def read_into(self, address, target):
        """Copy memory into a C-contiguous buffer."""
        target = memoryview(target).cast("B")
        self._check(address, len(target))
        at = 0
        while at < len(target):
            offset = (address + at) % BUS
            beats = min(-(-(offset + len(target) - at) // BUS), self._transport.most_load // BUS)
            part = self._transport.load(address + at - offset, beats)[offset:]
            part = part[:len(target) - at]
            target[at:at + len(part)] = part
            at += len(part)


def _leave(transport):
    """What becomes of a card that nobody closed."""
    transport.release()
    transport.link.close()


class RemoteCard(QueuePairs, BusCard):
    """A card that has nothing but its network port. It belongs to one driver at a time.

    The verbs take images and texts to the card's memory and results back, message by message. A
    queue pair of one's own (:meth:`listen`) is the fast way: a request is a message, and so is its
    answer.

    Parameters
    ----------
    name : str
        As ``udp://10.0.0.2``, with ``:PORT`` if that is not 4791.
    fallback : "cpu" or "raise"
    queue_pair : int
        Number of the control queue pair.
    mtu : int
        Bytes of the longest IPv4 packet that is sent.
    check : bool
        Whether the CRC of answers is looked at; the card does as it was told when it booted.
    timeout, retries, patience, memory, key
        Of :class:`RemoteTransport`.

    Raises
    ------
    ValueError
        If the name or an option is wrong.
    CardError
        If no card answers, or it is another driver's.
    """

    _shut, _farewell = False, None

    def __init__(self, name, fallback="cpu", *, queue_pair=QUEUE_PAIR, mtu=1500, check=True,
                 **options):
        segment = segment_of(mtu)
        address = address_of(name)
        options["key"] = key_of(options.get("key") or os.environ.get(KEY))
        super().__init__(name, fallback)
        self._options = dict(queue_pair=queue_pair, mtu=mtu, check=check, **options)
        self._counts = collections.Counter()
        self._queues, self._lapsed = {}, False    # by index; they may lack their recipes
        try:
            self._socket = PacketSocket(address, queue_pair, check=check, counts=self._counts)
        except OSError as error:
            raise CardError(f"There is no way to {name}: {error}") from None
        try:
            transport = RemoteTransport(
                self._socket, wire.Sender(queue_pair, segment=segment), what=name, **options)
            try:
                transport.wait()  # for what others have begun
                self._connect(transport.config(), transport)
            except BaseException:
                transport.release()
                raise
            # Whoever forgets to close the card, or ends, gives it back all the same.
            self._farewell = weakref.finalize(self, _leave, transport)
        except BaseException:
            self._socket.close()
            raise

    def _reset(self):
        # First, for there may be no way to the card now.
        self._lapsed = True
        super()._reset()

    def _check_open(self):
        super()._check_open()
        self._lapsed |= self._bus.lapsed
        if self._lapsed:
            self._bus.take()
            self._bus.reset()   # a batch may be under way still
            self._forget()      # also what a try before this one may have loaded
            for index, queue in self._queues.items():
                queue.first = None  # its peer has gone on
                self._open(index, queue)
            self._lapsed = False

    def listen(self, work, *, reply="sender", queue_pair=0, check=True, peer=None, first=None):
        """Open a queue pair for requests, as :meth:`headrace.nic.Nic.listen` does.

        It stays open when the driver has gone, until another one opens it for something else.
        Results cannot stay in the card's memory: a ``reply`` of None is refused.
        """
        if reply is None:
            raise ValueError('Reply must be "sender" or a Station on a board without a host, not '
                             'None')
        queue = QueuePair(work, reply, queue_pair, check, peer, first)
        with self._lock:
            self._check_open()
            base = self._bus.read_argument("queue_base")
            own = self._options["queue_pair"] - base
            index = next((index for index in range(self.config.queues)
                          if index not in self._queues and index != own), None)
            if index is None:
                raise CardError(f"All {self.config.queues} queue pairs of the card are open: close "
                                f"one")
            self._number(queue, index, base)
            self._open(index, queue)
            self._queues[index] = queue
            return queue.number

    def unlisten(self, queue_pair):
        """Close a queue pair. What is under way is still answered; what has not begun after a
        quarter of a second may be done by the recipe of another."""
        with self._lock:
            self._check_open()
            index = self._index(queue_pair)
            # What is under way still leaves: from a host, which is not there, no slot comes back.
            self._direct(index, self._queues[index])
            time.sleep(CLOSING)
            self._let_go(self._queues.pop(index))

    def shut(self):
        """Close the control queue pair to everyone until the board is reset, and this card. Queue
        pairs for requests go on.

        Raises
        ------
        CardError
            If it still answers.
        """
        with self._lock:
            self._check_open()
            number = self._options["queue_pair"]
            index = number - self._bus.read_argument("queue_base")
            try:
                self._direct(index, QueuePair(None, "sender", number, check=True))
                self._bus.ask(retries=FAREWELL)
            except Refused:
                raise
            except CardError:
                self._shut = True       # there is no answer any more
        if not self._shut:
            raise CardError("The control queue pair is still open: try again")
        self.close()

    def counters(self):
        """As of every card on a bus; and what happened on the way: ``asked`` and ``retried``
        messages, ``incomplete`` answers, ``damaged`` datagrams, ``bytes_sent``,
        ``bytes_received``."""
        counts = super().counters()
        with self._lock:
            self._check_open()
            mine = {**self._bus.counts, **self._counts}
        return counts | {name: mine.get(name, 0) for name in (
            "asked", "retried", "incomplete", "damaged", "bytes_sent", "bytes_received")}

    def _give_back(self):
        if self._farewell:
            self._farewell.detach()
        if not self._shut:
            self._bus.release()

    def _close(self):
        super()._close()
        self._socket.close()

    def _abandon(self):
        super()._abandon()
        self._socket.close()  # this process's descriptor of it

    def __reduce__(self):
        return functools.partial(RemoteCard, self.name, self.fallback, **self._options), ()
