# SPDX-License-Identifier: Apache-2.0
"""The server among strangers: whatever one of them does, the others are served."""

import asyncio
import contextlib
import io
import json
import os
import pickle
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import headrace as hr
import hostile
import soak
import vocabulary
from headrace import cli, foreign, serve, wire
from headrace.client import Client
from headrace.control import ControlError, check_token
from headrace.errors import VocabularyError
from headrace.fair import Allowance, FairQueue
from headrace.foreign import ForeignTokenizer, Parsers
from headrace.hashing import HashingRecipe
from headrace.hw.card.config import CONFIGS
from headrace.hw.text.vocabulary import Geometry
from headrace.limits import Limits
from headrace.links import is_local
from headrace.recipe import Recipe
from headrace.token_recipe import TokenRecipe
from soft_nic import SoftNic, serving
from stations import picture


IMAGE = {"version": 1, "kind": "image"}
TOKEN = "correct-horse-battery-staple"
TESTS = Path(__file__).resolve().parents[1]


class TableNic(SoftNic):
    """One that takes tables, which need seconds to be made."""

    config = CONFIGS["nic"]


@pytest.fixture
def tokenizers():
    return pytest.importorskip("tokenizers", reason="tokenizers is not installed")


def connect(server, ip="127.0.0.1"):
    return socket.create_connection(server.address, 20, source_address=(ip, 0))


def send(connection, fields, attachment=b""):
    connection.sendall(json.dumps(fields).encode() + b"\n" + attachment)


def said(connection):
    """What a server says in a line; None if it closes."""
    with connection.makefile("rb") as file:
        text = file.readline()
    return json.loads(text) if text else None


def ask(server, fields, attachment=b"", ip="127.0.0.1"):
    """The answer to one connection's wish."""
    with connect(server, ip) as connection:
        with contextlib.suppress(ConnectionError):
            send(connection, fields, attachment)
        return said(connection)


def tokenizer_fields(source):
    return {"version": 1, "kind": "tokenizer", "attachment": len(source)}


def serves(server):
    """Whether another client gets its results."""
    with Client(*server.address, timeout=5) as card:
        found = card.image(resize=8)(picture(1))
    return np.array_equal(found, hr.open("cpu").image(resize=8)(picture(1)))


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def children(pid):
    return [child for path in Path(f"/proc/{pid}/task").glob("*/children")
            for child in path.read_text().split()]


@contextlib.contextmanager
def command(*options, card="soft_nic:SoftNic"):
    """``headrace serve`` as a process, and its address."""
    path = os.pathsep.join(filter(None, [str(TESTS), str(TESTS / "python"), *sys.path]))
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from headrace.cli import main; sys.exit(main())",
         "serve", "--udp", "127.0.0.1:0", "--card", card, *map(str, options)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": path})
    try:
        port, = re.findall(r"control at 127\.0\.0\.1:(\d+)", process.stdout.readline())
        yield process, ("127.0.0.1", int(port))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


# What one connection says

@pytest.mark.parametrize("text", hostile.LINES, ids=range(len(hostile.LINES)))
def test_lines_that_are_none(text):
    with serving() as (server, log):
        with connect(server) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(text + b"\n")
            assert said(connection).keys() == {"error"}
        assert serves(server)
    for entry in log:
        assert entry.isascii() and entry.isprintable() and len(entry) < 1000


def test_panics_are_refusals(tokenizers):
    """What the library raises then is no ``Exception``."""
    with serving() as (server, log):
        source = hostile.panic()
        answer = ask(server, tokenizer_fields(source), source)
        assert answer["error"].startswith("Tokenizer.json not accepted: ")
        assert serves(server)
    assert any("refused 127.0.0.1" in entry for entry in log)


