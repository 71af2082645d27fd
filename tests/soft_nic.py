# SPDX-License-Identifier: Apache-2.0
"""A card in the network that is none: libraries on the CPU behind the frames of ``headrace.wire``.

Only to test what talks to cards. It loses, repeats and exchanges frames if told so.
"""

import collections
import contextlib
import dataclasses
import secrets
import threading

import numpy as np

from faults import Faults
from headrace import reference, wire
from headrace.errors import CardError
from headrace.hashing import HashingRecipe
from headrace.hw.status import Detail, Status
from headrace.hw.wire.headers import (
    ARP, ETHERNET, MIN_FRAME, ROCE_PORT, EtherType, Protocol)
from headrace.hw.wire.outcome import Outcome
from headrace.nic import Nic, Received
from headrace.recipe import Recipe
from headrace.results import array_of
from headrace.serve import Server
from headrace.token_recipe import TokenRecipe


__all__ = ["SoftNic", "serving"]


class Guard:
    """Which packets a queue pair takes, as cards have it.

    Parameters
    ----------
    peer, first
        Of :meth:`headrace.nic.Nic.listen`.
    """

    def __init__(self, peer, first):
        self.peer, self.window = peer, peer is None or first is not None
        self.bound, self.expected = None, None if peer is None else first

    def judge(self, packet):
        """The outcome with which a packet is dropped, or None."""
        if self.peer is None:
            if self.bound is None and not packet.opcode.begins:
                return Outcome.SEQUENCE
            self.bound = self.bound or packet.source
        if not (self.peer.takes(packet.source) if self.peer else packet.source == self.bound):
            return Outcome.STRANGER
        if self.window and self.expected is not None \
                and ((packet.psn >> 20) - (self.expected >> 20)) % 16 not in (15, 0, 1):
            return Outcome.FAR
        self.expected = (packet.psn + 1) % (1 << 24)
        return None


