# SPDX-License-Identifier: Apache-2.0
"""What the simulated card needs for an image, in cycles of its clock."""


__all__ = ["CLOCK", "jpeg", "table"]


#: Hertz at which cycles are turned into images a second. A simulation has no clock of its own.
CLOCK = 150e6


def jpeg(paths):
    raise NotImplementedError


def table(figures):
    raise NotImplementedError
