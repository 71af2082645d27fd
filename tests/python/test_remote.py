# SPDX-License-Identifier: Apache-2.0
"""Boards without a host: the driver against a stand-in, over a network that loses and repeats."""

import contextlib
import gc
import io
import os
import pickle
import random
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headrace as hr
from headrace import cli, wire
from headrace.hw.card import registers
from headrace.hw.card.commands import COMMAND, QUEUE_PAIR, Command
from headrace.hw.card.config import BUS
from headrace.hw.card.jobs import Kind
from headrace.hw.card.registers import Mode
from headrace.hw.status import Detail, Status
from headrace.packet_socket import PacketSocket
from headrace.remote import RemoteTransport, address_of
from faults import Faults
from soft_board import SoftBoard


QUICK = dict(timeout=0.05)
RECIPE = dict(resize=20, crop=16, mean=hr.IMAGENET_MEAN, std=hr.IMAGENET_STD, dtype="float16")


def picture(n, size=(60, 40)):
    """A JPEG file that differs for each ``n``."""
    noise = Image.fromarray(np.random.default_rng(n).integers(0, 256, (5, 7, 3), np.uint8))
    file = io.BytesIO()
    noise.resize(size, Image.Resampling.BICUBIC).save(file, "jpeg")
    return file.getvalue()


@pytest.mark.parametrize("faults", [
    {}, dict(loss=0.1, duplication=0.1, exchange_rate=0.05, seed=5)], ids=["quiet", "faulty"])
def test_images(faults):
    recipe, other = hr.Recipe(**RECIPE, layout="CHW"), hr.Recipe(layout="CHW")
    files = [picture(n, (60 + n, 40)) for n in range(5)]
    with SoftBoard([recipe, other], **faults) as board, \
            hr.open(board.name, fallback="raise", retries=20, **QUICK) as card:
        for work in RECIPE, {}, RECIPE:
            found = card.image(**work)(files[:3] if not work else files)
            wanted = hr.open("cpu").image(**work)(files[:3] if not work else files)
            for array, reference in zip(found, wanted):
                np.testing.assert_array_equal(array, reference)
        with pytest.raises(hr.ItemError, match="CORRUPT"):
            card.image(**RECIPE)(b"not a picture")
        counts = card.counters()
    # However often it was asked, each batch was started once: two recipes, and one file is bad.
    assert board.written.count((registers.CTRL, registers.START)) == 4
    assert (counts["retried"] > 5) == bool(faults)
    assert counts["asked"] > 100 and counts["damaged"] == 0


def test_command(tmp_path, capsys):
    """`headrace run` with a board in the network; a bad file costs only itself."""
    files = [tmp_path / f"{name}.jpg" for name in ("a", "bad", "b")]
    for n, file in enumerate(files):
        file.write_bytes(b"not a picture" if file.stem == "bad" else picture(n))
    with SoftBoard([hr.Recipe(resize=20, crop=16, layout="CHW")]) as board:
        code = cli.main(["run", *map(str, files), "--resize", "20", "--crop", "16", "--card",
                         board.name, "-o", str(tmp_path / "out.npy")])
    said = capsys.readouterr()
    assert code == 1 and "bad.jpg" in said.err
    assert re.search(r"^\d+ messages, 0 sent again; \d+ bytes sent, \d+ received$", said.out, re.M)
    wanted = hr.open("cpu").image(resize=20, crop=16)([files[n].read_bytes() for n in (0, 2)])
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), wanted)


def test_memory():
    """Any range, with chunks of the least size, and nothing beside it."""
    rng = random.Random(4)
    with SoftBoard(message_bytes=256, result_bytes=256, loss=0.02, duplication=0.05) as board, \
            hr.open(board.name, retries=20, **QUICK) as card:
        memory, copy = card._bus.memory, bytearray(board.memory)
        assert (card._bus.start, memory.size) == (board.free, len(board.memory))
        for _ in range(30):
            length = rng.randrange(700)
            at = rng.randrange(board.free, memory.size - length + 1)
            data = rng.randbytes(length)
            memory.write(at, data)
            copy[at:at + length] = data
        assert copy[board.free:] == board.memory[board.free:]
        for _ in range(30):
            target = np.zeros(rng.randrange(1, 50), np.uint32)
            at = rng.randrange(memory.size - target.nbytes + 1)
            memory.read_into(at, target)
            assert target.tobytes() == board.memory[at:at + target.nbytes]
        with pytest.raises(ValueError, match=r"^Range must be within the 131072 bytes of the mem"):
            memory.write(memory.size - 5, bytes(6))


