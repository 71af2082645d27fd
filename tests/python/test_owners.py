# SPDX-License-Identifier: Apache-2.0
"""Whose a queue pair is: strangers get nothing and spoil nothing, at cards and behind servers."""

import contextlib
import dataclasses
import itertools
import json
import random
import select
import socket

import numpy as np
import pytest

import headrace as hr
from headrace import wire
from headrace.client import Client
from headrace.control import ControlError, Setup
from headrace.hashing import HashingRecipe
from headrace.hw.status import Status
from headrace.hw.wire.headers import ROCE_PORT, Opcode
from headrace.hw.wire.outcome import Outcome
from headrace.recipe import Recipe
from headrace.sim_nic import SimNic
from soft_nic import SoftNic, serving
from stations import HERE, Peer, expected, picture, run


TINY = Recipe(resize=20, crop=16)
HASHING = HashingRecipe(5000)
STRANGERS = [dataclasses.replace(HERE, mac="02:00:00:00:00:08"),
             dataclasses.replace(HERE, ip="10.77.0.8"), dataclasses.replace(HERE, port=5556)]
FIRST = (1 << 24) - 3
NAMED = dict(peer=wire.Owner(HERE.ip, HERE.mac, HERE.port), first=FIRST)
FAR = 1 << 22


@pytest.fixture(params=[SoftNic, SimNic])
def nic(request):
    """A card, and what it looks like in software."""
    if request.param is SimNic:
        request.getfixturevalue("nic_built")
    card = request.param()
    yield card
    card.close()


def count(nic, outcome):
    """Frames of an outcome."""
    counters = nic.counters()
    return counters.get(f"frames_{outcome.name.lower()}", counters.get(outcome.name, 0))


def tries(peer, station, psn):
    """Frames of all kinds from a station to a queue pair, with a number, old ones, and far ones."""
    for opcode, distance in itertools.product(Opcode, (0, -1, 1, FAR)):
        yield wire.to_frame(wire.Packet(
            opcode, peer.queue_pair, (psn + distance) % (1 << 24), bytes(64),
            7 if opcode.immediate else None, station, wire.Station(peer.nic.mac, peer.nic.ip)))


# At the card

@pytest.mark.parametrize("reply", ["sender", None])
@pytest.mark.parametrize("options", [NAMED, {}], ids=["named", "bound"])
def test_strangers_change_nothing(nic, options, reply):
    """Whatever they send, between any two packets of messages."""
    peer = Peer(nic, TINY, mtu=512, reply=reply, **options)
    payloads = [picture(n, (90, 60), quality=95) for n in range(3)]
    frames = []
    for n, payload in enumerate(payloads):
        own = peer.request(payload)
        assert len(own) > 2
        for at, frame in enumerate(own):
            if frames or options:
                stranger = STRANGERS[(n + at) % 3]
                frames += tries(peer, stranger, wire.from_frame(frame).psn)
            frames.append(frame)
    for stranger in STRANGERS:
        frames += tries(peer, stranger, peer.sender.psn)
    out = run(nic, frames)
    own = sum(wire.from_frame(frame).source == HERE for frame in frames)
    assert (count(nic, Outcome.PACKET), count(nic, Outcome.STRANGER)) == (own, len(frames) - own)
    assert all(wire.from_frame(frame).destination == HERE for frame in out)
    results = nic.receive()
    if reply is None:
        assert out == [] and [result.request for result in results] == [1, 2, 3]
        for result, payload in zip(results, payloads):
            assert (result.peer, result.status) == (HERE, Status.OK)
            np.testing.assert_array_equal(result.array, expected(TINY, payload))
    else:
        peer.hear(out)
        assert results == [] and sorted(peer.answers) == [1, 2, 3]
        for number in peer.answers:
            peer.check(number)
    for outcome in Outcome.SEQUENCE, Outcome.FAR, Outcome.LOST, Outcome.GAP:
        assert count(nic, outcome) == 0, outcome


