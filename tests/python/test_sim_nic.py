# SPDX-License-Identifier: Apache-2.0
"""The simulated card with a network port: frames, sockets, stalls, loss, nonsense and limits."""

import contextlib
import pickle
import random
import select
import socket
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import headrace as hr
import vocabulary
from faults import Disturbed, Faults
from headrace import wire
from headrace.client import Client
from headrace.errors import VocabularyError
from headrace.hashing import HashingRecipe
from headrace.hw.status import Detail, Status
from headrace.hw.wire.outcome import Outcome
from headrace.recipe import Recipe
from headrace.sim_nic import SimNic
from headrace.token_recipe import TokenRecipe
from nonsense import mutated
from soft_nic import serving
from stations import HERE, Peer, expected, frames_counted, picture, run


pytestmark = pytest.mark.usefixtures("nic_built")

TINY = Recipe(resize=20, crop=16)
NORMAL = Recipe(resize=20, crop=16, mean=hr.IMAGENET_MEAN, std=hr.IMAGENET_STD, dtype="float16",
                layout="CHW")
HASHING = HashingRecipe(5000, (1, 2))
TEXTS = ["the word of a piece", "hello café", "", "A b a B again " * 30, "国際化 words 2000"]


@pytest.fixture
def nic():
    with SimNic() as card:
        yield card


@pytest.fixture
def tokenizer():
    pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    return vocabulary.tokenizer(vocabulary.small())


@pytest.fixture
def tokens(tokenizer):
    return TokenRecipe.read(tokenizer)


# scapy

@pytest.fixture(scope="session")
def scapy():
    """scapy's layers."""
    pytest.importorskip("scapy.contrib.roce", reason="scapy judges: pip install scapy")
    import scapy.all
    from scapy.contrib.roce import BTH
    scapy.all.BTH = BTH
    return scapy.all


def parsed(layers, frame):
    """A frame as scapy reads it, RoCE at any UDP port."""
    ether = layers.Ether(frame)
    if layers.UDP in ether and layers.BTH not in ether:
        inner = layers.BTH(bytes(ether[layers.UDP].payload))
        ether[layers.UDP].remove_payload()
        ether[layers.UDP].add_payload(inner)
    return ether


def rebuilt(layers, frame):
    """A frame as scapy builds it from its fields, with lengths and checks of its own."""
    ether = parsed(layers, frame)
    for layer, names in ((layers.IP, ("len", "chksum")), (layers.UDP, ("len",)),
                         (layers.BTH, ("icrc",)), (layers.ICMP, ("chksum",))):
        for name in names if layer in ether else ():
            delattr(ether[layer], name)
    return bytes(ether)


