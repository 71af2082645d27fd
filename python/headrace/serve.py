# SPDX-License-Identifier: Apache-2.0
"""A server that lets sockets talk to a card: by a TAP device, or by UDP alone.

What strangers can do to it, and what not, is said in ``docs/security.md``.
"""

import asyncio
import collections
import contextlib
import dataclasses
import errno
import ipaddress
import itertools
import math
import os
import secrets
import signal
import socket
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from headrace import wire
from headrace.control import (
    ANY, MOST_LINE, Answer, ControlError, Setup, check_token, demand, fields_of, line, refusal)
from headrace.errors import CardError, HeadraceError
from headrace.fair import Allowance, FairQueue
from headrace.foreign import Parsers
from headrace.hw.wire.headers import MAX_FRAME, ROCE_PORT
from headrace.limits import Limits
from headrace.links import UdpLink, station_mac


__all__ = ["Server", "say", "until_signal"]


#: Cycles that the card runs between two looks at what arrived.
BUDGET = 5_000
#: Frames that are taken, or sent, at once.
BURST = 64
#: Bytes a second that are sent to clients, unless told otherwise: what Python clients take.
RATE = 64_000_000
#: Bytes that may be sent at once.
AT_ONCE = 1 << 16
#: Seconds for which a client's requests are seen to after it has left, if results go elsewhere.
LINGER = 10.0
#: Longest pause in seconds while frames wait to be sent; and after trouble that may pass.
PAUSE = 1.0
#: Bytes of unsent lines at which a control connection is given up.
MOST_UNSENT = 1 << 20
#: Characters of a line of the log, and of an error that a client is told.
MOST_LOGGED, MOST_ERROR = 500, 2000
#: Refusals that are logged at once, and a second.
REFUSALS, REFUSALS_A_SECOND = 100, 5
#: Seconds of the card's time for set-ups that a peer has at first.
SETUP_CREDIT = 10.0
#: Seconds after which a control connection is given up whose other end does not answer any more.
SILENT = 120
#: Seconds between two looks at how full the folder of results is.
LOOK = 10.0


def _same_port(host, port, tries=16):
    """A TCP listener and a UDP socket at one port; with port 0 at one that both have free."""
    listener = socket.create_server((host, port), backlog=256)
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


def _keep_alive(socket_):
    """Have the kernel notice that the other end of a connection has gone without a word."""
    socket_.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    socket_.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", SILENT // 2), ("TCP_KEEPINTVL", SILENT // 8),
                        ("TCP_KEEPCNT", 4), ("TCP_USER_TIMEOUT", 1000 * SILENT)):
        if hasattr(socket, name):  # not on every system
            socket_.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _words(error):
    """What is said of an exception."""
    known = isinstance(error, (HeadraceError, ValueError, ImportError))
    return (str(error) if known else f"{type(error).__name__}: {error}")[:MOST_ERROR]


class _Peer:
    """What an address has of the server."""

    def __init__(self, limits):
        self.connections = self.queue_pairs = self.attachments = 0
        self.heard = 0.0   # when it sent something last
        self.parsing, self.opening = asyncio.Lock(), asyncio.Lock()  # one at a time
        self.card = Allowance(SETUP_CREDIT, limits.card_share)  # seconds for set-ups
        self.timer = None  # of when it owes none

    def charge(self, seconds):
        """It took so much of the card's time."""
        self.card.left -= seconds


class _Connection:
    """A control connection, and its queue pair once there is one."""

    def __init__(self, address, peer):
        self.address, self.peer = address, peer
        self.reader = self.writer = None
        self.queue_pair = None
        self.replies = True  # results go to the sender

    def __str__(self):
        return f"{self.address[0]}:{self.address[1]}"


