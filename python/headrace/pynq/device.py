# SPDX-License-Identifier: Apache-2.0
"""Cards as devices of PYNQ: the simulated card, and Alveo cards by ``pyxrt``."""

import importlib.util
import itertools
import os
import threading
from pathlib import Path

import pynq
from pynq.pl_server.xclbin_parser import XclBin

from headrace.errors import CardError
from headrace.hw.board.identity import VLNV
from headrace.hw.card import registers
from headrace.hw.card.config import BUS
from headrace.processes import ProcessLock, watch
from headrace.pynq.memory import SimMemory, XrtMemory
from headrace.sim import SimTransport
from headrace.xrt import XrtKernel


__all__ = ["SimDevice", "XrtDevice"]


#: Cycles that pass for the card while the host looks whether it is idle.
POLL = 5_000

NUMBERS = itertools.count()


class CardDevice(pynq.Device):
    """A card with one kernel, one memory, and separate buffers on the host.

    Parameters
    ----------
    name : str
    memory
        See :mod:`headrace.pynq.memory`.
    """

    def __init__(self, name, memory):
        super().__init__(f"headrace_{name}_{next(NUMBERS)}")
        self.name = f"headrace_{name}"
        self.capabilities = {"REGISTER_RW": True}
        self.ip_dict, self.mem_dict = {}, {}
        self.memory = memory
        self._base = None
        self._lock = ProcessLock(threading.RLock)
        self._process_id = os.getpid()
        watch(self)

    def _part(self):
        """Nothing of the card is let go in a forked process: it is the parent's."""

    def _finish(self, seconds):
        """The interpreter ends: wait for whoever is inside of the card."""
        if self._lock.acquire(timeout=seconds):
            self._lock.release()

    # What a kind of card implements

    def _load(self, path):
        """Make the card ready for an overlay."""
        raise NotImplementedError

    def _read(self, offset):
        """Value of a register of 32 bits."""
        raise NotImplementedError

    def _write(self, offset, value):
        """Write a register of 32 bits; IndexError if there is none."""
        raise NotImplementedError

    def _check_process(self):
        """Raise :class:`CardError` in a forked process: the card is its parent's."""
        if self._process_id != os.getpid():
            raise CardError(f"Device {self.name} belongs to the process that opened it, not to one "
                            "that was forked from it: load the overlay in each worker process, on "
                            "a device of its own")

    # Overlays

    def get_bitfile_metadata(self, bitfile_name, partial=False):
        """What an overlay holds, parsed by PYNQ itself."""
        stem, ending = os.path.splitext(bitfile_name)
        # Of a Zynq, PYNQ calls a kernel by its registers' names, not by its arguments.
        self.capabilities["CALLABLE"] = ending == ".xclbin"
        if ending == ".xclbin":
            parser = XclBin(bitfile_name)
        elif os.path.isfile(f"{stem}.hwh"):
            parser = handoff(f"{stem}.hwh")
            parser.clock_dict = {}  # there are no clocks to be set
            parser.mem_dict = {"PSDDR": {
                "used": 1, "base_address": 0, "size": self.memory.size, "type": "DDR4",
                "raw_type": 1, "streaming": False, "idx": 0, "tag": "PSDDR"}}
        else:
            raise CardError(f"Overlay must be an .xclbin, or have an .hwh beside it, not "
                            f"{bitfile_name!r}")
        return parser

    def download(self, bitstream, parser=None):
        """Load the overlay, and put the card's registers where it has them."""
        self._check_process()
        parser = parser or self.parser or self.get_bitfile_metadata(bitstream.bitfile_name)
        bases = [ip["phys_addr"] for ip in parser.ip_dict.values() if ip.get("type") == VLNV]
        if len(bases) != 1:
            raise CardError(f"Overlay must hold one {VLNV}, not {len(bases)}: "
                            f"{bitstream.bitfile_name}")
        with self._lock:
            self._load(bitstream.bitfile_name)
            [self._base] = bases
        self.post_download(bitstream, parser, self.name)

    def gen_cache(self, bitstream, parser=None):
        """There is nothing to be kept for the next time."""

    def open_context(self, description, shared=True):
        """Number of the kernel."""
        return 0

    # Memory

    @property
    def default_memory(self):
        return self.memory

    def get_memory(self, desc):
        """The card has one memory."""
        return self.memory

    def get_memory_by_name(self, name):
        """The card has one memory."""
        return self.memory

    def flush(self, bo, offset, ptr, size):
        """Copy from the host to the card."""
        self._check_process()
        with self._lock:
            self.memory.push(bo, offset, ptr, size)

    def invalidate(self, bo, offset, ptr, size):
        """Copy from the card to the host."""
        self._check_process()
        with self._lock:
            self.memory.pull(bo, offset, ptr, size)

    # Registers

    def _offset(self, address, length):
        self._check_process()
        if self._base is None:
            raise CardError("An overlay must be downloaded before its registers are used")
        offset = address - self._base
        if not 0 <= offset <= offset + length <= 1 << registers.ADDRESS_BITS:
            raise CardError(f"Registers must be those of the overlay's kernel, not at {address:#x}")
        return offset

    def read_registers(self, address, length):
        """Bytes of registers."""
        offset = self._offset(address, length)
        with self._lock:
            return b"".join(self._read(at).to_bytes(4, "little")
                            for at in range(offset, offset + length, 4))

    def write_registers(self, address, data):
        """Write registers. What lies between them is skipped in a block of several words."""
        offset = self._offset(address, len(data))
        with self._lock:
            for at in range(0, len(data), 4):
                try:
                    self._write(offset + at, int.from_bytes(data[at:at + 4], "little"))
                except IndexError:
                    if len(data) == 4:
                        raise


