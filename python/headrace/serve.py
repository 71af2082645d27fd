# SPDX-License-Identifier: Apache-2.0
"""A server that lets sockets talk to a card: by a TAP device, or by UDP alone."""

import collections
import contextlib
import itertools
import math
import os
import secrets
import selectors
import signal
import socket
import time

import numpy as np

from headrace import wire
from headrace.control import ANY, Answer, ControlError, Lines, Setup, line, refusal
from headrace.errors import HeadraceError
from headrace.hw.wire.headers import MAX_FRAME, ROCE_PORT
from headrace.links import UdpLink, station_mac


__all__ = ["Server", "until_signal"]


#: Cycles that the card runs between two looks at the sockets.
BUDGET = 20_000
#: Frames that are taken, or sent, between two looks at the card.
BURST = 64
#: Bytes a second that are sent to clients, unless told otherwise: what Python clients take.
RATE = 64_000_000
#: Seconds for which a client's requests are seen to after it has left, if results go elsewhere.
LINGER = 10.0
#: Longest pause in seconds while frames wait to be sent.
PAUSE = 1.0
#: Bytes of unsent lines at which a control connection is given up.
MOST_UNSENT = 1 << 20


def _same_port(host, port, tries=16):
    """A TCP listener and a UDP socket at one port; with port 0 at one that both have free."""
    listener = socket.create_server((host, port))
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        datagrams.bind(listener.getsockname())
    except OSError:
        datagrams.close()
        listener.close()
        if port or tries == 1:
            raise
        return _same_port(host, port, tries - 1)
    return listener, datagrams


class _Connection:
    """A control connection, and its queue pair once there is one."""

    def __init__(self, socket_, address):
        self.socket, self.address = socket_, address
        self.lines = Lines(Setup.attachment)
        self.queue_pair = None
        self.unsent = bytearray()
        self.replies = True  # results go to the sender
        self.ending = False  # nothing it says is heard any more
        self.leaving = None  # time at which it is closed at the latest


