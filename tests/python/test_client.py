# SPDX-License-Identifier: Apache-2.0
"""Clients on UDP sockets against the libraries, over a network that loses, repeats and reorders."""

import contextlib
import io
import os
import pickle
import select
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

import headrace as hr
import vocabulary
from headrace import wire
from headrace.channel import Channel
from headrace.client import CHANNELS, Client
from headrace.control import ControlError
from headrace.errors import NoAnswer, VocabularyError
from headrace.hw.card.config import CardConfig
from headrace.hw.status import Status
from headrace.packet_socket import PacketSocket, wait_for
from headrace.recipe import Recipe
from soft_nic import SoftNic, serving


TINY = dict(resize=20, crop=16)
NORMAL = dict(mean=hr.IMAGENET_MEAN, std=hr.IMAGENET_STD, dtype="float16")
TEXTS = ["the word of a piece", "hello caf\u00e9", "", "A b a B again " * 300]


def picture(n, size=(60, 40), format="JPEG"):
    """An encoded picture that differs for each ``n``."""
    rng = np.random.default_rng(n)
    noise = Image.fromarray(rng.integers(0, 256, (5, 7, 3), np.uint8))
    file = io.BytesIO()
    noise.resize(size, Image.Resampling.BICUBIC).save(file, format)
    return file.getvalue()


@pytest.fixture
def tokenizer():
    pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    return vocabulary.tokenizer(vocabulary.small())


def joined(*args, **options):
    """A client of a server from :func:`serving`."""
    (server, _), *rest = args
    return Client(*server.address, *rest, **options)


@pytest.mark.parametrize("recipe", [
    {}, TINY, {**TINY, **NORMAL}, dict(resize=(30, 50), dtype="float32", layout="HWC"),
    dict(resize=24, filter="bicubic", dtype="bfloat16")])
def test_images(recipe):
    files = [picture(n, (60 + n, 40)) for n in range(6)]
    reference = hr.open("cpu").image(**recipe)
    with serving() as there, joined(there, timeout=2) as card:
        prep = card.image(**recipe)
        for got, expected in zip(prep(files), reference(files)):
            np.testing.assert_array_equal(got, expected)
            assert got.dtype == expected.dtype
        np.testing.assert_array_equal(prep(files[0]), reference(files[0]))
        assert [report.cycles for report in prep.last] == [1000]
        counters = card.counters()
    assert counters["sent"] == counters["received"] == counters["items"] == 7
    assert counters["lost"] == counters["unanswered"] == counters["damaged"] == 0
    assert counters["bytes_sent"] > sum(map(len, files)) and counters["seconds"] > 0


def test_decode_and_targets():
    data, out = picture(1), np.zeros((40, 60, 3), np.uint8)
    with serving() as there, joined(there, timeout=2) as card:
        assert card.decode_jpeg(data, out=out) is out
        np.testing.assert_array_equal(out, hr.open("cpu").decode_jpeg(data))
        batch = np.empty((2, 3, 16, 16), np.uint8)
        assert card.image(**TINY)([data, data], out=batch) is batch
        np.testing.assert_array_equal(batch[1], hr.open("cpu").image(**TINY)(data))
        with pytest.raises(ValueError, match="^A card in the network must be given encoded"):
            card.resize(out, (5, 5))
        with pytest.raises(ValueError, match="^Out must be of shape"):
            card.decode_jpeg(data, out=np.zeros((1, 1, 3), np.uint8))


def test_texts(tokenizer):
    sklearn = pytest.importorskip("sklearn.feature_extraction.text")
    with serving() as there, joined(there, timeout=2) as card:
        options = dict(n_features=5000, ngram_range=(1, 2))
        found = card.hashing_vectorizer(**options).transform(TEXTS)
        expected = sklearn.HashingVectorizer(**options).transform(TEXTS)
        assert found.shape == expected.shape and (found != expected).nnz == 0
        np.testing.assert_array_equal(found.data, expected.data)
        rows = card.hashing_vectorizer(**options).each([*TEXTS, b"\xff"])
        assert isinstance(rows[-1], UnicodeDecodeError)
        for row, whole in zip(rows, expected):
            assert (row != whole).nnz == 0

        tokens = card.tokenizer(tokenizer)
        reference = hr.open("cpu").tokenizer(tokenizer)
        for got, expected in zip(tokens.ragged(TEXTS), reference.ragged(TEXTS)):
            np.testing.assert_array_equal(got, expected)
        bad = tokens.each([b"\xff", "word"])
        assert isinstance(bad[0], UnicodeDecodeError) and not isinstance(bad[1], Exception)
        assert card.counters()["statuses"] == {"CORRUPT/UTF8": 2}
        with pytest.raises(ValueError, match="^Ngram_range must end"):
            card.hashing_vectorizer(ngram_range=(1, 4))


