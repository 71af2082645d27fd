# SPDX-License-Identifier: Apache-2.0
"""Rows of tokens as a model takes them: cut off, with special tokens, padded; by the rules and
names of transformers."""

import dataclasses
import operator

import numpy as np

from headrace.errors import of_item
from headrace.token_recipe import FIRST


__all__ = ["BatchEncoding", "Layout", "arrange", "as_tensors", "split"]


STRATEGIES = "longest_first", "only_first", "only_second"


class BatchEncoding(dict):
    """Results by name, which are attributes, too: ``encoding["input_ids"]``,
    ``encoding.input_ids``, ``model(**encoding)``."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def to(self, *args, **options):
        """Move the tensors, as ``torch.Tensor.to``, and return this; arrays stay."""
        self.update({name: value.to(*args, **options) for name, value in self.items()
                     if hasattr(value, "to")})
        return self


def _one_of(what, value, allowed):
    value = getattr(value, "value", value)  # of an enumeration of transformers
    if not isinstance(value, (str, bool, int, np.bool_, type(None))) or value not in allowed:
        raise ValueError(f"{what} must be one of {', '.join(map(repr, allowed))}, not {value!r}")
    return value


def _count(what, value, least=0):
    try:
        count = operator.index(value)
    except TypeError:
        count = least - 1
    if count < least:
        raise ValueError(f"{what} must be an int of at least {least}, not {value!r}")
    return count


@dataclasses.dataclass(frozen=True)
class Layout:
    """How rows are made: the options of a call.

    Parameters
    ----------
    special : bool
        The post-processor's tokens are put around texts.
    padding : "longest", "max_length" or None
    truncation : "longest_first", "only_first", "only_second" or None
    max_length : int or None
    multiple : int or None
        Widths are of so many tokens, or several times as many.
    pad_left, cut_left : bool
        Whether padding, or what is cut off, is at the beginning.
    """

    special: bool
    padding: str | None
    truncation: str | None
    max_length: int | None
    multiple: int | None
    pad_left: bool
    cut_left: bool

    @classmethod
    def of(cls, defaults, *, add_special_tokens=True, padding=False, truncation=None,
           max_length=None, pad_to_multiple_of=None, padding_side=None, truncation_side=None):
        """Layout for options of transformers.

        Parameters
        ----------
        defaults : Defaults
        **options
            As of :meth:`headrace.tokenizer.Tokenizer.__call__`.

        Raises
        ------
        ValueError
            If one is wrong, or padding is asked for and there is no token for it.
        """
        pad = _one_of("Padding", padding, (False, True, "longest", "max_length", "do_not_pad"))
        pad = {"do_not_pad": None, False: None, True: "longest"}.get(pad, pad)
        cut = _one_of("Truncation", truncation, (
            None, False, True, *STRATEGIES, "do_not_truncate"))
        if cut is None and max_length is not None and padding in (False,):
            cut = True  # a length alone cuts off
        cut = {"do_not_truncate": None, False: None, True: "longest_first"}.get(cut, cut)
        if max_length is not None:
            max_length = _count("Max_length", max_length)
        elif pad == "max_length" or cut:
            # Without a known length these do nothing.
            max_length = defaults.model_max_length
            if max_length is None:
                pad, cut = None if pad == "max_length" else pad, None
        if pad and defaults.pad_token_id is None:
            raise ValueError("Padding needs a token for it, which this tokenizer does not name: "
                             "give one, card.tokenizer(…, pad_token=\"…\")")
        multiple = pad_to_multiple_of
        if multiple is not None:
            multiple = _count("Pad_to_multiple_of", multiple, 1)
            if pad and cut and max_length % multiple:
                raise ValueError(f"Max_length must be a multiple of pad_to_multiple_of={multiple} "
                                 f"if rows are padded and cut off, not {max_length}")
        sides = [_one_of(name, value, ("left", "right")) == "left" for name, value in (
            ("Padding_side", padding_side or defaults.padding_side),
            ("Truncation_side", truncation_side or defaults.truncation_side))]
        return cls(bool(add_special_tokens), pad, cut, max_length, multiple, *sides)

    def template(self, recipe, texts):
        """What becomes of one text, or two: as of :attr:`TokenRecipe.template`."""
        template = recipe.template if texts == 1 else recipe.pair_template
        return [piece for piece in template if self.special or piece[0] < 0]

    def cut(self, rows, around):
        """Rows of one text, or two, of which what is too long is cut off.

        Parameters
        ----------
        rows : list of ndarray
        around : int
            Tokens that are put around them, at most ``max_length``.

        Raises
        ------
        ValueError
            If they cannot be cut off as was asked.
        """
        if self.truncation is None:
            return rows
        kept = self._kept(list(map(len, rows)), self.max_length - around)
        return [row[len(row) - count:] if self.cut_left else row[:count]
                for row, count in zip(rows, kept)]

    def _kept(self, lengths, most):
        """Tokens that are kept of each row, ``most`` in all."""
        excess = sum(lengths) - most
        if excess <= 0:
            return lengths
        if most == 0:
            return [0] * len(lengths)
        if self.truncation == "longest_first":
            if len(lengths) == 1:
                return [most]
            short, long = sorted(lengths)
            # The longer one loses until they are as long as each other, then both do.
            long = short if short > most else max(short, most - short)
            if short + long > most:
                short = most // 2
                long = short + most % 2
            return [long, short] if lengths[0] > lengths[1] else [short, long]
        at = STRATEGIES.index(self.truncation) - 1
        if at >= len(lengths):
            raise ValueError("Truncation must be longest_first or only_first for a text that is "
                             "not of a pair, not only_second")
        if lengths[at] <= excess:
            raise ValueError(f"Truncation {self.truncation} must leave tokens of that text: of "
                             f"{lengths[at]} it would have to cut off {excess}")
        lengths[at] -= excess
        return lengths

    def widths(self, lengths):
        """Width of each row: its length, with padding."""
        if self.padding is None:
            return lengths
        width = self.max_length if self.padding == "max_length" else max(lengths, default=0)
        if self.multiple:
            width = -(-width // self.multiple) * self.multiple
        return [max(length, width) for length in lengths]


def arrange(recipe, defaults, layout, items, offsets=None):
    """Rows as a model takes them.

    Parameters
    ----------
    recipe : TokenRecipe
    defaults : Defaults
    layout : Layout
    items : list of list of ndarray
        Tokens of a text each, or of a pair.
    offsets : list of list of ndarray of shape (L, 2), optional
        Where the tokens are in the texts.

    Returns
    -------
    (dict of str to ndarray of int64, list of int)
        Results by their names, all rows one behind the other; and the width of each row.

    Raises
    ------
    ValueError
        If a row cannot be cut off as was asked.
    """
    templates = {count: layout.template(recipe, count) for count in set(map(len, items))}
    around = {count: len(template) - count for count, template in templates.items()}
    most = max(around.values(), default=0)
    if layout.truncation and layout.max_length < most:
        raise ValueError(f"Max_length must be an int of at least {most}, the number of special "
                         f"tokens, not {layout.max_length}")
    rows = []
    for n, item in enumerate(items):
        try:
            rows.append(layout.cut(item, around[len(item)]))
        except ValueError as error:
            raise error if len(items) == 1 else of_item(error, n) from None
    lengths = [sum(map(len, row)) + around[len(row)] for row in rows]
    widths = layout.widths(lengths)
    size = sum(widths)
    pad = 0 if defaults.pad_token_id is None else defaults.pad_token_id
    flat = {"input_ids": np.full(size, pad, np.int64),
            "token_type_ids": np.full(size, defaults.pad_type_id, np.int64),
            "attention_mask": np.zeros(size, np.int64),
            "special_tokens_mask": np.ones(size, np.int64)}
    ids, types, attention, special = flat.values()
    places = np.zeros((size, 2), np.int64)
    begin = 0
    for n, (row, length, width) in enumerate(zip(rows, lengths, widths)):
        at = begin + width - length if layout.pad_left else begin
        attention[at:at + length] = 1
        cut = offsets and layout.cut(offsets[n], around[len(row)])
        for part, kind in templates[len(row)]:
            if part >= 0:
                ids[at], types[at] = part, kind
                at += 1
                continue
            text = FIRST - part
            inner = slice(at, at + len(row[text]))
            ids[inner], types[inner], special[inner] = row[text], kind, 0
            if offsets:
                places[inner] = cut[text]
            at = inner.stop
        begin += width
    return flat | {"offset_mapping": places, "length": np.array(widths, np.int64)}, widths


def split(values, widths):
    """Rows as one array if they are of equal width, else as a list of arrays."""
    if len(set(widths)) > 1:
        return np.split(values, np.cumsum(widths)[:-1])
    return values.reshape(len(widths), widths[0] if widths else 0, *values.shape[1:])


def as_tensors(kind):
    """Function that makes what is wanted of an array, or of a list of arrays of other lengths.

    Parameters
    ----------
    kind : None, "np" or "pt"

    Raises
    ------
    ImportError
        If torch is not installed.
    ValueError
        If it is none of these.
    """
    kind = _one_of("Return_tensors", kind, (None, "np", "pt"))
    if kind is None:
        return lambda value: value
    if kind == "np":
        return _array
    try:
        import torch
    except ImportError as error:
        raise ImportError("Tensors of PyTorch need it: pip install torch (headrace's extra "
                          "`torch`)") from error

    def tensor(value):
        if isinstance(value, list):
            raise ValueError("Rows of a tensor must be of equal length: give padding=True, and "
                             "truncation=True with max_length=")
        return torch.from_numpy(value)

    return tensor


def _array(value):
    if not isinstance(value, list):
        return value
    array = np.empty(len(value), object)
    array[:] = value
    return array