class Server:
    """Brings frames to a card, and opens its queue pairs for clients.

    Control connections are tasks of one event loop; the card has a thread of its own.

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
        Function of a line of text. That it fails is no reason to end.
    token : str, optional
        What every client must know.
    tls : ssl.SSLContext, optional
        For control connections by TLS.
    limits : Limits

    Attributes
    ----------
    counts : collections.Counter
        ``connections``, ``refused``, ``frames_in``, ``frames_out``, ``frames_dropped``,
        ``frames_own`` (from the server's own address: dropped), ``received`` (results in host
        memory), ``unsaved`` (of these, if there is a folder), ``unlogged`` lines.

    Raises
    ------
    ValueError
        If the rate is no finite number above 0, or the token is none.
    """

    def __init__(self, nic, link, listener, *, output=None, allow_forward=False, rate=RATE,
                 log=print, token=None, tls=None, limits=None):
        if not 0 < rate < math.inf:
            raise ValueError(f"Rate must be a finite number above 0, not {rate!r}")
        self.nic, self.link, self.listener = nic, link, listener
        self.output, self.rate, self._log = output, rate, log
        self.allow_forward = allow_forward
        self.token = None if token is None else check_token(token)
        self.tls, self.limits = tls, limits or Limits()
        self.counts = collections.Counter()
        self._peers = {}   # by IPv4 address
        self._owners = {}  # connections, by queue pair
        self._listening = set()  # queue pairs, of the card's thread
        self._saved = collections.Counter()  # bytes of results in the folder, by IPv4 address
        self._tasks = set()
        self._open_connections = self._attachments = 0
        self._arrived = FairQueue(self.limits.peer_arrived, self.limits.arrived)
        self._unsent = FairQueue(self.limits.peer_unsent, self.limits.unsent)
        self._allowance, self._filled = AT_ONCE, time.monotonic()
        self._refusals = Allowance(REFUSALS, REFUSALS_A_SECOND)
        self._suffixes = itertools.count(2)  # never back, so that looking for a name is quick
        self._stored, self._looked = 0, -math.inf
        self._stopping, self._loop = False, None
        self._quiet = False  # nothing has arrived that the card has not seen to
        listener.setblocking(False)

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
        listener = socket.create_server((link.ip, port), backlog=256)
        try:
            return cls(nic, link, listener, **options)
        except BaseException:
            listener.close()
            raise

    @property
    def address(self):
        """(host, port) of the control connections."""
        return self.listener.getsockname()

    def log(self, text, most=MOST_LOGGED):
        """Log a line: short, of printable ASCII, whatever strangers put into it."""
        text = text.encode("unicode_escape").decode("ascii")
        if len(text) > most:
            text = text[:most] + "..."
        try:
            self._log(text)
        except Exception:  # a closed pipe, a full disk
            self.counts["unlogged"] += 1

    # The loop

    def stop(self):
        """Have :meth:`run` return. May be called from any thread, and from a signal handler."""
        self._stopping = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._stopped.set)

    def run(self):
        """Serve until :meth:`stop`; then close everything but the card.

        Raises
        ------
        CardError
            If the card fails: it has nothing to serve then.
        """
        try:
            with ThreadPoolExecutor(1, "headrace-card") as self._thread:
                try:
                    asyncio.run(self._serve())
                finally:
                    self._thread.submit(self._unlisten_all)
        finally:
            self._end()

    async def _serve(self):
        self._stopped, self._awake = asyncio.Event(), asyncio.Event()
        self._sendable, self._idle = asyncio.Event(), asyncio.Event()
        self._parsers = Parsers(self.nic.config, self.limits)
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._note_trouble)
        if self._stopping:
            return
        self._hearken()
        mains = [asyncio.create_task(main) for main in (
            self._stopped.wait(), self._accept(), self._drive(), self._transmit())]
        try:
            done, _ = await asyncio.wait(mains, return_when=asyncio.FIRST_COMPLETED)
            for main in done:
                main.result()
        finally:
            self.listener.close()  # first: whoever loses a connection is not to find another here
            self._loop.remove_reader(self.link)
            tasks = [*mains, *self._tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _note_trouble(self, loop, context):
        """Log what asyncio has to say, instead of a traceback on standard error."""
        self.log(f"{context['message']}: {context.get('exception')!r}")

    def _end(self):
        self.listener.close()
        self.link.close()
        counts = dict(self.counts)
        with contextlib.suppress(HeadraceError):  # it may be why the server ends
            counts |= self.nic.counters()
        text = "counters: " + ", ".join(f"{name} {value}" for name, value in counts.items())
        self.log(text, len(text))

    def _on_card(self, function, *args):
        """Future of a call in the card's thread, which is made even if nobody waits any more."""
        return asyncio.shield(asyncio.wrap_future(self._thread.submit(function, *args)))

    # Frames

    def _hearken(self):
        """Have :meth:`_gather` called when something arrives."""
        self._deaf = False
        if not self._stopped.is_set():
            self._loop.add_reader(self.link, self._gather)

    def _gather(self):
        """Take what has arrived, a burst at most; what is too much of a peer is dropped."""
        for _ in range(0 if self._deaf else BURST):
            try:
                arrived = self.link.read()
            except OSError as error:  # no buffer, or the device has gone: not again at once
                self.log(f"nothing can be read: {error}")
                self._deaf = True
                self._loop.remove_reader(self.link)
                self._loop.call_later(PAUSE, self._hearken)
                return
            if arrived is None:
                return
            (ip, port), size, item = arrived
            if ip is not None and self._is_own(ip, port):
                self.counts["frames_own"] += 1
            elif 0 < size <= MAX_FRAME and self._arrived.put(self._whose(ip), item, size):
                self._awake.set()
            else:
                self.counts["frames_dropped"] += 1

    def _whose(self, ip):
        """Whose turn an address shares: those without a connection have one together."""
        peer = self._peers.get(ip)
        if peer is None:
            return None
        peer.heard = self._loop.time()
        return ip

    def _is_own(self, ip, port):
        """Whether what is sent there comes back here."""
        return ip == self.nic.ip or self.link.is_own(ip, port)

    async def _drive(self):
        """Let the card run while there is something to do."""
        while True:
            self._awake.clear()
            self._gather()
            frames = []
            while self._arrived and len(frames) < BURST:
                frames.append(self.link.frame(self._arrived.get()))
            self.counts["frames_in"] += len(frames)
            left, results, busy = await self._on_card(self._exchange, frames)
            for frame in left:
                self._queue(frame)
            for result in results:
                self._keep(result)
            if not frames and not busy and not self._arrived:
                self._quiet = True
                self._note_idle()
                await self._awake.wait()
                self._quiet = False

    def _exchange(self, frames):
        """Frames that left the card, results in host memory, whether it is busy."""
        nic = self.nic
        try:
            left = nic.exchange(frames, BUDGET) if frames or nic.busy() else []
            return left, nic.receive(), nic.busy()
        except CardError:
            raise
        except BaseException as error:
            raise CardError(f"The card failed: {type(error).__name__}: {error}") from error

    def _queue(self, frame):
        """Have a frame sent, in its receiver's turn."""
        to = socket.inet_ntoa(frame[30:34]) if len(frame) >= 34 else None
        if self._unsent.put(self._whose(to), frame, len(frame)):
            self._sendable.set()
        else:
            self.counts["frames_dropped"] += 1

    async def _transmit(self):
        """Send frames, at the rate."""
        while True:
            await self._sendable.wait()
            self._send()
            if not self._unsent:
                self._sendable.clear()
                self._note_idle()
            late = self._allowance <= 0
            await asyncio.sleep(min(BURST * 64 / self.rate, PAUSE) if late else 0)

    def _send(self):
        now = time.monotonic()
        self._allowance = min(AT_ONCE, self._allowance + (now - self._filled) * self.rate)
        self._filled = now
        for _ in range(BURST):
            if not self._unsent or self._allowance <= 0:
                break
            frame = self._unsent.get()
            self._allowance -= len(frame)
            try:
                sent = self.link.write(frame)
            except OSError as error:
                self.log(f"a frame cannot be sent: {error}")
                sent = False
            self.counts["frames_out" if sent else "frames_dropped"] += 1

    def _note_idle(self):
        if self._quiet and not self._unsent:
            self._idle.set()

    # Control connections

    async def _accept(self):
        while True:
            try:
                socket_, address = await self._loop.sock_accept(self.listener)
            except OSError as error:
                if error.errno != errno.ECONNABORTED:  # no descriptor, no memory: it may pass
                    self.log(f"no connection can be accepted: {error}")
                    await asyncio.sleep(PAUSE)
                continue
            peer = self._peers.get(address[0]) or _Peer(self.limits)
            full = (peer.connections >= self.limits.peer_connections
                    or self._open_connections >= self.limits.connections)
            if full:
                self._turn_away(socket_, address)
                continue
            self._peers[address[0]] = peer
            peer.connections += 1
            self.counts["connections"] += 1
            self._open_connections += 1
            task = asyncio.create_task(self._attend(_Connection(address, peer), socket_))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _turn_away(self, socket_, address):
        """Close a connection that is one too many."""
        text = "Connections must be fewer: close others"
        self._note_refusal(f"{address[0]}:{address[1]}", text)
        with contextlib.suppress(OSError), socket_:
            socket_.setblocking(False)
            if self.tls is None:
                socket_.send(line({"error": text}))

    async def _attend(self, connection, socket_):
        """See to a connection until it ends. Whatever goes wrong with it ends it alone."""
        try:
            try:
                await self._greet(connection, socket_)
                await self._converse(connection)
            except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                pass  # it has gone
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # also what is no Exception: panics of libraries
                await self._refuse(connection, error)
            await self._release(connection)  # first: a client that waits finds it done
            await self._part(connection)
        except asyncio.CancelledError:
            pass  # the server ends
        except BaseException as error:
            self.log(f"connection of {connection} ended: {_words(error)}")
        finally:
            self._depart(connection, socket_)

    async def _greet(self, connection, socket_):
        socket_.setblocking(False)
        _keep_alive(socket_)
        connection.reader = asyncio.StreamReader(MOST_LINE)
        protocol = asyncio.StreamReaderProtocol(connection.reader)
        how = {} if self.tls is None else dict(
            ssl=self.tls, ssl_handshake_timeout=self.limits.setup)
        transport, _ = await self._loop.connect_accepted_socket(lambda: protocol, socket_, **how)
        connection.writer = asyncio.StreamWriter(
            transport, protocol, connection.reader, self._loop)

    async def _converse(self, connection):
        fields = await self._hear(connection, connection.reader.readuntil(b"\n"),
                                  self.limits.setup)
        setup = Setup.decode(fields, tokenizer=lambda attachment: None)
        size = Setup.attachment(fields)
        if size:
            setup = dataclasses.replace(setup, work=await self._parse(connection, size))
        await self._open(connection, setup)
        if await self._rest(connection):
            raise ControlError("Connection must ask for one queue pair, not for two")
        if not connection.replies:  # see to its requests, but not for ever
            self._idle.clear()
            self._awake.set()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._idle.wait(), LINGER)

    async def _rest(self, connection):
        """What a connection says when it has its queue pair: nothing, when it ends."""
        peer, reading = connection.peer, asyncio.ensure_future(connection.reader.read(1))
        peer.heard = self._loop.time()
        try:
            while not reading.done():
                left = peer.heard + self.limits.idle - self._loop.time()
                if left <= 0:
                    raise ControlError(f"Address must send something within {self.limits.idle:g} s "
                                       "to keep its queue pairs")
                await asyncio.wait([reading], timeout=left)
            return reading.result()
        finally:
            reading.cancel()

    async def _hear(self, connection, reading, seconds):
        """Fields of the line that a connection must say in time, with the token."""
        try:
            text = await asyncio.wait_for(reading, seconds)
        except asyncio.LimitOverrunError:
            raise ControlError(f"Line must be at most {MOST_LINE} bytes") from None
        except asyncio.TimeoutError:
            raise ControlError(f"Line must come within {seconds:g} s") from None
        fields = fields_of(text[:-1])
        demand(self.token, fields)
        return fields

    async def _parse(self, connection, size):
        """Tokenizer of the attachment of so many bytes that comes."""
        limits, peer = self.limits, connection.peer
        if size > limits.attachment:
            raise ControlError(f"Attachment must be a number of bytes up to {limits.attachment}, "
                               f"not {size}")
        source = bytearray()
        try:
            seconds = limits.setup + size / limits.attachment_rate
            try:
                await asyncio.wait_for(self._receive(connection, source, size), seconds)
            except asyncio.TimeoutError:
                raise ControlError(f"Attachment must come within {seconds:.0f} s") from None
            whole = bytes(source)
            known = self._parsers.known(whole)
            if known is not None:
                return known
            async with peer.parsing:
                return await self._parsers.parse(whole)
        finally:
            self._attachments -= len(source)
            peer.attachments -= len(source)

    async def _receive(self, connection, source, size):
        """Append an attachment to ``source``; what has come counts, not what was announced."""
        limits, peer = self.limits, connection.peer
        while len(source) < size:
            data = await connection.reader.read(min(MOST_LINE, size - len(source)))
            if not data:
                raise asyncio.IncompleteReadError(b"", size)
            source += data
            self._attachments += len(data)
            peer.attachments += len(data)
            if (self._attachments > limits.attachments
                    or peer.attachments > limits.peer_attachments):
                raise ControlError("Attachments under way must be fewer: come back later")

    async def _open(self, connection, setup):
        """Open the queue pair of a connection, and tell it."""
        reply, owner, first = self._ends(setup, connection.address[0])
        peer = connection.peer
        if peer.queue_pairs >= self.limits.peer_queue_pairs:
            raise ControlError(f"Queue pairs of an address must be at most "
                               f"{self.limits.peer_queue_pairs}: close one")
        peer.queue_pairs += 1
        try:
            async with peer.opening:
                await asyncio.sleep(peer.card.missing(0))
                queue_pair = await self._on_card(self._listen, peer, setup, reply, owner, first)
        except BaseException:
            peer.queue_pairs -= 1
            raise
        connection.queue_pair, connection.replies = queue_pair, reply == "sender"
        self._owners[queue_pair] = connection
        self._awake.set()
        to = ("the sender" if reply == "sender" else "host memory" if reply is None
              else f"{reply.ip}:{reply.port}")
        self.log(f"queue pair {queue_pair:#x} opened for {connection}: "
                 f"{type(setup.work).__name__}, results to {to}")
        self._tell(connection, Answer(
            queue_pair, self.nic.mac, self.nic.ip, ROCE_PORT, self.link.through,
            self.nic.segment, self.nic.most_message, self.nic.most_result,
            self.link.window, first).encode())

    def _ends(self, setup, ip):
        """Where results of a client at an address go, whose the queue pair is, and the number of
        its first packet."""
        reply = self._station(setup, ip)
        if setup.port is None:
            return reply, None, None
        owner = wire.Owner(ip, self.link.mac_of(ip), None if setup.port == ANY else setup.port)
        return reply, owner, secrets.randbelow(1 << 24)

    def _station(self, setup, client):
        """Where results go, with what the client left to the server."""
        reply = setup.reply
        if not isinstance(reply, wire.Station):
            return reply
        ip = ipaddress.IPv4Address(reply.ip)
        if ip.is_unspecified or ip.is_multicast or ip == ipaddress.IPv4Address(0xFFFFFFFF):
            raise ControlError(f"Reply must go to one station, not to {reply.ip}")
        if self._is_own(reply.ip, reply.port):
            raise ControlError(f"Reply must not go to the card or the server itself, not to "
                               f"{reply.ip}:{reply.port}")
        own = (reply.ip == client and reply.port in (setup.port, ROCE_PORT)
               and reply.mac in (None, self.link.mac_of(client)))
        if not (own or self.allow_forward):
            raise ControlError(
                f"Reply must be sender or host, not {reply.ip}:{reply.port}: this server sends "
                "results to nobody else (start it with --allow-forward)")
        if reply.mac is None:
            return wire.Station(self.link.mac or station_mac(reply.ip), reply.ip, reply.port)
        return reply

    def _tell(self, connection, data):
        """Send bytes, now or later; give up who does not take them."""
        transport = connection.writer.transport
        if transport.is_closing():
            return
        transport.write(data)
        if transport.get_write_buffer_size() > MOST_UNSENT:
            transport.abort()

    async def _refuse(self, connection, error):
        """Say why, and wait for the client to close."""
        text = _words(error)
        self._note_refusal(connection, text)
        await self._release(connection)
        if connection.writer is None:
            return
        self._tell(connection, refusal(error, text))
        # Closing with bytes unread would reset the connection, which may take the message away
        # from the client. So the client closes first.
        if connection.writer.can_write_eof():
            connection.writer.write_eof()
        with contextlib.suppress(asyncio.TimeoutError, OSError):
            await asyncio.wait_for(self._drain(connection.reader), LINGER)

    @staticmethod
    async def _drain(reader):
        while await reader.read(1 << 16):
            pass

    def _note_refusal(self, who, text):
        self.counts["refused"] += 1
        if self._refusals.fill() >= 1:
            self._refusals.left -= 1
            self.log(f"refused {who}: {text}")
        else:
            self.counts["unlogged"] += 1

    async def _part(self, connection):
        """Close a connection when everything is sent, or in the end."""
        if connection.writer is not None:
            connection.writer.close()
            with contextlib.suppress(asyncio.TimeoutError, OSError):
                await asyncio.wait_for(connection.writer.wait_closed(), LINGER)

    async def _release(self, connection):
        """Close a connection's queue pair, if it has one."""
        if connection.queue_pair is None:
            return
        queue_pair, connection.queue_pair = connection.queue_pair, None
        del self._owners[queue_pair]
        connection.peer.queue_pairs -= 1
        try:
            await self._on_card(self._unlisten, connection.peer, queue_pair)
        finally:
            self._awake.set()

    def _depart(self, connection, socket_):
        """Forget a connection; its address, too, unless it owes the card time."""
        if connection.writer is not None:
            connection.writer.transport.abort()
        else:
            socket_.close()
        self._open_connections -= 1
        connection.peer.connections -= 1
        self._forget(connection.address[0])

    def _forget(self, ip):
        peer = self._peers[ip]
        if peer.connections or peer.timer is not None:
            return
        missing = peer.card.missing(peer.card.most)
        if missing:
            peer.timer = self._loop.call_later(missing + PAUSE, self._forget_later, ip)
        else:
            del self._peers[ip]

    def _forget_later(self, ip):
        self._peers[ip].timer = None
        self._forget(ip)

    # In the card's thread

    @contextlib.contextmanager
    def _charged(self, peer):
        """The card's time that this takes is the peer's, whatever comes of it."""
        begun = time.monotonic()
        try:
            yield
        finally:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(peer.charge, time.monotonic() - begun)

    def _listen(self, peer, setup, reply, owner, first):
        """Number of a new queue pair of a peer."""
        with self._charged(peer):
            queue_pair = self.nic.listen(setup.work, reply=reply, queue_pair=setup.queue_pair,
                                         check=setup.check, peer=owner, first=first)
        self._listening.add(queue_pair)
        return queue_pair

    def _unlisten(self, peer, queue_pair):
        self._listening.discard(queue_pair)
        with self._charged(peer):
            self.nic.unlisten(queue_pair)
        self.log(f"queue pair {queue_pair:#x} closed")

    def _unlisten_all(self):
        for queue_pair in list(self._listening):
            with contextlib.suppress(HeadraceError):
                self._unlisten(_Peer(self.limits), queue_pair)

    # Results in host memory

    def _keep(self, result):
        self.counts["received"] += 1
        owner = self._owners.get(result.queue_pair)
        fields = {"received": result.request, "status": int(result.status),
                  "detail": int(result.detail), "cycles": result.cycles}
        name = ""
        if result.array is not None:
            fields |= {"dtype": str(result.array.dtype), "shape": list(result.array.shape)}
            if self.output is not None:
                try:
                    fields["file"] = name = self._save(result, owner)
                except Exception as error:  # the others go on
                    self.counts["unsaved"] += 1
                    self.log(f"result of queue pair {result.queue_pair:#x} request "
                             f"{result.request} not saved: {error}")
        self.log(f"queue pair {result.queue_pair:#x} request {result.request} from "
                 f"{result.peer.ip}: {result.status.name} {fields.get('dtype', '')} "
                 f"{'x'.join(map(str, fields.get('shape', [])))} {name}".rstrip())
        if owner is not None:
            self._tell(owner, line(fields))

    def _save(self, result, owner):
        """Save a result in a file of its own; return the file's name."""
        size = result.array.nbytes + 128  # the header of the file
        self._make_room(size, owner)
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
        self._stored += size
        self._saved[owner.address[0]] += size
        return name

    def _make_room(self, size, owner):
        """Raise OSError unless a result may be saved."""
        if owner is None:
            raise OSError(errno.EDQUOT, "its queue pair is closed")
        if self._saved[owner.address[0]] + size > self.limits.peer_disk:
            raise OSError(errno.EDQUOT, f"results of an address must be at most "
                                        f"{self.limits.peer_disk} bytes")
        now = time.monotonic()
        if self._stored + size > self.limits.disk and now > self._looked + LOOK or (
                self._looked == -math.inf):
            self._looked = now
            with os.scandir(self.output) as entries:
                self._stored = sum(entry.stat().st_size for entry in entries)
        if self._stored + size > self.limits.disk:
            raise OSError(errno.EDQUOT, f"folder must hold at most {self.limits.disk} bytes")


def say(text):
    """Print a line; to nobody from now on if nobody reads them any more."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Else Python tries again when it ends, and complains.
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def until_signal(server):
    """Run a server until SIGINT or SIGTERM."""
    before = {number: signal.signal(number, lambda *_: server.stop())
              for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
