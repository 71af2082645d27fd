# SPDX-License-Identifier: Apache-2.0
"""The server: its links, what it saves and says, and the command line around it."""

import errno
import importlib.util
import io
import math
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headrace as hr
import vocabulary
from headrace import cli, wire
from headrace.client import Client
from headrace.hw.status import Status
from headrace.hw.wire.headers import ARP, BROADCAST, ETHERNET, EtherType
from headrace.links import TapLink, neighbour, station_mac
from headrace.nic import open_nic
from headrace.recipe import Recipe
from headrace.serve import Server
from soft_nic import SoftNic, serving


ROOT = Path(__file__).resolve().parents[2]
PHOTO = ROOT / "examples" / "teddies.jpg"


@pytest.fixture
def files(tmp_path):
    """A good file, one that is none, and one that is not there."""
    good, bad = tmp_path / "good.jpg", tmp_path / "bad.jpg"
    with Image.open(PHOTO) as photo:
        photo.resize((90, 60)).save(good)
    bad.write_bytes(b"no image")
    return good, bad, tmp_path / "missing.jpg"


def jpeg(shade):
    """A small picture of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (50 * shade, 0, 0)).save(file, "JPEG")
    return file.getvalue()


def test_results_in_host_memory(files, tmp_path):
    recipe = Recipe(resize=20, crop=16, dtype="float32")
    with serving(output=tmp_path) as (server, log), Client(*server.address, timeout=2) as card:
        good, bad = card.keep(recipe, [files[0].read_bytes(), b"no image"])
        assert (good["dtype"], good["shape"], good["cycles"]) == ("float32", [16, 16, 3], 1000)
        np.testing.assert_array_equal(
            np.load(tmp_path / good["file"]),
            hr.open("cpu").image(20, 16, dtype="float32", layout="HWC")(files[0].read_bytes()))
        assert bad["status"] == Status.CORRUPT and "file" not in bad
    assert server.counts["received"] == 2
    assert any(re.search("request 1 from 127.0.0.1: OK float32 16x16x3 .*npy$", text)
               for text in log)
    assert log[-1].startswith("counters: ") and "PACKET" in log[-1]


def test_files_are_not_overwritten(tmp_path, monkeypatch):
    """Should a queue pair's number come again, and each client counts from 1."""
    monkeypatch.setattr("secrets.randbelow", lambda below: 0x100)
    recipe, names = Recipe(resize=8), []
    with serving(output=tmp_path) as (server, log):
        for shade in range(4):
            with Client(*server.address, timeout=2) as card:
                entry, = card.keep(recipe, [jpeg(shade)])
            names.append(entry["file"])
            while sum(text.endswith(" closed") for text in log) <= shade:
                time.sleep(0.01)  # until the number may come again
    assert names[0] == "100-1.npy" and len(set(names)) == 4
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())
    for shade, name in enumerate(names):
        np.testing.assert_array_equal(
            np.load(tmp_path / name), hr.open("cpu").image(8, layout="HWC")(jpeg(shade)))


def test_results_that_cannot_be_saved(tmp_path, monkeypatch):
    """The client is told of the result all the same, and the server goes on."""
    folder = tmp_path / "results"
    folder.mkdir()
    monkeypatch.setattr("secrets.randbelow", lambda below: 0x100)
    with serving(output=folder) as (server, log), Client(*server.address, timeout=2) as card:
        folder.rmdir()
        entry, = card.keep(Recipe(resize=8), [jpeg(0)])
        assert (entry["status"], entry["shape"]) == (0, [8, 8, 3]) and "file" not in entry
        assert any(re.search("^result of queue pair 0x100 request 1 not saved: .*No such file",
                             text) for text in log)
        folder.mkdir()

        def full(file, array):
            file.write(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as context:
            context.setattr(np, "save", full)
            entry, = card.keep(Recipe(resize=8), [jpeg(0)])
        assert "file" not in entry and not list(folder.iterdir())
        assert any("request 2 not saved: " in text and "No space" in text for text in log)
        entry, = card.keep(Recipe(resize=8), [jpeg(0)])
        assert [path.name for path in folder.iterdir()] == [entry["file"]]
    assert server.counts["unsaved"] == 2 and server.counts["received"] == 3


def test_damage_on_the_way():
    """The CRC is looked at unless the client says otherwise, all the way."""
    with serving() as (server, _):
        with Client(*server.address, timeout=0.05, retries=1, check=False) as card:
            assert card.hashing_vectorizer(n_features=10).transform(["some words"]).nnz
            assert server.nic.counted["ICRC"] == 0
        with Client(*server.address, timeout=2) as card, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            card.hashing_vectorizer(n_features=10).transform(["some words"])
            queue_pair, = server.nic.open
            packet, = wire.request(wire.Sender(queue_pair), 1, b"x")
            other.sendto(wire.to_datagram(packet), server.address)  # the CRC is zero
            other.sendto(b"", server.address)
            other.sendto(b"x" * 20_000, server.address)
            card.hashing_vectorizer(n_features=10).transform(["some words"])
            counted = server.nic.counted
            assert counted["ICRC"] == 1 and counted["LENGTH"] == 1
            assert server.counts["frames_dropped"] == 1


def test_rate():
    """What is sent to clients is spread over time."""
    data = io.BytesIO()
    Image.new("RGB", (8, 8)).save(data, "JPEG")
    with serving(SoftNic(segment=4096), rate=1e6) as (server, _), \
            Client(*server.address, timeout=5) as card:
        begun = time.monotonic()
        card.image(resize=(100, 100))([data.getvalue()] * 16)
        # 480,000 bytes, of which 65,536 may go at once.
        assert time.monotonic() - begun > 0.4
        assert card.counters()["lost"] == 0


@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf])
def test_rates_that_are_none(rate, capsys):
    with pytest.raises(ValueError, match=f"^Rate must be a finite number above 0, not {rate}$"):
        Server.udp(SoftNic(), rate=rate)
    with pytest.raises(SystemExit):
        cli.main(["serve", "--udp", "127.0.0.1:0", "--card", "none:none", f"--rate={rate}"])
    assert f"--rate: must be a finite number above 0, not '{rate}'" in capsys.readouterr().err