def test_texts_that_are_none(tokenizer):
    """Each stands in its own place, and no other text is touched."""
    wrong = [None, 5, b"\xff", 2.5, ["word"]]
    texts = [text for one in wrong for text in ("word", one)]
    with serving() as there, joined(there, timeout=2) as card:
        assert isinstance(card.tokenizer(tokenizer).each(["word", "\ud800"])[1], UnicodeError)
        for each, right in ((card.tokenizer(tokenizer).each, len),
                            (card.hashing_vectorizer().each, lambda row: row.nnz)):
            rows = each(texts)
            for n, row in enumerate(rows):
                assert right(row) == 1 if n % 2 == 0 else (
                    isinstance(row, Exception) and f"item {n}" in str(row)), row
    with serving(SoftNic(answers=[Status.UNSUPPORTED])) as there, \
            joined(there, fallback="raise", timeout=2) as card:
        rows = card.tokenizer(tokenizer).each([None, "word", "word"])
        assert isinstance(rows[1], hr.ItemError) and rows[1].index == 1
        assert len(rows[2]) == 1


def large(letters=5000):
    """A tokenizer of more letters than a card's tables hold."""
    return vocabulary.tokenizer([*vocabulary.small(), *(chr(0x4e00 + n) for n in range(letters))])


def test_tokenizers_that_do_not_fit(tokenizer):
    pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    texts, cpu = [*TEXTS, "\u4e00 \u4eff the"], hr.open("cpu")
    with serving(SoftNic(config=CardConfig())) as there, joined(there, timeout=2) as card:
        tok = card.tokenizer(large())
        assert "less than 4096 different characters, not 51" in tok.unfit
        for got, expected in zip(tok.ragged(texts), cpu.tokenizer(large()).ragged(texts)):
            np.testing.assert_array_equal(got, expected)
        assert card.counters()["statuses"] == {"UNSUPPORTED/VOCABULARY": len(texts)}
        assert card.counters()["fallbacks"] == len(texts) and card.counters()["sent"] == 0
        assert card.tokenizer(tokenizer).unfit is None
        with pytest.raises(VocabularyError, match="different characters"):
            card.keep(tok.recipe, [b"the"])
        copy = pickle.loads(pickle.dumps(tok))  # finds it out by itself
        with copy.card:
            np.testing.assert_array_equal(copy.ragged(texts)[0], tok.ragged(texts)[0])
            assert copy.card.counters()["fallbacks"] == len(texts)
        with joined(there, fallback="raise", timeout=2) as strict:
            with pytest.raises(ValueError, match="The server refuses: .*4096.*fallback=\"cpu\""):
                strict.tokenizer(large())
            strict.tokenizer(tokenizer).ragged(texts)


def test_tokenizers_of_a_server_that_is_away(tokenizer):
    with serving() as there:
        card = joined(there, timeout=2)
    with card, pytest.raises(hr.CardError, match="^No server at"):
        card.tokenizer(tokenizer)