class FailingNic(SoftNic):
    """One whose driver fails in every way while a queue pair is opened."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def listen(self, work, **options):
        if isinstance(work, HashingRecipe):
            raise self.error
        return super().listen(work, **options)


@pytest.mark.parametrize("error", [
    MemoryError("all"), KeyboardInterrupt(), SystemExit(3), OSError(24, "Too many open files"),
    AssertionError("x\nqueue pair 0x100 closed\x1b[2J\ud800"), hr.CardError("stuck")], ids=repr)
def test_failures_of_any_kind(error):
    with serving(FailingNic(error)) as (server, log):
        assert "error" in ask(server, {"version": 1, "kind": "hashing"})
        assert serves(server)
    assert not any(set(entry) & set("\n\x1b\ud800") for entry in log)


def test_logs_that_fail():
    """A closed pipe, a full disk, an encoding that has not that letter."""
    lines, errors = [], [BrokenPipeError(), OSError(28, "full"), UnicodeError("no"), ValueError()]

    def log(text):
        lines.append(text)
        raise errors[len(lines) % 4]

    server = serve.Server.udp(SoftNic(), log=log)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert "error" in ask(server, {})
        assert serves(server)
    finally:
        server.stop()
        thread.join(10)
    assert server.counts["unlogged"] == len(lines) >= 4


def test_refusals_are_not_logged_for_ever():
    with serving() as (server, log):
        for _ in range(serve.REFUSALS + 50):
            assert "error" in ask(server, {})
        assert serves(server)
        assert server.counts["unlogged"] > 0
    assert sum(entry.startswith("refused") for entry in log) < serve.REFUSALS + 50


# Foreign files

def test_slow_files_cost_others_nothing(tokenizers):
    """They are given up in time, one at a time of a peer, while requests are answered."""
    limits = Limits(parse_seconds=1)
    with serving(TableNic(), limits=limits) as (server, _), Client(*server.address) as card, \
            contextlib.ExitStack() as stack:
        prep = card.image(resize=8)
        prep(picture(1))
        slow = [stack.enter_context(connect(server, "127.0.0.2")) for _ in range(3)]
        begun, times = time.monotonic(), []
        for n, connection in enumerate(slow):
            source = hostile.slow(n)
            send(connection, tokenizer_fields(source), source)
        while not times or time.monotonic() - begun < 1:
            before = time.monotonic()
            prep(picture(1))
            times.append(time.monotonic() - before)
            assert len(children(os.getpid())) <= 1
        assert np.median(times) < 0.1
        for connection in slow:
            assert re.search("must be parsed with 1 s of the processor", said(connection)["error"])
        assert not children(os.getpid())


def test_files_that_take_all_memory(tokenizers):
    with serving(limits=Limits(parse_memory=400 << 20)) as (server, _):
        source = hostile.bomb()
        answer = ask(server, tokenizer_fields(source), source)
        # The last one is what tokenizers 0.20 leads to: it does not come as far.
        ends = "MemoryError|it must be parsed|AttributeError"
        assert re.match(f"Tokenizer.json not accepted: ({ends})", answer["error"])
        assert serves(server)


def parse(program, monkeypatch, config=None, **limits):
    """What becomes of a child that runs another program."""
    monkeypatch.setattr(foreign, "PROGRAM", program)

    async def run():
        return await Parsers(config, Limits(**limits)).parse(b"{}")

    return asyncio.run(run())


LENGTHS = {"entries": 0x110000, "sequences": 1, "specials": 1, "nodes": 1}
NUMBERS = {"unknown": 0, "start": 0, "continued": 0, "longest": 5}
TABLES = {**LENGTHS, **NUMBERS}
READ = "import sys, json; sys.stdin.buffer.read(); out = sys.stdout.buffer; "


@pytest.mark.parametrize("program", [
    "", "raise SystemExit(1)", READ, READ + "out.write(b'x' * (1 << 24))",
    READ + "out.write(b'[]\\n')", READ + "out.write(b'{}\\n')", READ + "out.write(b'null\\n')",
    READ + "out.write(b'{\"error\":5}\\n')", READ + "out.write(b'\\x80\\x04.\\n')",
    *(READ + f"out.write(json.dumps({TABLES | {name: value}}).encode() + b'\\n' + bytes(1 << 23))"
      for name in TABLES for value in (-1, 1 << 40, 1.5, None)),
    READ + f"out.write(json.dumps({TABLES}).encode() + b'\\n' + b'\\xff' * (1 << 23))",
    READ + f"out.write(json.dumps({TABLES}).encode() + b'\\n' + bytes(1 << 20))",
    "import time; time.sleep(60)", "while True: pass", "import os; os.abort()",
    "import sys\nwhile True: sys.stdout.write('x' * 65536)",
])
def test_children_that_lie(program, monkeypatch):
    """Nothing that a child says is believed, and none of them hangs."""
    begun = time.monotonic()
    with pytest.raises(ControlError, match="^Tokenizer.json not accepted: "):
        parse(program, monkeypatch, CONFIGS["nic"], parse_seconds=0.3)
    assert time.monotonic() - begun < 10 and not children(os.getpid())


def test_children_that_do_not(monkeypatch):
    program = READ + f"out.write(json.dumps({TABLES}).encode() + b'\\n' + bytes(1 << 23))"
    assert parse(program, monkeypatch, CONFIGS["nic"]).tables().longest == 5
    assert parse(READ + "out.write(b'{}\\n')", monkeypatch).made is None


def test_what_does_not_fit_is_known(monkeypatch):
    """A tokenizer that is more than the card holds is parsed once, and refused as such."""
    monkeypatch.setattr(foreign, "PROGRAM", READ + "out.write(b'{\"unfit\":\"too large\"}\\n')")

    async def run():
        parsers = Parsers(CONFIGS["nic"], Limits())
        with pytest.raises(VocabularyError, match="^too large$"):
            await parsers.parse(b"{}")
        monkeypatch.setattr(foreign, "PROGRAM", "raise SystemExit(1)")
        with pytest.raises(VocabularyError, match="^too large$"):
            parsers.known(b"{}")
        with pytest.raises(VocabularyError, match="^too large$"):
            await parsers.parse(b"{}")

    asyncio.run(run())


def test_foreign_tables(tokenizers, monkeypatch):
    """They are those that a process makes itself, and are known again."""
    source = vocabulary.tokenizer(vocabulary.small()).to_str()
    config = CONFIGS["nic"]

    async def run():
        parsers = Parsers(config, Limits())
        first = await parsers.parse(source.encode())
        assert parsers.known(source.encode()) is first is await parsers.parse(source.encode())
        assert parsers.known(b"{}") is None
        return first

    found, wanted = asyncio.run(run()), TokenRecipe(source).tables()
    made, image = found.fitted(config)
    np.testing.assert_array_equal(image, TokenRecipe(source).fitted(config)[1])
    for name in foreign.ARRAYS:
        np.testing.assert_array_equal(getattr(made, name), getattr(wanted, name))
    assert [getattr(made, name) for name in NUMBERS] == [getattr(wanted, name) for name in NUMBERS]
    assert found.source == source
    monkeypatch.setattr(foreign, "MOST_KEPT", 100)
    assert len(asyncio.run(Parsers(config, Limits()).parse(source.encode())).source) == 64
    assert found.vocabulary == ForeignTokenizer("other", wanted).vocabulary
    with pytest.raises(ValueError, match="^Tokenizer must have been parsed for"):
        found.tables(Geometry(node_bits=10))


# Time

def test_those_who_say_nothing():
    with serving(limits=Limits(setup=0.3)) as (server, _):
        for begin in (b"", b'{"version"'):
            with connect(server) as connection:
                begun = time.monotonic()
                connection.sendall(begin)
                assert said(connection) == {"error": "Line must come within 0.3 s"}
                assert time.monotonic() - begun < 5
        with Client(*server.address, timeout=5) as card:  # but those who are set up may rest
            prep = card.image(resize=8)
            prep(picture(1))
            time.sleep(1)
            prep(picture(1))
            assert server.counts["connections"] == 3


def test_attachments_that_do_not_come():
    limits = Limits(setup=0.3, attachment_rate=1e6)
    with serving(limits=limits) as (server, _):
        with connect(server) as connection:
            send(connection, {"version": 1, "kind": "tokenizer", "attachment": 100_000}, b"{")
            assert said(connection) == {"error": "Attachment must come within 0 s"}
        assert serves(server)


def test_those_who_do_not_close(monkeypatch):
    """After a refusal, or when all is done, they are not waited for for ever."""
    monkeypatch.setattr(serve, "LINGER", 0.3)
    with serving() as (server, _), connect(server) as connection:
        send(connection, {})
        assert "error" in said(connection)
        wait_until(lambda: not server._peers)


def test_those_who_do_not_read(monkeypatch):
    """Lines for a client that takes none are not kept for ever."""
    monkeypatch.setattr(serve, "MOST_UNSENT", 1000)
    with serving() as (server, _), connect(server) as connection:
        send(connection, {**IMAGE, "reply": "host"})
        queue_pair = said(connection)["queue_pair"]
        owner = server._owners[queue_pair]
        server._loop.call_soon_threadsafe(
            lambda: [server._tell(owner, bytes(1 << 20)) for _ in range(20)])
        wait_until(lambda: not server._owners)
        assert serves(server)


# Quotas

def test_connections_of_a_peer():
    with serving(limits=Limits(peer_connections=2, connections=3)) as (server, _), \
            contextlib.ExitStack() as stack:
        held = [stack.enter_context(connect(server, ip))
                for ip in ("127.0.0.2", "127.0.0.2", "127.0.0.3")]
        wait_until(lambda: server.counts["connections"] == 3)
        for ip in "127.0.0.2", "127.0.0.1":
            answer = ask(server, IMAGE, ip=ip)
            assert answer is None or answer["error"].startswith("Connections must be fewer")
        held[0].close()
        wait_until(lambda: server._open_connections == 2)
        assert serves(server)
        wait_until(lambda: server._open_connections == 2)
        assert "queue_pair" in ask(server, IMAGE, ip="127.0.0.2")


def test_queue_pairs_of_a_peer():
    with serving(limits=Limits(peer_queue_pairs=2)) as (server, _), \
            contextlib.ExitStack() as stack:
        held = [stack.enter_context(connect(server, "127.0.0.2")) for _ in range(3)]
        for connection in held:
            send(connection, IMAGE)
        answers = [said(connection) for connection in held]
        assert sorted("error" in answer for answer in answers) == [False, False, True]
        assert any("Queue pairs of an address must be at most 2" in answer.get("error", "")
                   for answer in answers)
        assert serves(server)
        for connection in held:
            connection.close()
        wait_until(lambda: not server._owners)
        assert "queue_pair" in ask(server, IMAGE, ip="127.0.0.2")


def test_attachments_of_a_peer():
    """What has come counts, not what was announced: those who send nothing take no room."""
    limits = Limits(attachment=1000, attachments=1600, peer_attachments=1200)
    with serving(limits=limits) as (server, _), contextlib.ExitStack() as stack:
        fields = {"version": 1, "kind": "tokenizer", "attachment": 1000}
        for ip, size, wrong in (("127.0.0.2", 1, False), ("127.0.0.2", 900, False),
                                ("127.0.0.2", 900, True), ("127.0.0.3", 600, False),
                                ("127.0.0.1", 900, True)):
            connection = stack.enter_context(connect(server, ip))
            before = server._attachments
            send(connection, fields, bytes(size))
            if wrong:
                assert said(connection)["error"].startswith("Attachments under way must be fewer")
            else:
                wait_until(lambda want=before + size: server._attachments == want)
        assert "Attachment must be" in ask(server, {**fields, "attachment": 1001})["error"]
        stack.close()
        wait_until(lambda: server._attachments == 0)
        assert "not accepted" in ask(server, {**fields, "attachment": 2}, b"{}")["error"]


def test_setups_that_take_the_cards_time():
    """A peer that has used up its share waits, and another does not."""
    class SlowNic(SoftNic):
        def listen(self, work, **options):
            time.sleep(0.2 if isinstance(work, HashingRecipe) else 0)
            return super().listen(work, **options)

    with serving(SlowNic(), limits=Limits(card_share=0.1)) as (server, _):
        with connect(server, "127.0.0.2"):
            wait_until(lambda: "127.0.0.2" in server._peers)
            peer = server._peers["127.0.0.2"]
            peer.card.left = 0.1
            assert "queue_pair" in ask(server, {"version": 1, "kind": "hashing"}, ip="127.0.0.2")
            begun = time.monotonic()
            assert serves(server)
            assert time.monotonic() - begun < 0.5
            assert "queue_pair" in ask(server, IMAGE, ip="127.0.0.2")
            assert time.monotonic() - begun > 0.5
        wait_until(lambda: server._peers.keys() == {"127.0.0.2"})  # what it owes is remembered
        peer.card.most = peer.card.left
        server._loop.call_soon_threadsafe(server._forget_later, "127.0.0.2")
        wait_until(lambda: not server._peers)


def test_setups_that_fail_take_the_cards_time():
    """What comes of them does not matter."""
    class RefusingNic(SoftNic):
        def listen(self, work, **options):
            time.sleep(0.2)
            raise ValueError("No")

    with serving(RefusingNic()) as (server, _), connect(server):
        wait_until(lambda: "127.0.0.1" in server._peers)
        before = server._peers["127.0.0.1"].card.left
        assert ask(server, IMAGE)["error"] == "No"
        wait_until(lambda: server._peers["127.0.0.1"].card.left < before - 0.15)


def test_peers_that_rest():
    """Their queue pairs are closed in the end; a client does not notice."""
    with serving(limits=Limits(idle=0.3)) as (server, log), \
            Client(*server.address, timeout=5) as card:
        prepare, want = card.image(resize=8), hr.open("cpu").image(resize=8)
        for n in range(3):
            np.testing.assert_array_equal(prepare(picture(n)), want(picture(n)))
            wait_until(lambda: not server._owners)
            time.sleep(0.2)  # until the client has been told
            assert any("must send something within 0.3 s" in entry for entry in log)
        assert sum(" opened for " in entry for entry in log) == 3


def test_disk(tmp_path):
    size = 8 * 8 * 3 + 128
    limits = Limits(disk=3 * size, peer_disk=2 * size)
    (tmp_path / "there.txt").write_bytes(bytes(100))
    with serving(output=tmp_path, limits=limits) as (server, log):
        recipe, counts = Recipe(resize=8, crop=8), []
        for _ in range(2):
            with Client(*server.address, timeout=5) as card:
                kept = card.keep(recipe, [picture(n) for n in range(4)])
                assert [entry["status"] for entry in kept] == [0] * 4
                counts.append(sum("file" in entry for entry in kept))
            server._saved.clear()  # as of another address
        assert counts == [2, 0]
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 3 * size
        assert any("an address must be at most" in entry for entry in log)
        assert any("folder must hold at most" in entry for entry in log)
        for path in tmp_path.iterdir():
            path.unlink()
        server._looked -= serve.LOOK
        with Client(*server.address, timeout=5) as card:
            assert "file" in card.keep(recipe, [picture(1)])[0]
        assert server.counts["unsaved"] == 6


def test_no_descriptors_left():
    """The listener waits instead of trying all the time, and goes on when there are some."""
    with serving() as (server, log), contextlib.ExitStack() as stack:
        assert serves(server)
        clients = [stack.enter_context(socket.socket()) for _ in range(3)]
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(map(int, os.listdir("/proc/self/fd")))
        filler = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, before[1]))
            with contextlib.suppress(OSError):
                while True:
                    filler.append(os.dup(2))
            for client in clients:
                client.settimeout(10)
                client.connect(server.address)
                send(client, {})
            time.sleep(0.5)
            assert 1 <= sum("no connection can be accepted" in entry for entry in log) <= 3
        finally:
            for one in filler:
                os.close(one)
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for client in clients:
            assert "error" in said(client)
        assert serves(server)


# Datagrams

@pytest.mark.parametrize("reply", [
    {"ip": "0.0.0.0"}, {"ip": "224.0.0.1"}, {"ip": "255.255.255.255"}, {"ip": "10.77.0.2"}])
def test_no_answers_to_nobody(reply):
    with serving() as (server, _):
        assert re.match("Reply must (not )?go to", ask(server, {**IMAGE, "reply": reply})["error"])


def test_no_answers_to_itself():
    with serving() as (server, _):
        ip, port = server.address
        answer = ask(server, {**IMAGE, "reply": {"ip": ip, "port": port}})
        assert answer["error"].startswith("Reply must not go to the card or the server itself")
        with connect(server) as connection:
            send(connection, {"version": 1, "kind": "hashing"})
            queue_pair = said(connection)["queue_pair"]
            packet, = wire.request(wire.Sender(queue_pair), 1, b"word")
            data = wire.seal(wire.to_datagram(packet), server.address, (server.nic.ip, 4791))
            server.link._socket.sendto(data, server.address)
            wait_until(lambda: server.counts["frames_own"])
            time.sleep(0.1)
            assert server.counts["frames_own"] == 1 and server.counts["frames_in"] == 0
    server = serve.Server.udp(SoftNic(), "0.0.0.0", log=lambda text: None)
    assert server._is_own("127.0.0.1", server.address[1])
    assert not server._is_own("127.0.0.1", 1) and not server._is_own("192.0.2.1", 1)
    server._end()
    assert is_local("127.0.0.1") and not is_local("192.0.2.1")


def test_a_flood_makes_the_flooder_wait():
    """Datagrams of who has no connection, more than a card takes, while another is served."""
    with serving(SoftNic(each=1)) as (server, _), Client(*server.address, timeout=10) as card, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.9", 0))
        done = threading.Event()

        def flood():
            while not done.is_set():
                for _ in range(20):
                    udp.sendto(bytes(1000), server.address)
                time.sleep(0.001)

        thread = threading.Thread(target=flood)
        thread.start()
        try:
            files = [picture(n) for n in range(20)]
            found = card.image(resize=8, crop=8)(files)
        finally:
            done.set()
            thread.join()
        np.testing.assert_array_equal(found, hr.open("cpu").image(resize=8, crop=8)(files))


def test_turns():
    queue = FairQueue(2000, 5000)
    for n in range(5):
        queue.put("greedy", f"g{n}", 100)
    for n in range(2):
        queue.put("modest", f"m{n}", 100)
    assert [queue.get() for _ in range(7)] == ["g0", "m0", "g1", "m1", "g2", "g3", "g4"]
    assert not queue and queue._size == 0 and not queue._sizes
    assert [queue.put("greedy", n, 600) for n in range(4)] == [True, True, False, False]
    assert queue.put("modest", 0, 600) and queue.put("modest", 1, 600)
    assert not queue.put("third", 0, 1600) and queue.put("third", 0, 1000)


def test_allowances():
    allowance = Allowance(1.0, 10.0)
    assert allowance.missing(1.0) == 0
    allowance.left -= 2.0
    assert 0.05 < allowance.missing(0) <= 0.1
    time.sleep(0.15)
    assert 0.3 < allowance.fill() <= 1.0


def test_shares_of_the_rate():
    """Small results for one address do not wait for another's large ones."""
    with serving(rate=2e5) as (server, _), Client(*server.address, timeout=20) as card, \
            connect(server, "127.0.0.2") as greedy, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        card.hashing_vectorizer(n_features=9).transform(["a"])
        udp.bind(("127.0.0.2", 0))
        send(greedy, {**IMAGE, "options": {"resize": [400, 400]}})
        sender = wire.Sender(said(greedy)["queue_pair"])
        for number in range(1, 5):  # seconds of the rate
            for packet in wire.request(sender, number, picture(1)):
                udp.sendto(wire.seal(wire.to_datagram(packet), udp.getsockname(),
                                     (server.nic.ip, 4791)), server.address)
        wait_until(lambda: len(server._unsent._items.get("127.0.0.2", ())) > 100)
        begun = time.monotonic()
        card.hashing_vectorizer(n_features=9).transform(["a"])
        assert time.monotonic() - begun < 1


