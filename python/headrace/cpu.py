# SPDX-License-Identifier: Apache-2.0
"""The card that is none: the same verbs, done by the reference libraries."""

from headrace import reference
from headrace.card import Card, Outcome, Report, check_target


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
