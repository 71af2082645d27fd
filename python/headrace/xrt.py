# SPDX-License-Identifier: Apache-2.0
"""Alveo cards, by XRT's own Python module ``pyxrt``. Not yet run on a board.

What is used here is bound in XRT's ``src/python/pybind11/src/pyxrt.cpp``; what it does is said in
``src/runtime_src/core/include/xrt/xrt_kernel.h`` and ``xrt_bo.h``.
"""

import contextlib
import functools
import importlib
import os
from pathlib import Path

import numpy as np

from headrace.bus_card import BusCard
from headrace.errors import CardError
from headrace.hw.board.identity import INSTANCE, NAME
from headrace.hw.card import registers
from headrace.hw.card.config import BUS
from headrace.transport import MirroredMemory, Patience, Transport


__all__ = ["XCLBIN", "XrtKernel", "XrtTransport", "XrtCard"]


#: The environment variable that names the card's file, unless it is given.
XCLBIN = "HEADRACE_XCLBIN"

#: Milliseconds of one call of ``run.wait``, which keeps all other threads of Python waiting.
SLICE = 50
#: Seconds without a transfer, or of a batch if registers cannot be read, after which something is
#: wrong for sure.
PATIENCE = 30.0

#: Numbers of the kernel's arguments.
JOBS, COUNT, COMPLETIONS = (
    [name for name, *_ in registers.arguments()].index(name)
    for name in ("jobs", "count", "completions"))

#: What ``run.state`` says of a batch that will not end any more.
FAILED = tuple(f"ERT_CMD_STATE_{state}" for state in (
    "ERROR", "ABORT", "TIMEOUT", "NORESPONSE", "SKERROR", "SKCRASHED"))


@contextlib.contextmanager
def asking(what):
    """Say what XRT was asked for if it raises an exception."""
    try:
        yield
    except CardError:
        raise
    except (RuntimeError, ValueError, IndexError, MemoryError, OSError) as error:
        raise CardError(f"XRT cannot {what}: {error or type(error).__name__}") from error


def module():
    """``pyxrt``.

    Raises
    ------
    CardError
        If it cannot be imported.
    """
    try:
        return importlib.import_module("pyxrt")
    except ImportError as error:
        raise CardError(f"pyxrt cannot be imported ({error}): it is part of XRT, not of PyPI. "
                        "Install XRT's package, `source /opt/xilinx/xrt/setup.sh`, and use the "
                        "Python that XRT was built for") from None


def xclbin_path(path):
    """Path of the card's file, which may be None.

    Raises
    ------
    CardError
        If there is none.
    """
    path = path or os.environ.get(XCLBIN)
    if not path:
        raise CardError(f"An Alveo card needs its file .xclbin, which `make bitstream` makes: give "
                        f"xclbin=..., or set {XCLBIN}")
    if not Path(path).is_file():
        raise CardError(f"The card's file .xclbin must be there: {path}")
    return str(path)


class XrtKernel:
    """The kernel on an Alveo card, for this process alone.

    Parameters
    ----------
    place : str
        Number of the card as ``xbutil examine`` counts, or its PCIe address.
    xclbin : path, optional
        Loaded into the card; by default what the environment variable :data:`XCLBIN` names.

    Members
    -------
    readable : bool
        Whether registers can be read and written. ``pyxrt`` could until XRT 2.14; ``xrt::ip``,
        which came instead, is not bound, and is for kernels that XRT does not start.

    Raises
    ------
    CardError
        If there is no such card, no ``pyxrt``, or another kernel in the file.
    """

    def __init__(self, place, xclbin=None):
        self.place = place
        self._xrt = xrt = module()
        path = xclbin_path(xclbin)
        with asking(f"read {path}"):
            file = xrt.xclbin(path)
            names = [kernel.get_name() for kernel in file.get_kernels()]
        if NAME not in names:
            raise CardError(f"{path} must hold the kernel {NAME}, not {', '.join(names) or 'none'}")
        with asking(f"open card {place}"):
            self._device = xrt.device(int(place) if place.isdecimal() else place)
        with asking(f"load {path}"):
            uuid = self._device.load_xclbin(file)
        with asking(f"open the kernel {NAME}, which one process can have at a time"):
            self._kernel = xrt.kernel(self._device, uuid, f"{NAME}:{{{INSTANCE}}}",
                                      xrt.kernel.cu_access_mode.exclusive)
            self._run = xrt.run(self._kernel)
            self._group = self._kernel.group_id(JOBS)
        self._buffers = ()  # of the batch that was started last
        self.readable = hasattr(self._kernel, "read_register")
        self.to_device = xrt.xclBOSyncDirection.XCL_BO_SYNC_BO_TO_DEVICE
        self.from_device = xrt.xclBOSyncDirection.XCL_BO_SYNC_BO_FROM_DEVICE

    def allocate(self, size):
        """A buffer object, ``pyxrt.bo``, that the kernel reaches."""
        with asking(f"allocate {size} bytes of the card's memory"):
            return self._xrt.bo(self._device, size, self._xrt.bo.normal, self._group)

    def _registers(self, address):
        if not self.readable:
            raise CardError(f"Register {address:#x} cannot be reached: pyxrt of this XRT has no "
                            "registers, as those of before 2.15 had")

    def read_register(self, address):
        """Value of a register of 32 bits."""
        self._registers(address)
        with asking(f"read register {address:#x}"):
            return self._kernel.read_register(address)

    def write_register(self, address, value):
        """Write a register of 32 bits."""
        self._registers(address)
        with asking(f"write register {address:#x}"):
            self._kernel.write_register(address, value)

    def start(self, jobs, count, completions):
        """Start a batch. No other may be under way.

        Parameters
        ----------
        jobs, completions : (bo, int, int)
            A buffer object, and offset and length of the part of it that is meant.
        count : int
        """
        with asking("start a batch"):
            # Python can set arguments of 32 bits, and pointers by buffer objects only.
            jobs, completions = (self._xrt.bo(bo, length, offset)
                                 for bo, offset, length in (jobs, completions))
            self._buffers = jobs, completions
            self._run.set_arg(JOBS, jobs)
            self._run.set_arg(COUNT, count)
            self._run.set_arg(COMPLETIONS, completions)
            self._run.start()

    @property
    def started(self):
        """Whether a batch was started and is not known to be over."""
        return bool(self._buffers)

    def done(self, milliseconds=SLICE):
        """Whether nothing is under way. Waits for it.

        Raises
        ------
        CardError
            If XRT gave up what is.
        """
        if not self.started:
            return True
        states = self._xrt.ert_cmd_state
        with asking("wait for the card"):
            state = self._run.wait(milliseconds)
            if state == states.ERT_CMD_STATE_TIMEOUT:
                state = self._run.state()  # of the batch, not of the call
        if state == states.ERT_CMD_STATE_COMPLETED:
            self._buffers = ()
            return True
        for name in FAILED:
            if state == getattr(states, name):
                raise CardError(f"XRT gave up a batch ({name}): {self.advice}")
        return False

    @property
    def advice(self):
        """What to do with a card that stands still."""
        return f"close it, and reset it by `xbutil reset` (card {self.place})"

    def close(self):
        """Give everything back. Buffer objects must be gone before."""
        self._buffers = ()
        self._run = self._kernel = self._device = None


