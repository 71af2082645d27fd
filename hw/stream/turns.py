# SPDX-License-Identifier: Apache-2.0
"""Whose turn it is."""

from amaranth import *


__all__ = ["next_in_turn"]


def next_in_turn(m, wants, latest, name):
    """Who comes first behind the latest of those that want; the latest itself comes last.

    Parameters
    ----------
    m : Module
    wants : Value
        A bit for each.
    latest : Signal
        A number, less than ``len(wants)``.
    name : str
        What is chosen, for the names of signals.

    Returns
    -------
    Signal
        A number; 0 if nobody wants.
    """
    n = len(wants)
    pick = Signal(range(n), name=f"{name}_pick")
    for k in reversed(range(n)):
        candidate = Signal(range(n), name=f"{name}_{k}")
        m.d.comb += candidate.eq(latest + k + 1 - Mux(latest + k + 1 >= n, n, 0))
        with m.If(wants.bit_select(candidate, 1)):
            m.d.comb += pick.eq(candidate)
    return pick
