# SPDX-License-Identifier: Apache-2.0
"""The card that is none: the same verbs, done by the reference libraries."""

from headrace import reference
from headrace.card import Card, Outcome, Report, check_target
from headrace.errors import CardError
from headrace.hw.status import Detail


__all__ = ["CpuCard", "redo"]


def redo(recipe, item, target, **how):
    """Outcome of one item on the CPU; ``how`` are members of its :class:`Report`."""
    try:
        result = reference.process(recipe, item)
        if target is not None:
            check_target(target, result.shape, result.dtype)
            target[...] = result
            result = target
    except Exception as error:  # Pillow raises whatever its plugins raise
        return Outcome(None, Report(error=error, **how))
    return Outcome(result, Report(**how))


class CpuCard(Card):
    """Pillow and numpy behind the verbs of a card."""

    def _process(self, recipe, items, targets):
        return [redo(recipe, item, target) for item, target in zip(items, targets)]

    # Texts are the libraries' from the start: nothing is handed back.

    def _hash(self, recipe, items):
        self._done_by_cpu(len(items), Detail.NONE)
        return super()._hash(recipe, items)

    def _tokenize(self, recipe, items):
        self._done_by_cpu(len(items), Detail.NONE)
        return super()._tokenize(recipe, items)

    def _done_by_cpu(self, count, detail):
        if self._closed:
            raise CardError(f"Card must be open, not closed: {self!r}")
        self._note([Report()] * count)