class XrtMemory(MirroredMemory):
    """A part of the card's memory, behind a buffer object."""

    def __init__(self, kernel, size):
        self.bo = kernel.allocate(size)
        self._to, self._from = kernel.to_device, kernel.from_device
        # The view does not keep the buffer object alive.
        super().__init__(np.frombuffer(self.bo.map(), np.uint8), self.bo.address())

    def push(self, offset, length):
        with asking("copy to the card"):
            self.bo.sync(self._to, length, offset)

    def pull(self, offset, length):
        with asking("copy from the card"):
            self.bo.sync(self._from, length, offset)

    def part(self, address, length):
        """Buffer object, offset and length of a range, as :meth:`XrtKernel.start` takes it."""
        return self.bo, self._offset(address, length), length

    def close(self):
        """Free it."""
        self.host = self.bo = None


class XrtTransport(Transport):
    """The way to an Alveo card. XRT starts batches, and waits for the interrupt.

    Parameters
    ----------
    kernel : XrtKernel
    memory : int
        Bytes of the card's memory that are taken.
    """

    def __init__(self, kernel, memory):
        self.kernel = kernel
        self.readable = kernel.readable
        self.memory = XrtMemory(kernel, memory)
        self.start, self.stop = self.memory.start, self.memory.size
        self._stuck = False

    def read_register(self, address):
        return self.kernel.read_register(address)

    def write_register(self, address, value):
        self.kernel.write_register(address, value)

    def run(self, jobs, count, completions):
        self.wait()
        self.kernel.start(self.memory.part(jobs, count * BUS), count,
                          self.memory.part(completions, count * BUS))
        self.wait()

    def wait(self):
        patience = Patience(self, PATIENCE, self.kernel.advice)
        while not self.kernel.done():
            if self._stuck:
                raise CardError(f"The card stands still: {self.kernel.advice}")
            try:
                patience.check()
            except CardError:
                self._stuck = True
                raise
        self._stuck = False

    def reset(self):
        """Python cannot reset a kernel; it is left to end what it has begun."""
        self.wait()

    def close(self):
        """Free the memory and the kernel."""
        self.memory.close()
        self.kernel.close()


class XrtCard(BusCard):
    """An Alveo card.

    Parameters
    ----------
    name : str
        ``"xrt:"`` and the place, see :class:`XrtKernel`.
    xclbin : path, optional
        See :class:`XrtKernel`.
    memory : int
        Bytes of the card's memory that are taken.
    """

    def __init__(self, name, fallback="cpu", *, xclbin=None, memory=1 << 26):
        super().__init__(name, fallback)
        self._options = dict(xclbin=xclbin, memory=memory)
        kernel = XrtKernel(name.partition(":")[2], xclbin)
        try:
            transport = XrtTransport(kernel, memory)
            self._connect(transport.config(), transport)
        except BaseException:
            kernel.close()
            raise

    def __reduce__(self):
        from headrace.cards import open
        return functools.partial(open, self.name, fallback=self.fallback, **self._options), ()

    def _give_back(self):
        self._bus.close()
