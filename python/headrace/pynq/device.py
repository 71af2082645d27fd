# SPDX-License-Identifier: Apache-2.0
"""The simulated card as a device of PYNQ."""

import ctypes
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
from headrace.pynq.memory import SimMemory
from headrace.sim import SimTransport


__all__ = ["SimDevice"]


#: Cycles that pass for the card while the host looks whether it is idle.
POLL = 5_000

NUMBERS = itertools.count()


class SimDevice(pynq.Device):
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
        super().__init__(f"headrace_{name}{next(NUMBERS)}")
        self.name = f"headrace_{name}"
        self.capabilities = {"REGISTER_RW": True}
        self.ip_dict, self.mem_dict = {}, {}
        self.memory = SimMemory(self, memory)
        self._make = lambda: SimTransport(name, memory=memory, **options)
        self._bus = None
        self._base = None
        self._lock = threading.RLock()

    @property
    def bus(self):
        """:class:`headrace.sim.SimTransport` of the card, which is made when it is needed."""
        with self._lock:
            if self._bus is None:
                self._bus = self._make()
            return self._bus

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
        """Reset the card and put its registers where the overlay has them."""
        parser = parser or self.parser or self.get_bitfile_metadata(bitstream.bitfile_name)
        bases = [ip["phys_addr"] for ip in parser.ip_dict.values() if ip.get("type") == VLNV]
        if len(bases) != 1:
            raise CardError(f"Overlay must hold one {VLNV} for the simulated card, "
                            f"not {len(bases)}: {bitstream.bitfile_name}")
        with self._lock:
            self.bus.reset()
            for name in registers.GIE, registers.IER:  # as after a bitstream
                self.bus.write_register(name, 0)
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
        address = self.memory.place(bo, offset, size)
        with self._lock:
            self.bus.memory.write(address, (ctypes.c_ubyte * size).from_address(ptr))

    def invalidate(self, bo, offset, ptr, size):
        """Copy from the card to the host."""
        address = self.memory.place(bo, offset, size)
        with self._lock:
            self.bus.memory.read_into(address, (ctypes.c_ubyte * size).from_address(ptr))

    # Registers

    def _offset(self, address, length):
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

    def _read(self, offset):
        value = self.bus.read_register(offset)
        if offset == registers.CTRL and not value & registers.IDLE:
            self.bus.work(POLL)
        return value

    def write_registers(self, address, data):
        """Write registers. What lies between them is skipped in a block of several words."""
        offset = self._offset(address, len(data))
        with self._lock:
            for at in range(0, len(data), 4):
                try:
                    self.bus.write_register(offset + at,
                                            int.from_bytes(data[at:at + 4], "little"))
                except IndexError:
                    if len(data) == 4:
                        raise


def handoff(path):
    """Parse an ``.hwh`` as PYNQ does on a board."""
    from pynqmetadata.frontends import Metadata
    try:
        from pynqmetadata.views.runtime import RuntimeMetadataParser
    except ImportError:
        from pynq.metadata.runtime_metadata_parser import RuntimeMetadataParser
    return RuntimeMetadataParser(Metadata(input=Path(path)))
