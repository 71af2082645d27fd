# SPDX-License-Identifier: Apache-2.0
"""The control protocol: what is said is understood, and nonsense gets a clear answer."""

import dataclasses
import json
import random
import re
import socket
from pathlib import Path

import pytest

import vocabulary
from headrace import wire
from headrace.control import MOST_LINE, Answer, ControlError, Lines, Setup, line
from headrace.hashing import HashingRecipe
from headrace.recipe import Recipe
from headrace.token_recipe import TokenRecipe
from soft_nic import SoftNic, serving


IMAGE = {"version": 1, "kind": "image"}


def setups():
    yield Setup(Recipe())
    yield Setup(Recipe((3, 4), 2, "bicubic", (0.1, 0.2, 0.3), 0.5, "float16", "CHW"), None, 7)
    yield Setup(HashingRecipe(1000, (1, 3), False, False), wire.Station(None, "10.0.0.9"), 5, False)
    yield Setup(Recipe(), wire.Station("02:00:00:00:00:09", "10.0.0.9", 77), (1 << 24) - 1)


@pytest.mark.parametrize("setup", list(setups()))
def test_setups_come_through(setup):
    (fields, attachment), = Lines(Setup.attachment).feed(setup.encode())
    assert Setup.decode(fields, attachment) == setup


def test_attachments_come_through_in_pieces():
    pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    setup = Setup(TokenRecipe.read(vocabulary.tokenizer(vocabulary.small())))
    lines, rng, got = Lines(Setup.attachment), random.Random(1), []
    data = setup.encode() + Setup(Recipe()).encode()
    while data:
        size = rng.randrange(1, 300)
        got += lines.feed(data[:size])
        data = data[size:]
    assert [Setup.decode(*entry) for entry in got] == [setup, Setup(Recipe())]


def test_answers():
    for first in None, 77:
        answer = Answer(256, "02:00:00:00:00:01", "10.0.0.2", 4791, "udp", 1024, 10, 20, 30, first)
        (fields, _), = Lines().feed(answer.encode())
        assert Answer.decode(fields | {"later": "more"}) == answer
    del fields["first"]     # as servers had it before
    assert Answer.decode(fields).first is None
    with pytest.raises(ControlError, match="^The server refuses: no$"):
        Answer.decode({"error": "no"})


def test_documented_lines():
    text = (Path(__file__).resolve().parents[2] / "docs" / "network.md").read_text()
    seen = {"setups": 0, "answers": 0, "errors": 0, "results": 0}
    for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL):
        for fields, _ in Lines().feed(block.encode()):
            if "version" in fields:
                assert Setup.decode(fields)
                seen["setups"] += 1
            elif "error" in fields:
                with pytest.raises(ControlError, match="Kind must be one of"):
                    Answer.decode(fields)
                seen["errors"] += 1
            elif "received" in fields:
                assert (fields["status"] == 0) == ("shape" in fields)
                seen["results"] += 1
            else:
                assert line(fields) == Answer.decode(fields).encode()
                seen["answers"] += 1
    assert seen == {"setups": 5, "answers": 1, "errors": 1, "results": 2}
    for fields in dataclasses.fields(Answer):
        assert f"`{fields.name}`" in text


