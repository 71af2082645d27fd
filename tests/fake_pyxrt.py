# SPDX-License-Identifier: Apache-2.0
"""A stand-in of XRT's ``pyxrt``, whose cards are simulated.

It has what the driver uses of ``src/python/pybind11/src/pyxrt.cpp``, with the types that are bound
there, and none of pybind11's conversions: what takes an int here takes nothing else. Host and card
memory are separate, and full of garbage in the beginning.
"""

import enum
import functools
import struct
import sys
import types
import weakref
from xml.etree import ElementTree

import numpy as np

from headrace.hw.board.identity import INSTANCE, NAME
from headrace.hw.card import registers
from headrace.sim import SimTransport


__all__ = ["Machine"]


PAGE = 4096


def typed(kinds, *values):
    """As pybind11, which looks at the types of arguments only."""
    for kind, value in zip(kinds, values, strict=True):
        if type(value) is not kind or kind is int and not -1 << 31 <= value < 1 << 64:
            raise TypeError(f"incompatible function arguments: {value!r} is no {kind.__name__}")


class Direction(enum.Enum):
    XCL_BO_SYNC_BO_TO_DEVICE = 0
    XCL_BO_SYNC_BO_FROM_DEVICE = 1


class State(enum.Enum):
    """RUNNING has no name in pyxrt."""

    ERT_CMD_STATE_NEW = 1
    ERT_CMD_STATE_QUEUED = 2
    RUNNING = 3
    ERT_CMD_STATE_COMPLETED = 4
    ERT_CMD_STATE_ERROR = 5
    ERT_CMD_STATE_ABORT = 6
    ERT_CMD_STATE_SUBMITTED = 7
    ERT_CMD_STATE_TIMEOUT = 8
    ERT_CMD_STATE_NORESPONSE = 9
    ERT_CMD_STATE_SKERROR = 10
    ERT_CMD_STATE_SKCRASHED = 11


class Mode(enum.Enum):
    exclusive = 0
    shared = 1
    none = 2


class Flags(enum.Enum):
    normal = 0


class Uuid:
    def to_string(self):
        return "00000000-0000-0000-0000-000000000000"


class Xclbin:
    def __init__(self, path):
        typed((str,), path)
        with open(path, "rb") as file:
            data = file.read()
        if data[:8] != b"xclbin2\0":
            raise RuntimeError(f"file '{path}' is not a valid xclbin")
        count, = struct.unpack_from("<I", data, 448)
        sections = [struct.unpack_from("<I16s4xQQ", data, 456 + 40 * n) for n in range(count)]
        start, size = next((at, size) for kind, _, at, size in sections if kind == 2)
        self.kernels = ElementTree.fromstring(data[start:start + size]).iter("kernel")

    def get_kernels(self):
        return [types.SimpleNamespace(get_name=functools.partial(kernel.get, "name"))
                for kernel in self.kernels]


class Card:
    """What is in the machine, whoever opens it."""

    def __init__(self, memory):
        self.bus = SimTransport(memory=memory)
        noise = np.random.default_rng(1).integers(0, 256, 1 << 20, np.uint8)
        for start in range(0, memory, len(noise)):
            self.bus.memory.write(start, noise[:memory - start])
        self.size = memory
        self.taken = {}                 # size by address
        self.owner = lambda: None       # of the kernel
        self.states = []                # that runs are in before they are completed, or for ever
        self.runs = 0


class Device:
    machine = None

    def __init__(self, place):
        if type(place) is not str:
            typed((int,), place)
        if place not in self.machine.cards:
            raise RuntimeError(f"No such device '{place}'")
        self.card = self.machine.cards[place]
        self.loaded = None

    def load_xclbin(self, file):
        typed((Xclbin,), file)
        self.loaded = Uuid()
        return self.loaded


class Kernel:
    def __init__(self, device, uuid, name, mode):
        typed((Device, Uuid, str, Mode), device, uuid, name, mode)
        if uuid is not device.loaded:
            raise RuntimeError("xclbin id mismatch")
        if name != f"{NAME}:{{{INSTANCE}}}":
            raise RuntimeError(f"No such kernel '{name}'")
        if device.card.owner() is not None:
            raise RuntimeError("failed to open ip context: Device or resource busy")
        device.card.owner = weakref.ref(self)
        self.card = device.card
        self.exclusive = mode is Mode.exclusive

    def group_id(self, number):
        typed((int,), number)
        if number not in (0, 2):
            raise RuntimeError(f"argument {number} has no memory")
        return 7


class OldKernel(Kernel):
    """Of XRT before 2.15."""

    def _check(self, address, *values):
        typed((int,) * (1 + len(values)), address, *values)
        if not self.exclusive:
            raise RuntimeError("Cannot read or write kernel with shared access")
        if address + 4 > 1 << registers.ADDRESS_BITS:
            raise IndexError("Cannot read or write outside kernel register space")

    def read_register(self, address):
        self._check(address)
        return self.card.bus.read_register(address)

    def write_register(self, address, value):
        self._check(address, value)
        self.card.bus.write_register(address, value)