class Server:
    """Brings frames to a card, and opens its queue pairs for clients, in one thread.

    Parameters
    ----------
    nic : Nic
    link : TapLink or UdpLink
    listener : socket.socket
        Listening, for control connections.
    output : path, optional
        Folder for results in host memory, ``<queue pair>-<request>.npy``. A name that is taken
        gets a number: no file is overwritten. A result that cannot be saved is logged.
    allow_forward : bool
        Clients may have results sent to others than themselves.
    rate : float
        Bytes a second that are sent at most, so that the clients' buffers hold them.
    log
        Function of a line of text.

    Attributes
    ----------
    counts : collections.Counter
        ``connections``, ``refused``, ``frames_in``, ``frames_out``, ``frames_dropped``,
        ``received`` (results in host memory), ``unsaved`` (of these, if there is a folder).

    Raises
    ------
    ValueError
        If the rate is no finite number above 0.
    """

    def __init__(self, nic, link, listener, *, output=None, allow_forward=False, rate=RATE,
                 log=print):
        if not 0 < rate < math.inf:
            raise ValueError(f"Rate must be a finite number above 0, not {rate!r}")
        self.nic, self.link, self.listener = nic, link, listener
        self.output, self.rate, self.log = output, rate, log
        self.allow_forward = allow_forward
        self.counts = collections.Counter()
        self._connections = set()
        self._owners = {}
        self._frames = collections.deque()
        self._allowance, self._filled = 1 << 16, time.monotonic()
        self._stopping = False
        self._suffixes = itertools.count(2)  # never back, so that looking for a name is quick
        self._wake, self._waker = socket.socketpair()
        for one in listener, self._wake, self._waker:
            one.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._selector.register(link, selectors.EVENT_READ, None)
        self._selector.register(self._wake, selectors.EVENT_READ, lambda: self._wake.recv(64))

    @classmethod
    def udp(cls, nic, host="127.0.0.1", port=0, **options):
        """A server at a UDP port, and at the TCP port of the same number.

        Parameters
        ----------
        nic : Nic
        host : str
        port : int
            0: any that is free.
        **options
            Of :class:`Server`.
        """
        listener, datagrams = _same_port(host, port)
        try:
            return cls(nic, UdpLink(datagrams, nic), listener, **options)
        except BaseException:
            listener.close()
            datagrams.close()
            raise

    @classmethod
    def tap(cls, nic, link, port, **options):
        """A server at a TAP device, with control at a TCP port of the host's side."""
        listener = socket.create_server((link.ip, port))
        try:
            return cls(nic, link, listener, **options)
        except BaseException:
            listener.close()
            raise

    @property
    def address(self):
        """(host, port) of the control connections."""
        return self.listener.getsockname()

    # The loop

    def stop(self):
        """Have :meth:`run` return. May be called from any thread, and from a signal handler."""
        self._stopping = True
        try:
            self._waker.send(b"s")
        except OSError:  # it will look soon, or has ended
            pass

    def run(self):
        """Serve until :meth:`stop`; then close everything but the card."""
        try:
            while not self._stopping:
                self._turn()
        finally:
            self._end()

    def _turn(self):
        for key, mask in self._selector.select(self._patience()):
            if isinstance(key.data, _Connection):
                if key.data in self._connections:
                    self._attend(key.data, mask)
            elif key.data:
                key.data()
        frames = self._arrived()
        if frames or self.nic.busy():
            self._frames.extend(self.nic.exchange(frames, BUDGET))
        for result in self.nic.receive():
            self._keep(result)
        self._send()
        self._part(not frames and not self.nic.busy() and not self._frames)

    def _patience(self):
        """Seconds for which there is nothing to do without a socket."""
        if self.nic.busy() or any(connection.leaving is not None and not connection.unsent
                                  for connection in self._connections):
            return 0
        return min((BURST * 64) / self.rate, PAUSE) if self._frames else None

    def _arrived(self):
        frames = []
        while len(frames) < BURST and (frame := self.link.read()) is not None:
            if len(frame) > MAX_FRAME or not frame:
                self.counts["frames_dropped"] += 1
                continue
            frames.append(frame)
        self.counts["frames_in"] += len(frames)
        return frames

    def _send(self):
        now = time.monotonic()
        self._allowance = min(1 << 16, self._allowance + (now - self._filled) * self.rate)
        self._filled = now
        for _ in range(BURST):
            if not self._frames or self._allowance <= 0:
                break
            frame = self._frames.popleft()
            self._allowance -= len(frame)
            sent = self.link.write(frame)
            self.counts["frames_out" if sent else "frames_dropped"] += 1

    def _end(self):
        self.listener.close()  # first: whoever loses a connection is not to find another one here
        for connection in list(self._connections):
            self._close(connection)
        self._selector.close()
        for one in self.link, self._wake, self._waker:
            one.close()
        counts = {**self.counts, **self.nic.counters()}
        self.log("counters: " + ", ".join(f"{name} {value}" for name, value in counts.items()))

    # Control connections

    def _accept(self):
        try:
            socket_, address = self.listener.accept()
        except OSError:  # it went away again, or no file descriptor is left
            return
        socket_.setblocking(False)
        socket_.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(socket_, address)
        self._connections.add(connection)
        self.counts["connections"] += 1
        self._selector.register(socket_, selectors.EVENT_READ, connection)

    def _attend(self, connection, mask):
        if mask & selectors.EVENT_WRITE:
            self._say(connection, b"")
        if mask & selectors.EVENT_READ and connection in self._connections:
            try:
                data = connection.socket.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                self._close(connection)
                return
            if not data:
                self._leave(connection)
            elif not connection.ending:
                self._hear(connection, data)

    def _hear(self, connection, data):
        try:
            for fields, attachment in connection.lines.feed(data):
                if connection.queue_pair is not None:
                    raise ControlError("Connection must ask for one queue pair, not for two")
                self._open(connection, Setup.decode(fields, attachment))
        except Exception as error:  # whatever is wrong with one client's wishes, the others go on
            known = isinstance(error, (HeadraceError, ValueError, ImportError))
            text = str(error) if known else f"{type(error).__name__}: {error}"
            self.counts["refused"] += 1
            self.log(f"refused {connection.address[0]}:{connection.address[1]}: {text}")
            self._release(connection)
            connection.ending = True
            self._say(connection, refusal(error, text))

    def _open(self, connection, setup):
        reply, peer, first = self._ends(setup, connection.address[0])
        queue_pair = self.nic.listen(setup.work, reply=reply, queue_pair=setup.queue_pair,
                                     check=setup.check, peer=peer, first=first)
        connection.queue_pair, connection.replies = queue_pair, reply == "sender"
        self._owners[queue_pair] = connection
        to = ("the sender" if reply == "sender" else "host memory" if reply is None
              else f"{reply.ip}:{reply.port}")
        self.log(f"queue pair {queue_pair:#x} opened for {connection.address[0]}:"
                 f"{connection.address[1]}: {type(setup.work).__name__}, results to {to}")
        self._say(connection, Answer(
            queue_pair, self.nic.mac, self.nic.ip, ROCE_PORT, self.link.through,
            self.nic.segment, self.nic.most_message, self.nic.most_result,
            self.link.window, first).encode())

    def _ends(self, setup, ip):
        """Where results of a client at an address go, whose the queue pair is, and the number of
        its first packet."""
        reply, peer, first = setup.reply, None, None
        if isinstance(reply, wire.Station):
            own = (reply.ip == ip and reply.port in (setup.port, ROCE_PORT)
                   and reply.mac in (None, self.link.mac_of(ip)))
            if not (own or self.allow_forward):
                raise ControlError(
                    f"Reply must be sender or host, not {reply.ip}:{reply.port}: this server sends "
                    "results to nobody else (start it with --allow-forward)")
            if reply.mac is None:
                reply = wire.Station(self.link.mac or station_mac(reply.ip), reply.ip, reply.port)
        if setup.port is not None:
            peer = wire.Owner(ip, self.link.mac_of(ip),
                              None if setup.port == ANY else setup.port)
            first = secrets.randbelow(1 << 24)
        return reply, peer, first

    def _say(self, connection, data):
        """Send bytes, now or later; close what is broken."""
        connection.unsent += data
        try:
            while connection.unsent:
                del connection.unsent[:connection.socket.send(connection.unsent)]
            if connection.ending:
                # Closing with bytes unread would reset the connection, which may take the message
                # away from the client. So the client closes first.
                connection.socket.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            if len(connection.unsent) > MOST_UNSENT:
                self._close(connection)
                return
        except OSError:
            self._close(connection)
            return
        self._watch(connection)

    def _watch(self, connection):
        """Wait for what a connection can still do."""
        events = ((selectors.EVENT_READ if connection.leaving is None else 0)
                  | (selectors.EVENT_WRITE if connection.unsent else 0))
        watched = connection.socket in self._selector.get_map()
        if watched and events:
            self._selector.modify(connection.socket, events, connection)
        elif watched:
            self._selector.unregister(connection.socket)
        elif events:
            self._selector.register(connection.socket, events, connection)

    def _leave(self, connection):
        """The client says no more: close, but see to its requests if results go elsewhere."""
        if connection.queue_pair is None or connection.replies:
            self._close(connection)
        else:
            connection.leaving = time.monotonic() + LINGER
            self._watch(connection)

    def _part(self, idle):
        """Close the connections of those who have left, when the card is idle, or in the end."""
        now = time.monotonic()
        for connection in [connection for connection in self._connections
                           if connection.leaving is not None]:
            if idle and not connection.unsent or now >= connection.leaving:
                self._close(connection)

    def _close(self, connection):
        self._connections.discard(connection)
        if connection.socket in self._selector.get_map():
            self._selector.unregister(connection.socket)
        self._release(connection)  # first: a client that waits for the end finds it done
        connection.socket.close()

    def _release(self, connection):
        """Close a connection's queue pair, if it has one."""
        if connection.queue_pair is not None:
            queue_pair, connection.queue_pair = connection.queue_pair, None
            del self._owners[queue_pair]
            self.nic.unlisten(queue_pair)
            self.log(f"queue pair {queue_pair:#x} closed")

    # Results in host memory

    def _keep(self, result):
        self.counts["received"] += 1
        fields = {"received": result.request, "status": int(result.status),
                  "detail": int(result.detail), "cycles": result.cycles}
        name = ""
        if result.array is not None:
            fields |= {"dtype": str(result.array.dtype), "shape": list(result.array.shape)}
            if self.output is not None:
                try:
                    fields["file"] = name = self._save(result)
                except OSError as error:  # the others go on
                    self.counts["unsaved"] += 1
                    self.log(f"result of queue pair {result.queue_pair:#x} request "
                             f"{result.request} not saved: {error}")
        self.log(f"queue pair {result.queue_pair:#x} request {result.request} from "
                 f"{result.peer.ip}: {result.status.name} {fields.get('dtype', '')} "
                 f"{'x'.join(map(str, fields.get('shape', [])))} {name}".rstrip())
        owner = self._owners.get(result.queue_pair)
        if owner is not None:
            self._say(owner, line(fields))

    def _save(self, result):
        """Save a result in a file of its own; return the file's name."""
        stem = f"{result.queue_pair:x}-{result.request}"
        name = f"{stem}.npy"
        while True:
            path = os.path.join(self.output, name)
            try:
                file = open(path, "xb")
                break
            except FileExistsError:
                name = f"{stem}-{next(self._suffixes)}.npy"
        try:
            with file:
                np.save(file, result.array)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
        return name


def until_signal(server):
    """Run a server until SIGINT or SIGTERM."""
    before = {number: signal.signal(number, lambda *_: server.stop())
              for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