@pytest.mark.parametrize("mtu", [256, 1500, 9000])
@pytest.mark.parametrize("segment", [192, 4096])
def test_packet_sizes(mtu, segment):
    files = [picture(n, (120, 90)) for n in range(3)]
    reference = hr.open("cpu").image(dtype="float32")
    with serving(SoftNic(segment=segment)) as there, joined(there, mtu=mtu, timeout=2) as card:
        for got, data in zip(card.image(dtype="float32")(files), files):
            np.testing.assert_array_equal(got, reference(data))
        assert card.counters()["lost"] == 0
    server, _ = there
    packets = sum(len(wire.segments(data, mtu - 48)) for data in files)
    assert server.counts["frames_in"] == packets == server.nic.counted["PACKET"]


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_for_good(seed):
    """Exact results, in place, over a network that loses 2 % of the frames, and worse."""
    files = [picture(n) for n in range(60)]
    nic = SoftNic(loss=0.02, duplication=0.02, exchange_rate=0.02, seed=seed, segment=512)
    with serving(nic) as there, joined(there, timeout=0.1, retries=20, window=8) as card:
        batch = card.image(**TINY, **NORMAL)(files)
        counters = card.counters()
    np.testing.assert_array_equal(batch, hr.open("cpu").image(**TINY, **NORMAL)(files))
    assert counters["lost"] > 0 and counters["retried"] > 0
    assert counters["duplicates"] + counters["incomplete"] > 0
    assert counters["sent"] == counters["retried"] + 60 and counters["received"] == 60
    assert counters["failures"] == counters["unanswered"] == 0


def test_clients_side_by_side(tokenizer):
    """Several clients and threads, all kinds of work at once, some loss."""
    files = [picture(n) for n in range(12)]
    images = hr.open("cpu").image(**TINY)(files)
    ids = hr.open("cpu").tokenizer(tokenizer).ragged(TEXTS * 3)

    def work(card, kind):
        if kind:
            return all(np.array_equal(*pair) for pair in zip(
                card.tokenizer(tokenizer).ragged(TEXTS * 3), ids))
        return np.array_equal(card.image(**TINY)(files), images)

    nic = SoftNic(loss=0.01)
    with serving(nic) as there, joined(there, timeout=0.2, retries=15) as shared, \
            joined(there, timeout=0.2, retries=15) as other, ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(work, card, kind) for card in (shared, other, shared)
                for kind in (0, 1)]
        assert all(job.result(30) for job in jobs)
        assert len(nic.open) == 4
    assert not nic.open


def test_bad_items_do_not_spoil_others():
    items = [picture(0), b"no image", picture(1)[:400], picture(2, format="PNG"), picture(3)]
    cpu = hr.open("cpu").image(**TINY)
    with serving() as there:
        with joined(there, timeout=2) as card:
            results = card.image(**TINY)(items, errors="return")
            for result, expected in zip(results, cpu(items, errors="return")):
                if isinstance(expected, Exception):
                    assert type(result) is type(expected)
                else:
                    np.testing.assert_array_equal(result, expected)
            assert [report.fallback for report in card.last] == [False, True, True, True, False]
            assert card.counters()["statuses"] == {"CORRUPT/NOT_JPEG": 2, "TRUNCATED/ENDED": 1}
        with joined(there, fallback="raise", timeout=2) as card:
            results = card.image(**TINY)(items, errors="return")
            assert [type(result) for result in results] == [
                np.ndarray, hr.ItemError, hr.ItemError, hr.ItemError, np.ndarray]
            assert str(results[3]) == "item 3: CORRUPT: does not start with an SOI marker"


def test_too_long_is_not_sent():
    long = picture(4) + bytes(SoftNic.most_message)
    with serving() as there, joined(there, timeout=2) as card:
        np.testing.assert_array_equal(card.image(**TINY)([long, picture(4)])[0],
                                      hr.open("cpu").image(**TINY)(long))
        assert card.counters()["statuses"] == {"NO_ROOM/CAPACITY": 1}
        assert card.counters()["sent"] == 1


def test_no_room_is_sent_again():
    files = [picture(n) for n in range(3)]
    with serving(SoftNic(answers=[hr.Status.NO_ROOM] * 4)) as there, \
            joined(there, timeout=5) as card:
        batch = card.image(**TINY)(files)
        np.testing.assert_array_equal(batch, hr.open("cpu").image(**TINY)(files))
        counters = card.counters()
    assert counters["retried"] == 4 and counters["lost"] == counters["fallbacks"] == 0
    with serving(SoftNic(answers=[hr.Status.NO_ROOM] * 100)) as there, \
            joined(there, timeout=0.05, retries=2, fallback="raise") as card:
        with pytest.raises(hr.ItemError, match="NO_ROOM"):
            card.image(**TINY)(files[0])
        assert card.counters()["sent"] == 3


