# SPDX-License-Identifier: Apache-2.0
"""Packets of a queue pair through a plain UDP socket."""

import select
import socket
import sys

from headrace import wire
from headrace.errors import CardError
from headrace.hw.wire.headers import (
    BTH, HEADER_BYTES, ICRC_BYTES, IMMEDIATE, IPV4, MAX_FRAME, ROCE_PORT, UDP)


__all__ = ["PacketSocket", "segment_of", "wait_for"]


#: Datagrams received between two looks at anything else.
BURST = 32

# Of <linux/in.h>; Python's socket module has no names for them.
IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2


def segment_of(mtu):
    """Bytes for a packet's payload in an IPv4 packet of ``mtu`` bytes.

    Raises
    ------
    ValueError
        If there is no room, or the card takes no packets that long.
    """
    overhead = IPV4.size + UDP.size + BTH.size + IMMEDIATE.size + ICRC_BYTES
    most = MAX_FRAME - HEADER_BYTES - IMMEDIATE.size - ICRC_BYTES + overhead
    if not overhead + 64 <= mtu <= most:
        raise ValueError(f"Mtu must be within range({overhead + 64}, {most + 1}), not {mtu!r}")
    return mtu - overhead


def wait_for(reading, writing, seconds):
    """Return when one of some sockets can be read, or another be written, or after that time.

    As ``select.select``, which fails in a process that has more than 1024 files open.
    """
    if not hasattr(select, "poll"):  # Windows, where select takes any socket
        select.select(reading, writing, [], max(0.0, seconds))
        return
    poll = select.poll()
    for one in {*reading, *writing}:
        poll.register(one, (select.POLLIN if one in reading else 0)
                      | (select.POLLOUT if one in writing else 0))
    poll.poll(1000 * max(0.0, seconds))


class PacketSocket:
    """A UDP socket at the address from which a card, or its server, is reached. It never blocks.

    Parameters
    ----------
    to : (str, int) or None
        Where datagrams go, and answers come from; None: see :meth:`aim`.
    queue_pair : int
        Of the answers.
    card : (str, int), optional
        The card behind a server at ``to``. Without it the card is there itself, and answers from
        any port.
    here : str, optional
        Own address, if it is not that from which ``to`` is reached.
    check : bool
        Whether both sides look at the CRC of packets.
    counts : collections.Counter
        ``bytes_sent`` and ``bytes_received``, ``damaged`` datagrams.

    Attributes
    ----------
    here : (str, int)
        Own address.

    Raises
    ------
    OSError
        If there is no way to that address.
    """

    def __init__(self, to, queue_pair, *, card=None, here=None, check, counts):
        self.queue_pair, self.check, self.counts = queue_pair, check, counts
        self.aim(to, card)
        if here is None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect(to)
                here = probe.getsockname()[0]
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            # Not connected, and never fragmented: then Linux sends identification 0, which the CRC
            # covers. The kernel cuts the buffers to what it allows.
            if sys.platform == "linux":
                self._socket.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
            for option in socket.SO_RCVBUF, socket.SO_SNDBUF:
                self._socket.setsockopt(socket.SOL_SOCKET, option, 1 << 22)
            self._socket.bind((here, 0))
            self._socket.setblocking(False)
        except BaseException:
            self._socket.close()
            raise
        self.here = self._socket.getsockname()

    def aim(self, to, card=None):
        """Say where datagrams go, as the parameters of that name do."""
        self.to, self.direct, self.card = to, card is None, card or to

    def fileno(self):
        return self._socket.fileno()

    def wait(self, seconds):
        """Return when there is a datagram, or after that time."""
        wait_for([self], [], seconds)

    def close(self):
        """Close the socket."""
        self._socket.close()

    def send(self, packet):
        """Send a packet; False if there is no room now."""
        data = wire.to_datagram(packet)
        if self.check:
            data = wire.seal(data, self.here, self.card)
        try:
            self._socket.sendto(data, self.to)
        except BlockingIOError:
            return False
        except ConnectionError:  # the kernel reports that an earlier one met no socket
            return False
        except OSError as error:
            raise CardError(f"A datagram of {len(data)} bytes cannot be sent to {self.to[0]}: "
                            f"{error}; if it is too long, give a smaller mtu") from None
        self.counts["bytes_sent"] += len(data)
        return True

    def receive(self):
        """Packets among the next datagrams, and whether there may be more."""
        packets = []
        for _ in range(BURST):
            try:
                data, (ip, port) = self._socket.recvfrom(MAX_FRAME)
            except BlockingIOError:
                return packets, False
            except ConnectionError:
                continue
            self.counts["bytes_received"] += len(data)
            source = self.card[0], port if self.direct else ROCE_PORT
            try:
                packet = wire.from_datagram(data)
                wrong = self.check and not wire.sealed(data, source, self.here)
            except wire.PacketError:
                wrong = True
            known = ip == self.to[0] and (self.direct or port == self.to[1])
            if wrong or not known or packet.queue_pair != self.queue_pair:
                self.counts["damaged"] += 1
            else:
                packets.append(packet)
        return packets, True