@pytest.mark.parametrize("wrong, message", [
    ({}, "Version must be 1, not None"),
    ({"version": 2}, "Version must be 1, not 2"),
    ({**IMAGE, "kind": "video"}, "Kind must be one of image, hashing, tokenizer, not 'video'"),
    ({**IMAGE, "kind": []}, r"Kind must be one of .*, not \[\]"),
    ({**IMAGE, "extra": 1}, "Field must be one of check, kind, .*, not extra"),
    ({**IMAGE, "queue_pair": 1 << 24}, "Queue_pair must be an int within range"),
    ({**IMAGE, "queue_pair": True}, "Queue_pair must be an int within range"),
    ({**IMAGE, "check": 1}, "Check must be true or false, not 1"),
    ({**IMAGE, "port": 0}, 'Port must be from 1 on, or "any", not 0'),
    ({**IMAGE, "port": 65536}, r"Port must be an int within range\(65536\), not 65536"),
    ({**IMAGE, "port": "all"}, "Port must be an int within range"),
    ({**IMAGE, "reply": "nobody"}, "Reply must be sender, host or an object with ip"),
    ({**IMAGE, "reply": {"port": 1}}, "Field must be given: ip"),
    ({**IMAGE, "reply": {"ip": "10.0.0.256"}}, "Ip must be an IPv4 address, not '10.0.0.256'"),
    ({**IMAGE, "reply": {"ip": []}}, r"Ip must be an IPv4 address, not \[\]"),
    ({**IMAGE, "reply": {"ip": 5}}, "Ip must be an IPv4 address, not 5"),
    ({**IMAGE, "reply": {"ip": "10.0.0.2", "mac": "x"}}, "Mac must be like 02:.*, not 'x'"),
    ({**IMAGE, "reply": {"ip": "10.0.0.2", "port": -1}}, "Port must be an int within range"),
    ({**IMAGE, "options": []}, r"Options must be an object, not \[\]"),
    ({**IMAGE, "options": {"size": 1}}, "Field must be one of crop, .*, not size"),
    ({**IMAGE, "options": {"resize": "big"}}, "Options not accepted: ValueError: Resize must be"),
    ({**IMAGE, "options": {"filter": "lanczos"}}, ".*Filter must be one of bilinear, bicubic"),
    ({**IMAGE, "attachment": 4}, "Field must be one of .*, not attachment"),
    ({**IMAGE, "kind": "hashing", "options": {"features": 0}}, ".*N_features must be within"),
    ({**IMAGE, "kind": "hashing", "options": {"ngram_range": [1, 4]}}, "Ngram_range must end"),
    ({**IMAGE, "kind": "tokenizer"}, "Attachment must be a number of bytes up to"),
    ({**IMAGE, "kind": "tokenizer", "attachment": 1 << 40}, "Attachment must be a number"),
])
def test_server_names_what_is_wrong(there, wrong, message):
    assert_refused(there, line(wrong), message)


@pytest.mark.parametrize("data, message", [
    (b"hello\n", "Line must be a JSON object, not b'hello'"),
    (b"[1]\n", r"Line must be a JSON object, not b'\[1\]'"),
    (b"\xff\xfe\n", "Line must be a JSON object"),
    (b"[" * 50_000 + b"\n", "Line must be a JSON object"),
    (b"x" * (MOST_LINE + 1), f"Line must be at most {MOST_LINE} bytes"),
    (b"{}" + b" " * (1 << 22) + b"\n", f"Line must be at most {MOST_LINE} bytes"),
    (line({**IMAGE, "kind": "tokenizer", "attachment": 2}) + b"{}",
     "Tokenizer.json not accepted: "),
    (line({**IMAGE, "kind": "tokenizer", "attachment": 2}) + b"\xff\xff",
     "Tokenizer.json not accepted: UnicodeDecodeError"),
], ids=range(8))
def test_server_survives_nonsense(there, data, message):
    assert_refused(there, data, message)


@pytest.fixture(scope="module")
def there():
    with serving(SoftNic()) as there:
        yield there


def assert_refused(there, data, message):
    """The client is told; other queue pairs can be opened; nothing stays open."""
    server, _ = there
    with socket.create_connection(server.address, timeout=5) as connection:
        connection.sendall(data)
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        fields = json.loads(answer)
        assert fields.keys() == {"error"}
        assert re.match(message, fields["error"]), fields
    with socket.create_connection(server.address, timeout=5) as connection:
        connection.sendall(Setup(Recipe()).encode())
        Answer.decode(json.loads(connection.makefile().readline()))


def test_one_queue_pair_a_connection(there):
    server, log = there
    with socket.create_connection(server.address, timeout=5) as connection, \
            connection.makefile() as file:
        connection.sendall(Setup(Recipe(), queue_pair=9).encode())
        answer = Answer.decode(json.loads(file.readline()))
        assert answer.queue_pair in server.nic.open
        connection.sendall(Setup(Recipe()).encode())
        assert "one queue pair" in json.loads(file.readline())["error"]
        assert file.readline() == "" and not server.nic.open
    for _ in range(3):  # connections that say nothing, or half of it
        with socket.create_connection(server.address, timeout=5) as connection:
            connection.sendall(b'{"version"')
    with socket.create_connection(server.address, timeout=5) as connection:
        connection.sendall(Setup(Recipe()).encode())
        Answer.decode(json.loads(connection.makefile().readline()))
        assert len(server.nic.open) == 1
    assert f"queue pair {answer.queue_pair:#x} closed" in log
