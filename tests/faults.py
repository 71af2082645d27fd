# SPDX-License-Identifier: Apache-2.0
"""A network that loses, repeats and exchanges frames, in front of any card."""

import random

from headrace.nic import Nic


__all__ = ["Faults", "Disturbed"]


class Faults:
    """What happens to frames on the way.

    Parameters
    ----------
    loss, duplication, exchange_rate : float
        Probability for each frame to be lost, to come twice, or to come after the next one.
    """

    def __init__(self, loss=0.0, duplication=0.0, exchange_rate=0.0, *, seed=1):
        self.rates = loss, duplication, exchange_rate
        self.rng = random.Random(seed)

    def __call__(self, frames):
        loss, duplication, exchange_rate = self.rates
        out = []
        for frame in frames:
            if self.rng.random() >= loss:
                out += [frame] * (1 + (self.rng.random() < duplication))
            if len(out) > 1 and self.rng.random() < exchange_rate:
                out[-2:] = out[:-3:-1]
        return out


class Disturbed(Nic):
    """A card behind such a network, in both directions.

    Parameters
    ----------
    nic : Nic
    faults : Faults

    Attributes
    ----------
    arrived, left : int
        Frames that the card got, and that it sent.
    """

    def __init__(self, nic, faults):
        self.nic, self.faults = nic, faults
        self.arrived = self.left = 0
        for name in "mac", "ip", "segment", "most_message", "most_result":
            setattr(self, name, getattr(nic, name))

    def listen(self, work, **options):
        return self.nic.listen(work, **options)

    def unlisten(self, queue_pair):
        self.nic.unlisten(queue_pair)

    def exchange(self, frames, budget):
        frames = self.faults(frames)
        self.arrived += len(frames)
        out = self.nic.exchange(frames, budget)
        self.left += len(out)
        return self.faults(out)

    def receive(self):
        return self.nic.receive()

    def busy(self):
        return self.nic.busy()

    def counters(self):
        return self.nic.counters()
