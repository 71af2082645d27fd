# SPDX-License-Identifier: Apache-2.0
"""A card that needs no host: registers are written after reset, then it listens to the network."""

from amaranth import *
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..card import registers
from ..card.commands import QUEUE_PAIR
from ..card.config import BUS
from ..card.control import AXI_LITE
from ..card.jobs import Kind
from ..card.lite import LiteManager


__all__ = ["Boot", "network_boot"]


class Boot(wiring.Component):
    """Writes registers after reset, in order; then passes on the accesses of another manager.

    It begins some cycles after its reset, so that the card's may end a little later. What the
    registers answer to the writes does not matter. Passing on is combinational.

    Parameters
    ----------
    writes : sequence of (int, int)
        Addresses and values.

    Members
    -------
    awvalid, ... : AXI4-Lite manager
        To the registers.
    lite_* : AXI4-Lite subordinate
        Waits until ``done``.
    done : :py:`Out(1)`
        Everything is written.

    Raises
    ------
    ValueError
        If there are no writes, or one that is not of a register's address and 32 bits.
    """

    def __init__(self, writes):
        self.writes = tuple((int(address), int(value)) for address, value in writes)
        for address, value in self.writes:
            if address not in range(0, 1 << registers.ADDRESS_BITS, 4) \
                    or value not in range(1 << 32):
                raise ValueError(f"Write must be of a register and 32 bits, not "
                                 f"{address:#x}, {value:#x}")
        if not self.writes:
            raise ValueError("Writes must be one or more, not none")
        super().__init__({
            **{name: member.flip() for name, member in AXI_LITE.items()},
            **{f"lite_{name}": member for name, member in AXI_LITE.items()},
            "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        write = data.StructLayout({"address": registers.ADDRESS_BITS, "data": 32})
        m.submodules.memory = cells = memory.Memory(
            shape=write, depth=len(self.writes),
            init=[{"address": address, "data": value} for address, value in self.writes])
        read = cells.read_port()
        m.submodules.lite = lite = LiteManager()
        index = Signal(range(len(self.writes) + 1))
        for name, member in AXI_LITE.items():
            own, other, out = (getattr(part, f"{prefix}{name}") for part, prefix in (
                (lite, ""), (self, "lite_"), (self, "")))
            if member.flow == In:
                m.d.comb += out.eq(Mux(self.done, other, own))
            else:
                # What is valid or ready is so for one of the two.
                m.d.comb += [
                    own.eq(out if member.shape != 1 else out & ~self.done),
                    other.eq(out if member.shape != 1 else out & self.done),
                ]
        m.d.comb += [
            read.addr.eq(index), lite.i.p.address.eq(read.data.address),
            lite.i.p.data.eq(read.data.data), lite.i.p.write.eq(1), lite.o.ready.eq(1),
        ]
        settled = Signal(4)
        with m.FSM():
            with m.State("Reset"):
                m.d.sync += settled.eq(settled + 1)
                with m.If(settled.all()):
                    m.next = "Look"
            with m.State("Look"):
                m.next = "Write"
                with m.If(index == len(self.writes)):
                    m.next = "Done"
            with m.State("Write"):
                m.d.comb += lite.i.valid.eq(1)
                with m.If(lite.i.ready):
                    m.d.sync += index.eq(index + 1)
                    m.next = "Wait"
            with m.State("Wait"):
                with m.If(lite.o.valid):
                    m.next = "Look"
            with m.State("Done"):
                m.d.comb += self.done.eq(1)
        return m


def network_boot(config, *, mac, ip, queue=0, queue_base=QUEUE_PAIR, message_bytes=2048,
                 result_bytes=2048, segment=1024, lossy=True):
    """Writes for a card that is driven through the network.

    Queue pair ``queue`` is a control queue pair, which replies to whom its messages come from and
    checks their CRC. Buffers of messages and of results lie from address 0 of the memory on.

    Parameters
    ----------
    config : CardConfig
        Which is ``remote``.
    mac, ip : int
        Of the card: the first byte is the most significant.
    queue : int
        Index of the control queue pair.
    queue_base : int
        Number of the first queue pair.
    message_bytes, result_bytes : int
        Of the buffers of a slot, multiples of 64: a message, and a response with its record.
    segment : int
        Most bytes of payload in a packet that the card sends.
    lossy : bool
        The MAC cannot wait.

    Returns
    -------
    writes : list of (int, int)
        For :class:`Boot`.
    free : int
        Address from which on the memory is the driver's.

    Raises
    ------
    ValueError
        If the card is not remote, or a parameter is out of range.
    """
    if not config.remote:
        raise ValueError("Card must be remote to be driven through the network")
    if queue not in range(config.queues):
        raise ValueError(f"Queue must be within range({config.queues}), not {queue!r}")
    for name, value, bits in ("MAC", mac, 48), ("IP", ip, 32), ("Queue base", queue_base, 24):
        if value not in range(1 << bits):
            raise ValueError(f"{name} must be within range(1 << {bits}), not {value!r}")
    for name, value, least in (("Message bytes", message_bytes, 4 * BUS), ("Segment", segment, BUS),
                               ("Result bytes", result_bytes, 2 * BUS)):
        if value < least or value % BUS:
            raise ValueError(f"{name} must be a multiple of {BUS}, at least {least}, "
                             f"not {value!r}")
    results = config.slots * message_bytes
    options = registers.ENABLE | (registers.LOSSY if lossy else 0)
    writes = []

    def write(**values):
        for name, value in values.items():
            address, bits = registers.NETWORK[name]
            writes.extend((address + n // 8, value >> n & 0xFFFFFFFF) for n in range(0, bits, 32))

    write(mac=mac, ip=ip, queue_base=queue_base, segment=segment, messages=0, results=results,
          message_bytes=message_bytes, result_bytes=result_bytes, queue=queue,
          queue_pair=queue_base + queue, queue_options=registers.queue_options(
              open=1, check=1, reply_port=1, mode=registers.Mode.REPLY, kind=Kind.CONTROL))
    writes.append((registers.COMMIT, registers.SET | registers.RESTART))
    writes += ((registers.POST, slot) for slot in range(config.slots))
    write(options=options)
    return writes, results + (config.slots + 1) * result_bytes
