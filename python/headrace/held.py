# SPDX-License-Identifier: Apache-2.0
"""Numbers of the recipes that a card holds."""

import collections

from headrace.errors import CardError


__all__ = ["Held"]


class Held:
    """Gives numbers to recipes. If all are given away, the one whose last use is longest ago loses
    its own, but those in use by queue pairs of the network keep theirs.

    Parameters
    ----------
    count : int
        Recipes that the card holds.
    """

    def __init__(self, count):
        self.count = count
        self.clear()

    def clear(self):
        """The card holds nothing."""
        self._numbers = collections.OrderedDict()  # oldest use first
        self._users = collections.Counter()

    def number(self, recipe):
        """Number of a recipe, and whether it has to be loaded: then it is not held before
        :meth:`hold` says so, whatever happens on the way.

        Raises
        ------
        CardError
            If all are in use.
        """
        if recipe in self._numbers:
            self._numbers.move_to_end(recipe)
            return self._numbers[recipe], False
        number = next(n for n in range(self.count + 1) if n not in self._numbers.values())
        if number == self.count:
            oldest = next((old for old in self._numbers if not self._users[old]), None)
            if oldest is None:
                raise CardError(f"All {self.count} recipes of the card are in use by queue pairs: "
                                "close one of them")
            number = self._numbers.pop(oldest)
        return number, True

    def hold(self, recipe, number):
        """A recipe was loaded."""
        self._numbers[recipe] = number

    def use(self, recipe):
        """A queue pair uses a recipe from now on."""
        self._users[recipe] += 1

    def leave(self, recipe):
        """It does not any more."""
        self._users[recipe] -= recipe in self._numbers