@pytest.mark.parametrize("size", [1 << 17, 100_032, (1 << 16) + 64])
def test_end_of_memory_is_found(size):
    with SoftBoard(memory=size) as board, hr.open(board.name, **QUICK) as card:
        assert card._bus.stop == size
        assert card._bus.start == 4 * 1024 + 5 * 2048


def test_end_of_memory_is_given():
    with SoftBoard() as board, hr.open(board.name, memory=1 << 16, **QUICK) as card:
        assert card._bus.stop == 1 << 16


def test_registers_many_at_once():
    with SoftBoard() as board, hr.open(board.name, **QUICK) as card:
        before = card._bus.counts["asked"]
        board.values[registers.COUNTERS["messages"]] = 5
        board.values[registers.COUNTERS["messages"] + 4] = 7
        assert card._bus.counters()["messages"] == 5 | 7 << 32
        assert card._bus.counts["asked"] - before < 6


def test_no_room_for_a_while():
    """Messages that were lost, or found no slot, are sent again, with what they would have done."""
    with SoftBoard(answers=[Status.LOST, Status.NO_ROOM]) as board, \
            hr.open(board.name, **QUICK) as card:
        assert card._bus.counts["retried"] == 2
        board.answers = [Status.NO_ROOM, Status.LOST]
        card._bus.write_register(0x10, 99)
        assert board.values[0x10] == 99
        board.answers = [Status.NO_ROOM] * 7
        with pytest.raises(hr.CardError, match=r"^udp://.* had no room for a message, or lost it, "
                                               r"7 times in .*NO_ROOM.*who else sends to it$"):
            card._bus.write_register(0x10, 98)


def test_refused_commands():
    with SoftBoard() as board, hr.open(board.name, **QUICK) as card:
        with pytest.raises(hr.CardError, match=r"^The card refuses a command: an address that"):
            card._bus.write_register(0xF00, 1)
        assert card._bus.read_register(registers.CTRL) & registers.IDLE


def test_nobody_answers():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        name = "udp://127.0.0.1:{}".format(silent.getsockname()[1])
        with pytest.raises(hr.CardError, match=(
                rf"^No answer from {name} in \d\.\d s, asked 2 times; see whether it answers "
                r"`ping`, whether its control queue pair is 0x123, and")):
            hr.open(name, timeout=0.01, retries=1, queue_pair=0x123)
    with pytest.raises(hr.CardError, match="^No answer from"):     # nobody is there
        hr.open(name, timeout=0.01, retries=1)
    # The other queue pairs of a board do not answer.
    with SoftBoard() as board:
        with pytest.raises(hr.CardError, match="^No answer from"):
            hr.open(board.name, timeout=0.02, retries=2, queue_pair=0x101)
    assert board.counts == {"queue": 3}


def test_a_board_that_dies():
    recipe = hr.Recipe(**RECIPE, layout="CHW")
    with SoftBoard([recipe]) as board:
        card = hr.open(board.name, timeout=0.01, retries=2)
        card.image(**RECIPE)(picture(0))
    with pytest.raises(hr.CardError, match="^No answer from udp"):
        card.image(**RECIPE)(picture(0))
    card.close()
    with pytest.raises(hr.CardError, match="^Card must be open"):
        card.image(**RECIPE)(picture(0))