class SimDevice(CardDevice):
    """The Verilated card with its own memory.

    Real boards come first when PYNQ looks for a default device.

    Parameters
    ----------
    name : str
        Of a configuration in :data:`headrace.hw.card.config.CONFIGS`.
    memory, stalls, latency, seed
        See :class:`headrace.sim.SimCard`.
    """

    _probe_priority_ = 1000

    @classmethod
    def _probe_(cls):
        return [cls()] if importlib.util.find_spec("headrace._sim") else []

    def __init__(self, name="sim", *, memory=1 << 28, **options):
        super().__init__(name, SimMemory(self, memory))
        self._make = lambda: SimTransport(name, memory=memory, **options)
        self._bus = None

    @property
    def bus(self):
        """:class:`headrace.sim.SimTransport` of the card, which is made when it is needed."""
        with self._lock:
            if self._bus is None:
                self._bus = self._make()
            return self._bus

    def _load(self, path):
        self.bus.reset()
        for name in registers.GIE, registers.IER:  # as after a bitstream
            self.bus.write_register(name, 0)

    def _read(self, offset):
        value = self.bus.read_register(offset)
        if offset == registers.CTRL and not value & registers.IDLE:
            self.bus.work(POLL)
        return value

    def _write(self, offset, value):
        self.bus.write_register(offset, value)


class XrtDevice(CardDevice):
    """An Alveo card by ``pyxrt``; PYNQ itself has none since 3.1. Not yet run on a board.

    XRT starts batches: the registers of one are kept here, and given to XRT when START is written.
    All others are the card's, if this XRT's ``pyxrt`` has registers.

    Parameters
    ----------
    place : int or str
        See :class:`headrace.xrt.XrtKernel`.
    """

    def __init__(self, place=0):
        super().__init__(f"xrt{place}", XrtMemory(self))
        self._place = str(place)
        self.kernel = None
        self._forget()

    @property
    def readable(self):
        """Whether registers beyond those of a batch can be read."""
        return self.kernel is not None and self.kernel.readable

    def _forget(self):
        self._batch = dict.fromkeys(BATCH, 0)
        self._done = False

    def _load(self, path):
        if self.kernel is not None:
            if self.memory.num_buffers:
                raise CardError(f"Buffers of the overlay before must be freed, not "
                                f"{self.memory.num_buffers} in use")
            self.kernel.close()
        self.kernel = XrtKernel(self._place, path)
        self._forget()

    def _read(self, offset):
        if offset == registers.CTRL:
            return self._control()
        return self._batch[offset] if offset in self._batch else self.kernel.read_register(offset)

    def _control(self):
        """CTRL: START while a batch is under way, as XRT takes no second one."""
        if not self.kernel.started:
            done, self._done = self._done, False
            return registers.IDLE | registers.DONE * done
        if not self.kernel.done(1):
            return registers.START
        self._done = True
        return self._control()

    def _write(self, offset, value):
        if offset == registers.CTRL:
            if value & registers.START:
                self._start()
        elif offset in self._batch:
            self._batch[offset] = value
        elif self.readable:
            self.kernel.write_register(offset, value)
        else:
            raise IndexError(f"Register write must name one of a batch, not {offset}")

    def _start(self):
        values = {name: sum(self._batch[address + n // 8] << n for n in range(0, bits, 32))
                  for name, (address, bits) in registers.ARGUMENTS.items()}
        size = BUS * values["count"]
        if not self.kernel.done():
            raise CardError("The card has a batch to do: wait for it")
        self.kernel.start(self.memory.part(values["jobs"], size), values["count"],
                          self.memory.part(values["completions"], size))

    def close(self):
        """Give the card back. Buffers should be freed before."""
        if self.kernel is not None:
            self.kernel.close()
        self.kernel = self._base = None


#: Offsets of the registers of a batch.
BATCH = (registers.GIE, registers.IER, registers.ISR,
         *(address + n // 8 for address, bits in registers.ARGUMENTS.values()
           for n in range(0, bits, 32)))


def handoff(path):
    """Parse an ``.hwh`` as PYNQ does on a board."""
    from pynqmetadata.frontends import Metadata
    try:
        from pynqmetadata.views.runtime import RuntimeMetadataParser
    except ImportError:
        from pynq.metadata.runtime_metadata_parser import RuntimeMetadataParser
    return RuntimeMetadataParser(Metadata(input=Path(path)))
