# SPDX-License-Identifier: Apache-2.0
"""A queue pair of a card in the network: requests, answers, and what is lost on the way."""

import collections
import dataclasses
import itertools
import os
import socket
import ssl
import time

from headrace import wire
from headrace.control import Answer, ControlError, Lines, Setup, check_token
from headrace.errors import CardError, NoAnswer
from headrace.hw.status import Detail, Status
from headrace.packet_socket import PacketSocket, segment_of, wait_for


__all__ = ["Channel", "check_options"]


#: Later requests whose answers overtake a request before it counts as lost. Cards answer in the
#: order in which requests end, so a few are no sign of loss.
OVERTAKEN = 16
#: Most times by which the patience for an answer grows.
PATIENCE = 2
#: Datagrams sent between two looks at the other direction.
BURST = 32
#: Seconds for which the server may see to the last requests.
PARTING = 15.0
#: Longest timeout in seconds. Sockets take twice as much.
LONGEST = 1_000_000


@dataclasses.dataclass
class _Pending:
    """A request that is under way."""

    index: int
    size: int
    begun: float
    sent: float = 0.0
    order: int = 0
    times: int = 0
    overtaken: int = 0


def check_options(options):
    """Check a dict of options of :class:`Channel`.

    Raises
    ------
    ValueError
        If one is out of range; the message names it.
    """
    for name, right, what in (
            ("window", lambda value: value >= 1, "1 or more"),
            ("retries", lambda value: value >= 0, "0 or more"),
            ("timeout", lambda value: 0 < value <= LONGEST,
             f"above 0 and at most {LONGEST} seconds")):
        if name in options and not right(options[name]):
            raise ValueError(f"{name.capitalize()} must be {what}, not {options[name]!r}")
    if "mtu" in options:
        segment_of(options["mtu"])
    if options.get("token") is not None:
        check_token(options["token"])
    if not isinstance(options.get("tls", False), (bool, str, os.PathLike, ssl.SSLContext)):
        raise ValueError("Tls must be True, False, the path of a file of certificates or an "
                         f"ssl.SSLContext, not {options['tls']!r}")