@pytest.mark.parametrize("owner, taken", [
    (wire.Owner(HERE.ip), {0, 2}), (wire.Owner(HERE.ip, HERE.mac), {2}),
    (wire.Owner(HERE.ip, port=HERE.port), {0})])
def test_what_is_not_said_may_be_anything(nic, owner, taken):
    peer = Peer(nic, HASHING, peer=owner, reply=None)
    for n, station in enumerate([*STRANGERS, HERE]):
        peer.sender.source = station
        run(nic, peer.request(b"some words"))
        assert [result.peer for result in nic.receive()] == (
            [station] if n in taken or station == HERE else [])


def test_answers_to_any_port(nic):
    """A peer that has none is answered at the port that all RDMA NICs have."""
    peer = Peer(nic, HASHING, peer=wire.Owner(HERE.ip))
    frames = []
    for port in 50000, 50001:
        peer.sender.source = dataclasses.replace(HERE, port=port)
        frames += peer.request(b"some words")
    peer.station = dataclasses.replace(HERE, port=ROCE_PORT)
    peer.hear(run(nic, frames))
    for number in 1, 2:
        peer.check(number)


def test_the_first_message_binds(nic):
    """Not what begins none, and nothing that is wrong; one that is opened anew is free again."""
    for owner in HERE, *STRANGERS:
        peer = Peer(nic, HASHING, station=owner)
        peer.sender.psn = 9 << 20   # any number
        others = [station for station in (HERE, *STRANGERS) if station != owner]
        early = [frame for frame in tries(peer, others[0], 0)
                 if not wire.from_frame(frame).opcode.begins]
        damaged = bytearray(next(tries(peer, others[1], 0)))
        damaged[60] ^= 1
        before = count(nic, Outcome.PACKET)
        assert run(nic, [*early, bytes(damaged)]) == []
        assert count(nic, Outcome.PACKET) == before
        peer.ask(b"some words")
        assert run(nic, [frame for other in others for frame in tries(peer, other, 1)]) == []
        peer.ask(b"some other words")
        peer.close()


def test_numbers_that_are_far(nic):
    """They are dropped; what is lost, repeated or begins anew nearby is not."""
    peer = Peer(nic, HASHING, **NAMED)
    for distance, outcome in (
            (FAR, Outcome.FAR), (0, Outcome.PACKET), (0, Outcome.PACKET), (100_000, Outcome.PACKET),
            (-100_000, Outcome.PACKET), (-FAR, Outcome.FAR), ((1 << 20) - 1, Outcome.PACKET)):
        psn, before = peer.sender.psn, count(nic, outcome)
        peer.sender.psn = (psn + distance) % (1 << 24)
        out = run(nic, peer.request(b"some words"))
        assert count(nic, outcome) == before + 1
        if outcome is Outcome.PACKET:
            peer.hear(out)
            peer.check(len(peer.sent))
        else:
            assert out == []
            peer.sender.psn = psn


def test_numbers_of_queue_pairs(nic):
    """Nobody can foretell them; those that are closed are nobody's."""
    peers = [Peer(nic, HASHING) for _ in range(3)]
    peers[0].ask(b"some words")
    peers[0].close()
    numbers = set()
    for _ in range(20):
        peer = Peer(nic, HASHING)
        numbers.add(peer.queue_pair)
        peer.close()
    assert len(numbers | {one.queue_pair for one in peers}) == 23
    assert max(numbers) - min(numbers) > 1 << 20
    before = count(nic, Outcome.QUEUE)
    assert run(nic, peers[0].request(b"some words")) == []
    assert count(nic, Outcome.QUEUE) == before + 1
    peers[1].ask(b"some words")


@pytest.mark.parametrize("options, message", [
    (dict(peer=HERE), "^Peer must be an Owner or None, not Station"),
    (dict(first=1 << 24), r"^First must be within range\(1 << 24\), not 16777216$")])