# Tokens and TLS

def test_tokens(tokenizers):
    with serving(token=TOKEN) as (server, _):
        for fields in (IMAGE, {**IMAGE, "token": TOKEN[:-1]}, {**IMAGE, "token": "\ud800"},
                       {**IMAGE, "token": None}, {**IMAGE, "token": [TOKEN]},
                       {"version": 1, "kind": "tokenizer", "attachment": 1 << 20},
                       {"anything": 1}):
            assert ask(server, fields)["error"].startswith("Token must be")
        assert not server.nic.open
        assert "queue_pair" in ask(server, {**IMAGE, "token": TOKEN})
        with Client(*server.address, token=TOKEN, timeout=5) as card:
            expected = hr.open("cpu").image(resize=8)(picture(1))
            np.testing.assert_array_equal(card.image(resize=8)(picture(1)), expected)
            assert len(card.tokenizer(vocabulary.tokenizer(vocabulary.small()))(["word"])) == 3
        with Client(*server.address) as card, pytest.raises(hr.CardError, match="Token must be g"):
            card.image(resize=8)(picture(1))
    with serving() as (server, _):  # which wants none
        assert "queue_pair" in ask(server, {**IMAGE, "token": TOKEN})
    for wrong in "short", "with a space in it", "ümlaut-ümlaut-ümlaut", 5, "":
        with pytest.raises(ValueError, match="^Token must be 16 to 4096"):
            check_token(wrong)
    with pytest.raises(ValueError, match="^Token must be"):
        Client("127.0.0.1", token="short")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Paths of a certificate for this machine, and of its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes a certificate, is not installed")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    return cert, key