def test_lost_at_the_card_is_missed():
    """The card cannot say which request it was: nothing is matched, and time tells."""
    files = [picture(n) for n in range(3)]
    with serving(SoftNic(answers=[hr.Status.LOST] * 2)) as there, \
            joined(there, timeout=0.2) as card:
        batch = card.image(**TINY)(files)
        np.testing.assert_array_equal(batch, hr.open("cpu").image(**TINY)(files))
        counters = card.counters()
    assert counters["retried"] == counters["lost"] == 2
    assert counters["duplicates"] == counters["fallbacks"] == 0


def test_overtaken_is_sent_again():
    """A request that is lost among others does not wait for the timeout."""
    files = [picture(n) for n in range(40)]
    with serving(SoftNic(forgotten=2)) as there, joined(there, timeout=60) as card:
        begun = time.monotonic()
        batch = card.image(**TINY)(files)
        assert time.monotonic() - begun < 10
        np.testing.assert_array_equal(batch, hr.open("cpu").image(**TINY)(files))
        counters = card.counters()
    assert counters["lost"] == counters["retried"] == 2 and counters["duplicates"] == 0


@pytest.mark.parametrize("window, deepest", [
    (dict(window=3), 3), (dict(window_bytes=1), 1), ({}, 32)])
def test_window(window, deepest):
    files = [picture(0)] * 40
    with serving(SoftNic(each=1)) as there, joined(there, timeout=5, **window) as card:
        card.image(**TINY)(files)
        assert card.counters()["sent"] == 40
    assert there[0].nic.deepest <= deepest and (deepest < 32 or there[0].nic.deepest > 3)


@pytest.mark.parametrize("fallback", ["cpu", "raise"])
def test_silence_is_an_error(fallback):
    with serving(SoftNic(deaf=True)) as there, \
            joined(there, timeout=0.05, retries=2, fallback=fallback) as card:
        begun = time.monotonic()
        results = card.image(**TINY)([picture(0), picture(1)], errors="return")
        assert 0.2 < time.monotonic() - begun < 5
        for n, result in enumerate(results):
            assert isinstance(result, NoAnswer) and isinstance(result, TimeoutError)
            assert str(result).startswith(f"item {n}: no answer in ")
            assert "sent 3 times" in str(result)
        counters = card.counters()
        assert counters["sent"] == 6 and counters["unanswered"] == counters["failures"] == 2
        with pytest.raises(NoAnswer):
            card.hashing_vectorizer().transform(["some words"])


def test_server_goes_away():
    with serving(SoftNic(deaf=True)) as there:
        server, _ = there
        with joined(there, timeout=20) as card:
            threading.Timer(0.3, server.stop).start()
            begun = time.monotonic()
            results = card.image(**TINY)([picture(0), picture(1)], errors="return")
            assert time.monotonic() - begun < 5
            assert all(isinstance(result, hr.CardError) for result in results)
            assert "connection" in str(results[0])
            with pytest.raises(hr.CardError, match="^No server at .*headrace serve"):
                card.image(**TINY)(picture(0))


def test_server_comes_back():
    with serving() as there:
        port = there[0].address[1]
        card = joined(there, timeout=2)
        prep = card.image(**TINY)
        expected = prep(picture(0))
    with serving_at(port), card:
        np.testing.assert_array_equal(prep(picture(0)), expected)


def serving_at(port):
    return serving(port=port)


