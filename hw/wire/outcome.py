# SPDX-License-Identifier: Apache-2.0
"""What became of a frame; the receiver counts each."""

import enum


__all__ = ["Outcome"]


class Outcome(enum.IntEnum):
    """What became of a frame, or of a message; the text of a member says it to a person.

    Every frame has exactly one outcome below ``LOST``: these counters add up to the frames.
    Of several reasons to drop a frame one is counted: first what concerns the frame as a whole,
    then header by header from the outermost in, at last the CRC, the
    sender and the order.
    """

    def __new__(cls, value, text):
        self = int.__new__(cls, value)
        self._value_ = value
        self.text = text
        return self

    PACKET = 0, "delivered: a packet of a message"
    ARP_ANSWERED = 1, "answered: an ARP request"
    ECHO_ANSWERED = 2, "answered: an ICMP echo request"

    OVERFLOW = 3, "no room in the receiver's buffer"
    DAMAGED = 4, "marked as damaged by the MAC"
    TOO_LONG = 5, "longer than the receiver takes"
    RUNT = 6, "shorter than the headers that it claims to have"
    FOREIGN = 7, "for another MAC address"
    TYPE = 8, "neither IPv4 nor ARP"
    ARP = 9, "ARP that is not a request for this address"
    IP_HEADER = 10, "not version 4, or with options"
    IP_CHECKSUM = 11, "a wrong IPv4 header checksum"
    IP_ADDRESS = 12, "for another IPv4 address"
    FRAGMENT = 13, "a fragment"
    TRUNCATED = 14, "shorter than its IPv4 length"
    PROTOCOL = 15, "neither ICMP nor UDP"
    ICMP = 16, "ICMP that is not an echo request"
    PORT = 17, "for another UDP port"
    LENGTH = 18, "lengths that contradict each other or the opcode"
    TRANSPORT = 19, "another version of the transport"
    OPCODE = 20, "not a SEND of an unreliable connection"
    QUEUE = 21, "for a queue pair that is not open"
    ICRC = 22, "a wrong invariant CRC"
    STRANGER = 23, "for the queue pair of another station"
    FAR = 24, "a packet sequence number far from the expected one"
    SEQUENCE = 25, "behind a packet of its message that is missing"
    BUSY = 26, "no room for the answer"

    LOST = 27, "a message that was begun and cannot be completed"
    GAP = 28, "packet sequence numbers that do not follow each other"

    @property
    def dropped(self):
        """It is a frame of which nothing came."""
        return Outcome.OVERFLOW <= self <= Outcome.BUSY