def test_tls(certificate, tmp_path):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    trusting = ssl.create_default_context(cafile=certificate[0])
    limits = Limits(setup=0.5)
    with serving(tls=context, token=TOKEN, output=tmp_path, limits=limits,
                 allow_forward=True) as (server, _):
        with Client(*server.address, tls=trusting, token=TOKEN, timeout=5) as card:
            files = [picture(n) for n in range(5)]
            with Client(*server.address, tls=certificate[0], token=TOKEN) as other, \
                    pickle.loads(pickle.dumps(other)) as copy:
                copy.image(resize=8)(files[0])
            np.testing.assert_array_equal(card.image(resize=8, crop=8)(files),
                                          hr.open("cpu").image(resize=8, crop=8)(files))
            assert all("file" in entry for entry in card.keep(Recipe(resize=8), files))
            card.forward(Recipe(resize=8), files, wire.Station(None, "127.0.0.1", 9))
        with Client(*server.address, tls=True) as card, \
                pytest.raises(hr.CardError, match="^No TLS with the server .*self.signed"):
            card.image(resize=8)(files[0])
        with Client(*server.address, token=TOKEN, timeout=5) as card, \
                pytest.raises(hr.CardError, match="want TLS|Connection reset"):
            card.image(resize=8)(files[0])
        with Client(*server.address, tls=trusting) as card, \
                pytest.raises(hr.CardError, match="Token must be given"):
            card.image(resize=8)(files[0])
        with connect(server) as silent:  # who does not even shake hands
            assert silent.recv(1) == b""
        wait_until(lambda: not server._open_connections)
    with serving() as (server, _), Client(*server.address, tls=trusting, timeout=2) as card, \
            pytest.raises(hr.CardError, match="^No TLS with the server"):
        card.image(resize=8)(files[0])
    with pytest.raises(ValueError, match="^Tls must be True, False, the path of "):
        Client("127.0.0.1", tls=5)


