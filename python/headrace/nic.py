# SPDX-License-Identifier: Apache-2.0
"""What a card in the network can do, for the server that brings frames to it."""

import abc
import dataclasses
import importlib

import numpy as np

from headrace import wire
from headrace.errors import CardError
from headrace.hw.status import Detail, Status


__all__ = ["Nic", "Received", "open_nic"]


@dataclasses.dataclass(frozen=True)
class Received:
    """A result in host memory, of a queue pair without replies.

    Parameters
    ----------
    queue_pair : int
        Of the card.
    request : int
        The client's number.
    status, detail : Status, Detail
    cycles : int
        Of the card's clock, from taking the job to its end.
    array : ndarray or None
        As :func:`headrace.results.array_of` makes it; None if the status is not OK.
    peer : Station
        Who sent the request.
    """

    queue_pair: int
    request: int
    status: Status
    detail: Detail
    cycles: int
    array: np.ndarray | None
    peer: wire.Station


class Nic(abc.ABC):
    """A card with a network port. The methods are called from one thread.

    Attributes
    ----------
    mac, ip : str
        As in :class:`headrace.wire.Station`.
    segment : int
        Payload bytes of the packets that it sends.
    most_message, most_result : int
        Bytes of the longest request that it takes, and of the longest result.
    config : CardConfig or None
        What its tables of tokenizers hold; None if that is not known, and nothing is loaded.
    """

    config = None

    @abc.abstractmethod
    def listen(self, work, *, reply="sender", queue_pair=0, check=True, peer=None, first=None):
        """Open a queue pair, for one peer alone: packets of others are dropped and counted.

        Parameters
        ----------
        work : Recipe, HashingRecipe or TokenRecipe
            What becomes of its messages.
        reply : "sender", Station or None
            Where results go: to the address and UDP port that a request came from (port 4791 if
            ``peer`` may have any), to a station, or to host memory, for :meth:`receive`.
        queue_pair : int
            The receiver's queue pair, named in responses.
        check : bool
            Look at the CRC of packets.
        peer : Owner, optional
            Whose the queue pair is. If not given it is bound to the source of its first message:
            MAC and IPv4 address and UDP port.
        first : int, optional
            Number of the first packet. If it is not given any will do. If it is, or if ``peer`` is
            not, numbers that are far from the expected one are dropped.

        Returns
        -------
        int
            Number of the queue pair: another one each time, which nobody can foretell.

        Raises
        ------
        ValueError
            If the card cannot do that work; the message names the option.
        CardError
            If it has no queue pair, recipe or table to spare.
        """

    @abc.abstractmethod
    def unlisten(self, queue_pair):
        """Close a queue pair. What is under way may be dropped."""

    @abc.abstractmethod
    def exchange(self, frames, budget):
        """Let the card run.

        Parameters
        ----------
        frames : list of bytes
            They arrive in this order.
        budget : int
            Cycles after which it returns at the latest; it returns earlier if nothing is under way.

        Returns
        -------
        list of bytes
            Frames that left, in order, without the check sequence of the MAC.
        """

    @abc.abstractmethod
    def receive(self):
        """Results in host memory since the last call, a list of :class:`Received`."""

    @abc.abstractmethod
    def busy(self):
        """Whether messages are under way, so that :meth:`exchange` has work without new frames."""

    def counters(self):
        """What the card has counted, a dict."""
        return {}

    def close(self):  # noqa: B027
        """Release what the card holds."""


def open_nic(name="sim", **options):
    """Open a card for the network.

    Parameters
    ----------
    name : str
        ``"sim"``, or ``"module:callable"`` that makes a :class:`Nic`.
    **options
        ``mac`` and ``ip``; those that are not given are the card's choice.

    Raises
    ------
    CardError
        If there is none of that name, or it is no :class:`Nic`.
    """
    module, _, attribute = ("headrace.sim_nic:SimNic" if name == "sim" else name).partition(":")
    wrong = f"Network card {name!r} must be sim, or MODULE:CALLABLE that takes mac and ip"
    try:
        make = getattr(importlib.import_module(module), attribute)
    except TypeError as error:  # a relative name
        raise CardError(f"{wrong}: {error}") from None
    except (ModuleNotFoundError, AttributeError, ValueError) as error:
        hint = ("not built: run `pip install .` in headrace's source tree" if name == "sim"
                else "not found: give sim, or MODULE:CALLABLE")
        raise CardError(f"Network card {name!r} is {hint} ({error})") from None
    try:
        card = make(**options)
    except TypeError as error:
        raise CardError(f"{wrong}: {error}") from error
    if not isinstance(card, Nic):
        raise CardError(f"Network card {name!r} must make a headrace.nic.Nic, "
                        f"not {type(card).__name__}")
    return card
