# SPDX-License-Identifier: Apache-2.0
"""A station on the network: frames on one side, messages on the other."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.layout import Beat
from .layout import Frame, Message, Owner, Segment
from .receive import Receive
from .segmenter import LENGTH
from .transmit import Transmit


__all__ = ["Station"]


class Station(wiring.Component):
    """:class:`.receive.Receive` and :class:`.transmit.Transmit`; what the first has to answer
    leaves through the second. Neither ever waits for the other.

    Parameters
    ----------
    width, queues, options
        Of :class:`.receive.Receive`.

    Members
    -------
    i : :py:`In(stream.Signature(Frame(width)))`
    o : :py:`Out(stream.Signature(Beat(width)))`
        Frames, and those that leave.
    mac, ip, queue_base, open, check, set, set_queue, owner, nonce, lossy, index, count, ready
        Of :class:`.receive.Receive`.
    segment, restart
        Of :class:`.transmit.Transmit`.
    o_segment : :py:`Out(stream.Signature(Segment(width, queues)))`
        Messages that arrived.
    i_message : :py:`In(stream.Signature(Message(queues)))`
    i_data : :py:`In(stream.Signature(width))`
        Messages to send.
    """

    def __init__(self, width=512, queues=16, **options):
        self.receive = Receive(width, queues, **options)
        self.transmit = Transmit(width, queues)
        self.width, self.queues = width, queues
        super().__init__({
            "i": In(stream.Signature(Frame(width))), "o": Out(stream.Signature(Beat(width))),
            "mac": In(48), "ip": In(32), "queue_base": In(24), "open": In(queues),
            "check": In(queues), "set": In(1), "set_queue": In(range(queues)), "owner": In(Owner),
            "nonce": In(24), "lossy": In(1), "index": In(5), "count": Out(32),
            "ready": Out(1), "segment": In(LENGTH), "restart": In(queues),
            "o_segment": Out(stream.Signature(Segment(width, queues))),
            "i_message": In(stream.Signature(Message(queues))),
            "i_data": In(stream.Signature(width)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.receive = receive = self.receive
        m.submodules.transmit = transmit = self.transmit
        wiring.connect(m, wiring.flipped(self.i), receive.i)
        wiring.connect(m, receive.o, wiring.flipped(self.o_segment))
        wiring.connect(m, receive.o_arp, transmit.i_arp)
        wiring.connect(m, receive.o_echo, transmit.i_echo)
        wiring.connect(m, wiring.flipped(self.i_message), transmit.i)
        wiring.connect(m, wiring.flipped(self.i_data), transmit.i_data)
        wiring.connect(m, transmit.o, wiring.flipped(self.o))
        m.d.comb += [
            *(getattr(receive, name).eq(getattr(self, name)) for name in (
                "mac", "ip", "queue_base", "open", "check", "set", "set_queue", "owner", "nonce",
                "lossy", "index")),
            *(getattr(transmit, name).eq(getattr(self, name)) for name in (
                "mac", "ip", "segment", "restart")),
            self.count.eq(receive.count), self.ready.eq(receive.ready),
        ]
        return m
