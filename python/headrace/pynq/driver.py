# SPDX-License-Identifier: Apache-2.0
"""PYNQ's driver of the kernel: the verbs of every card, and batches of one's own."""

import contextlib
import inspect
import operator
import os

import pynq
from pynq.buffer import PynqBuffer

from headrace.bus_card import BusCard
from headrace.errors import CardError
from headrace.hw.board.identity import VLNV
from headrace.hw.card import registers
from headrace.hw.card.config import BUS
from headrace.processes import ProcessLock
from headrace.pynq.transport import PynqTransport


__all__ = ["Headrace", "PynqCard", "Running"]


class PynqCard(BusCard):
    """The card behind a :class:`Headrace`."""

    def __init__(self, ip, fallback, memory):
        super().__init__("pynq", fallback)
        self._device = ip.device
        self._loaded = getattr(ip.device, "timestamp", None)
        transport = PynqTransport(ip, memory)
        try:
            transport.check()
            self._connect(transport.config(), transport)
        except BaseException:
            transport.memory.host.freebuffer()
            raise

    def _check_open(self):
        super()._check_open()
        loaded = getattr(self._device, "timestamp", None)
        if loaded != self._loaded:  # the overlay was downloaded again, which resets the card
            self._loaded = loaded
            self._forget()

    def _run(self, jobs, count, completions):
        self._bus.wait()  # for what others have begun
        super()._run(jobs, count, completions)

    @contextlib.contextmanager
    def others(self):
        """While others give the card something; nothing is known of what it holds then."""
        with self._lock:
            self._forget()
            yield

    def _give_back(self):
        self._bus.memory.host.freebuffer()

    def __reduce__(self):
        raise TypeError("A card behind PYNQ cannot be pickled")


class Running:
    """A batch that was started."""

    def __init__(self, ip):
        self._ip = ip

    @property
    def done(self):
        """Whether it is over."""
        return bool(self._ip.mmio.read(registers.CTRL) & registers.IDLE)

    def wait(self):
        """Return when it is over."""
        while not self.done:
            pass


class Headrace(pynq.DefaultIP):
    """Driver of the kernel, on the simulated card and on a board.

    :meth:`image` and the other verbs are those of :class:`headrace.Card`; :meth:`start` and
    :meth:`call` give the card jobs as they are in memory, see ``docs/jobs.md``. Both may be mixed,
    but recipes of one's own are then to be loaded again.

    Members
    -------
    fallback : "cpu" or "raise"
        See :func:`headrace.open`. To be set before the first verb.
    memory : int
        Bytes of the card's memory that the verbs use. To be set before the first verb.
    """

    bindto = [VLNV]

    fallback = "cpu"
    memory = 1 << 26

    def __init__(self, description):
        super().__init__(description)
        # Some versions of PYNQ set their own, which check less.
        for name in "start", "call", "start_sw", "start_ert":
            self.__dict__.pop(name, None)
        self._signature = inspect.Signature([
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD,
                              annotation="void*" if pointer else "unsigned int")
            for name, _, _, pointer in registers.arguments()])
        memory = self._registers.get("jobs", {}).get("memory")
        #: Where the kernel's buffers are allocated.
        self.target = self.device.get_memory_by_name(memory) if memory else self.device
        self._card = None
        self._making = ProcessLock()
        self._process_id = os.getpid()

    @property
    def signature(self):
        """Arguments of :meth:`start` and :meth:`call`."""
        return self._signature

    # Verbs

    @property
    def card(self):
        """:class:`headrace.Card` of the kernel. In a forked process it is the parent's."""
        if self._process_id != os.getpid():
            raise CardError("The kernel belongs to the process that opened its overlay, not to one "
                            "that was forked from it: load the overlay in each worker process, "
                            "after the fork")
        with self._making:
            if self._card is None or self._card.closed:
                self._card = PynqCard(self, self.fallback, self.memory)
            return self._card

    def image(self, *args, **options):
        """See :meth:`headrace.Card.image`."""
        return self.card.image(*args, **options)

    def decode_jpeg(self, *args, **options):
        """See :meth:`headrace.Card.decode_jpeg`."""
        return self.card.decode_jpeg(*args, **options)

    def resize(self, *args, **options):
        """See :meth:`headrace.Card.resize`."""
        return self.card.resize(*args, **options)

    def hashing_vectorizer(self, **options):
        """See :meth:`headrace.Card.hashing_vectorizer`."""
        return self.card.hashing_vectorizer(**options)

    def tokenizer(self, tokenizer, **options):
        """See :meth:`headrace.Card.tokenizer`."""
        return self.card.tokenizer(tokenizer, **options)

    def counters(self):
        """See :meth:`headrace.Card.counters`."""
        return self.card.counters()

    # Batches

    def start(self, *args, **kwargs):
        """Start a batch.

        Parameters
        ----------
        jobs : buffer of pynq.allocate
            ``count`` jobs of 64 bytes (:data:`headrace.pynq.JOB`), synced to the device.
        count : int
        completions : buffer of pynq.allocate
            Room for as many completions (:data:`headrace.pynq.COMPLETION`); to be synced from the
            device when the batch is over.

        Returns
        -------
        Running
            ``wait()`` for it.

        Raises
        ------
        TypeError, ValueError
            If an argument is not such, before anything is started.
        """
        values = self._checked(**self._signature.bind(*args, **kwargs).arguments)
        with self._making:
            card = self._card
        with contextlib.nullcontext() if card is None or card.closed else card.others():
            if self.mmio.read(registers.CTRL) & registers.START:
                raise CardError("The card has two batches to do: wait for one of them")
            for name, (address, bits) in registers.ARGUMENTS.items():
                for offset in range(0, bits, 32):
                    self.mmio.write(address + offset // 8, values[name] >> offset & 0xFFFFFFFF)
            self.mmio.write(registers.CTRL, registers.START)
        return Running(self)

    def call(self, *args, **kwargs):
        """Do a batch: :meth:`start`, and wait for it."""
        self.start(*args, **kwargs).wait()

    def _checked(self, jobs, count, completions):
        """Values of the argument registers."""
        try:
            count = operator.index(count)
        except TypeError:
            raise TypeError(f"Count must be an int, not {count!r}") from None
        if not 1 <= count < 1 << 32:
            raise ValueError(f"Count must be within range(1, {1 << 32}), not {count}")
        values = {"count": count}
        for name, buffer in ("jobs", jobs), ("completions", completions):
            what = name.capitalize()
            if not isinstance(buffer, PynqBuffer) or buffer.device is None:
                raise TypeError(f"{what} must be a buffer of pynq.allocate, not "
                                f"{type(buffer).__name__}")
            if buffer.device is not self.device:
                raise ValueError(f"{what} must be in the memory of this device")
            if not buffer.flags.c_contiguous:
                raise ValueError(f"{what} must be contiguous")
            if buffer.nbytes < count * BUS:
                raise ValueError(f"{what} must hold {count} x {BUS} bytes, not {buffer.nbytes}")
            if buffer.device_address % BUS:
                raise ValueError(f"{what} must begin at a multiple of {BUS}, not at "
                                 f"{buffer.device_address:#x}")
            values[name] = buffer.device_address
        return values
