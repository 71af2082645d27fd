# SPDX-License-Identifier: Apache-2.0
"""Payloads of the streams between the network and messages."""

from amaranth import *
from amaranth.lib import data

from .headers import MAX_FRAME


__all__ = ["WIDTHS", "field", "Frame", "Peer", "Owner", "Segment", "Message", "Descriptor"]


#: Bits of a beat for which the kernels are made.
WIDTHS = 64, 512


def field(beat, header, name, at=0):
    """Field of a header that begins at byte ``at`` of a beat, as a value to read or assign."""
    return Cat(*(beat[low:end] for low, end in header.bits(name, at)))


def Frame(width):
    """``width // 8`` bytes of a frame, byte 0 in the low bits, as :func:`.stream.layout.Beat`.

    A frame begins with the destination's MAC address and ends before the check sequence, with or
    without padding. If ``error`` is set with any of its beats the frame is worthless.
    """
    return data.StructLayout({
        "data": width, "count": range(width // 8 + 1), "last": 1, "error": 1})


#: Another station: addresses as numbers, the first byte the most significant.
Peer = data.StructLayout({"mac": 48, "ip": 32, "port": 16})

#: Whose a queue pair is. Packets must come from ``peer``, of which that is compared which the flags
#: name; or if ``bind``, all of it, and ``peer`` is whoever sends the first message. ``window``:
#: packet numbers must be near the expected one, which is ``first`` for the first packet if
#: ``numbered``, and not ``bind``.
Owner = data.StructLayout({
    "peer": Peer, "match_mac": 1, "match_ip": 1, "match_port": 1, "bind": 1, "window": 1,
    "numbered": 1, "first": 24})


def Segment(width, queues):
    """``width // 8`` bytes of a message that arrived; messages of different queues take turns.

    ``count`` bytes are valid: all, but in the ``last`` beat of a message any number from 0 on.
    What lies behind them is undefined. ``first`` and ``last`` mark the beats of a message, ``end``
    the last beat of a packet; only behind it another queue's beats may follow. ``lost`` comes with
    ``last``, and without bytes: the message is incomplete, throw it away. Else ``immediate`` is
    valid with ``last``, and 0 if not ``has_immediate``. ``peer`` sent the packet, from that UDP
    port.
    """
    return data.StructLayout({
        "data": width, "count": range(width // 8 + 1), "first": 1, "last": 1, "end": 1, "lost": 1,
        "queue": range(queues), "has_immediate": 1, "immediate": 32, "peer": Peer})


def Message(queues):
    """A message to send: ``length`` bytes to a queue pair of a peer, at that UDP port.

    ``queue`` chooses the counter of packet sequence numbers.
    """
    return data.StructLayout({
        "queue": range(queues), "queue_pair": 24, "length": 32, "has_immediate": 1,
        "immediate": 32, "peer": Peer})


def Descriptor(width, queues):
    """A frame in the receiver's buffer, and what is to be done with it.

    It has ``beats`` there. For a packet of a message or for an echo, ``steps + 1`` of them are
    read; ``tail`` says that no byte is first in the last of them. The last beat that leaves has
    ``count`` bytes. ``cut``: before it, the queue's open message ends as lost. For an echo the
    immediate holds the checksums of the answer, IPv4's low.
    """
    size = width // 8
    return data.StructLayout({
        "packet": 1, "echo": 1, "cut": 1, "beats": range(MAX_FRAME // size + 1),
        "steps": range(MAX_FRAME // size), "tail": 1, "count": range(size + 1),
        "first": 1, "last": 1, "queue": range(queues), "has_immediate": 1, "immediate": 32,
        "peer": Peer})
