# SPDX-License-Identifier: Apache-2.0
"""Finding and opening cards."""

import importlib.util
import re

from headrace.cpu import CpuCard


__all__ = ["cards", "open"]


#: Kinds of card by name, best first.
KINDS = {"sim": "the simulated card: the RTL itself, compiled; slow and exact",
         "cpu": "no card: the same verbs, done by Pillow, scikit-learn and tokenizers",
         "nic": "the simulated card with a network port",
         "sim2": "the simulated card with two image lanes, without text lanes",
         "sim4": "the simulated card with four image lanes, without text lanes",
         "wide": "the simulated card with 16 pixels a cycle instead of 8, without text lanes",
         "kv260": "the simulated card with the image lane that a KV260 has: 1024 pixels wide",
         "ecpix5": "the simulated card with the image lane that an ECPIX-5 has: 512 pixels wide",
         "xrt:N": "Alveo card N, or at a PCIe address; not yet run on a board"}


def cards():
    """Cards that :func:`open` can open here.

    Returns
    -------
    dict of str to str
        A description for each name.
    """
    return {name: text for name, text in KINDS.items() if name == "cpu" or importlib.util.find_spec(
        "pyxrt" if name == "xrt:N" else f"headrace._{name}")}


def open(name=None, *, fallback="cpu", **options):
    """Open a card.

    Parameters
    ----------
    name : str, optional
        One of :func:`cards`, ``"xrt:0"`` or ``"xrt:0000:3b:00.1"`` for ``"xrt:N"``; by default the
        first of them. Or ``udp://HOST``, perhaps with ``:PORT``: a board without a host, which is
        driven through the network.
    fallback : "cpu" or "raise"
        What happens to an item that the card hands back: it is done again on the CPU, which gives
        Pillow's result or Pillow's exception, or :class:`ItemError` is raised.
    **options
        Of the card, see :class:`headrace.sim.SimCard`, :class:`headrace.sim_nic.SimNic`,
        :class:`headrace.xrt.XrtCard` and :class:`headrace.remote.RemoteCard`.

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
    if re.fullmatch(r"xrt:(\d+|([0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.\d)", name, re.I):
        from headrace.xrt import XrtCard
        return XrtCard(name, fallback, **options)
    if name not in KINDS or name == "xrt:N":
        raise ValueError(f"Card must be one of {', '.join(KINDS)}, or udp://HOST, not {name!r}")
    if name == "cpu":
        return CpuCard(name, fallback, **options)
    if name == "nic":
        from headrace.sim_nic import SimNic
        return SimNic(name, fallback, **options)
    from headrace.sim import SimCard
    return SimCard(name, fallback, **options)
