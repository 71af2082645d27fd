# SPDX-License-Identifier: Apache-2.0
"""A board without a host that is none: a control queue pair at a UDP socket, Pillow as its lane.

Only to test what drives such boards. It loses, repeats and exchanges datagrams if told so.
"""

import collections
import select
import socket
import threading
import time

from faults import Faults
from headrace import reference, wire
from headrace.bus_card import pack_recipe
from headrace.hw.board.boot import network_boot
from headrace.hw.card import registers
from headrace.hw.card.commands import NO_KEY, QUEUE_PAIR
from headrace.hw.card.config import BUS, CardConfig
from headrace.hw.card.jobs import COMPLETION, JOB, RECIPE_BYTES, Kind
from headrace.hw.status import Detail, Status
from headrace.hw.wire.headers import MAX_FRAME
from remote_model import RemoteModel


__all__ = ["CONFIG", "SoftBoard"]


CONFIG = CardConfig(contexts=1, lines=1, max_width=1024, max_side=2048, max_taps=64, recipes=2,
                    text_lanes=0, wire=64, queues=4, slots=4, remote=True)


class SoftBoard:
    """A stand-in for a board, in a thread of its own from ``with`` on.

    Parameters
    ----------
    recipes : list of Recipe
        Those that it can do.
    memory : int
        Bytes of the card's memory.
    loss, duplication, exchange_rate : float
        As of :class:`faults.Faults`, for datagrams in both directions.
    busy : int
        Looks at CTRL until a batch is over.
    values : dict
        Registers that differ, by address.
    answers : list of Status
        The first messages are answered so, and not executed.
    delay : float
        Seconds that a message takes.
    key : bytes
        Of the board.

    Attributes
    ----------
    address : (str, int)
    written : list of (int, int)
        Registers that were written, and values.
    """

    def __init__(self, recipes=(), *, memory=1 << 17, loss=0.0, duplication=0.0, exchange_rate=0.0,
                 seed=1, busy=3, values=(), answers=(), delay=0.0, message_bytes=1024,
                 result_bytes=2048, key=NO_KEY):
        self.recipes = {pack_recipe(recipe): recipe for recipe in recipes}
        self.faults = Faults(loss, duplication, exchange_rate, seed=seed)
        self.memory, self.busy, self.answers = bytearray(memory), busy, list(answers)
        self.model = RemoteModel(self.memory, self._read, self._write, key)
        self.shut = False
        self.room, self.delay = result_bytes - BUS, delay
        boot, self.free = network_boot(CONFIG, mac=2, ip=0x7F000001, message_bytes=message_bytes,
                                       result_bytes=result_bytes)
        capabilities = {"identity": registers.IDENTITY, "version": registers.VERSION,
                        **{name: getattr(CONFIG, name) for name in registers.LIMITS}}
        self.values = {
            **{address: capabilities[name] for name, address in registers.CAPABILITIES.items()},
            **{address + n: 0 for address in registers.COUNTERS.values() for n in (0, 4)},
            **{address + n: 0 for address, bits in (
                *registers.ARGUMENTS.values(), *registers.NETWORK.values())
               for n in range(0, bits // 8, 4)},
            registers.CTRL: registers.IDLE,
            **dict(boot), **dict(values)}
        self.loaded, self.left = {}, 0
        self.written = []
        self.counts = collections.Counter()
        self._assembler = wire.Reassembler()
        self._sender = wire.Sender(QUEUE_PAIR, segment=512)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = self._socket.getsockname()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._over.set()
        self._thread.join()
        self._socket.close()

    @property
    def name(self):
        return f"udp://{self.address[0]}:{self.address[1]}"

    # Datagrams

    def _serve(self):
        while not self._over.is_set():
            arrived = []
            while select.select([self._socket], [], [], 0 if arrived else 0.02)[0]:
                arrived.append(self._socket.recvfrom(MAX_FRAME))
            for data, peer in self.faults(arrived):
                packet = wire.from_datagram(data)
                assert wire.sealed(data, peer, self.address)
                if packet.queue_pair != QUEUE_PAIR or self.shut:
                    self.counts["queue"] += 1
                    continue
                lost = self._assembler.lost
                message = self._assembler.feed(packet)
                if self._assembler.lost != lost:
                    self._send(peer, None, Status.LOST, Detail.NONE, b"")
                if message:
                    self._do(peer, message)

    def _do(self, peer, message):
        self.counts["messages"] += 1
        time.sleep(self.delay)
        if self.answers:
            self._send(peer, message.immediate, self.answers.pop(0), Detail.CAPACITY, b"")
        else:
            self._send(peer, message.immediate, *self.model.execute(message.payload, self.room))

    def _send(self, peer, number, status, detail, result):
        record = COMPLETION.pack(request=number or 0, status=status, detail=detail,
                                 bytes=len(result), has_immediate=number is not None)
        datagrams = [wire.seal(wire.to_datagram(packet), self.address, peer)
                     for packet in self._sender.packets(record + result, number)]
        for data in self.faults(datagrams):
            self._socket.sendto(data, peer)

    # Registers

    def _read(self, address):
        value = self.values[address]
        if address == registers.CTRL:
            self.values[address] &= ~(registers.DONE | registers.READY)
            if self.left:
                self.left -= 1
                if not self.left:
                    self._batch()
        return value

    def _write(self, address, value):
        if address not in self.values:
            raise LookupError(address)
        self.written.append((address, value))
        if address == registers.COMMIT:
            queue, options = (self.values[registers.NETWORK[name][0]]
                              for name in ("queue", "queue_options"))
            self.shut |= queue == 0 and not options & 1
        if address != registers.CTRL:
            self.values[address] = value
        elif value & registers.START:
            assert not self.left, "it was started twice"
            self.values[address] &= ~registers.IDLE
            self.left = self.busy

    # Jobs

    def _argument(self, name):
        address, bits = registers.ARGUMENTS[name]
        return sum(self.values[address + n // 8] << n for n in range(0, bits, 32))

    def _batch(self):
        jobs, at = self._argument("jobs"), self._argument("completions")
        for n in range(self._argument("count")):
            job = JOB.unpack(self.memory[jobs + BUS * n:jobs + BUS * (n + 1)])
            self.memory[at + BUS * n:at + BUS * (n + 1)] = COMPLETION.pack(
                request=job["request"], **self._job(job))
        self.values[registers.CTRL] |= registers.IDLE | registers.DONE

    def _job(self, job):
        payload = bytes(self.memory[job["payload"]:job["payload"] + job["length"]])
        if job["kind"] == Kind.LOAD:
            assert job["length"] == RECIPE_BYTES
            assert payload in self.recipes, "a recipe that it was not given"
            self.loaded[job["recipe"]] = self.recipes[payload]
            return dict(status=Status.OK)
        recipe = self.loaded[job["recipe"]]
        try:
            array = reference.process(recipe, payload)
        except Exception:
            return dict(status=Status.CORRUPT, detail=Detail.NOT_JPEG)
        assert array.nbytes <= job["capacity"]
        self.memory[job["result"]:job["result"] + array.nbytes] = array.tobytes()
        height, width = array.shape[1:] if recipe.layout == "CHW" else array.shape[:2]
        return dict(status=Status.OK, bytes=array.nbytes, height=height, width=width)
