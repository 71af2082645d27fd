# SPDX-License-Identifier: Apache-2.0
"""Finding and opening cards."""

import importlib.util

from headrace.cpu import CpuCard
from headrace.errors import CardError


__all__ = ["cards", "open"]


#: Kinds of card by name, best first.
KINDS = {"sim": "the simulated card: the RTL itself, compiled; slow and exact",
         "cpu": "no card: the same verbs, done by Pillow"}


def cards():
    """Cards that :func:`open` can open here.

    Returns
    -------
    dict of str to str
        A description for each name.
    """
    return {name: text for name, text in KINDS.items()
            if name != "sim" or importlib.util.find_spec("headrace._sim")}


def open(name=None, *, fallback="cpu", **options):
    """Open a card.

    Parameters
    ----------
    name : str, optional
        One of :func:`cards`; by default the first of them.
    fallback : "cpu" or "raise"
        What happens to an item that the card hands back: it is done again on the CPU, which gives
        Pillow's result or Pillow's exception, or :class:`ItemError` is raised.
    **options
        Of the simulated card, see :class:`headrace.sim.SimCard`.

    Returns
    -------
    Card
    """
    if fallback not in ("cpu", "raise"):
        raise ValueError(f"Fallback must be one of cpu, raise, not {fallback!r}")
    if name is None:
        name = next(iter(cards()))
    if name not in KINDS:
        raise ValueError(f"Card must be one of {', '.join(KINDS)}, not {name!r}")
    if name == "cpu":
        return CpuCard(name, fallback, **options)
    try:
        from headrace.sim import SimCard
    except ModuleNotFoundError as error:
        if error.name != "headrace._sim":
            raise
        raise CardError("The simulated card is not built: run `pip install .` in headrace's "
                        "source tree (needs g++, make and perl), or open(\"cpu\")") from None
    return SimCard(name, fallback, **options)
