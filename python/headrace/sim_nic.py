# SPDX-License-Identifier: Apache-2.0
"""The simulated card with a network port."""

import numpy as np

from headrace import wire
from headrace.errors import CardError
from headrace.hw.card import registers
from headrace.hw.card.config import BUS
from headrace.hw.card.jobs import COMPLETION
from headrace.hw.status import Detail, Status
from headrace.hw.wire.outcome import Outcome
from headrace.nic import Nic, Received
from headrace.queue_pairs import QueuePair, QueuePairs
from headrace.results import array_of
from headrace.sim import PATIENCE, SimCard


__all__ = ["SimNic"]


#: Cycles in which the card notices that a queue pair is closed, and is idle.
CLOSING = 8192
#: Quiet cycles after which the simulation takes the card for idle.
REST = 512


class SimNic(QueuePairs, SimCard, Nic):
    """The Verilated card with its own memory and a network port.

    Parameters
    ----------
    mac, ip : str
        Its addresses.
    segment : int
        Payload bytes of the packets that it sends, a multiple of 64.
    message_bytes, result_bytes : int
        Room in its memory for each message under way and for its response, multiples of 64.
    wire_stalls : float or two floats
        Probability in each cycle that no beat of a frame arrives, and that none can leave.
    memory : int
        Bytes of the card's memory.
    **options
        Of :class:`headrace.sim.SimCard`.
    """

    #: Number of the first queue pair without its nonce.
    BASE = 0x100

    def __init__(self, name="nic", fallback="cpu", *, mac="02:00:00:00:12:34", ip="10.77.0.2",
                 segment=1024, message_bytes=1 << 21, result_bytes=1 << 22, wire_stalls=0.0,
                 memory=1 << 29, **options):
        self._network = dict(mac=mac, ip=ip, segment=segment, message_bytes=message_bytes,
                             result_bytes=result_bytes, wire_stalls=wire_stalls)
        self.mac, self.ip, self.segment = mac, ip, segment
        for what, value, least in (("Message bytes", message_bytes, BUS),
                                   ("Result bytes", result_bytes, 2 * BUS),
                                   ("Segment", segment, BUS)):
            if not isinstance(value, int) or value < least or value % BUS:
                raise ValueError(f"{what} must be a multiple of {BUS}, at least {least}, "
                                 f"not {value!r}")
        if segment > 8192:
            raise ValueError(f"Segment must be at most 8192, not {segment!r}")
        super().__init__(name, fallback, memory=memory, **options)
        self._options |= self._network

    def _reopen(self):
        super()._reopen()
        slots = self.config.slots
        message_bytes, result_bytes, wire_stalls = (
            self._network[name] for name in ("message_bytes", "result_bytes", "wire_stalls"))
        self.most_message, self.most_result = message_bytes, result_bytes - BUS
        memory = self._bus.stop
        self._rounds.stop = room = memory - slots * message_bytes - (slots + 1) * result_bytes
        if room < 1 << 24:
            raise ValueError(f"Memory must hold {slots} messages and results, and 16 MiB, not "
                             f"{memory!r} bytes")
        self._results_at = room + slots * message_bytes
        rx, tx = [float(wire_stalls)] * 2 if np.ndim(wire_stalls) == 0 else wire_stalls
        self._rtl.configure_network(rx, tx, self._options["seed"])
        self._queues = {}    # by index; those of the parent of a forked process are not among them
        self._received = []  # results in host memory that nobody asked for yet
        self._attach()

    # Registers

    def _attach(self):
        """Set up the network of a card that was just reset."""
        self._working = self._lapsed = False
        mac, ip = wire.Station(self.mac, self.ip).numbers
        for name, value in (
                ("mac", mac), ("ip", ip), ("queue_base", self.BASE), ("segment", self.segment),
                ("messages", self._rounds.stop), ("results", self._results_at),
                ("message_bytes", self.most_message), ("result_bytes", self.most_result + BUS)):
            self._write(name, value)
        for slot in range(self.config.slots):
            self._rtl.write_register(registers.POST, slot)
        self._write("options", registers.ENABLE)

    def _reset(self):
        super()._reset()
        self._attach()
        # Not now: it may have been a queue pair's recipe that could not be loaded.
        self._lapsed = True

    def _restore(self):
        """Open again what was open before a reset. Messages that were under way are lost."""
        if self._lapsed:
            self._queues = {index: queue for index, queue in self._queues.items()
                            if not queue.closed}
            for index, queue in self._queues.items():
                queue.first = None  # its peer has gone on
                self._open(index, queue)
            self._lapsed = False

    # Queue pairs

    def listen(self, work, *, reply="sender", queue_pair=0, check=True, peer=None, first=None):
        with self._lock:
            self._check_open()
            self._restore()
            index = self._free_queue()
            queue = QueuePair(work, reply, queue_pair, check, peer, first)
            self._number(queue, index, self.BASE)
            self._open(index, queue)
            self._queues[index] = queue
            return queue.number

    def _free_queue(self):
        if len(self._queues) == self.config.queues and any(
                queue.closed for queue in self._queues.values()):
            # The card just has to finish with it.
            if not self._work(PATIENCE):
                self._forget_closed()
        for index in range(self.config.queues):
            if index not in self._queues:
                return index
        raise CardError(f"All {self.config.queues} queue pairs of the card are open: close one")

    def unlisten(self, queue_pair):
        with self._lock:
            self._check_open()
            index = self._index(queue_pair)
            self._queues[index].closed = True
            if self._lapsed:  # the card does not know it any more
                return
            self._commit(index)
            # A message that was open ends now, and must not end as one of the next owner.
            if not self._working:
                self._working = self._work(CLOSING)
            if not self._working:
                self._forget_closed()

    def _forget_closed(self):
        """Nothing is under way: numbers and recipes of closed queue pairs may be used again."""
        closed = {index: queue for index, queue in self._queues.items() if queue.closed}
        if closed:
            self._take_received()  # as long as it is known what they are
            for index, queue in closed.items():
                del self._queues[index]
                self._let_go(queue)

    # Frames

    def stall_wire(self, rx, tx):
        """Change the probability in each cycle that no beat arrives, and that none can leave."""
        with self._lock:
            self._check_open()
            self._rtl.configure_network(rx, tx, self._options["seed"])

    def exchange(self, frames, budget):
        with self._lock:
            self._check_open()
            self._restore()
            self._rtl.send(list(frames))
            self._working = self._work(budget)
            if not self._working:
                self._forget_closed()
            fault = self._rtl.take_fault()
            if fault:
                raise CardError(f"The simulated card broke the rules of its memory port: {fault}")
            return self._rtl.take_frames()

    def _work(self, budget):
        """Let the card run for some cycles at most; whether something is still under way."""
        rtl = self._rtl
        end, quiet = rtl.cycles + budget, 0
        # A slow memory is quiet for longer than the simulation waits.
        while quiet <= self._options["latency"]:
            before = rtl.transfers
            if rtl.work(end - rtl.cycles):
                return True
            quiet = quiet + REST if rtl.transfers == before else REST
            if rtl.cycles >= end:
                return True
        return False

    def busy(self):
        return self._working

    def receive(self):
        with self._lock:
            self._check_open()
            self._take_received()
            received, self._received = self._received, []
            return received

    def _take_received(self):
        """Note the results in slots, and give the slots back."""
        while (value := self._rtl.read_register(registers.RECEIVED)) & registers.VALID:
            slot = value & 0xFFFF
            result = self._collect_slot(self._results_at + slot * (self.most_result + BUS))
            if result is not None:
                self._received.append(result)
            self._rtl.write_register(registers.POST, slot)

    def _collect_slot(self, address):
        """The response in a slot; None if its queue pair has others, and was closed."""
        record = bytearray(BUS)
        self._rtl.memory.read_into(address, record)
        done = COMPLETION.unpack(record)
        queue = self._queues.get(done["queue"])
        if queue is None or queue.mode != registers.Mode.HOST:
            return None
        raw = np.empty(done["bytes"], np.uint8)
        if done["bytes"]:
            self._rtl.memory.read_into(address + BUS, raw)
        return Received(
            queue.number, done["request"], Status(done["status"]),
            Detail(done["detail"]), done["cycles"],
            array_of(queue.work, done, raw),
            wire.Station.of(done["mac"], done["ip"], done["port"]))

    def counters(self):
        """As of the simulated card; and frames by :class:`headrace.hw.wire.outcome.Outcome`."""
        counts = super().counters()
        with self._lock:
            for outcome in Outcome:
                self._write("index", int(outcome))
                counts[f"frames_{outcome.name.lower()}"] = self._rtl.read_register(registers.COUNT)
        return counts
