# SPDX-License-Identifier: Apache-2.0
"""Finding and opening cards."""

import importlib.util

from headrace.cpu import CpuCard


__all__ = ["cards", "open"]


#: Kinds of card by name, best first.
KINDS = {"sim": "the simulated card: the RTL itself, compiled; slow and exact",
         "cpu": "no card: the same verbs, done by Pillow",
         "nic": "the simulated card with a network port",
         "sim2": "the simulated card with two image lanes, without text lanes",
         "sim4": "the simulated card with four image lanes, without text lanes"}


def cards():
    """Cards that :func:`open` can open here.

    Returns
    -------
    dict of str to str
        A description for each name.
    """
    return {name: text for name, text in KINDS.items()
            if name == "cpu" or importlib.util.find_spec(f"headrace._{name}")}


def open(name=None, *, fallback="cpu", **options):
    """Open a card.

    Parameters
    ----------
    name : str, optional
        One of :func:`cards`, by default the first of them; or ``udp://HOST``, perhaps with
        ``:PORT``: a board without a host, which is driven through the network.
    fallback : "cpu" or "raise"
        What happens to an item that the card hands back: it is done again on the CPU, which gives
        Pillow's result or Pillow's exception, or :class:`ItemError` is raised.
    **options
        Of the simulated card, see :class:`headrace.sim.SimCard` and
        :class:`headrace.sim_nic.SimNic`; of a board, see :class:`headrace.remote.RemoteCard`.

    Returns
    -------
    Card
    """
    if fallback not in ("cpu", "raise"):
        raise ValueError(f"Fallback must be one of cpu, raise, not {fallback!r}")
    if name is None:
        name = next(iter(cards()))
    if name.lower().startswith("udp:"):
        from headrace.remote import RemoteCard
        return RemoteCard(name, fallback, **options)
    if name not in KINDS:
        raise ValueError(f"Card must be one of {', '.join(KINDS)}, or udp://HOST, not {name!r}")
    if name == "cpu":
        return CpuCard(name, fallback, **options)
    if name == "nic":
        from headrace.sim_nic import SimNic
        return SimNic(name, fallback, **options)
    from headrace.sim import SimCard
    return SimCard(name, fallback, **options)