def test_a_very_low_rate():
    """What waits for hours is no reason to end."""
    with serving(rate=1e-12) as (server, _):
        server._allowance = -1
        with Client(*server.address, timeout=0.1, retries=0) as card:
            with pytest.raises(hr.HeadraceError, match="no answer"):
                card.image(resize=8)(jpeg(0))
        with Client(*server.address, timeout=5) as card:
            assert card.keep(Recipe(resize=8), [jpeg(0)])[0]["status"] == 0


def test_addresses():
    assert station_mac("10.0.0.2") == "02:00:0a:00:00:02"
    assert [neighbour(ip) for ip in ("10.0.0.2", "10.0.0.1")] == ["10.0.0.1", "10.0.0.2"]


def test_a_port_that_is_taken():
    """By UDP alone: an error, unless any port will do."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="in use"):
            Server.udp(SoftNic(), *taken.getsockname())
    with serving() as (server, _):
        assert server.link._socket.getsockname() == server.address


def test_cards_by_name():
    assert isinstance(open_nic("soft_nic:SoftNic", ip="10.1.2.3"), SoftNic)
    for name in "nothing:Nic", "soft_nic:Nothing", "soft_nic", "":
        with pytest.raises(hr.CardError, match="^Network card .* is not found: give sim, or"):
            open_nic(name)


# Command line

def send(server, *args):
    host, port = server.address
    return cli.main(["send", *map(str, args), "--to", f"{host}:{port}", "--timeout", "2"])


def test_send_images(files, tmp_path, capsys):
    out = tmp_path / "batch.npy"
    options = ["--resize", "32", "--crop", "24", "--imagenet", "--dtype", "float16"]
    with serving() as (server, _):
        assert send(server, *files, *options, "-o", out) == 1
        captured = capsys.readouterr()
        assert "bad.jpg: UnidentifiedImageError" in captured.err
        assert "missing.jpg: FileNotFoundError" in captured.err
        assert "1 of 3 images" in captured.out and "0 lost, 0 sent again" in captured.out
        assert send(server, files[0], *options, "-o", out, "--mtu", "256") == 0
    expected = tmp_path / "expected.npy"
    assert cli.main(["run", str(files[0]), *options, "--card", "cpu", "-o", str(expected)]) == 0
    np.testing.assert_array_equal(np.load(out), np.load(expected))


def test_send_texts(tmp_path, capsys):
    pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    good, bad, file = tmp_path / "good.txt", tmp_path / "bad.txt", tmp_path / "tokenizer.json"
    good.write_text("the word of a piece")
    bad.write_bytes(b"\xff")
    vocabulary.tokenizer(vocabulary.small()).save(str(file))
    with serving() as (server, _):
        for verb, options in (("tokenize", ["--tokenizer", file, "--special"]),
                              ("hash", ["--features", 1000, "--ngrams", "1,2"])):
            found, expected = tmp_path / "found.npz", tmp_path / "expected.npz"
            assert send(server, good, bad, *options, "-o", found) == 1
            assert "bad.txt: UnicodeDecodeError" in capsys.readouterr().err
            assert cli.main([verb, *map(str, [good, bad, *options, "-o", expected]),
                             "--card", "cpu"]) == 1
            capsys.readouterr()
            with np.load(found) as got, np.load(expected) as wanted:
                assert set(got) == set(wanted)
                for name in wanted:
                    np.testing.assert_array_equal(got[name], wanted[name])
        assert send(server, good, "--tokenizer", file, "--features", "5") == 1
        assert "not both" in capsys.readouterr().err


def test_send_away(files, tmp_path, capsys):
    with serving(output=tmp_path, allow_forward=True) as (server, _):
        assert send(server, *files, "--crop", "24", "--keep") == 1
        captured = capsys.readouterr()
        name, = re.findall(r"good.jpg: uint8 3x24x24 (\S+\.npy)", captured.out)
        assert np.load(tmp_path / name).shape == (3, 24, 24)
        assert "bad.jpg: ItemError: CORRUPT: does not start" in captured.err
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
            elsewhere.bind(("127.0.0.1", 0))
            elsewhere.settimeout(5)
            assert send(server, files[1], "--forward",
                        f"127.0.0.1:{elsewhere.getsockname()[1]}") == 0
            message = wire.Reassembler().feed(wire.from_datagram(elsewhere.recv(9000)))
        assert wire.from_response(message)[0]["status"] == Status.CORRUPT
        assert send(server, files[0], "--keep", "-o", tmp_path / "x.npy") == 1
    assert cli.main(["send", str(files[0]), "--to", "127.0.0.1:1"]) == 1
    assert "No server at 127.0.0.1:1" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_command(number, files):
    """The command as a process of its own, ended as people and init systems do."""
    path = os.pathsep.join(filter(None, [str(ROOT / "tests"), *sys.path]))
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from headrace.cli import main; sys.exit(main())",
         "serve", "--udp", "127.0.0.1:0", "--card", "soft_nic:SoftNic", "--ip", "10.9.8.7"],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path})
    try:
        first = process.stdout.readline()
        port, = re.findall(r"10\.9\.8\.7, udp; control at 127\.0\.0\.1:(\d+)", first)
        with Client("127.0.0.1", int(port), timeout=5) as card:
            data = files[0].read_bytes()
            np.testing.assert_array_equal(card.decode_jpeg(data),
                                          hr.open("cpu").decode_jpeg(data))
        process.send_signal(number)
        rest, _ = process.communicate(timeout=10)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert "opened for 127.0.0.1" in rest and "closed" in rest and "counters: " in rest


@pytest.mark.parametrize("name, message", [
    ("none:none", "Network card 'none:none' is not found"),
    (".foo:x", "Network card '.foo:x' must be sim, or MODULE:CALLABLE that takes mac and ip: "),
    ("os:path", "Network card 'os:path' must be sim, or MODULE:CALLABLE that takes mac and ip: "),
    ("os:getcwd", "Network card 'os:getcwd' must make a headrace.nic.Nic, not str"),
])
def test_serve_needs_a_card(name, message, capsys):
    assert cli.main(["serve", "--udp", "127.0.0.1:0", "--card", name]) == 1
    assert f"headrace: {message}" in capsys.readouterr().err


@pytest.mark.parametrize("option, message", [
    ("--ip=10.0.0", "headrace: Ip must be an IPv4 address, not '10.0.0'"),
    ("--mac=02:00", "headrace: Mac must be like 02:00:00:00:00:01, not '02:00'")])
def test_serve_needs_addresses(option, message, capsys, monkeypatch):
    monkeypatch.setattr("headrace.serve.until_signal", Server._end)
    assert cli.main(["serve", "--udp", "127.0.0.1:0", "--card", "soft_nic:SoftNic", option]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("args, message", [
    (["serve", "--udp=127.0.0.1:99999"], "must be a whole number from 0 to 65535, not '99999'"),
    (["serve", "--udp=127.0.0.1:x"], "port must be a whole number from 0 to 65535, not 'x'"),
    (["serve", "--tap=x", "--card=a:b", "--control=65536"], "--control: must be a whole number"),
    (["send", "x", "--to=a:99999"], "port must be a whole number from 1 to 65535, not '99999'"),
    (["send", "x", "--to=a:0"], "port must be a whole number from 1 to 65535, not '0'"),
    (["send", "x", "--to=:1"], "--to: must be HOST or HOST:PORT, not ':1'"),
    (["send", "x", "--to=a", "--forward=10.0.0"], "--forward: must be IP or IP:PORT, not '10.0.0'"),
    (["send", "x", "--to=a", "--window=0"], "--window: must be a whole number from 1 on, not '0'"),
    (["send", "x", "--to=a", "--retries=-1"], "--retries: must be a whole number from 0 on"),
    (["send", "x", "--to=a", "--timeout=0"], "--timeout: must be a finite number above 0, not '0'"),
])
def test_options_out_of_range(args, message, capsys):
    with pytest.raises(SystemExit) as info:
        cli.main(args)
    assert info.value.code == 2 and message in capsys.readouterr().err


# TAP

@pytest.fixture(params=["soft_nic:SoftNic", "sim"])
def tap(request):
    """A server at a TAP device."""
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        pytest.skip(f"needs root and /dev/net/tun: {error}")
    if request.param == "sim" and importlib.util.find_spec("headrace._nic") is None:
        pytest.skip("the simulated network card is not built")
    nic = open_nic(request.param, mac="02:00:00:00:77:02", ip="10.77.31.2")
    try:
        link = TapLink("hrtest0", "10.77.31.1/24")
    except hr.CardError as error:
        pytest.skip(str(error))
    server = Server.tap(nic, link, 0, log=lambda text: None)
    thread = threading.Thread(target=server.run)
    thread.start()
    yield server
    server.stop()
    thread.join(10)
    assert not thread.is_alive()
    nic.close()


def echo(ip, payload):
    """Payload of the answer to an ICMP echo request, by way of the kernel."""
    head = struct.pack(">BBHHH", 8, 0, 0, 0x4444, 1)
    even = bytes(len(payload) % 2)
    head = head[:2] + struct.pack(">H", wire.checksum(head + payload + even)) + head[4:]
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.settimeout(5)
        raw.sendto(head + payload, (ip, 0))
        while True:
            data, (source, _) = raw.recvfrom(4096)
            if source == ip and data[20] == 0 and data[24:26] == b"\x44\x44":
                assert wire.checksum(data[20:] + even) == 0
                return data[28:]


def arping(device, mac, ip, target):
    """Who says to have an address on a device, as ``arping`` asks; None if nobody does."""
    mac, ip = wire.Station(mac, ip).numbers
    ask = ARP.pack(hardware=1, protocol=EtherType.IPV4, hardware_bytes=6, protocol_bytes=4,
                   operation=1, sender_mac=mac, sender_ip=ip,
                   target_ip=wire.Station("00:00:00:00:00:00", target).numbers[1])
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EtherType.ARP)) as raw:
        raw.bind((device, EtherType.ARP))
        raw.settimeout(2)
        raw.send((ETHERNET.pack(destination=BROADCAST, source=mac, type=EtherType.ARP)
                  + ask).ljust(60, b"\0"))
        while True:
            try:
                answer = raw.recv(2048)
            except TimeoutError:
                return None
            fields = ARP.unpack(answer[ETHERNET.size:])
            if fields["operation"] == 2 and fields["target_mac"] == mac:
                assert fields["target_ip"] == ip
                assert ETHERNET.unpack(answer)["source"] == fields["sender_mac"]
                return wire.Station.of(fields["sender_mac"], fields["sender_ip"], 0)


def test_tap_neighbours(tap):
    """ARP and echoes of all sizes that fit the device, without and with the kernel's help."""
    found = arping("hrtest0", tap.link.mac, "10.77.31.1", "10.77.31.2")
    assert (found.mac, found.ip) == ("02:00:00:00:77:02", "10.77.31.2")
    assert arping("hrtest0", tap.link.mac, "10.77.31.1", "10.77.31.3") is None
    for size in 0, 1, 17, 18, 19, 56, 1000, 1472:
        payload = bytes(n % 251 for n in range(size))
        assert echo("10.77.31.2", payload) == payload


def test_tap(tap, files):
    """The kernel's own ARP, ICMP and UDP talk to the card; CRCs are looked at on both ways."""
    assert echo("10.77.31.2", bytes(range(56))) == bytes(range(56))
    assert "02:00:00:00:77:02" in Path("/proc/net/arp").read_text()
    data = files[0].read_bytes()
    with Client(*tap.address, timeout=20) as card:
        got = card.image(resize=20, crop=16)([data, data, b"no image", data], errors="return")
        expected = hr.open("cpu").image(resize=20, crop=16)(data)
        for n in 0, 1, 3:
            np.testing.assert_array_equal(got[n], expected)
        assert isinstance(got[2], Exception)
        counters = card.counters()
    assert counters["damaged"] == counters["lost"] == 0 and counters["received"] == 4
    with Client(*tap.address, timeout=20, mtu=9000) as card:
        with pytest.raises(hr.CardError, match="give a smaller mtu"):
            card.decode_jpeg(bytes(9000))


def test_tap_that_cannot_be():
    with pytest.raises(ValueError, match="^Name of the TAP device must be 1 to 15 bytes"):
        TapLink("a" * 16, "10.0.0.1/24")