def test_other_ends():
    """Results in the server's memory, and at another address."""
    recipe = Recipe(**TINY)
    files = [picture(n) for n in range(4)]
    expected = [hr.open("cpu").image(**TINY, layout="HWC")(data) for data in files]
    with serving(SoftNic(loss=0.02), allow_forward=True) as there, \
            joined(there, timeout=0.3, retries=20) as card, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
        kept = card.keep(recipe, [*files, b"no image"])
        assert [(entry["status"], entry.get("shape")) for entry in kept] == [
            (0, [16, 16, 3])] * 4 + [(2, None)]
        there[0].nic.faults.rates = 0, 0, 0
        elsewhere.bind(("127.0.0.1", 0))
        numbers = card.forward(recipe, files, wire.Station(None, *elsewhere.getsockname()))
        assembler, got = wire.Reassembler(), {}
        while len(got) < 4 and select.select([elsewhere], [], [], 5)[0]:
            message = assembler.feed(wire.from_datagram(elsewhere.recv(9000)))
            if message:
                got[message.immediate] = wire.from_response(message)[1]
        assert sorted(got) == numbers
        for number, array in zip(numbers, expected):
            assert got[number] == array.tobytes()


def test_those_who_leave_are_seen_to():
    """Requests are done although the client closed before the card came to them."""
    files = [picture(n) for n in range(8)]
    with serving(SoftNic(each=1), allow_forward=True) as there, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
        elsewhere.bind(("127.0.0.1", 0))
        with joined(there, timeout=2) as card:
            numbers = card.forward(Recipe(**TINY), files,
                                   wire.Station(None, *elsewhere.getsockname()))
        assert not there[0].nic.open
        assembler, got = wire.Reassembler(), []
        while len(got) < 8 and select.select([elsewhere], [], [], 2)[0]:
            message = assembler.feed(wire.from_datagram(elsewhere.recv(9000)))
            got += [message.immediate] if message else []
        assert got == numbers


def test_answers_that_come_twice():
    with serving(SoftNic(duplication=1.0)) as there, joined(there, timeout=5) as card:
        found = [card.hashing_vectorizer(n_features=9, norm=None).transform([text] * 3).toarray()
                 for text in ("some words", "and some others")]
        counters = card.counters()
    assert counters["received"] == counters["sent"] == 6 and counters["lost"] == 0
    assert counters["duplicates"] > 3
    for matrix in found:
        assert (matrix == matrix[0]).all() and matrix.any()
    assert not np.array_equal(*found)


def test_refusals():
    with serving(SoftNic(queues=1)) as there, joined(there, timeout=2) as card:
        card.image(**TINY)(picture(0))
        with pytest.raises(hr.CardError, match="^The server refuses: All 1 queue pairs are in"):
            card.image(resize=5)(picture(0))
    with pytest.raises(hr.CardError, match="^Card must be open"):
        card.image(**TINY)(picture(0))


def test_strangers_are_ignored():
    """Datagrams that are none of ours: garbage, another queue pair, a wrong CRC, late answers."""
    with serving() as there:
        channel = Channel(there[0].address, Recipe(**TINY), timeout=2)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            sender = wire.Sender(channel._queue_pair)
            forged, = wire.response(sender, dict(request=1, status=0, bytes=3), b"bad")
            stranger.sendto(wire.seal(wire.to_datagram(forged), (there[0].nic.ip, 4791),
                                      channel._udp.here), channel._udp.here)
            other = wire.Sender(channel._queue_pair + 1)
            fields = dict(request=1, status=0, bytes=3)
            for data in (b"", b"x" * 50,
                         *map(wire.to_datagram, wire.response(other, fields, b"bad")),
                         *map(wire.to_datagram, wire.response(sender, fields, b"bad"))):
                stranger.sendto(data, channel._udp.here)
        (completion, result), = channel.ask([picture(0)])
        assert completion["request"] == 1 and len(result) == 16 * 16 * 3
        assert channel.counts["damaged"] == 5
        channel.close()


@contextlib.contextmanager
def many_files():
    """More files are open than ``select.select`` takes: what is opened now has a high number."""
    resource = pytest.importorskip("resource", reason="only where files are numbered")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], 2048), before[1]))
    except ValueError:
        pytest.skip("this process may not open that many files")
    opened = []
    try:
        while not opened or opened[-1] < 1100:
            opened.append(os.dup(opened[-1] if opened else 2))
        yield
    finally:
        for one in opened:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_many_open_files(monkeypatch):
    with many_files(), serving(allow_forward=True) as there, joined(there, timeout=5) as card, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
        assert elsewhere.fileno() > 1024
        np.testing.assert_array_equal(card.image(**TINY)([picture(0)])[0],
                                      hr.open("cpu").image(**TINY)(picture(0)))
        elsewhere.bind(("127.0.0.1", 0))
        elsewhere.settimeout(5)
        send, full = PacketSocket.send, [True, False]
        monkeypatch.setattr(PacketSocket, "send", lambda self, packet: not (
            full and full.pop(0)) and send(self, packet))
        card.forward(Recipe(**TINY), [picture(0)], wire.Station(None, *elsewhere.getsockname()))
        assert elsewhere.recv(9000)


