# SPDX-License-Identifier: Apache-2.0
"""What strangers do to a server: idle and half-open connections, noise, forged packets, bad files.

Each comes from an address of its own of 127.0.0.0/8, which Linux lets anyone bind.
"""

import argparse
import contextlib
import itertools
import json
import random
import socket
import struct
import threading

import vocabulary
from headrace import wire
from headrace.hw.wire.headers import Opcode


__all__ = ["LINES", "panic", "slow", "Hostile"]


#: Idle connections that are held.
IDLE = 80
#: Attachments that are never finished.
HALF_OPEN = 8
#: Datagrams a second of noise, and of forged packets.
NOISE, FORGED = 200, 50

IMAGE = {"version": 1, "kind": "image"}

#: Lines that are none, or ask for what there is not.
LINES = (
    b"hello", b"[1]", b"\xff\xfe", b"[" * 60_000, b"{" + b" " * 70_000, b"", b"{}", b"null",
    b'{"version":1,"kind":"image","\\ud800":1}',
    b'{"version":1,"kind":"image","options":{"\\ud800":1}}',
    b'{"version":1,"kind":"image","reply":"\\nqueue pair 0x100 closed"}',
    b'{"version":1,"kind":"image","reply":{"ip":"0.0.0.0"}}',
    b'{"version":1,"kind":"image","reply":{"ip":"255.255.255.255"}}',
    b'{"version":1,"kind":"image","options":{"resize":[1e308,-1]}}',
    b'{"version":1,"kind":"image","options":{"mean":[NaN,Infinity,1e999],"std":0}}',
    b'{"version":1,"kind":"image","options":{"resize":' + b"9" * 50_000 + b"}}",
    b'{"version":1,"kind":"tokenizer","attachment":99999999999999999999}',
)


