# SPDX-License-Identifier: Apache-2.0
"""What the queue pairs are for."""

from amaranth import *
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..wire.layout import Owner, Peer
from ..wire.receive import SETTLING
from . import registers


__all__ = ["QUEUE_ARGUMENTS", "Queue", "QueueTable"]


#: Registers that COMMIT looks at.
QUEUE_ARGUMENTS = [name for name in registers.NETWORK
                   if name.startswith("queue") and name != "queue_base"]


#: A queue pair: the job that its messages are, and where responses go.
Queue = data.StructLayout({
    "kind": 8, "recipe": 8, "mode": 2, "reply_port": 1, "queue_pair": 24, "peer": Peer})


class QueueTable(wiring.Component):
    """The queue pairs, as the host sets them. None is open at first.

    Parameters
    ----------
    queues : int

    Members
    -------
    commit : :py:`In(2)`
        Strobes: bits of :data:`.registers.COMMIT`. For a queue that does not exist they do
        nothing.
    queue, queue_options, ... : :py:`In(...)`
        See :data:`.registers.NETWORK`.
    open, check : :py:`Out(queues)`
        A queue that is set is closed for some cycles, also if it was open: nothing of its former
        owner is left.
    set, set_queue, owner, nonce : :py:`Out(...)`
        Of :class:`..wire.receive.Receive`.
    restart : :py:`Out(queues)`
        Strobes: packet numbers begin at 0.
    address : :py:`In(range(queues)).array(2)`
    o : :py:`Out(Queue).array(2)`
        The queue at ``address``, a cycle later.
    """

    def __init__(self, queues):
        self.queues = queues
        super().__init__({
            "commit": In(2),
            **{name: In(registers.NETWORK[name][1]) for name in QUEUE_ARGUMENTS},
            "set": Out(1), "set_queue": Out(range(queues)), "owner": Out(Owner), "nonce": Out(24),
            "open": Out(queues), "check": Out(queues), "restart": Out(queues),
            "address": In(range(queues)).array(2), "o": Out(Queue).array(2),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = cells = memory.Memory(shape=Queue, depth=self.queues, init=[])
        write = cells.write_port()
        option = {name: self.queue_options[low:low + bits]
                  for name, (low, bits) in registers.QUEUE_OPTIONS.items()}
        exists = Signal()
        chosen = self.queue[:len(write.addr)]
        m.d.comb += [
            exists.eq(self.queue < self.queues), write.addr.eq(chosen),
            write.en.eq(self.commit[0] & exists),
            *(write.data[name].eq(option[name]) for name in (
                "kind", "recipe", "mode", "reply_port")),
            write.data.queue_pair.eq(self.queue_pair), write.data.peer.mac.eq(self.queue_mac),
            write.data.peer.ip.eq(self.queue_ip), write.data.peer.port.eq(self.queue_port),
            self.restart.eq((self.commit[1] & exists) << chosen),
            self.set.eq(write.en), self.set_queue.eq(chosen), self.nonce.eq(self.queue_nonce),
            *(self.owner[name].eq(option[name]) for name in (
                "match_mac", "match_ip", "match_port", "bind", "window", "numbered")),
            *(self.owner.peer[name].eq(getattr(self, f"queue_owner_{name}"))
              for name in ("mac", "ip", "port")),
            self.owner.first.eq(self.queue_first),
        ]
        # Opened when no packet is under way any more that was looked at before.
        layout = data.StructLayout({"valid": 1, "queue": range(self.queues), "open": 1})
        later = [Signal(layout, name=f"later_{n}") for n in range(SETTLING)]
        m.d.sync += [
            later[0].valid.eq(write.en), later[0].queue.eq(chosen),
            later[0].open.eq(option["open"]),
            *(after.eq(before) for before, after in zip(later, later[1:])),
        ]
        with m.If(later[-1].valid):
            m.d.sync += self.open.bit_select(later[-1].queue, 1).eq(later[-1].open)
        with m.If(write.en):
            m.d.sync += [self.open.bit_select(chosen, 1).eq(0),
                         self.check.bit_select(chosen, 1).eq(option["check"])]
        for address, out in zip(self.address, self.o):
            read = cells.read_port()
            m.d.comb += [read.addr.eq(address), out.eq(read.data)]
        return m