@pytest.mark.parametrize("in_batch", [False, True])
def test_an_outage(in_batch):
    """After one nothing is taken for loaded, and queue pairs get their recipes back."""
    recipes = [hr.Recipe(resize=side, layout="CHW") for side in (20, 21, 22, 23)]
    with SoftBoard(recipes) as board, hr.open(
            board.name, timeout=0.01, retries=2, fallback="raise") as card:
        queue_pair = card.listen(recipes[0])
        card.image(resize=21)(picture(0))
        before = board.loaded.copy()
        quiet, write = board.faults, board.model.write

        def cut(address, value):
            write(address, value)
            if address == registers.CTRL:
                board.faults = Faults(loss=1.0)

        board.model.write = cut
        if not in_batch:
            board.faults = Faults(loss=1.0)
        for side in 21, 22:
            with pytest.raises(hr.CardError, match="^No answer from"):
                card.image(resize=side)(picture(0))
        board.faults, board.model.write = quiet, write
        for side in 22, 23, 22, 21, 20:
            np.testing.assert_array_equal(card.image(resize=side)(picture(0)),
                                          hr.open("cpu").image(resize=side)(picture(0)))
            # The queue pair's own is where it was.
            assert board.loaded[0] == before[0] == recipes[0]
        card.unlisten(queue_pair)


def test_a_batch_without_end():
    recipe = hr.Recipe(**RECIPE, layout="CHW")
    with SoftBoard([recipe], busy=1 << 30) as board, \
            hr.open(board.name, patience=0.1, **QUICK) as card:
        with pytest.raises(hr.CardError, match=r"^A batch of udp.* was not over after 0.1 s"):
            card.image(**RECIPE)(picture(0))


def test_another_kind_of_card():
    identity, version = (registers.CAPABILITIES[name] for name in ("identity", "version"))
    with SoftBoard(values={identity: 1}) as board:
        with pytest.raises(hr.CardError, match="^The card is not one of headrace's$"):
            hr.open(board.name, **QUICK)
        assert board.model.session is None      # given back
    with SoftBoard(values={version: 99}) as board:
        with pytest.raises(hr.CardError, match="^The card's interface must be of version"):
            hr.open(board.name, **QUICK)
    with SoftBoard(memory=1 << 14) as board:
        with pytest.raises(hr.CardError, match=r"^Memory of udp.* must have 16384 free bytes"):
            hr.open(board.name, **QUICK)


def test_two_drivers_one_after_the_other():
    """Numbers of messages begin anywhere, so the second one's are not taken for repeats."""
    with SoftBoard() as board:
        for value in range(5):
            with hr.open(board.name, **QUICK) as card:
                card._bus.write_register(0x10, value)
                assert board.values[0x10] == value


def queue_pairs(board):
    """What a board was told of queue pairs other than its first: options by index."""
    chosen, options, table = (registers.NETWORK["queue"][0], registers.NETWORK["queue_options"][0],
                              {})
    values = {}
    for address, value in board.written:
        values[address] = value
        if address == registers.COMMIT:
            table[values[chosen]] = values[options]
    return table


def test_queue_pairs():
    recipes = [hr.Recipe(**RECIPE), hr.Recipe(crop=8), hr.Recipe(resize=9)]
    with SoftBoard(recipes, loss=0.05, duplication=0.05) as board, \
            hr.open(board.name, retries=20, **QUICK) as card:
        bound = dict(reply_port=1, bind=1, window=1)
        named = dict(reply_port=1, match_ip=1, match_port=1, window=1, numbered=1)
        addressed = dict(match_ip=1, match_mac=1)
        options = [registers.queue_options(
            open=1, check=check, mode=mode, kind=Kind.IMAGE, recipe=recipe, **owner)
            for check, mode, recipe, owner in (
                (1, Mode.REPLY, 0, bound), (0, Mode.FORWARD, 1, named),
                (1, Mode.REPLY, 0, addressed))]
        station = wire.Station("02:00:00:00:00:07", "10.0.0.7", 99)
        numbers = [card.listen(recipes[0]), card.listen(
            recipes[1], reply=station, queue_pair=5, check=False, first=77,
            peer=wire.Owner("10.0.0.9", port=555))]
        for name, value in dict(
                queue_pair=5, queue_port=99, queue_mac=0x020000000007, queue_ip=0x0A000007,
                queue_nonce=(numbers[1] - 0x100) % (1 << 24) >> 2, queue_first=77,
                queue_owner_port=555, queue_owner_mac=0, queue_owner_ip=0x0A000009).items():
            assert board.values[registers.NETWORK[name][0]] == value & 0xFFFFFFFF
        numbers.append(card.listen(recipes[0], peer=wire.Owner("10.0.0.9", station.mac)))
        assert board.values[registers.NETWORK["queue_owner_mac"][0]] == 7
        # By chance, but for the low bits, which are the index.
        assert [number % 4 for number in numbers] == [1, 2, 3]
        assert len({number >> 2 for number in numbers}) == 3
        assert queue_pairs(board) == dict(enumerate(options, 1))
        with pytest.raises(hr.CardError, match="^All 4 queue pairs of the card are open: close on"):
            card.listen(recipes[0])
        for number in 0x100, (numbers[0] + 4) % (1 << 24):
            with pytest.raises(ValueError, match="^Queue pair must be open, not"):
                card.unlisten(number)
        with pytest.raises(ValueError, match='^Reply must be "sender" or a Station on a board'):
            card.listen(recipes[0], reply=None)
        with pytest.raises(ValueError, match='^Reply must be "sender", a Station or None, not 1$'):
            card.listen(recipes[0], reply=1)
        # What is under way still goes where it was to: a slot that awaits a host is lost.
        closed = [registers.queue_options(mode=mode, **owner) for mode, owner in (
            (Mode.REPLY, bound), (Mode.FORWARD, named), (Mode.REPLY, addressed))]
        card.unlisten(numbers[1])
        assert board.values[registers.NETWORK["queue_port"][0]] == 99
        card.unlisten(numbers[0])
        assert queue_pairs(board) == {1: closed[0], 2: closed[1], 3: options[2]}
        # A recipe is in use as long as a queue pair needs it.
        assert card.listen(recipes[2]) not in numbers
        with pytest.raises(hr.CardError, match="^All 2 recipes of the card are in use by queue"):
            card.listen(recipes[1])
        # After a batch that went wrong the card is told everything again.
        board.written.clear()
        with card._lock:
            card._reset()
        card.unlisten(numbers[2])
        assert queue_pairs(board).keys() == {1, 3} and queue_pairs(board)[3] == closed[2]