class SoftNic(Nic):
    """A stand-in for a card.

    Parameters
    ----------
    mac, ip : str
    segment : int
    queues : int
        Queue pairs that it has.
    loss, duplication, exchange_rate : float
        Probability for each frame, in both directions, to be lost, to come twice, or to come after
        the next one.
    each : int
        Messages that it does in one call of :meth:`exchange`.
    deaf : bool
        It takes no message.
    answers : sequence of Status
        How the first requests are answered, instead of being done. ``LOST`` has no number, as on a
        card: that was in a packet that did not come.
    forgotten : int
        Requests that are not answered at all before the first one is.
    config : CardConfig, optional
        The tables of tokenizers that it has; by default they hold whatever comes.

    Attributes
    ----------
    deepest : int
        Most messages that waited.
    """

    most_message, most_result = 1 << 20, 1 << 22

    def __init__(self, mac="02:00:00:00:12:34", ip="10.77.0.2", *, segment=1024, queues=16,
                 loss=0.0, duplication=0.0, exchange_rate=0.0, seed=1, each=4, deaf=False,
                 answers=(), forgotten=0, config=None):
        self.config = config
        self.mac, self.ip, self.segment = mac, ip, segment
        self.queues, self.each, self.deaf, self.answers = queues, each, deaf, list(answers)
        self.forgotten, self.deepest = forgotten, 0
        self.faults = Faults(loss, duplication, exchange_rate, seed=seed)
        self.open = {}
        self.reassembler = wire.Reassembler()
        self.messages = collections.deque()
        self.results = []
        self.counted = collections.Counter()

    def listen(self, work, *, reply="sender", queue_pair=0, check=True, peer=None, first=None):
        if isinstance(work, HashingRecipe) and work.ngram_range[1] > 3:
            raise ValueError("Ngram_range must end at most at 3 on this card")
        if isinstance(work, TokenRecipe) and self.config is not None:
            work.fitted(self.config)
        if len(self.open) == self.queues:
            raise CardError(f"All {self.queues} queue pairs are in use: close another one")
        number = next(number for number in iter(lambda: secrets.randbelow(1 << 24), None)
                      if number not in self.open)
        sender = wire.Sender(queue_pair, segment=self.segment)
        self.open[number] = work, reply, check, sender, Guard(peer, first)
        return number

    def unlisten(self, queue_pair):
        del self.open[queue_pair]

    def busy(self):
        return bool(self.messages)

    def receive(self):
        results, self.results = self.results, []
        return results

    def counters(self):
        return dict(self.counted)

    def exchange(self, frames, budget):
        out = []
        for frame in self.faults(frames):
            neighbourly = self._arp(frame) or self._echo(frame)
            if neighbourly:
                out.append(neighbourly)
                continue
            try:
                packet = wire.from_frame(frame, check=False)
                _, _, check, _, guard = self.open[packet.queue_pair]
                wire.from_frame(frame, check=check)
            except wire.PacketError as error:
                self.counted[error.outcome.name] += 1
                continue
            except KeyError:
                self.counted["QUEUE"] += 1
                continue
            if (packet.destination.ip, packet.destination.port) != (self.ip, ROCE_PORT):
                self.counted["PORT"] += 1
                continue
            wrong = guard.judge(packet)
            if wrong is not None:
                self.counted[wrong.name] += 1
                continue
            self.counted["PACKET"] += 1
            message = self.reassembler.feed(packet)
            if message is not None and self.forgotten:
                self.forgotten -= 1
            elif message is not None and not self.deaf:
                self.messages.append(message)
                self.deepest = max(self.deepest, len(self.messages))
        for _ in range(min(self.each, len(self.messages))):
            message = self.messages.popleft()
            if message.queue_pair in self.open:
                out += self._answer(message)
        return self.faults(out)

    def _arp(self, frame):
        """Answer to an ARP request for this address, or None."""
        if ETHERNET.unpack(frame)["type"] != EtherType.ARP:
            return None
        fields = ARP.unpack(frame[ETHERNET.size:])
        mac, ip = wire.Station(self.mac, self.ip).numbers
        if fields["operation"] != 1 or fields["target_ip"] != ip:
            return None
        self.counted["ARP_ANSWERED"] += 1
        fields |= dict(operation=2, target_mac=fields["sender_mac"], sender_mac=mac,
                       target_ip=fields["sender_ip"], sender_ip=ip)
        return (ETHERNET.pack(destination=fields["target_mac"], source=mac, type=EtherType.ARP)
                + ARP.pack(**fields)).ljust(MIN_FRAME, b"\0")

    def _echo(self, frame):
        """Answer to an ICMP echo request, or None."""
        if frame[12:14] != b"\x08\x00" or frame[23] != Protocol.ICMP or frame[34] != 8:
            return None
        self.counted["ECHO_ANSWERED"] += 1
        body = bytearray(frame[34:])
        body[0] = 0
        # The type went from 8 to 0, so the sum of the complements goes up by 0x800.
        total = int.from_bytes(body[2:4], "big") + 0x800
        body[2:4] = ((total & 0xffff) + (total >> 16)).to_bytes(2, "big")
        return (frame[6:12] + frame[0:6] + frame[12:26] + frame[30:34] + frame[26:30]
                + bytes(body))

    def _answer(self, message):
        work, reply, _, sender, guard = self.open[message.queue_pair]
        number = message.immediate or 0
        if self.answers:
            completion, raw = dict(status=self.answers.pop(0), detail=Detail.NONE), b""
            if completion["status"] is Status.LOST:
                number = 0
        else:
            completion, raw = self._do(work, message.payload)
        completion = {"detail": 0, "height": 0, "width": 0, "cycles": 1000, **completion,
                      "request": number, "bytes": len(raw)}
        if reply is None:
            self.results.append(Received(
                message.queue_pair, completion["request"], Status(completion["status"]),
                Detail(completion["detail"]), 1000, array_of(work, completion, raw),
                message.source))
            return []
        sender.source = wire.Station(self.mac, self.ip, 0xC000 + message.queue_pair % 256)
        sender.destination = message.source if reply == "sender" else reply
        if reply == "sender" and guard.peer and guard.peer.port is None:
            sender.destination = dataclasses.replace(message.source, port=ROCE_PORT)
        return [wire.to_frame(packet) for packet in wire.response(sender, completion, raw)]

    def _do(self, work, payload):
        """Fields of the completion, and the result."""
        if isinstance(work, Recipe):
            if payload[:2] != b"\xff\xd8":
                return dict(status=Status.CORRUPT, detail=Detail.NOT_JPEG), b""
            try:
                array = reference.process(work, payload)
            except Exception:
                return dict(status=Status.TRUNCATED, detail=Detail.ENDED), b""
            shape = array.shape[1:] if work.layout == "CHW" else array.shape[:2]
            return dict(status=Status.OK, height=shape[0], width=shape[1]), array.tobytes()
        try:
            if isinstance(work, HashingRecipe):
                return dict(status=Status.OK), self._hash(work, payload)
            return dict(status=Status.OK), work.redo(payload).tobytes()
        except UnicodeError:
            return dict(status=Status.CORRUPT, detail=Detail.UTF8), b""

    def _hash(self, work, payload):
        from sklearn.feature_extraction.text import HashingVectorizer
        row = HashingVectorizer(
            n_features=work.features, ngram_range=work.ngram_range, lowercase=work.lowercase,
            alternate_sign=work.alternate_sign, norm=None, dtype=np.int32).transform([payload])
        row.sort_indices()
        return np.stack([row.indices, row.data], 1).astype("<i4").tobytes()


@contextlib.contextmanager
def serving(nic=None, **options):
    """A server at a free UDP port of this machine, in a thread; (server, its lines of log)."""
    log = []
    server = Server.udp(nic or SoftNic(), log=log.append, **options)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server, log
    finally:
        server.stop()
        thread.join(10)
        assert not thread.is_alive()