class Channel:
    """A queue pair of a card, and the sockets to use it. Its methods are not for several threads.

    Parameters
    ----------
    address : (str, int)
        Of the server's control connections.
    work : Recipe, HashingRecipe or TokenRecipe
    reply : "sender", Station or None
        As of :class:`headrace.control.Setup`.
    mtu : int
        Bytes of the longest IPv4 packet that is sent.
    timeout : float
        Seconds without any answer after which the oldest requests are sent again.
    retries : int
        Times that a request is sent again.
    window, window_bytes : int
        Requests, and bytes of them, that are under way at most; one always may be.
    check : bool
        Whether both sides look at the CRC of packets.
    token : str, optional
        That the server wants.
    tls : bool, path or ssl.SSLContext
        Whether the control connection is TLS, and how the server's certificate is looked at:
        True is as the system does. Packets of data are never encrypted.
    counts : collections.Counter
        Where to count.

    Attributes
    ----------
    answer : Answer
        What the server granted.

    Raises
    ------
    CardError
        If there is no server.
    ControlError
        If it refuses, or speaks otherwise.
    ValueError
        If an option is out of range.
    """

    _numbers = itertools.count(1)

    def __init__(self, address, work, *, reply="sender", mtu=1500, timeout=10.0, retries=5,
                 window=32, window_bytes=1 << 20, check=True, token=None, tls=False,
                 counts=None):
        check_options(dict(mtu=mtu, timeout=timeout, retries=retries, window=window, token=token,
                           tls=tls))
        self.reply, self.timeout, self.retries, self.check = reply, timeout, retries, check
        self.window = window
        self.counts = collections.Counter() if counts is None else counts
        # Number 0 is that of requests without one.
        self._requests = itertools.count(1)
        self._queue_pair = next(Channel._numbers) % (1 << 24)
        self._reassembler = wire.Reassembler()
        self._broken = None
        self._order = itertools.count()
        self._control = _connect(address, timeout, tls)
        self._udp = None
        try:
            # The queue pair is for the address of the control connection, so that is the socket's.
            self._udp = PacketSocket(None, self._queue_pair, check=check, counts=self.counts,
                                     here=self._control.getsockname()[0])
            # Without the CRC, addresses and ports may be changed on the way.
            self._agree(Setup(work, reply, self._queue_pair, check,
                              self._udp.here[1] if check else None), address, token)
            card = self.answer.ip, self.answer.port
            self._udp.aim(*((card,) if self.answer.through == "tap"
                            else (self._control.getpeername()[:2], card)))
        except BaseException:
            self._control.close()
            if self._udp is not None:
                self._udp.close()
            raise
        self.window_bytes = min(window_bytes, self.answer.window)
        self._sender = wire.Sender(self.answer.queue_pair, segment=segment_of(mtu),
                                   psn=self.answer.first or 0)

    def _agree(self, setup, address, token):
        self._lines = Lines()
        # A vocabulary takes its time to be loaded.
        deadline = time.monotonic() + max(120.0, self.timeout)
        try:
            try:
                self._control.sendall(setup.encode(token))
            except ConnectionError:  # there may be an answer that says why
                pass
            while True:
                self._control.settimeout(max(0.001, deadline - time.monotonic()))
                data = self._control.recv(1 << 16)
                if not data:
                    raise CardError(f"The server at {address[0]}:{address[1]} closed the "
                                    f"connection without an answer: does it want TLS (tls=True)?")
                for fields, _ in self._lines.feed(data):
                    self.answer = Answer.decode(fields)
                    self._control.setblocking(False)
                    return
        except OSError as error:
            raise CardError(f"No answer from the server at {address[0]}:{address[1]}: "
                            f"{error}") from None

    @property
    def broken(self):
        """The exception that ended the control connection, or None. Looks at the connection."""
        self._listen(lambda fields: None)
        return self._broken

    def close(self):
        """Close the queue pair and the sockets.

        If results go to another station, it waits until the card has seen to the requests, but not
        over TLS, where neither side can say that it has finished without closing the connection.
        """
        if isinstance(self.reply, wire.Station):
            try:
                self._control.shutdown(socket.SHUT_WR)
                self._control.settimeout(PARTING)
                while self._control.recv(1 << 16):
                    pass
            except OSError:  # it has gone already, or takes its time
                pass
        self.abandon()

    def abandon(self):
        """Close this process's descriptors of the sockets, and do nothing else."""
        self._control.close()
        self._udp.close()

    # Requests

    def ask(self, payloads, note=lambda index: None):
        """Send requests and wait for their answers.

        Parameters
        ----------
        payloads : list of bytes-like
        note
            Function that is called with the index of each request that is done.

        Returns
        -------
        list
            For each request (completion, result), as of :func:`headrace.wire.from_response`; of a
            queue pair whose results stay at the server, what the server said of it as completion,
            and None. The exception of a request that failed stands in its place.
        """
        results = [None] * len(payloads)
        waiting = collections.deque()
        for index, payload in enumerate(payloads):
            if len(payload) > self.answer.most_message:
                results[index] = _refusal(Status.NO_ROOM, Detail.CAPACITY), b""
                note(index)
            else:
                waiting.append((next(self._requests), index))
        _Exchange(self, payloads, results, note).run(waiting)
        return results

    def send(self, payloads):
        """Send requests whose results go to another station; nobody says whether they arrived.

        Returns
        -------
        list of int
            Their numbers.
        """
        numbers = []
        for payload in payloads:
            numbers.append(next(self._requests))
            for packet in wire.request(self._sender, numbers[-1], payload):
                while not self._udp.send(packet):
                    wait_for([], [self._udp], 1.0)
            self.counts["sent"] += 1
        return numbers

    # Sockets

    def _hear(self):
        """Messages among the next datagrams, and whether there may be more."""
        packets, more = self._udp.receive()
        before = self._reassembler.lost
        messages = [message for message in map(self._reassembler.feed, packets) if message]
        self.counts["incomplete"] += self._reassembler.lost - before
        return messages, more

    def _listen(self, take):
        """Give lines of the control connection to ``take``; note if it has ended."""
        try:
            while self._broken is None and (data := self._control.recv(1 << 16)) is not None:
                if not data:
                    raise CardError("The server closed the connection")
                for fields, _ in self._lines.feed(data):
                    if "error" in fields:
                        raise CardError(f"The server says: {fields['error']}")
                    take(fields)
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except (OSError, CardError, ControlError) as error:
            self._broken = (error if isinstance(error, CardError)
                            else CardError(f"The connection to the server broke: {error}"))


def _connect(address, timeout, tls):
    """Socket of a control connection."""
    try:
        control = socket.create_connection(address, timeout=timeout)
    except OSError as error:
        raise CardError(f"No server at {address[0]}:{address[1]}: {error}; start one with "
                        f"`headrace serve`") from None
    if tls is False:
        return control
    try:
        if tls is True:
            context = ssl.create_default_context()
        elif isinstance(tls, (str, os.PathLike)):
            context = ssl.create_default_context(cafile=tls)
        else:
            context = tls
        return context.wrap_socket(control, server_hostname=address[0])
    except OSError as error:
        control.close()
        raise CardError(f"No TLS with the server at {address[0]}:{address[1]}: {error}") from None