def test_late_answers_are_ignored():
    """Answers come later than the driver waits for them, so each message is sent more than once."""
    with SoftBoard(delay=0.005) as board, contextlib.closing(PacketSocket(
            board.address, QUEUE_PAIR, check=True, counts=board.counts)) as link:
        bus = RemoteTransport(link, wire.Sender(QUEUE_PAIR), timeout=0.002, retries=50)
        for n in range(20):
            bus.write_register(0x10, n)
            assert bus.read_register(0x10) == n
        assert bus.counts["retried"] > 40


@pytest.mark.parametrize("name", [
    "udp:", "udp://", "udp:10.0.0.2", "udp://10.0.0.2/", "udp://10.0.0.2:x", "udp://:4791",
    "udp://10.0.0.2:99999", "udp://10.0.0.2:0", "udp://a@10.0.0.2", "udp://10.0.0.2?x=1"])
def test_names_wrong(name):
    with pytest.raises(ValueError, match=r"^Address must be as udp://HOST or udp://HOST:PORT, not"):
        hr.open(name)


def test_names():
    assert address_of("udp://10.0.0.2") == ("10.0.0.2", 4791)
    assert address_of("UDP://127.0.0.1:99") == ("127.0.0.1", 99)
    with pytest.raises(hr.CardError, match="^There is no host nobody.invalid: "):
        hr.open("udp://nobody.invalid")
    with pytest.raises(ValueError, match=r"^Card must be one of .*or udp://HOST, not 'tcp://x'$"):
        hr.open("tcp://x")
    with pytest.raises(ValueError, match=r"^Mtu must be within range"):
        hr.open("udp://127.0.0.1", mtu=50)


def test_pickle():
    with SoftBoard(key=SECRET) as board, hr.open(board.name, key=SECRET, **QUICK) as card:
        state = pickle.dumps(card)
        card.close()
        again = pickle.loads(state)
        assert (again.name, again._options) == (card.name, card._options)
        again.close()


SECRET = bytes(range(1, 17))
OWNER = r"^The card refuses a command: a control queue pair that is another's: another driver has"


def stranger(board, *commands):
    """What a board answers to a message of someone who is not its driver."""
    with contextlib.closing(PacketSocket(
            board.address, QUEUE_PAIR, check=True, counts=board.counts)) as link:
        for packet in wire.request(wire.Sender(QUEUE_PAIR), 77, b"".join(commands)):
            assert link.send(packet)
        packets = []
        while not packets:
            link.wait(1)
            packets, _ = link.receive()
        completion, _ = wire.from_response(wire.Reassembler().feed(packets[0]))
        return completion["status"], completion["detail"]