def test_owners_that_are_none(nic_built, options, message):
    with SimNic() as nic, pytest.raises(ValueError, match=message):
        nic.listen(TINY, **options)
    with pytest.raises(ValueError, match="^Ip must be an IPv4 address"):
        wire.Owner("10.0.0")
    with pytest.raises(ValueError, match="^Port must be within"):
        wire.Owner("10.0.0.1", port=-1)


# Behind a server

class End:
    """A control connection, and a UDP socket, from an address of this machine.

    Parameters
    ----------
    server : Server
    setup : dict or None
        What the line says, with ``port`` the socket's if that is True. None: a stranger.
    """

    def __init__(self, stack, server, setup=None, ip="127.0.0.1"):
        self.server = server
        self.socket = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.socket.bind((ip, 0))
        self.here = self.socket.getsockname()
        if setup is None:
            return
        self.control = stack.enter_context(
            socket.create_connection(server.address, timeout=30, source_address=(ip, 0)))
        self.lines = stack.enter_context(self.control.makefile())
        if setup.get("port") is True:
            setup = setup | {"port": self.here[1]}
        self.control.sendall(json.dumps(
            {"version": 1, "kind": "hashing", **setup}).encode() + b"\n")
        self.answer = json.loads(self.lines.readline())

    def send(self, opcode, queue_pair, psn, payload, number=None):
        packet = wire.Packet(opcode, queue_pair, psn % (1 << 24), payload, number)
        self.socket.sendto(wire.seal(wire.to_datagram(packet), self.here, (
            self.server.nic.ip, ROCE_PORT)), self.server.address)

    def hear(self, seconds):
        """Completion and result of the next answer; None if there is none."""
        assembler = wire.Reassembler()
        while select.select([self.socket], [], [], seconds)[0]:
            message = assembler.feed(wire.from_datagram(self.socket.recv(9000)))
            if message:
                return wire.from_response(message)
        return None


@pytest.fixture
def there(nic):
    with serving(nic) as (server, _), contextlib.ExitStack() as stack:
        yield server, stack


@pytest.mark.parametrize("port", [True, None])
@pytest.mark.parametrize("reply", ["sender", "host"])
@pytest.mark.parametrize("ip", ["127.0.0.1", "127.0.0.2"])
def test_a_stranger_takes_no_result(there, port, reply, ip):
    """Nor spoils one, from another port or another address."""
    server, stack = there
    victim = End(stack, server, {"port": port, "reply": reply})
    stranger = End(stack, server, ip=ip)
    queue_pair, first = victim.answer["queue_pair"], victim.answer["first"] or 0
    assert (victim.answer["first"] is None) == (port is None)
    text = " ".join(f"patient{n}" for n in range(200)).encode()[:1088]

    def attack(psn):
        if psn or port:
            for opcode in Opcode:
                stranger.send(opcode, queue_pair, first + psn, bytes(64),
                              1 if opcode.immediate else None)

    attack(0)
    victim.send(Opcode.SEND_FIRST, queue_pair, first, text[:1024])
    # Of different sockets the order is that of arrival only if one waits.
    assert not stranger.hear(0.1)
    attack(1)
    assert not stranger.hear(0.1)
    victim.send(Opcode.SEND_LAST_IMMEDIATE, queue_pair, first + 1, text[1024:], 1)
    wanted = expected(HASHING_TEXT, text)
    if reply == "sender":
        completion, result = victim.hear(30)
        assert completion["request"] == 1
        np.testing.assert_array_equal(np.frombuffer(result, "<i4").reshape(-1, 2), wanted)
    else:
        fields = json.loads(victim.lines.readline())
        assert (fields["received"], fields["status"]) == (1, 0)
        assert fields["shape"] == list(wanted.shape)
    attack(2)
    assert not stranger.hear(0.1) and not victim.hear(0.1)
    assert not select.select([victim.control], [], [], 0.1)[0]
    assert server.counts["received"] == (reply == "host")


