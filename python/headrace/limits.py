# SPDX-License-Identifier: Apache-2.0
"""What a server grants strangers at most."""

import dataclasses
import math


__all__ = ["Limits"]


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a server grants at most. A peer is an IPv4 address.

    Parameters
    ----------
    connections, peer_connections : int
        Control connections, in all and of a peer.
    peer_queue_pairs : int
        Queue pairs of a peer.
    setup : float
        Seconds in which a new connection must have said what it wants.
    attachment : int
        Bytes of a tokenizer.json.
    attachments, peer_attachments : int
        Bytes of those that are under way, in all and of a peer.
    attachment_rate : float
        Bytes a second at which one must arrive.
    parsers : int
        Processes that parse them at once; one for a peer.
    parse_seconds : float
        Seconds of the processor that one takes; three times as many may pass.
    parse_memory : int
        Bytes of its memory.
    card_share : float
        Part of the card's time that opening and closing queue pairs of a peer may take, beyond the
        first ten seconds.
    arrived, peer_arrived : int
        Bytes of datagrams that wait for the card, in all and of a peer.
    unsent, peer_unsent : int
        Bytes of frames that wait to be sent, in all and to a peer.
    disk, peer_disk : int
        Bytes of the folder of results, and of those that a peer leaves there while the server runs.
    idle : float
        Seconds without a datagram of a peer after which its queue pairs are closed.

    Raises
    ------
    ValueError
        If one is no number above 0.
    """

    connections: int = 512
    peer_connections: int = 128
    peer_queue_pairs: int = 12
    setup: float = 10.0
    attachment: int = 1 << 24
    attachments: int = 1 << 26
    peer_attachments: int = 1 << 25
    attachment_rate: float = 1e5
    parsers: int = 2
    parse_seconds: float = 20.0
    parse_memory: int = 1 << 30
    card_share: float = 0.1
    arrived: int = 1 << 26
    peer_arrived: int = 1 << 24
    unsent: int = 1 << 27
    peer_unsent: int = 1 << 25
    disk: int = 1 << 34
    peer_disk: int = 1 << 30
    idle: float = 3600.0

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            whole = isinstance(field.default, int)
            if (isinstance(value, bool) or not isinstance(value, int if whole else (int, float))
                    or not 0 < value < math.inf):
                raise ValueError(f"Limit {field.name} must be {'an int' if whole else 'a number'} "
                                 f"above 0, not {value!r}")

    @classmethod
    def of(cls, pairs):
        """Limits of texts like ``"connections=100"``; what is not named is as usual."""
        known = {field.name: field for field in dataclasses.fields(cls)}
        values = {}
        for text in pairs:
            name, _, value = text.partition("=")
            if name not in known:
                raise ValueError(f"Limit must be one of {', '.join(known)}, not {name!r}")
            try:
                values[name] = type(known[name].default)(value)
            except ValueError:
                raise ValueError(f"Limit {name} must be NAME=NUMBER, not {text!r}") from None
        return cls(**values)
