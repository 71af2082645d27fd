# SPDX-License-Identifier: Apache-2.0
"""Ways for frames between sockets and a card: a TAP device, or UDP alone."""

import errno
import fcntl
import functools
import ipaddress
import os
import socket
import struct

from headrace import wire
from headrace.errors import CardError
from headrace.hw.wire.headers import ETHERNET, IPV4, MAX_FRAME, ROCE_PORT, UDP


__all__ = ["TapLink", "UdpLink", "neighbour", "station_mac"]


SOURCE_IP = slice(ETHERNET.size + 12, ETHERNET.size + 16)
BEHIND = ETHERNET.size + IPV4.size + UDP.size

# Of <linux/if_tun.h> and <linux/sockios.h>.
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFMTU, SIOCGIFHWADDR = 0x8916, 0x891C, 0x8922, 0x8927


def station_mac(ip):
    """A locally administered MAC address for a station that has none, from its IPv4 address."""
    return (b"\x02\x00" + socket.inet_aton(ip)).hex(":")


def neighbour(ip):
    """The IPv4 address below a card's, or above, for the host's side: 10.0.0.1 of 10.0.0.2."""
    address = ipaddress.IPv4Address(ip)
    return str(address - 1 if int(address) % 256 > 1 else address + 1)


@functools.lru_cache(maxsize=1024)
def is_local(ip):
    """Whether an IPv4 address is one of this machine's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((ip, 0))
        except OSError:
            return False
    return True


class TapLink:
    """A TAP device: the kernel's network stack on one side, the card on the other. Linux, root.

    Parameters
    ----------
    name : str
        Of the device, up to 15 bytes; it goes away with this object.
    address : str
        Of the host's side, with the prefix length: ``"10.0.0.1/24"``.
    mtu : int
        Of the device.

    Attributes
    ----------
    through : "tap"
    mac, ip : str
        Of the host's side.
    """

    through = "tap"
    #: Bytes under way at most: a TAP device holds 500 frames or more.
    window = 1 << 18

    def __init__(self, name, address, *, mtu=1500):
        interface = ipaddress.IPv4Interface(address)
        self.ip, self._network = str(interface.ip), interface.network
        label = name.encode()
        if not 0 < len(label) < 16:
            raise ValueError(f"Name of the TAP device must be 1 to 15 bytes, not {name!r}")
        try:
            self._fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        except OSError as error:
            raise CardError(f"A TAP device needs root and /dev/net/tun: {error}") from None
        try:
            fcntl.ioctl(self._fd, TUNSETIFF, struct.pack("16sH22x", label, IFF_TAP | IFF_NO_PI))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                for request, ip in ((SIOCSIFADDR, interface.ip),
                                    (SIOCSIFNETMASK, interface.netmask)):
                    fcntl.ioctl(control, request, struct.pack(
                        "16sHH4s16x", label, socket.AF_INET, 0, ip.packed))
                fcntl.ioctl(control, SIOCSIFMTU, struct.pack("16si20x", label, mtu))
                flags, = struct.unpack("16xH22x", fcntl.ioctl(
                    control, SIOCGIFFLAGS, struct.pack("16s24x", label)))
                fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", label, flags | IFF_UP))
                self.mac = fcntl.ioctl(control, SIOCGIFHWADDR,
                                       struct.pack("16s24x", label))[18:24].hex(":")
        except OSError as error:
            os.close(self._fd)
            raise CardError(f"TAP device {name} cannot be set up, which needs root: "
                            f"{error}") from None

    def mac_of(self, ip):
        """MAC address with which frames of an IPv4 address come; None if that is not known, as of a
        neighbour of the host's on a bridge."""
        return None if ip != self.ip and ipaddress.IPv4Address(ip) in self._network else self.mac

    def fileno(self):
        return self._fd

    def read(self):
        """What the kernel sent: ((IPv4 address of the sender or None, 0), size, frame).

        None if there is nothing.
        """
        try:
            frame = os.read(self._fd, MAX_FRAME + 1)
        except BlockingIOError:
            return None
        ip = (socket.inet_ntoa(frame[SOURCE_IP]) if frame[12:14] == b"\x08\x00"
              and len(frame) >= SOURCE_IP.stop else None)
        return (ip, 0), len(frame), frame

    def frame(self, frame):
        """Frame of what was read."""
        return frame

    def is_own(self, ip, port):
        """Whether what is sent to an address comes back to this link."""
        return False

    def write(self, frame):
        """Give the kernel a frame of the card. Returns whether it was taken."""
        try:
            os.write(self._fd, frame)
        except OSError as error:  # no room, or the device is down
            if error.errno not in (errno.EAGAIN, errno.ENOBUFS, errno.EIO, errno.EINVAL):
                raise
            return False
        return True

    def close(self):
        os.close(self._fd)


class UdpLink:
    """A UDP socket whose datagrams are the UDP payloads of the card's frames.

    Each datagram that arrives is put into a frame from its sender's address and port to the card's
    address and port 4791, its CRC as it is. Of each frame of the card the datagram is sent to the
    frame's address and port, with the CRC as if it came from port 4791 of the card: its source port
    is lost here. A frame whose CRC is wrong, or that is no packet, is dropped.

    Parameters
    ----------
    socket : socket.socket
        Bound.
    nic : Nic

    Attributes
    ----------
    through : "udp"
    mac : None
    ip : str
    window : int
        A quarter of the socket's receive buffer.
    """

    through = "udp"
    mac = None

    def __init__(self, socket_, nic):
        self._socket = socket_
        socket_.setblocking(False)
        socket_.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.ip, self._port = socket_.getsockname()
        self.window = max(1 << 14,
                          socket_.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 4)
        self._card = wire.Station(nic.mac, nic.ip)

    def mac_of(self, ip):
        """MAC address with which frames of an IPv4 address come."""
        return station_mac(ip)

    def fileno(self):
        return self._socket.fileno()

    def read(self):
        """A datagram: (address and port of the sender, bytes of its frame, both of them).

        None if there is none.
        """
        while True:
            try:
                data, sender = self._socket.recvfrom(MAX_FRAME)
            except BlockingIOError:
                return None
            except ConnectionError:  # the kernel reports an earlier datagram that nobody wanted
                continue
            return sender, BEHIND + len(data), (data, sender)

    def frame(self, datagram):
        """Frame of a datagram that was read."""
        data, (ip, port) = datagram
        return wire.encapsulate(data, wire.Station(station_mac(ip), ip, port), self._card)

    def is_own(self, ip, port):
        """Whether what is sent to an address comes back to this link."""
        return port == self._port and (ip == self.ip or self.ip == "0.0.0.0" and is_local(ip))

    def write(self, frame):
        """Send a frame's datagram. Returns whether there was one, and room for it."""
        try:
            packet = wire.from_frame(frame)
        except wire.PacketError:
            return False
        end = ETHERNET.size + IPV4.unpack(frame[ETHERNET.size:])["length"]
        to = packet.destination.ip, packet.destination.port
        data = wire.seal(bytes(frame[BEHIND:end]), (packet.source.ip, ROCE_PORT), to)
        try:
            self._socket.sendto(data, to)
        except OSError:  # no room, or no way to that address
            return False
        return True

    def close(self):
        self._socket.close()