@pytest.mark.parametrize("gullible", [False, True])
def test_a_strangers_tag_between_two_batches(gullible):
    """The board denies it; and if it did not, so that what we tell it were taken for repeats, the
    old batch would not be taken for the new one."""
    recipe = hr.Recipe(**RECIPE, layout="CHW")
    with SoftBoard([recipe]) as board, hr.open(board.name, fallback="raise", **QUICK) as card:
        prep = card.image(**RECIPE)
        prep(picture(0))
        if gullible:
            board.model._deny = lambda detail: None
        answer = stranger(board, COMMAND.pack(
            command=Command.TAG, value=(board.model.latest + 200) % (1 << 32)))
        wanted = hr.open("cpu").image(**RECIPE)(picture(1))
        if not gullible:
            assert answer == (Status.BAD_JOB, Detail.OWNER) and board.model.denied == 1
            np.testing.assert_array_equal(prep(picture(1)), wanted)
            return
        with pytest.raises(hr.CardError, match="^The card did not do what it was told: there is "
                                               "no completion of job 1 of 1 in a batch"):
            prep(picture(1))


def test_owner():
    """A board is its first driver's until that closes, or is silent, or is killed."""
    recipe = hr.Recipe(**RECIPE, layout="CHW")
    with SoftBoard([recipe]) as board:
        with hr.open(board.name, **QUICK) as card:
            for _ in range(2):
                with pytest.raises(hr.CardError, match=OWNER):
                    hr.open(board.name, **QUICK)
            card.image(**RECIPE)(picture(0))
        assert board.model.session is None and board.model.denied == 2
        dead = hr.open(board.name, fallback="raise", **QUICK)
        dead.image(**RECIPE)(picture(0))
        board.model.lapsed = True
        with hr.open(board.name, **QUICK) as card:
            board.model.lapsed = False
            before = len(board.written)
            for _ in range(2):
                with pytest.raises(hr.CardError, match=OWNER):
                    dead.image(**RECIPE)(picture(0))
            assert len(board.written) == before
        # It is free again, and nothing is taken for loaded.
        board.loaded.clear()
        np.testing.assert_array_equal(dead.image(**RECIPE)(picture(1)),
                                      hr.open("cpu").image(**RECIPE)(picture(1)))
        dead.close()


def test_a_driver_that_is_not_closed():
    """It gives the board back when nobody has it any more, and when its process ends."""
    with SoftBoard() as board:
        card = hr.open(board.name, **QUICK)
        assert board.model.session is not None
        del card
        gc.collect()
        assert board.model.session is None
        code = "import os, headrace as hr; card = hr.open({!r})\n{}"
        for more in "", "raise KeyboardInterrupt", "if not os.fork(): raise SystemExit\nos.wait()":
            subprocess.run([sys.executable, "-W", "ignore", "-c", code.format(board.name, more)],
                           stderr=subprocess.DEVNULL)
            assert board.model.session is None, more
        # A process that was forked off has nothing to give back.
        card = hr.open(board.name, **QUICK)
        child = os.fork()
        if not child:
            try:
                card._bus.release()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert card._bus.read_register(registers.CTRL) & registers.IDLE
        card.close()


def test_reset_of_the_board():
    """What was reset belongs to nobody, and knows nothing: one error, then all is as before."""
    recipe = hr.Recipe(**RECIPE, layout="CHW")
    with SoftBoard([recipe]) as board, hr.open(board.name, fallback="raise", **QUICK) as card:
        card.image(**RECIPE)(picture(0))
        board.model.session = None
        board.loaded.clear()
        with pytest.raises(hr.CardError, match=OWNER):
            card.image(**RECIPE)(picture(1))
        np.testing.assert_array_equal(card.image(**RECIPE)(picture(1)),
                                      hr.open("cpu").image(**RECIPE)(picture(1)))