#: What the line of :class:`End` asks for.
HASHING_TEXT = HashingRecipe()


def test_any_port(there):
    """RDMA NICs send from ports as they like, and hear at one."""
    server, stack = there
    ip = "127.0.0.7"
    victim = End(stack, server, {"port": "any"}, ip)
    hears = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    hears.bind((ip, ROCE_PORT))
    stranger = End(stack, server)
    queue_pair, first = victim.answer["queue_pair"], victim.answer["first"]
    for n in range(3):
        stranger.send(Opcode.SEND_ONLY_IMMEDIATE, queue_pair, first + n, b"some words", n)
        End(stack, server, ip=ip).send(
            Opcode.SEND_ONLY_IMMEDIATE, queue_pair, first + n, b"some words", n)
        hears.settimeout(30)
        message = wire.Reassembler().feed(wire.from_datagram(hears.recv(9000)))
        assert message.immediate == n
    assert not stranger.hear(0.1)


def test_results_for_others_must_be_allowed(there):
    server, stack = there
    other = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    other.bind(("127.0.0.1", 0))
    with Client(*server.address, timeout=5) as card:
        with pytest.raises(ControlError, match="Reply must be sender or host, not 127.0.0.1:.*"
                                               "--allow-forward"):
            card.forward(TINY, [picture(0)], wire.Station(None, *other.getsockname()))
    for reply in ({"ip": "127.0.0.2", "port": 4791}, {"ip": "127.0.0.1", "port": 9},
                  {"ip": "127.0.0.1", "mac": "02:00:00:00:00:01"}):
        assert "--allow-forward" in End(stack, server, {"reply": reply}).answer["error"]
    # To oneself is allowed.
    assert "error" not in End(stack, server, {"reply": {"ip": "127.0.0.1"}}).answer
    port = other.getsockname()[1]
    assert "error" not in End(stack, server, {
        "port": port, "reply": {"ip": "127.0.0.1", "port": port}}).answer


def test_clients_beside_strangers(there):
    """Clients get all of their results, whoever sends noise to their queue pairs."""
    server, stack = there
    rng = random.Random(2)
    strangers = [End(stack, server, ip=ip) for ip in ("127.0.0.1", "127.0.0.3")]
    files = [picture(n) for n in range(6)]
    wanted = hr.open("cpu").image(20, 16)(files)

    class Noisy:
        """A card with strangers' packets between those that come."""

        def __init__(self, exchange):
            self.exchange, self.sent = exchange, 0

        def __call__(self, frames, budget):
            for frame in frames:
                packet = wire.from_frame(frame, check=False)
                if packet.source.port not in (stranger.here[1] for stranger in strangers):
                    stranger = rng.choice(strangers)
                    stranger.send(Opcode.SEND_LAST, packet.queue_pair, packet.psn, b"noise")
                    self.sent += 1
            return self.exchange(frames, budget)

    server.nic.exchange = noisy = Noisy(server.nic.exchange)
    with Client(*server.address, timeout=20, mtu=300) as card:
        np.testing.assert_array_equal(card.image(20, 16)(files), wanted)
        counters = card.counters()
    assert noisy.sent > 20
    assert counters["lost"] == counters["incomplete"] == counters["damaged"] == 0


def test_setup_says_the_port():
    """Of the socket that sends, unless addresses may be changed on the way."""
    with serving() as (server, _):
        asked = []
        listen = server.nic.listen
        server.nic.listen = lambda work, **options: asked.append(options) or listen(work, **options)
        for check in True, False:
            with Client(*server.address, timeout=5, check=check) as card:
                card.image(20, 16)([picture(0)])
    named, bound = asked
    assert named["peer"].ip == "127.0.0.1" and named["peer"].port > 0
    assert named["first"] in range(1 << 24)
    assert bound["peer"] is bound["first"] is None
    assert Setup(TINY, port=5).encode() != Setup(TINY).encode()