def test_waiting_for_datagrams():
    """Of a socket, it ends with the first one, or in time."""
    with many_files():
        one = PacketSocket(("127.0.0.1", 9), 1, check=True, counts={})
        with contextlib.closing(one), \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            begun = time.monotonic()
            one.wait(0.05)
            one.wait(-1)  # not for ever
            assert 0.04 < time.monotonic() - begun < 5
            wait_for([], [one], 60)  # there is room
            other.sendto(b"x", one.here)
            one.wait(60)
            assert time.monotonic() - begun < 30


def meanwhile(card, monkeypatch, event):
    """Have something happen between the moments when a slot is handed out and entered, once."""
    slot_of, handed = card._slot, []

    def slot(*args):
        handed.append(slot_of(*args))
        if len(handed) == 1:
            event(slot_of)
        return handed[-1]

    monkeypatch.setattr(card, "_slot", slot)
    return handed


def test_closed_before_a_slot_is_entered(monkeypatch):
    with serving() as there:
        card = joined(there, timeout=2)
        handed = meanwhile(card, monkeypatch, lambda slot_of: card.close())
        with pytest.raises(hr.CardError, match="^Card must be open, not closed"):
            card.image(**TINY)(picture(0))
        assert handed[0]._channel is None and there[0].counts["connections"] == 0


def test_evicted_before_a_slot_is_entered(monkeypatch):
    def event(slot_of):
        for side in range(2, 2 + CHANNELS):
            slot_of(Recipe(resize=side), "sender")

    with serving() as there:
        card = joined(there, timeout=2)
        handed = meanwhile(card, monkeypatch, event)
        np.testing.assert_array_equal(card.image(**TINY)(picture(0)),
                                      hr.open("cpu").image(**TINY)(picture(0)))
        first, second = handed
        assert first._channel is None and second._channel is not None
        assert second in card._channels.values() and there[0].counts["connections"] == 1
        card.close()
        assert second._channel is None


@pytest.mark.parametrize("wrong, message", [
    (dict(window=0), "Window must be 1 or more, not 0"),
    (dict(window=-3), "Window must be 1 or more, not -3"),
    (dict(retries=-1), "Retries must be 0 or more, not -1"),
    (dict(timeout=0), "Timeout must be above 0 and at most 1000000 seconds, not 0"),
    (dict(timeout=float("nan")), "Timeout must be above 0 and at most 1000000 seconds, not nan"),
    (dict(timeout=float("inf")), "Timeout must be above 0 and at most 1000000 seconds, not inf"),
    (dict(mtu=100), "Mtu must be within range(112, 9075), not 100"),
])
def test_options_out_of_range(wrong, message):
    """They are refused at once: nobody is there to connect to."""
    for make in (lambda: Client("127.0.0.1", 1, **wrong),
                 lambda: Channel(("127.0.0.1", 1), Recipe(), **wrong)):
        with pytest.raises(ValueError) as info:
            make()
        assert str(info.value) == message


def test_arguments():
    with pytest.raises(ValueError, match="^Fallback must be one of cpu, raise, not 'no'$"):
        Client("127.0.0.1", fallback="no")
    card = pickle.loads(pickle.dumps(Client("127.0.0.1", 7, fallback="raise", mtu=256)))
    assert (card.name, card.fallback, card._options) == ("127.0.0.1:7", "raise", {"mtu": 256})
    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts, and says nothing
        port = listener.getsockname()[1]

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.recv(1)
                connection.sendall(b'{"hello":1}\n')

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ControlError, match="not hello: not a headrace server"):
            Channel(("127.0.0.1", port), Recipe())
        thread.join()