class _Exchange:
    """One call of :meth:`Channel.ask`: what is under way, lost, to be repeated."""

    def __init__(self, channel, payloads, results, note):
        self.channel, self.counts = channel, channel.counts
        self.payloads, self.results, self.note = payloads, results, note
        self.pending = {}
        self.again = {}  # number: time at which it is to be sent again
        self.packets = collections.deque()
        self.size = 0
        self.heard = time.monotonic()

    def run(self, waiting):
        channel = self.channel
        while waiting or self.pending:
            self._send(waiting)
            messages, more = channel._hear()
            for message in messages:
                self._take(message)
            channel._listen(self._take_line)
            if channel._broken is not None:
                self._fail(waiting)
                return
            self._lose()
            if not more and (waiting or self.pending):
                self._wait()

    def _wait(self):
        channel = self.channel
        now = time.monotonic()
        times = [*self.again.values(), *(self._deadline(pending) for number, pending
                                         in self.pending.items() if number not in self.again)]
        pause = min(1.0, max(0.0, min(times, default=now) - now))
        wait_for([channel._udp, channel._control], [channel._udp] if self.packets else [], pause)

    def _deadline(self, pending):
        patience = min(2 ** (pending.times - 1), PATIENCE) if pending.times else 1
        return max(pending.sent, self.heard) + self.channel.timeout * patience

    # Sending

    def _send(self, waiting):
        channel, now = self.channel, time.monotonic()
        for number in [number for number, due in self.again.items() if due <= now]:
            del self.again[number]
            self.counts["retried"] += 1
            self._begin(number, now)
        while waiting and len(self.pending) < channel.window:
            number, index = waiting[0]
            size = len(self.payloads[index])
            if self.pending and self.size + size > channel.window_bytes:
                break
            waiting.popleft()
            self.pending[number] = _Pending(index, size, now)
            self.size += size
            self._begin(number, now)
        for _ in range(BURST):
            if not self.packets:
                break
            if not channel._udp.send(self.packets[0]):
                break
            self.packets.popleft()
            if not self.packets:
                self.heard = max(self.heard, time.monotonic())

    def _begin(self, number, now):
        pending = self.pending[number]
        pending.times += 1
        pending.sent, pending.order, pending.overtaken = now, next(self.channel._order), 0
        self.counts["sent"] += 1
        self.packets.extend(
            wire.request(self.channel._sender, number, self.payloads[pending.index]))

    # Hearing

    def _take(self, message):
        try:
            completion, result = wire.from_response(message)
            Status(completion["status"]), Detail(completion["detail"])
        except ValueError:
            self.counts["damaged"] += 1
            return
        self._answered(completion["request"], completion, result)

    def _take_line(self, fields):
        if "received" in fields:
            self._answered(fields["received"], fields, None)

    def _answered(self, number, completion, result):
        now = time.monotonic()
        pending = self.pending.get(number)
        status = Status(completion["status"])
        if pending is None:
            # The number of a request that the card lost a packet of is lost, too.
            self.counts["duplicates"] += status is not Status.LOST
            return
        self.heard = now
        if status is Status.NO_ROOM and pending.times <= self.channel.retries:
            if number not in self.again:
                self.again[number] = now + self._pause(pending)
            return
        if status is not Status.NO_ROOM:
            self.counts["received"] += 1
        self._end(number, (completion, result))
        for other in self.pending.values():
            other.overtaken += other.order < pending.order

    def _pause(self, pending):
        return min(0.01 * 2 ** pending.times, self.channel.timeout)

    def _end(self, number, result):
        pending = self.pending.pop(number)
        self.again.pop(number, None)
        self.size -= pending.size
        self.results[pending.index] = result
        self.note(pending.index)

    # Losing

    def _lose(self):
        if self.packets:  # still sending, so nothing is late
            return
        now = time.monotonic()
        for number, pending in list(self.pending.items()):
            late = now >= self._deadline(pending)
            if number in self.again or not late and pending.overtaken < OVERTAKEN:
                continue
            self.counts["lost"] += 1
            if pending.times > self.channel.retries:
                self.counts["unanswered"] += 1
                self._end(number, NoAnswer(pending.index, pending.times, now - pending.begun))
            else:
                self.again[number] = now if late else now + self._pause(pending)

    def _fail(self, waiting):
        for index in [pending.index for pending in self.pending.values()] + [
                index for _, index in waiting]:
            self.results[index] = self.channel._broken
            self.counts["unanswered"] += 1
            self.note(index)


def _refusal(status, detail):
    """Completion of a request that was not sent because it would be refused."""
    return dict(request=0, status=status, detail=detail, bytes=0, height=0, width=0, cycles=0)