@pytest.mark.parametrize("mtu", [256, 1500])
def test_scapy_talks_to_the_card(nic, scapy, mtu):
    """Requests that scapy built are done, and it would have built the answers just so."""
    peer = Peer(nic, NORMAL, mtu=mtu)
    data = picture(1)
    frames = peer.request(data)
    made = []
    for frame in frames:
        packet = wire.from_frame(frame)
        body = packet.payload + bytes(-len(packet.payload) % 4)
        if packet.immediate is not None:
            body = packet.immediate.to_bytes(4, "big") + body
        made.append(bytes(
            scapy.Ether(src=HERE.mac, dst=nic.mac) / scapy.IP(src=HERE.ip, dst=nic.ip, id=77)
            / scapy.UDP(sport=HERE.port, dport=4791, chksum=0)
            / scapy.BTH(opcode=int(packet.opcode), dqpn=packet.queue_pair, psn=packet.psn,
                        padcount=-len(packet.payload) % 4)
            / scapy.Raw(body)).ljust(60, b"\0"))
    assert len(made) == -(-len(data) // ((mtu - 48) // 64 * 64))
    answers = run(nic, made)
    peer.hear(answers)
    peer.check(1)
    assert len(answers) == -(-(64 + 3 * 16 * 16 * 2) // nic.segment)
    for frame in answers:
        assert rebuilt(scapy, frame) == frame
        ether = parsed(scapy, frame)
        assert (ether.dst, ether.src) == (HERE.mac, nic.mac)
        assert (ether[scapy.IP].dst, ether[scapy.UDP].dport) == (HERE.ip, HERE.port)
        assert ether[scapy.BTH].dqpn == peer.number
    assert nic.counters()["frames_packet"] == len(made)


def test_arp(nic, scapy):
    ask = scapy.Ether(src=HERE.mac, dst="ff:ff:ff:ff:ff:ff") / scapy.ARP(
        hwsrc=HERE.mac, psrc=HERE.ip, pdst=nic.ip)
    answer, = run(nic, [bytes(ask)])
    answer = scapy.Ether(answer)
    arp = answer[scapy.ARP]
    assert (answer.dst, answer.src, arp.op) == (HERE.mac, nic.mac, 2)
    assert (arp.hwsrc, arp.psrc, arp.hwdst, arp.pdst) == (nic.mac, nic.ip, HERE.mac, HERE.ip)
    ask[scapy.ARP].pdst = "10.77.0.3"
    assert run(nic, [bytes(ask)]) == []
    counters = nic.counters()
    assert (counters["frames_arp_answered"], counters["frames_arp"]) == (1, 1)


@pytest.mark.parametrize("size", [0, 1, 56, 1472, 2000])
def test_echo(nic, scapy, size):
    payload = bytes(n % 251 for n in range(size))
    ask = scapy.Ether(src=HERE.mac, dst=nic.mac) / scapy.IP(src=HERE.ip, dst=nic.ip, ttl=3) \
        / scapy.ICMP(id=5, seq=size) / payload
    answer, = run(nic, [bytes(ask)])
    assert rebuilt(scapy, answer) == answer
    answer = scapy.Ether(answer)
    assert (answer[scapy.IP].src, answer[scapy.IP].dst) == (nic.ip, HERE.ip)
    echo = answer[scapy.ICMP]
    assert (echo.type, echo.id, echo.seq) == (0, 5, size)
    assert bytes(echo.payload)[:size] == payload
    assert nic.counters()["frames_echo_answered"] == 1


# Sockets

def test_clients_side_by_side(tokenizer):
    """Clients on UDP sockets with all kinds of work at once, to all ends, against the CPU."""
    cpu = hr.open("cpu")
    files = [picture(n) for n in range(6)] + [b"no image", picture(6, format="PNG"),
                                              picture(7, progressive=True)]
    texts = [*TEXTS, b"\xff"]
    images = {"resize": 20, "crop": 16}
    normal = dict(images, mean=hr.IMAGENET_MEAN, std=hr.IMAGENET_STD, dtype="float16")
    options = dict(n_features=5000, ngram_range=(1, 2), norm=None)

    def same(found, reference):
        for got, wanted in zip(found, reference):
            if isinstance(wanted, Exception):
                assert type(got) is type(wanted)
            else:
                assert got.dtype == wanted.dtype
                np.testing.assert_array_equal(got, wanted)
        return len(reference)

    def prepare(card, options):
        return same(card.image(**options)(files, errors="return"),
                    cpu.image(**options)(files, errors="return"))

    def count(card):
        found = card.hashing_vectorizer(**options).transform(TEXTS)
        reference = cpu.hashing_vectorizer(**options).transform(TEXTS)
        assert found.shape == reference.shape and (found != reference).nnz == 0
        return len(TEXTS)

    def tokenize(card):
        return same(card.tokenizer(tokenizer).each(texts), cpu.tokenizer(tokenizer).each(texts))

    def keep(card):
        kept = card.keep(TINY, files)
        assert [entry["received"] for entry in kept] == list(range(1, len(files) + 1))
        assert [entry["status"] == Status.OK for entry in kept] == [True] * 6 + [False] * 3
        assert {tuple(entry["shape"]) for entry in kept[:6]} == {(16, 16, 3)}
        return len(files)

    def forward(card):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
            elsewhere.bind(("127.0.0.1", 0))
            numbers = card.forward(TINY, files[:4], wire.Station(None, *elsewhere.getsockname()))
            assembler, got = wire.Reassembler(), {}
            while len(got) < 4 and select.select([elsewhere], [], [], 30)[0]:
                message = assembler.feed(wire.from_datagram(elsewhere.recv(9000)))
                if message:
                    got[message.immediate] = wire.from_response(message)[1]
        assert got == {number: expected(TINY, data).tobytes()
                       for number, data in zip(numbers, files)}
        return 4

    with SimNic() as nic, contextlib.ExitStack() as stack:
        server, _ = stack.enter_context(serving(nic, allow_forward=True))
        one, two = (stack.enter_context(Client(*server.address, timeout=60)) for _ in range(2))
        with ThreadPoolExecutor(8) as pool:
            jobs = [pool.submit(prepare, one, images), pool.submit(prepare, two, normal),
                    pool.submit(count, two), pool.submit(tokenize, one), pool.submit(keep, one),
                    pool.submit(forward, two), pool.submit(tokenize, two)]
            asked = sum(job.result(90) for job in jobs)
        counts = [card.counters() for card in (one, two)]
        sent, received = (sum(count[name] for count in counts) for name in ("sent", "received"))
        assert sent == asked and received == asked - 4  # nobody answers what is forwarded
        for name in "lost", "retried", "unanswered", "duplicates", "damaged", "incomplete":
            assert [count[name] for count in counts] == [0, 0]
        own = nic.counters()
        assert own["messages"] == asked and own["refused"] == 0
        assert own["frames_packet"] == server.counts["frames_in"] == frames_counted(nic)
        assert own["requests"] == sum(own[f"status_{status.name.lower()}"] for status in Status)
        assert own["status_corrupt"] == sum(
            count["statuses"].get(f"CORRUPT/{name}", 0) for count in counts
            for name in ("NOT_JPEG", "UTF8")) + 2
        assert own["status_unsupported"] == 3
        assert own["bus_errors"] == own["frames_lost"] == own["frames_gap"] == 0
        assert server.counts["received"] == len(files)


def test_results_in_host_memory(nic, tokens):
    peers = [Peer(nic, work, reply=None) for work in (TINY, NORMAL, HASHING, tokens)]
    payloads = [[picture(n) for n in range(3)]] * 2 + [[t.encode() for t in TEXTS[:3]]] * 2
    assert run(nic, [frame for n in range(3) for peer, items in zip(peers, payloads)
                     for frame in peer.request(items[n])]) == []
    received = {(result.queue_pair, result.request): result for result in nic.receive()}
    assert len(received) == 12 and nic.receive() == []
    for peer in peers:
        for number, payload in peer.sent.items():
            result = received[peer.queue_pair, number]
            assert (result.status, result.detail) == (Status.OK, Detail.NONE)
            assert result.peer == HERE and result.cycles > 0
            wanted = expected(peer.work, payload)
            assert result.array.dtype == wanted.dtype
            np.testing.assert_array_equal(result.array, wanted)


def test_forward_and_unchecked(nic):
    """Answers go where the queue pair says; a CRC that nobody looks at may be wrong."""
    there = wire.Station("02:00:00:00:00:aa", "10.77.0.20", 777)
    peer = Peer(nic, HASHING, reply=there, check=False)
    frame, = peer.request(b"some words and words")
    end = 14 + int.from_bytes(frame[16:18], "big")
    out = run(nic, [frame[:end - 4] + bytes(4) + frame[end:]])
    peer.station = there
    peer.hear(out)
    peer.check(1)
    assert nic.counters()["frames_icrc"] == 0


# What must not matter

def shuffled(streams, rng):
    """The frames of several streams, each in its order."""
    streams, out = [list(stream) for stream in streams], []
    while streams := [stream for stream in streams if stream]:
        out.append(rng.choice(streams).pop(0))
    return out


@pytest.mark.parametrize("mtu, segment, wire_stalls, stalls, latency", [
    (256, 64, 0.0, 0.0, 32), (256, 1024, 0.9, 0.0, 5), (1500, 1024, (0.0, 0.8), 0.5, 32),
    (1500, 4096, (0.7, 0.0), (0.0, 0.7, 0.3, 0.0, 0.5), 300), (9000, 8192, 0.5, 0.2, 100),
    (9000, 256, 0.0, 0.0, 700)])
def test_frames_may_come_in_any_way(tokens, mtu, segment, wire_stalls, stalls, latency):
    """Packet sizes, mixed messages, pauses on the wire and of the memory change no result."""
    rng = random.Random(mtu + segment)
    with SimNic(segment=segment, wire_stalls=wire_stalls, stalls=stalls, latency=latency) as nic:
        works = TINY, NORMAL, Recipe(dtype="float32"), HASHING, tokens
        peers = [Peer(nic, work, mtu=mtu, number=n) for n, work in enumerate(works, start=1)]
        for peer in peers:
            peer.frames = []
            for n in range(2):
                peer.frames += peer.request(TEXTS[rng.randrange(len(TEXTS))].encode() * (1 + n)
                                            if peer.work in (HASHING, tokens) else
                                            picture(n, (60, 40 + 10 * n), quality=92))
        frames = shuffled([peer.frames for peer in peers], rng)
        out, cut = [], rng.randrange(len(frames))
        out += nic.exchange(frames[:cut], 3000)
        out += nic.exchange([], 100)
        out += run(nic, frames[cut:])
        for peer in peers:
            peer.hear(out)
            for number in 1, 2:
                peer.check(number)
        counters = nic.counters()
        assert counters["frames_packet"] == len(frames) == frames_counted(nic)
        assert counters["messages"] == 10 and counters["bus_errors"] == 0


# Loss and nonsense

@pytest.mark.parametrize("loss, duplication, exchange_rate", [
    (0.05, 0, 0), (0, 0.1, 0), (0, 0, 0.1), (0.04, 0.04, 0.04)])
def test_a_bad_network(loss, duplication, exchange_rate):
    """Every result is exact in the end, and the card is as it was."""
    files = [picture(n) for n in range(16)]
    texts = [f"{text} {n}" for n, text in enumerate(TEXTS * 4)]
    options = dict(n_features=5000, norm=None)
    with SimNic(segment=512) as card:
        nic = Disturbed(card, Faults(loss, duplication, exchange_rate))
        with serving(nic) as (server, _), \
                Client(*server.address, timeout=0.5, retries=30, mtu=512, window=8) as client:
            with ThreadPoolExecutor(2) as pool:
                hashed = pool.submit(client.hashing_vectorizer(**options).transform, texts)
                batch = client.image(20, 16)(files)
                found = hashed.result(60)
            np.testing.assert_array_equal(batch, hr.open("cpu").image(20, 16)(files))
            reference = hr.open("cpu").hashing_vectorizer(**options).transform(texts)
            assert (found != reference).nnz == 0
            before = client.counters()
            if loss or exchange_rate:
                assert before["lost"] > 0 and before["retried"] > 0
            if duplication:
                assert before["duplicates"] + before["incomplete"] > 0
            assert before["failures"] == before["unanswered"] == before["damaged"] == 0
            nic.faults.rates = 0, 0, 0
            np.testing.assert_array_equal(client.image(20, 16)(files[0]), batch[0])
        assert frames_counted(card) == nic.arrived


def test_giving_up_is_an_error():
    """A client that is never answered says so; then the next request is exact."""
    with SimNic() as card:
        nic = Disturbed(card, Faults(loss=1.0))
        with serving(nic) as (server, _), Client(*server.address, timeout=60) as patient:
            with Client(*server.address, timeout=1.5, retries=1) as client:
                for result in client.image(20, 16)([picture(0), picture(1)], errors="return"):
                    assert isinstance(result, hr.errors.NoAnswer)
            nic.faults.rates = 0, 0, 0
            np.testing.assert_array_equal(patient.image(20, 16)(picture(2)),
                                          hr.open("cpu").image(20, 16)(picture(2)))


@pytest.mark.parametrize("seed", range(3))
def test_nonsense(seed):
    """Frames of all kinds of wrong do no harm: each is counted once, the next request exact."""
    rng = random.Random(seed)
    with SimNic(message_bytes=8192, result_bytes=8192, wire_stalls=0.2 * seed) as nic:
        # Or nonsense might be the first to come.
        owner = dict(peer=wire.Owner(HERE.ip, HERE.mac, HERE.port))
        peers = [Peer(nic, TINY, mtu=256, number=1, **owner), Peer(nic, HASHING, number=2, **owner),
                 Peer(nic, TINY, number=3, check=False, reply=None, **owner)]
        total = 0
        for turn in range(8):
            valid = shuffled([peer.request(b"words " * 20 if peer.work is HASHING else
                                           picture(turn)) for peer in peers], rng)
            frames = [frame if rng.random() < 0.3 else mutated(frame, rng)
                      for frame in valid for _ in range(3)]
            run(nic, frames)
            nic.receive()
            asked = [frame for peer in peers[:2] for frame in peer.request(
                b"words and words" if peer.work is HASHING else picture(turn))]
            out = run(nic, asked)
            for peer in peers[:2]:
                peer.renew()
                peer.hear(out)
                peer.check(len(peer.sent))
            total += len(frames) + len(asked)
            assert frames_counted(nic) == total
        counters = nic.counters()
        assert sum(counters[f"frames_{outcome.name.lower()}"] > 0 for outcome in Outcome) > 12


# Limits

def test_more_messages_than_slots(nic):
    """The card takes what it has slots for, says NO_ROOM once at a time, and recovers."""
    peer = Peer(nic, HASHING, reply=None)
    slots, more = nic.config.slots, 5
    run(nic, [frame for n in range(slots + more) for frame in peer.request(b"words %d" % n)])
    counters = nic.counters()
    assert counters["messages"] == slots
    received = nic.receive()
    assert sorted(result.request for result in received
                  if result.status is Status.OK) == list(range(1, slots + 1))
    refused = [result for result in received if result.status is not Status.OK]
    assert [(result.status, result.detail) for result in refused] == [
        (Status.NO_ROOM, Detail.CAPACITY)]
    assert counters["status_no_room"] == 1 and counters["refused"] == more
    for result in received:
        if result.status is not Status.OK:
            continue
        np.testing.assert_array_equal(result.array,
                                      expected(HASHING, peer.sent[result.request]))
    run(nic, [frame for n in range(slots) for frame in peer.request(b"again %d" % n)])
    received = nic.receive()
    assert len(received) == slots and all(result.status is Status.OK for result in received)


def test_clients_ask_again_if_there_is_no_room():
    texts = [f"text number {n} of {n % 7}" for n in range(150)]
    with SimNic() as nic, serving(nic) as (server, _), \
            Client(*server.address, timeout=1, window=100, retries=30) as client:
        options = dict(n_features=5000, norm=None)
        found = client.hashing_vectorizer(**options).transform(texts)
        assert (found != hr.open("cpu").hashing_vectorizer(**options).transform(texts)).nnz == 0
        assert client.counters()["fallbacks"] == 0


def test_too_long(nic):
    """Messages and results beyond the buffers: NO_ROOM, and the next is done."""
    with SimNic(message_bytes=4096, result_bytes=4096) as nic:
        peer = Peer(nic, Recipe())
        small = picture(1, (24, 16))
        fits = small + bytes(4096 - len(small))
        large = picture(2, (60, 40))
        for payload, status in ((fits + b"\0", Status.NO_ROOM), (fits, Status.OK),
                                (fits * 5, Status.NO_ROOM), (large, Status.NO_ROOM),
                                (small, Status.OK)):
            peer.hear(run(nic, peer.request(payload)))
            completion, _ = peer.answers[len(peer.sent)]
            assert completion["status"] == status
            assert completion["detail"] == (Detail.CAPACITY if status else Detail.NONE)
            if status is Status.OK:
                peer.check(len(peer.sent))
        with serving(nic) as (server, _):
            for fallback in "cpu", "raise":
                with Client(*server.address, timeout=30, retries=1, fallback=fallback) as client:
                    prep = client.image(layout="HWC")
                    results = prep([small, fits + b"\0", large], errors="return")
                    statuses = [report.status for report in prep.last]
                    assert statuses == [Status.OK, Status.NO_ROOM, Status.NO_ROOM]
                    for result, data in zip(results, (small, fits, large)):
                        if fallback == "raise" and data is not small:
                            assert isinstance(result, hr.ItemError)
                        else:
                            np.testing.assert_array_equal(result,
                                                          hr.open("cpu").decode_jpeg(data))


@pytest.fixture
def same_numbers(monkeypatch):
    """Queue pairs get the numbers again that others had."""
    monkeypatch.setattr("secrets.randbelow", lambda below: 5)


def test_a_queue_pair_closed_in_a_message(nic, same_numbers):
    """What was begun is lost, and the next owner of its number does not notice."""
    gone = Peer(nic, TINY, mtu=256, number=1)
    frames = gone.request(picture(1))
    assert len(frames) > 3 and run(nic, frames[:-1]) == []
    gone.close()
    peer = Peer(nic, HASHING, number=2)
    assert peer.queue_pair == gone.queue_pair
    # The rest of the message meets a queue pair that never saw its beginning.
    assert run(nic, frames[-1:]) == []
    peer.ask(b"some words")
    assert sorted(peer.answers) == [1]
    assert nic.receive() == []
    assert nic.counters()["status_lost"] == 1
    # The slot is free again.
    run(nic, [frame for n in range(nic.config.slots) for frame in peer.request(b"%d" % n)])
    assert nic.counters()["refused"] == 0


def test_a_queue_pair_closed_with_work_under_way(nic, same_numbers):
    """Nobody gets its results, and its number has another work afterwards."""
    gone = Peer(nic, TINY, number=1)
    out = nic.exchange([frame for n in range(6) for frame in gone.request(picture(n))], 4000)
    assert nic.busy()
    gone.close()
    peer = Peer(nic, HASHING, number=2)
    assert peer.queue_pair != gone.queue_pair
    out = run(nic, peer.request(b"some words"))
    peer.hear(out)
    peer.check(1)
    assert nic.receive() == []
    assert Peer(nic, HASHING).queue_pair == gone.queue_pair


def test_queue_pairs_run_out(nic, same_numbers):
    peers = [Peer(nic, TINY) for _ in range(nic.config.queues)]
    assert len({peer.queue_pair for peer in peers}) == nic.config.queues
    with pytest.raises(hr.CardError, match=r"^All 16 queue pairs of the card are open: close one"):
        nic.listen(TINY)
    # One that is closed with work under way is free when that is done.
    nic.exchange(peers[3].request(picture(0)), 1000)
    assert nic.busy()
    peers[3].close()
    peer = Peer(nic, HASHING)
    assert peer.queue_pair == peers[3].queue_pair
    peer.ask(b"some words")
    assert nic.receive() == []
    with serving(nic) as (server, _), Client(*server.address, timeout=10) as client:
        with pytest.raises(hr.CardError, match="^The server refuses: All 16 queue pairs of"):
            client.image(20, 16)(picture(0))
    peers[5].ask(picture(5))


def test_host_results_outlive_their_queue_pair(nic, same_numbers):
    """A result that was there before its queue pair was closed is given away as what it is."""
    peer = Peer(nic, TINY, reply=None)
    run(nic, peer.request(picture(0)))
    peer.close()
    other = Peer(nic, HASHING, reply=None)
    assert other.queue_pair == peer.queue_pair
    result, = nic.receive()
    np.testing.assert_array_equal(result.array, expected(TINY, picture(0)))


def test_recipes_run_out(nic):
    """Recipes of open queue pairs stay; there is an error if all are, also for batches."""
    peers = [Peer(nic, Recipe(resize=20, crop=n)) for n in range(8, 8 + nic.config.recipes)]
    Peer(nic, Recipe(resize=20, crop=8))  # one that is there
    message = r"^All 8 recipes of the card are in use by queue pairs"
    with pytest.raises(hr.CardError, match=message):
        nic.listen(TINY)
    with pytest.raises(hr.CardError, match=message):
        nic.image(20, 16)(picture(0))
    for peer in peers:
        peer.ask(picture(1))
    peers[2].close()
    np.testing.assert_array_equal(nic.image(20, 16)(picture(0)),
                                  hr.open("cpu").image(20, 16)(picture(0)))
    Peer(nic, TINY).ask(picture(3))
    for peer in peers[3:]:
        peer.close()
    texts = [Peer(nic, HashingRecipe(1000 + n)) for n in range(nic.config.recipes)]
    with pytest.raises(hr.CardError, match=message):
        nic.listen(HASHING)
    for peer in texts:
        peer.ask(b"some words")


def test_another_vocabulary(nic, tokenizer, tokens):
    """A card holds one at a time: that of the open queue pairs."""
    others = [vocabulary.tokenizer([*vocabulary.small(), f"more{n}"]) for n in range(2)]
    peer = Peer(nic, tokens)
    message = "^The card holds one vocabulary at a time, and a queue pair is open for another"
    for other in others:
        with pytest.raises(hr.CardError, match=message):
            nic.listen(TokenRecipe.read(other))
        with pytest.raises(hr.CardError, match=message):
            nic.tokenizer(other).ragged(["the word"])
    peer.ask(b"the word of a piece")
    # The same vocabulary from another client.
    again = Peer(nic, TokenRecipe.read(vocabulary.tokenizer(vocabulary.small())), number=2)
    again.ask(b"hello world")
    peer.close()
    with pytest.raises(hr.CardError, match=message):
        nic.listen(TokenRecipe.read(others[0]))
    again.close()
    Peer(nic, TokenRecipe.read(others[0]), number=3).ask(b"more0 the word")


def test_vocabulary_that_does_not_fit(nic, tokenizer):
    """It is refused for what it is, and its clients do such texts by themselves."""
    large = vocabulary.tokenizer([*vocabulary.small(), *(chr(0x4e00 + n) for n in range(5000))])
    message = "must have less than 4096 different characters, not 51"
    with pytest.raises(VocabularyError, match=message):
        nic.listen(TokenRecipe.read(large))
    cpu = hr.open("cpu")
    with serving(nic) as (server, _), Client(*server.address) as card:
        tokenizers = [card.tokenizer(one) for one in (large, tokenizer)]
        assert message in tokenizers[0].unfit and tokenizers[1].unfit is None
        for tok, one in zip(tokenizers, (large, tokenizer)):
            for found, wanted in zip(tok.ragged(TEXTS), cpu.tokenizer(one).ragged(TEXTS)):
                np.testing.assert_array_equal(found, wanted)
        assert card.counters()["statuses"] == {"UNSUPPORTED/VOCABULARY": len(TEXTS)}
        # While its card holds one vocabulary another one cannot be used, but is no error yet.
        other = card.tokenizer(vocabulary.tokenizer([*vocabulary.small(), "more"]))
        with pytest.raises(hr.CardError, match="The card holds one vocabulary at a time"):
            other.ragged(TEXTS)


def test_batches_between_requests(nic, tokenizer, tokens):
    """A card in the network does what it is asked in this machine all the same."""
    cpu = hr.open("cpu")
    peers = [Peer(nic, work, number=n) for n, work in enumerate((TINY, HASHING, tokens))]
    payloads = picture(1), b"some words", b"the word of a piece"
    for turn in range(10):  # more recipes than the card has room for
        frames = [frame for peer, payload in zip(peers, payloads)
                  for frame in peer.request(payload)]
        out = nic.exchange(frames, 500 * (turn % 3))
        np.testing.assert_array_equal(nic.image(20, 5 + turn)(picture(turn)),
                                      cpu.image(20, 5 + turn)(picture(turn)))
        options = dict(n_features=50 + turn, norm=None)
        assert (nic.hashing_vectorizer(**options).transform(TEXTS)
                != cpu.hashing_vectorizer(**options).transform(TEXTS)).nnz == 0
        for found, wanted in zip(nic.tokenizer(tokenizer).ragged(TEXTS),
                                 cpu.tokenizer(tokenizer).ragged(TEXTS)):
            np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(nic.decode_jpeg(picture(2)), cpu.decode_jpeg(picture(2)))
        out += run(nic, [])
        for peer in peers:
            peer.hear(out)
            peer.check(turn + 1)


def test_batches_from_another_thread():
    """While a server brings frames to it."""
    with SimNic() as nic, serving(nic) as (server, _), \
            Client(*server.address, timeout=60) as client, ThreadPoolExecutor(2) as pool:
        files = [picture(n) for n in range(15)]
        jobs = [pool.submit(card.image(20, crop), files)
                for card, crop in ((nic, 15), (client, 16))]
        for job, crop in zip(jobs, (15, 16)):
            np.testing.assert_array_equal(job.result(60), hr.open("cpu").image(20, crop)(files))


def test_a_card_that_got_stuck(monkeypatch):
    """A reset loses what is under way, but no queue pair."""
    monkeypatch.setattr("headrace.sim.PATIENCE", 20_000)
    with SimNic() as nic, serving(nic) as (server, _), \
            Client(*server.address, timeout=1) as client:
        prep = client.image(20, 16)
        image = prep(picture(0))
        nic._rtl.configure([0.0, 1 - 1e-12, 0.0, 0.0, 0.0], 32, 1)
        with pytest.raises(hr.CardError, match="^The simulated card is stuck: The card made no"):
            nic.image(20, 5)(picture(1))
        with pytest.raises(hr.CardError, match="^The server refuses: The simulated card is stuck"):
            client.image(20, 7)(picture(2))
        nic._rtl.configure([0.0] * 5, 32, 1)
        np.testing.assert_array_equal(prep([picture(0), picture(0)]), [image, image])
        np.testing.assert_array_equal(client.image(20, 7)(picture(2)),
                                      hr.open("cpu").image(20, 7)(picture(2)))
        assert client.counters()["unanswered"] == 0


def test_arguments():
    for option, message in (
            (dict(message_bytes=100), r"^Message bytes must be a multiple of 64, at least 64, not"),
            (dict(result_bytes=64), r"^Result bytes must be a multiple of 64, at least 128, not"),
            (dict(segment=8256), r"^Segment must be at most 8192, not 8256$"),
            (dict(memory=1 << 26), r"^Memory must hold 32 messages and results, and 16 MiB, not")):
        with pytest.raises(ValueError, match=message):
            SimNic(**option)
    with SimNic(segment=64) as nic:
        with pytest.raises(ValueError, match='^Reply must be "sender", a Station or None, not 5$'):
            nic.listen(TINY, reply=5)
        with pytest.raises(ValueError, match="^Queue pair must be open, not 256$"):
            nic.unlisten(256)
        copy = pickle.loads(pickle.dumps(nic))
        assert (copy.segment, copy.ip) == (64, nic.ip)
        copy.close()
    with pytest.raises(hr.CardError, match="^Card must be open, not closed"):
        nic.exchange([], 1)