class Bo:
    """``bo(device, size, flags, group)``, or a part: ``bo(parent, size, offset)``."""

    flags = Flags
    normal = Flags.normal

    def __init__(self, owner, size, *rest):
        if type(owner) is Bo:
            typed((int, int), size, *rest)
            offset, = rest
            if not 0 < size <= size + offset <= owner._size:
                raise RuntimeError("sub buffer size and offset")
            self._parent, self._card = owner, owner._card
            self._host, self._at = owner._host[offset:offset + size], owner._at + offset
        else:
            typed((Device, int, Flags, int), owner, size, *rest)
            if rest[1] != 7:
                raise RuntimeError("no such memory")
            card = owner.card
            at, room = PAGE, -(-size // PAGE) * PAGE
            for start, taken in sorted(card.taken.items()):
                if start - at >= room:
                    break
                at = start + taken
            if at + room > card.size:
                raise MemoryError("std::bad_alloc")
            card.taken[at] = room
            self._card, self._at = card, at
            self._host = np.full(size, 0xA5, np.uint8)
            weakref.finalize(self, self._free, card, at, self._host)
        self._size = size

    @staticmethod
    def _free(card, at, host):
        del card.taken[at]
        host[:] = 0xDD  # whoever still has the view finds garbage

    def size(self):
        return self._size

    def address(self):
        return self._at

    def map(self):
        return memoryview(self._host)

    def sync(self, direction, size, offset):
        typed((Direction, int, int), direction, size, offset)
        if not 0 < size <= size + offset <= self._size:
            raise RuntimeError("sync outside of the buffer: Invalid argument")
        part = self._host[offset:offset + size]
        if direction is Direction.XCL_BO_SYNC_BO_TO_DEVICE:
            self._card.bus.memory.write(self._at + offset, part)
        else:
            self._card.bus.memory.read_into(self._at + offset, part)


class Run:
    def __init__(self, kernel):
        if not isinstance(kernel, Kernel):
            raise TypeError("incompatible constructor arguments")
        self.kernel = kernel
        self.arguments = {}
        self.states = []
        self.now = State.ERT_CMD_STATE_NEW

    def set_arg(self, number, value):
        typed((int, type(value)), number, value)
        order = registers.arguments()
        if number not in range(len(order)):
            raise RuntimeError(f"Bad argument index '{number}'")
        name, _, _, pointer = order[number]
        if type(value) is Bo:
            assert pointer, "a buffer object for a number"
            # XRT has a reference to the buffer's implementation, not Python's object.
            self.arguments[name] = value.address()
        else:
            typed((int,), value)
            assert not pointer, "4 bytes of a pointer of 8 would be set"
            assert -1 << 31 <= value < 1 << 31
            self.arguments[name] = value

    def start(self):
        assert len(self.arguments) == len(registers.ARGUMENTS), "an argument was never set"
        if self.now not in (State.ERT_CMD_STATE_NEW, State.ERT_CMD_STATE_COMPLETED):
            raise RuntimeError("bad command state, can't launch")
        card = self.kernel.card
        card.runs += 1
        for name, value in self.arguments.items():
            card.bus.write_argument(name, value)
        card.bus.write_register(registers.CTRL, registers.START)
        self.states = list(card.states)
        self.now = State.RUNNING

    def state(self):
        return self.now

    def wait(self, milliseconds):
        typed((int,), milliseconds)
        assert milliseconds > 0, "0 is for ever, and cannot be interrupted"
        if self.now is State.ERT_CMD_STATE_COMPLETED:
            return self.now
        if self.states:
            self.now = self.states[0] if len(self.states) == 1 else self.states.pop(0)
            if self.now in (State.ERT_CMD_STATE_QUEUED, State.RUNNING):
                return State.ERT_CMD_STATE_TIMEOUT
            if self.now is not State.ERT_CMD_STATE_COMPLETED:
                return self.now
        self.kernel.card.bus.wait()
        self.now = State.ERT_CMD_STATE_COMPLETED
        return self.now


class Machine:
    """Put it in the place of ``pyxrt`` by :meth:`install`.

    Parameters
    ----------
    readable : bool
        Registers can be read and written, as before XRT 2.15.
    memory : int
        Bytes of the card's memory.

    Members
    -------
    cards : dict of int or str to Card
        By number and by PCIe address.
    """

    def __init__(self, readable, memory=1 << 27):
        card = Card(memory)
        self.cards = {0: card, "0000:3b:00.1": card}
        self.readable = readable

    def install(self, monkeypatch):
        """``import pyxrt`` gives this machine's."""
        module = types.ModuleType("pyxrt")
        module.__spec__ = types.SimpleNamespace(name="pyxrt")
        module.xclBOSyncDirection, module.ert_cmd_state = Direction, State
        module.uuid, module.xclbin, module.bo, module.run = Uuid, Xclbin, Bo, Run
        module.device = Device
        module.kernel = OldKernel if self.readable else Kernel
        module.kernel.cu_access_mode = Mode
        monkeypatch.setattr(Device, "machine", self)
        monkeypatch.setitem(sys.modules, "pyxrt", module)
        return self