def test_command_line(certificate, tmp_path, capsys):
    cert, key = certificate
    token, file = tmp_path / "token", tmp_path / "a.jpg"
    token.write_text(TOKEN + "\n")
    file.write_bytes(picture(1))
    with command("--token", token, "--cert", cert, "--key", key) as (process, (host, port)):
        to = ["send", str(file), "--to", f"{host}:{port}", "--resize", "8"]
        assert cli.main([*to, "--token", str(token), "--tls", "--ca", str(cert)]) == 0
        assert cli.main([*to, "--tls", "--ca", str(cert)]) == 1
        assert "Token must be given" in capsys.readouterr().err
        assert cli.main([*to, "--ca", str(cert)]) == 1
        assert "Give --ca only with --tls" in capsys.readouterr().err
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


@pytest.mark.parametrize("options, code, message", [
    (["--token", "missing"], 2, "cannot be taken from missing: .*No such file"),
    (["--cert", "x"], 1, "headrace: Give --cert and --key, or neither"),
    (["--cert", __file__, "--key", __file__], 1, "headrace: Certificate must be PEM and fit"),
    (["--limit", "nothing=1"], 1, "headrace: Limit must be one of connections, .*not 'nothing'"),
    (["--limit", "setup=x"], 1, "headrace: Limit setup must be NAME=NUMBER, not 'setup=x'"),
    (["--limit", "setup"], 1, "headrace: Limit setup must be NAME=NUMBER, not 'setup'"),
    (["--limit", "disk=0"], 1, "headrace: Limit disk must be an int above 0, not 0"),
    (["--limit", "setup=nan"], 1, "headrace: Limit setup must be a number above 0, not nan"),
])
def test_options(options, code, message, capsys):
    try:
        found = cli.main(["serve", "--udp", "127.0.0.1:0", "--card", "soft_nic:SoftNic", *options])
    except SystemExit as error:
        found = error.code
    assert found == code and re.search(message, capsys.readouterr().err)