def test_key(monkeypatch):
    wrong = "^The card refuses a command: a key that is not the board's: give the one that it was"
    with SoftBoard(key=SECRET) as board:
        for key in None, SECRET[::-1], "00" * 16:
            with pytest.raises(hr.CardError, match=wrong):
                hr.open(board.name, key=key, **QUICK)
        first = hr.open(board.name, key=SECRET, **QUICK)
        # Whoever has the key may take it over.
        with hr.open(board.name, key=SECRET.hex(), **QUICK) as card:
            assert card._bus.read_register(registers.CTRL) & registers.IDLE
            with pytest.raises(hr.CardError, match=OWNER):
                first.counters()
        monkeypatch.setenv("HEADRACE_KEY", SECRET.hex())
        hr.open(board.name, **QUICK).close()
        monkeypatch.delenv("HEADRACE_KEY")
        first.close()
    with SoftBoard() as board, pytest.raises(hr.CardError, match=wrong):
        hr.open(board.name, key=SECRET, **QUICK)
    for key in b"short", "x" * 32, "00" * 15, 5, SECRET + b"1":
        with pytest.raises(ValueError, match=r"^Key must be 16 bytes, or 32 hexadecimal digits$"):
            hr.open("udp://127.0.0.1", key=key)


def test_shut():
    with SoftBoard(loss=0.2) as board:
        card = hr.open(board.name, retries=20, **QUICK)
        card.shut()
        assert board.shut and card.closed
        with pytest.raises(hr.CardError, match="^No answer from"):
            hr.open(board.name, timeout=0.01, retries=2)
    with SoftBoard() as board, hr.open(board.name, **QUICK) as card:
        board.model.write = lambda address, value: None
        with pytest.raises(hr.CardError, match=r"^The control queue pair is still open: try"):
            card.shut()


@pytest.mark.parametrize("lost", ["start", "jobs", "completions"])
def test_writes_that_were_lost(lost):
    """A write of a register that never came: an error, not the result of the last batch."""
    recipe = hr.Recipe(**RECIPE, layout="CHW")
    with SoftBoard([recipe]) as board, hr.open(board.name, fallback="raise", **QUICK) as card:
        prep, write = card.image(**RECIPE), board.model.write
        prep(picture(0))
        addresses = {registers.CTRL} if lost == "start" else {registers.ARGUMENTS[lost][0]}
        if lost != "start":
            # As if they were not what they happen to be already.
            card._rounds.start += 1 << 14
        board.model.write = lambda address, value: address in addresses or write(address, value)
        with pytest.raises(hr.CardError, match="^The card did not do what it was told"):
            prep(picture(1))
        board.model.write = write
        np.testing.assert_array_equal(prep(picture(1)),
                                      hr.open("cpu").image(**RECIPE)(picture(1)))


def test_memory_that_refuses():
    """A write that the memory refuses is an error."""
    with SoftBoard() as board, hr.open(board.name, memory=1 << 18, **QUICK) as card:
        with pytest.raises(hr.CardError, match="^The card refuses a command: an address that the "
                                               "memory does not answer$"):
            card._bus.memory.write((1 << 17) - BUS, bytes(2 * BUS))


PAGE = Path(__file__).resolve().parents[2] / "docs" / "network.md"


def test_documented_commands():
    text = PAGE.read_text()
    for command in Command:
        assert f"| {command.value} | `{command.name}` |" in text


def test_documented_client(tmp_path):
    """The C program in the documentation reads registers, over a bad network too."""
    if not shutil.which("cc") or not Path("/usr/include/zlib.h").exists():
        pytest.skip("no C compiler with zlib")
    code, = re.findall(r"```c\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "client.c").write_text(code)
    subprocess.run(["cc", "-Wall", "-Wextra", "-Wno-sign-compare", "-Werror", "-o", "client",
                    "client.c", "-lz"], cwd=tmp_path, check=True)

    def read(board, address):
        return subprocess.run([tmp_path / "client", *map(str, board.address), hex(address)],
                              capture_output=True, text=True)

    with SoftBoard() as board:
        done = read(board, registers.CAPABILITIES["identity"])
        assert (done.returncode, done.stdout) == (0, "0x48445243\n")
        assert read(board, 0xF00).stderr == "status 7, detail 101\n"
    assert board.counts["messages"] == 2
    with SoftBoard(loss=0.3, seed=2) as board:
        for _ in range(5):
            assert read(board, registers.CAPABILITIES["slots"]).stdout == "0x00000004\n"
