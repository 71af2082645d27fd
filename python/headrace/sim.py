# SPDX-License-Identifier: Apache-2.0
"""The simulated card: the RTL in this process, driven as a card on a bus would be."""

import importlib

import numpy as np

from headrace.bus_card import BusCard
from headrace.errors import CardError
from headrace.hw.card import registers
from headrace.hw.card.config import CONFIGS
from headrace.transport import Transport


__all__ = ["SimCard", "SimTransport"]


#: Clock cycles without a transfer after which something is wrong for sure.
PATIENCE = 30_000_000
#: Cycles between two chances for Python to be interrupted.
SLICE = 200_000

#: Configurations that `pip install .` builds.
BUILT = "sim", "nic"


def compiled(name):
    """The compiled card of a configuration, a module.

    Raises
    ------
    CardError
        If it is not built.
    """
    module = f"headrace._{name}"
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise CardError(
            "The simulated card is not built: run `pip install .` in headrace's source tree (needs "
            "g++, make and perl), or open(\"cpu\")" if name in BUILT else
            f"The simulated card {name!r} is not built: run `pip install "
            f"--config-settings=cmake.define.CARDS=\"{';'.join(BUILT)};{name}\" .` in headrace's "
            "source tree") from None


class SimTransport(Transport):
    """The way to a compiled card in this process.

    Parameters
    ----------
    name : str
        Of a configuration in :data:`headrace.hw.card.config.CONFIGS`.
    memory, stalls, latency, seed
        See :class:`SimCard`.
    """

    def __init__(self, name="sim", *, memory=1 << 28, stalls=0.0, latency=32, seed=1):
        stalls = [float(stalls)] * 5 if np.ndim(stalls) == 0 else [float(s) for s in stalls]
        if len(stalls) != 5 or not all(0 <= stall < 1 for stall in stalls):
            raise ValueError(f"Stalls must be one or five numbers in [0, 1), not {stalls!r}")
        if memory < 1 << 16:
            raise ValueError(f"Memory must be at least {1 << 16} bytes, not {memory!r}")
        module = compiled(name)
        self._stuck = module.Stuck
        self.rtl = module.Card(memory, PATIENCE)
        self.rtl.configure(stalls, latency, seed)
        self.memory = self.rtl.memory
        self.start, self.stop = 0, memory
        self._cancelled = False
        self._enable()

    def cancel(self):
        self._cancelled = True

    def read_register(self, address):
        return self.rtl.read_register(address)

    def write_register(self, address, value):
        self.rtl.write_register(address, value)

    def _enable(self):
        self.write_register(registers.GIE, 1)
        self.write_register(registers.IER, registers.ON_DONE)

    def reset(self):
        self.rtl.reset()
        self._enable()

    def wait(self):
        rtl = self.rtl
        try:
            rtl.expect_progress()
            while not rtl.run(SLICE):
                if self._cancelled:
                    raise CardError("The interpreter ends while the simulated card is at work")
        except self._stuck as error:
            raise CardError(f"The simulated card is stuck: {error}") from error
        rtl.write_register(registers.ISR, rtl.read_register(registers.ISR))
        rtl.read_register(registers.CTRL)
        self.check_memory_port()

    def work(self, cycles):
        """Let time pass for the card."""
        try:
            if self.rtl.run(cycles):  # an interrupt that nobody answers ends it at once
                self.rtl.step(cycles)
        except self._stuck as error:
            raise CardError(f"The simulated card is stuck: {error}") from error
        self.check_memory_port()

    def check_memory_port(self):
        """Raise :class:`CardError` if the card did something wrong at its memory port."""
        fault = self.rtl.take_fault()
        if fault:
            raise CardError(f"The simulated card broke the rules of its memory port: {fault}")


class SimCard(BusCard):
    """The Verilated card with its own memory.

    Parameters
    ----------
    name : str
        Of a configuration in :data:`headrace.hw.card.config.CONFIGS`.
    memory : int
        Bytes of the card's memory.
    stalls : float or five floats
        Probability in each cycle that the memory stalls: of all channels, or of AR, R, AW, W, B.
    latency : int
        Cycles from an address to the first data.
    seed : int
        Of the stalls.
    """

    def __init__(self, name="sim", fallback="cpu", *, memory=1 << 28, stalls=0.0, latency=32,
                 seed=1):
        super().__init__(name, fallback)
        self._options = dict(memory=memory, stalls=stalls, latency=latency, seed=seed)
        self._reopen()

    def _reopen(self):
        options = {name: self._options[name] for name in ("memory", "stalls", "latency", "seed")}
        transport = SimTransport(self.name, **options)
        self._rtl = transport.rtl
        self._connect(CONFIGS[self.name], transport)

    def _abandon(self):
        # The copy of a simulation is this process's own memory, and free to go.
        self._abandoned = True
        self._let_loose()
        self._rtl = None

    def __reduce__(self):
        from headrace.cards import open
        return _reopen, (open, self.name, self.fallback, self._options)

    def _close(self):
        super()._close()
        self._rtl = None


def _reopen(open, name, fallback, options):
    return open(name, fallback=fallback, **options)