def test_documented_limits():
    """The table of the docs has every limit with its default."""
    text = (TESTS.parent / "docs" / "security.md").read_text()
    found = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", text, re.MULTILINE))
    assert {name: float(value) for name, value in found.items()} == vars(Limits())


# Ends

@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ends_while_it_parses(number, tokenizers):
    with command(card="test_strangers:TableNic") as (process, address):
        source = hostile.slow(1)
        with socket.create_connection(address) as connection:
            send(connection, tokenizer_fields(source), source)
            wait_until(lambda: children(process.pid))
            time.sleep(0.5)
            child, = children(process.pid)
            process.send_signal(number)
            assert process.wait(10) == 0
        assert not Path(f"/proc/{child}").exists()


def test_nobody_reads_the_log():
    with command() as (process, address):
        process.stdout.close()
        for _ in range(3):
            with Client(*address, timeout=5) as card:
                card.image(resize=8)(picture(1))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0 and process.stderr.read() == ""


class BrokenNic(SoftNic):
    """One that fails when it is used."""

    def exchange(self, frames, budget):
        raise hr.CardError("The card is stuck")


def test_a_card_that_fails():
    """There is nothing to serve then: the server ends, and says so."""
    with command(card="test_strangers:BrokenNic") as (process, address):
        with Client(*address, timeout=5) as card, pytest.raises(hr.CardError):
            card.image(resize=8)(picture(1))
        assert process.wait(20) == 1
        assert process.stderr.read() == "headrace: The card is stuck\n"


def test_stopped_before_it_runs():
    server = serve.Server.udp(SoftNic(), log=lambda text: None)
    server.stop()
    server.run()


def test_soak(nic_built, tokenizers):
    """A short one: all results exact with hostile peers beside, and nothing left behind."""
    with contextlib.redirect_stdout(io.StringIO()):
        figures = soak.run(list(soak.kinds()), 150, hostile=True)
    assert figures["requests, all exact"] >= 150 and figures["processes left behind"] == 0
    assert figures["hostile: idle"] >= hostile.IDLE and figures["hostile: noise"] > 0