def panic():
    """Bytes of a ``tokenizer.json`` that makes the library panic, which is no ``Exception``."""
    source = json.loads(vocabulary.tokenizer(vocabulary.small()).to_str())
    source["post_processor"] = {
        "type": "TemplateProcessing", "single": [{"Sequence": {"id": "B", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {}}
    return json.dumps(source).encode()


def slow(number):
    """Bytes of a ``tokenizer.json`` that takes minutes: 15 kB, and none is as another.

    The library looks up every part of a word that it does not know, and that is the unknown token.
    """
    source = json.loads(vocabulary.tokenizer(vocabulary.small()).to_str())
    unknown = "A" * (7400 + number)
    source["model"] |= {"unk_token": unknown, "max_input_chars_per_word": 1 << 20,
                        "vocab": {unknown: 0, "a": 1, "##a": 2}}
    source["added_tokens"] = []
    source["post_processor"] = None
    return json.dumps(source).encode()


def bomb():
    """Bytes that take a hundred times their room when they are parsed."""
    return b'{"version":"1.0","model":' + b"[" + b"{}," * 4_000_000 + b"{}]}"


class Hostile:
    """All of them at once, in threads, until :meth:`stop`.

    Parameters
    ----------
    address : (str, int)
        Of the server.
    """

    def __init__(self, address):
        self.address = address
        self.done = threading.Event()
        self.counts = {}
        self._rng = random.Random(1)
        self._threads = [threading.Thread(target=self._again, args=(deed, f"127.0.0.{n}"))
                         for n, deed in enumerate((
                             self.idle, self.half_open, self.noise, self.forged, self.bad_lines,
                             self.tokenizers, self.loops, self.own_address), start=2)]
        for thread in self._threads:
            thread.start()

    def stop(self):
        self.done.set()
        for thread in self._threads:
            thread.join()

    def _again(self, deed, ip):
        """Do it again and again."""
        while not self.done.is_set():
            with contextlib.suppress(OSError):  # refused, or closed
                deed(ip)
            self.done.wait(0.05)

    def _count(self, name):
        self.counts[name] = self.counts.get(name, 0) + 1

    def _connect(self, ip):
        return socket.create_connection(self.address, 30, source_address=(ip, 0))

    def _ask(self, ip, data):
        """What the server says; None if all is to end before that."""
        with self._connect(ip) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(data)
            connection.settimeout(0.5)
            while not self.done.is_set():
                with contextlib.suppress(TimeoutError):
                    return connection.recv(1 << 16)

    def idle(self, ip):
        """Connections that say nothing, as many as are allowed."""
        with contextlib.ExitStack() as stack:
            connections = []
            for _ in range(IDLE):
                connections.append(stack.enter_context(self._connect(ip)))
                self._count("idle")
            while not self.done.wait(0.5):
                for n, connection in enumerate(connections):
                    connection.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        while connection.recv(1 << 16):
                            pass
                        connection.close()
                        connections[n] = stack.enter_context(self._connect(ip))
                        self._count("idle")

    def half_open(self, ip):
        """Attachments that come a byte a second."""
        with contextlib.ExitStack() as stack:
            line = json.dumps({"version": 1, "kind": "tokenizer", "attachment": 1 << 24})
            connections = [stack.enter_context(self._connect(ip)) for _ in range(HALF_OPEN)]
            for connection in connections:
                connection.sendall(line.encode() + b"\n")
                self._count("half open")
            while not self.done.wait(1.0):
                for connection in connections:
                    connection.sendall(b"{")

    def noise(self, ip):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind((ip, 0))
            for _ in range(NOISE):
                size = self._rng.choice((0, 1, 12, 60, 1500, 9000))
                udp.sendto(self._rng.randbytes(size), self.address)
                self._count("noise")
                if self.done.wait(1 / NOISE):
                    return

    def forged(self, ip):
        """Packets to everyone's queue pairs, from other addresses, and ports of this one."""
        for own in (ip, "127.0.0.1"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                udp.bind((own, 0))
                for _ in range(FORGED // 2):
                    number = self._rng.randrange(1 << 24)
                    queue_pair = self._rng.choice((self._rng.randrange(1 << 24),
                                                   0x100 + self._rng.randrange(16)))
                    opcode = self._rng.choice((Opcode.SEND_FIRST, Opcode.SEND_MIDDLE,
                                               Opcode.SEND_LAST, Opcode.SEND_ONLY))
                    packet = wire.to_datagram(wire.Packet(
                        opcode, queue_pair, number, self._rng.randbytes(64), None))
                    udp.sendto(wire.seal(packet, udp.getsockname(), ("10.77.0.2", 4791)),
                               self.address)
                    self._count("forged")
                    if self.done.wait(1 / FORGED):
                        return

    def bad_lines(self, ip):
        for text in LINES:
            self._ask(ip, text + b"\n")
            self._count("bad lines")
            if self.done.wait(0.1):
                return

    def tokenizers(self, ip):
        """Files that panic, take long, and take memory."""
        for number in itertools.count():
            for source in (panic(), slow(number), bomb() if number % 5 == 0 else b"{}"):
                head = {"version": 1, "kind": "tokenizer", "attachment": len(source)}
                self._ask(ip, json.dumps(head).encode() + b"\n" + source)
                self._count("tokenizers")
                if self.done.is_set():
                    return

    def loops(self, ip):
        """Results to the server itself, and to the card."""
        for to in ({"ip": self.address[0], "port": self.address[1]}, {"ip": "10.77.0.2"}):
            self._ask(ip, json.dumps({**IMAGE, "reply": to}).encode() + b"\n")
            self._count("loops")
            self.done.wait(0.5)

    def own_address(self, ip):
        """Requests that seem to come from the server itself; only root can send them."""
        try:
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        except PermissionError:
            self.done.wait()
            return
        with raw, self._connect(ip) as connection:
            connection.sendall(b'{"version":1,"kind":"hashing"}\n')
            fields = json.loads(connection.recv(1 << 16))
            if "queue_pair" not in fields:
                return
            packet, = wire.request(wire.Sender(fields["queue_pair"]), 1, b"a word")
            here = socket.inet_aton(self.address[0])
            data = wire.seal(wire.to_datagram(packet), self.address, ("10.77.0.2", 4791))
            port = self.address[1]
            datagram = struct.pack(">BBHHHBBH4s4sHHHH", 0x45, 0, 28 + len(data), 0, 0, 64, 17, 0,
                                   here, here, port, port, 8 + len(data), 0) + data
            while not self.done.wait(0.2):
                raw.sendto(datagram, self.address)
                self._count("own address")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    args = parser.parse_args()
    hostile = Hostile((args.host, args.port))
    with contextlib.suppress(EOFError):
        input()  # until it is closed
    hostile.stop()
    print(json.dumps(hostile.counts), flush=True)


if __name__ == "__main__":
    main()
