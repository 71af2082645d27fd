# SPDX-License-Identifier: Apache-2.0
"""Signals and states of a component, for invariants about them."""

import sys

from amaranth import *


__all__ = ["Inside"]


class Inside:
    """Elaborates a component, once for all, and keeps what ``elaborate`` calls its signals.

    Parameters
    ----------
    component : Component
    """

    def __init__(self, component):
        self.component = component
        self._names = {}

        # Amaranth does not know the names of signals that are made several in a line.
        def look(frame, event, argument):
            if (event == "return" and frame.f_code.co_name == "elaborate"
                    and frame.f_locals["self"] is component):
                self._names |= frame.f_locals

        sys.setprofile(look)
        try:
            self.module = module = component.elaborate(None)
        finally:
            sys.setprofile(None)
        component.elaborate = lambda platform: module

    def __getitem__(self, name):
        """The local variable of that name."""
        return self._names[name]

    def _machine(self):
        return self.module._generated["fsm"]

    def state(self, *names):
        """The component's state machine is in one of these states."""
        machine = self._machine()
        return Cat(machine.state == machine.encoding[name] for name in names).any()

    @property
    def legal(self):
        """Its state is one that it has."""
        machine = self._machine()
        return machine.state < len(machine.encoding)
