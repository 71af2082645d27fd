# SPDX-License-Identifier: Apache-2.0
"""The registers behind ``s_axi_control``: 32-bit words at byte addresses."""

import enum

from ..status import Status


__all__ = ["IDENTITY", "VERSION", "ADDRESS_BITS", "CTRL", "GIE", "IER", "ISR", "ARGUMENTS",
           "arguments", "LIMITS", "CAPABILITIES", "COUNTERS", "START", "DONE", "IDLE", "READY",
           "ON_DONE", "ON_READY", "ON_RECEIVED", "NETWORK", "LOSSY", "ENABLE", "Mode",
           "QUEUE_OPTIONS", "queue_options", "nonces", "queue_number", "COMMIT", "SET", "RESTART",
           "COUNT", "RECEIVED", "VALID", "POST"]


#: "HDRC" in ASCII, the word at ``CAPABILITIES["identity"]``.
IDENTITY = 0x48445243
#: Of this interface.
VERSION = 3

ADDRESS_BITS = 12

#: ``ap_ctrl_hs``, as the kernels of Vitis HLS have it (UG1399, "S_AXILITE Control Register Map").
CTRL, GIE, IER, ISR = 0x00, 0x04, 0x08, 0x0C
#: Bits of CTRL. ``START`` stays set until the last job has been given to a lane; then another
#: batch may be started. ``DONE`` and ``READY`` are cleared by reading.
START, DONE, IDLE, READY = 1, 2, 4, 8
#: Bits of IER and ISR: the events of an interrupt. ``ON_RECEIVED``: a slot came to RECEIVED.
ON_DONE, ON_READY, ON_RECEIVED = 1, 2, 4

#: Address and bits of the arguments; the words above 32 bits follow.
ARGUMENTS = {"jobs": (0x10, 64), "count": (0x1C, 32), "completions": (0x24, 64)}

#: Members of :class:`.config.CardConfig` that software may want to know.
LIMITS = ("contexts", "max_width", "max_side", "max_taps", "recipes", "image_lanes", "text_lanes",
          "max_ngram", "max_features", "wire", "queues", "slots")

#: What the card is: constants.
CAPABILITIES = {name: 0x40 + 4 * n for n, name in enumerate(("identity", "version", *LIMITS))}

#: 64-bit counters since reset: low word, high word. Symbols, starved and stalled are cycles of the
#: entropy decoder: it decoded a symbol, it lacked bits, it lacked a free block. ``pixel_words`` are
#: words of 8 pixels that were decoded, ``text_words`` 8 bytes of text that were taken (or less, at
#: the end of one), ``elements`` features and tokens; ``read_beats`` and ``write_beats`` are the
#: memory port's, 64 bytes each, or 8 if it is narrow. ``busy`` and ``text_busy`` are cycles in
#: which an image lane, a text lane had work. ``messages`` came from the network as a whole,
#: ``refused`` found no free slot, ``denied`` came to a
#: control queue pair without being its owner's.
COUNTERS = {name: 0x100 + 8 * n for n, name in enumerate((
    "cycles", "busy", "requests", *(f"status_{status.name.lower()}" for status in Status),
    "symbols", "starved", "stalled", "pixel_words", "read_beats", "write_beats", "bus_errors",
    "text_busy", "text_words", "elements", "messages", "refused", "denied"))}


# All that follows is there if the card has a network port.

