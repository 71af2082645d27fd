# SPDX-License-Identifier: Apache-2.0
"""The registers as tools and drivers are told of them.

Without Amaranth: the driver makes the metadata of its overlays by it.
"""

from typing import NamedTuple

from ..card import registers


__all__ = ["Field", "Register", "register_map"]


BOTH, READ = "read-write", "read-only"


class Field(NamedTuple):
    """A bit of a register: which, and its access."""

    name: str
    bit: int
    access: str


class Register(NamedTuple):
    """A register.

    Parameters
    ----------
    name : str
    address, bits : int
    access : str
        As IP-XACT has it.
    pointer : bool
        An address in memory begins there.
    """

    name: str
    address: int
    bits: int = 32
    access: str = BOTH
    pointer: bool = False

    @property
    def fields(self):
        """Those of CTRL, under the names that Vitis HLS gives them; others have none."""
        return [Field(f"AP_{name}", getattr(registers, name).bit_length() - 1,
                      BOTH if name == "START" else READ)
                for name in ("START", "DONE", "IDLE", "READY") if self.address == registers.CTRL]

    def words(self):
        """Of 32 bits: of 64, ``NAME_1`` is the low one and ``NAME_2`` the high one, as Vitis HLS
        has it."""
        if self.bits == 32:
            return [self]
        return [Register(f"{self.name}_{n + 1}", self.address + 4 * n, 32, self.access,
                         self.pointer and not n) for n in range(self.bits // 32)]


def register_map(wired, *, words):
    """All :class:`Register`, in the order of addresses.

    Parameters
    ----------
    wired : bool
        With those of the network.
    words : bool
        With two for each of 64 bits: those are at multiples of 4, where an Arm core does not
        access 8 bytes of a device.
    """
    found = [Register(name, getattr(registers, name)) for name in ("CTRL", "GIE", "IER", "ISR")]
    found += [Register(name, address, 8 * size, BOTH, pointer)
              for name, address, size, pointer in registers.arguments()]
    found += [Register(name, address, 32, READ)
              for name, address in registers.CAPABILITIES.items()]
    found += [Register(name, address, 64, READ) for name, address in registers.COUNTERS.items()]
    if wired:
        found += network({register.name for register in found})
    if words:
        found = [word for register in found for word in register.words()]
    return sorted(found, key=lambda register: register.address)


def network(taken):
    """Registers of the network; with ``wire_`` before names that are taken."""
    found = [Register(name, *place) for name, place in registers.NETWORK.items()]
    found += [Register("COMMIT", registers.COMMIT), Register("count", registers.COUNT, 32, READ),
              Register("RECEIVED", registers.RECEIVED, 32, READ), Register("POST", registers.POST)]
    return [register._replace(name=f"wire_{register.name}") if register.name in taken else register
            for register in found]
