# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, as exceptions."""

from headrace.hw.status import Detail, Status


__all__ = ["HeadraceError", "CardError", "ItemError", "NoAnswer", "VocabularyError", "of_item"]


class HeadraceError(Exception):
    """Base of the driver's own exceptions."""


class CardError(HeadraceError, RuntimeError):
    """A card that cannot be opened, is closed, or misbehaves; not the fault of an item."""


class ItemError(HeadraceError, ValueError):
    """An item that the card handed back, under ``fallback="raise"``.

    Parameters
    ----------
    status : Status
        Kind of trouble.
    detail : Detail
        What exactly; ``detail.text`` says it to a person.
    index : int or None
        Position of the item in its batch; None for a single item.
    """

    def __init__(self, status, detail, index=None):
        self.status = Status(status)
        self.detail = Detail(detail)
        self.index = index
        super().__init__(self.status, self.detail, index)

    def __str__(self):
        where = "" if self.index is None else f"item {self.index}: "
        return f"{where}{self.status.name}: {self.detail.text}"


class NoAnswer(HeadraceError, TimeoutError):
    """An item that a card in the network did not answer, however often it was asked.

    Parameters
    ----------
    index : int
        Position of the item in its batch.
    times : int
        How often it was sent.
    seconds : float
        From the first time that it was sent to giving up.
    """

    def __init__(self, index, times, seconds):
        self.index, self.times, self.seconds = index, times, seconds
        super().__init__(index, times, seconds)

    def __str__(self):
        return (f"item {self.index}: no answer in {self.seconds:.1f} s, sent {self.times} times; "
                f"see whether the server still runs and packets of this size get through")


class VocabularyError(HeadraceError, ValueError):
    """A tokenizer that is more than a card's tables hold. The message says which limit."""


def of_item(error, index):
    """An item's error, with the item's position in the caller's list.

    Parameters
    ----------
    error : Exception
    index : int

    Returns
    -------
    Exception
        Of the same type, with a member ``index``. The text says it, too, or for what libraries have
        types of their own for, whose text stays as it is, a note. A :class:`CardError` is no
        item's, and stays as it is.
    """
    if isinstance(error, CardError):
        return error
    if isinstance(error, ItemError):
        return ItemError(error.status, error.detail, index)
    if isinstance(error, NoAnswer):
        return NoAnswer(index, error.times, error.seconds)
    if isinstance(error, UnicodeError) and len(error.args) == 5:
        error = type(error)(*error.args[:4], f"{error.args[4]} (item {index})")
    elif type(error) in (ValueError, TypeError, AttributeError) and len(error.args) == 1:
        error = type(error)(f"item {index}: {error}").with_traceback(error.__traceback__)
    elif hasattr(error, "add_note"):  # since Python 3.11
        error.add_note(f"item {index}")
    error.index = index
    return error