#: Address and bits of the network's arguments; the words above 32 bits follow. MAC and IPv4
#: addresses are numbers, the first byte the most significant. What begins with ``queue_`` becomes
#: that of queue pair ``queue`` by COMMIT. ``messages`` and ``results`` are addresses of buffers,
#: ``message_bytes`` and ``result_bytes`` the bytes of each, all multiples of 64; ``index`` chooses
#: an outcome for COUNT.
NETWORK = {
    "mac": (0x200, 64), "ip": (0x208, 32), "queue_base": (0x20C, 32), "segment": (0x210, 32),
    "options": (0x214, 32), "messages": (0x218, 64), "results": (0x220, 64),
    "message_bytes": (0x228, 32), "result_bytes": (0x22C, 32),
    "queue": (0x230, 32), "queue_options": (0x234, 32), "queue_pair": (0x238, 32),
    "queue_port": (0x23C, 32), "queue_mac": (0x240, 64), "queue_ip": (0x248, 32),
    "index": (0x250, 32),
    "queue_nonce": (0x260, 32), "queue_first": (0x264, 32), "queue_owner_port": (0x268, 32),
    "queue_owner_mac": (0x270, 64), "queue_owner_ip": (0x278, 32),
}
#: Bits of ``options``: the MAC cannot wait, so frames without room are dropped; frames are taken.
LOSSY, ENABLE = 1, 2


class Mode(enum.IntEnum):
    """Where the responses of a queue pair go."""

    HOST = 0     # to RECEIVED
    REPLY = 1    # to whom the message came from
    FORWARD = 2  # to ``queue_mac``, ``queue_ip``, ``queue_port``


#: Lowest bit and bits of the fields of ``queue_options``. ``open``: messages are taken; ``check``:
#: the CRC of their packets must be right; ``reply_port``: replies go to the UDP port that the
#: message came from, else to 4791; ``mode``: a :class:`Mode`; ``kind``: ``IMAGE``, ``TEXT`` or, if
#: the card is ``remote``, ``CONTROL`` of :class:`.jobs.Kind`; ``recipe``: its number. Packets are
#: taken from whoever ``match_mac``, ``match_ip`` and ``match_port`` say, which compare the source
#: with ``queue_owner_mac``, ``queue_owner_ip`` and ``queue_owner_port``; or, if ``bind``, from
#: whoever sends the first message, all three. ``window``: numbers of packets must be near the
#: expected one; ``numbered``, without ``bind``: the first one that is expected is ``queue_first``.
QUEUE_OPTIONS = {"open": (0, 1), "check": (1, 1), "reply_port": (2, 1), "mode": (4, 2),
                 "kind": (8, 8), "recipe": (16, 8), "bind": (24, 1), "match_mac": (25, 1),
                 "match_ip": (26, 1), "match_port": (27, 1), "window": (28, 1),
                 "numbered": (29, 1)}


def queue_options(**fields):
    """Value of ``queue_options``; fields that are not given are zero."""
    value = 0
    for name, field in fields.items():
        low, bits = QUEUE_OPTIONS[name]
        if field not in range(1 << bits):
            raise ValueError(f"{name.capitalize()} must be within range({1 << bits}), "
                             f"not {field!r}")
        value |= int(field) << low
    return value


def nonces(queues):
    """How many different values ``queue_nonce`` has on a card with so many queue pairs."""
    return 1 << 24 - (queues - 1).bit_length()


def queue_number(base, queues, index, nonce):
    """Number of a queue pair in packets: the low bits say which one it is."""
    return (base + index + (nonce << (queues - 1).bit_length())) % (1 << 24)


#: Written with ``SET``: ``queue`` gets what the registers hold, and is closed for some cycles; with
#: ``RESTART``: the packet numbers of what is sent for it begin at 0.
COMMIT = 0x24C
SET, RESTART = 1, 2
#: How often the wire had the outcome ``index``: a counter of 32 bits.
COUNT = 0x254
#: Reading takes the slot of a response that awaits the host: its number if ``VALID`` is set.
RECEIVED = 0x258
VALID = 1 << 31
#: Writing gives a slot to the card.
POST = 0x25C


def arguments():
    """Name, address, bytes and whether it is a pointer of each argument of a batch, in the order in
    which a kernel has them: 64 bits are a pointer to memory."""
    return [(name, address, bits // 8, bits == 64) for name, (address, bits)
            in sorted(ARGUMENTS.items(), key=lambda item: item[1][0])]
