# SPDX-License-Identifier: Apache-2.0
"""Tokenization as Hugging Face's tokenizers do it: WordPiece with BERT's pipeline."""

import reprlib

import numpy as np

from headrace import token_source
from headrace.encoding import BatchEncoding, Layout, arrange, as_tensors, split
from headrace.errors import of_item
from headrace.hw.status import Detail


__all__ = ["Tokenizer"]


#: Options of transformers that have one value here.
FIXED = {"text_target": None, "text_pair_target": None, "stride": 0, "is_split_into_words": False,
         "return_overflowing_tokens": False, "split_special_tokens": False}


class Tokenizer:
    """A card and a tokenizer: a function from texts to tokens. Made by ``Card.tokenizer``.

    Parameters
    ----------
    card : Card
        Its ``_tokenize(recipe, items)`` takes texts as bytes and returns a list: of each text an
        ndarray of uint32, None if the CPU must do it, or the exception that it failed with.
    tokenizer : path, PreTrainedTokenizerFast, tokenizers.Tokenizer or TokenRecipe
        A ``tokenizer.json``, or a folder with one: WordPiece, ``BertNormalizer`` with any options,
        and ``BertPreTokenizer``. Beside it ``tokenizer_config.json`` and
        ``special_tokens_map.json`` are read. An object is copied: what happens to it later has no
        effect.
    pad_token : str, optional
        Token for padding. Else that of the files or of the object, or ``[PAD]`` if there is one.

    Members
    -------
    card : Card
    recipe : TokenRecipe
    defaults : Defaults
        What calls do unless told otherwise: the token for padding, the sides, the longest row.
    unfit : str or None
        Why the card cannot take this tokenizer, if it cannot: then the CPU does all its texts,
        which the card's counters show as ``UNSUPPORTED/VOCABULARY``.

    Raises
    ------
    ImportError
        If ``tokenizers`` is not installed.
    ValueError
        If no card can do what the tokenizer does; or, with the card's ``fallback="raise"``, if it
        is more than the tables of this one hold.
    """

    def __init__(self, card, tokenizer, *, pad_token=None):
        self.card = card
        self.recipe, self.defaults = token_source.read(tokenizer, pad_token)
        self.unfit = card._unfit(self.recipe)
        if self.unfit is not None and card.fallback == "raise":
            raise ValueError(f"{self.unfit}. Open the card with fallback=\"cpu\", and the CPU does "
                             f"the texts of such a tokenizer")

    def each(self, texts, *, add_special_tokens=False, errors="return"):
        """Tokens of each text.

        Parameters
        ----------
        texts, add_special_tokens
            As of :meth:`ragged`.
        errors : "return" or "raise"
            Whether the exception of a text that fails stands in place of its tokens, or is raised.

        Returns
        -------
        list of ndarray of uint32
        """
        if errors not in ("return", "raise"):
            raise ValueError(f"Errors must be one of return, raise, not {errors!r}")
        texts = _as_list(texts)
        rows = self._rows(texts, range(len(texts)), errors)
        if not add_special_tokens:
            return rows
        before, behind = (np.array([token for token, _ in part], np.uint32)
                          for part in (self.recipe.before, self.recipe.behind))
        return [row if isinstance(row, Exception) else np.concatenate([before, row, behind])
                for row in rows]

    def ragged(self, texts, *, add_special_tokens=False):
        """Tokens of all texts, one text behind the other.

        Parameters
        ----------
        texts : list of str or bytes-like
            Bytes are UTF-8.
        add_special_tokens : bool
            Whether the post-processor's tokens are put around each.

        Returns
        -------
        (ndarray of uint32, ndarray of int64)
            The tokens, and where those of each text begin; one offset more than texts.

        Raises
        ------
        ValueError
            If something is no text; a UnicodeError if it has no UTF-8 form, or is malformed.
        """
        rows = self.each(texts, add_special_tokens=add_special_tokens, errors="raise")
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        return np.concatenate([np.zeros(0, np.uint32), *rows]), offsets

    def __call__(self, text, text_pair=None, *, add_special_tokens=True, padding=False,
                 truncation=None, max_length=None, pad_to_multiple_of=None, padding_side=None,
                 truncation_side=None, return_tensors=None, return_token_type_ids=None,
                 return_attention_mask=None, return_special_tokens_mask=False,
                 return_offsets_mapping=False, return_length=False, verbose=True, **others):
        """Tokens of texts as a model takes them: names, defaults and values are those of
        ``transformers.PreTrainedTokenizerFast``.

        Parameters
        ----------
        text : str, bytes-like, or list of such, or of pairs of such
            Bytes are UTF-8.
        text_pair : of the same kind, optional
            The other text of each pair.
        add_special_tokens : bool
            Whether the post-processor's tokens are put around each.
        padding : bool, "longest", "max_length" or "do_not_pad"
            Rows are padded to the longest (also True), or to ``max_length``.
        truncation : bool, "longest_first", "only_first", "only_second" or "do_not_truncate"
            What is longer than ``max_length`` is cut off, of the longer text of a pair first (also
            True), or of one of the two. By default if ``max_length`` is given without ``padding``.
        max_length : int, optional
            Of a row, the post-processor's tokens included. Else that of the model, if
            ``tokenizer_config.json`` or the object says one; else ``truncation`` and
            ``padding="max_length"`` do nothing.
        pad_to_multiple_of : int, optional
            Widths of padded rows are multiples of it.
        padding_side, truncation_side : "left" or "right", optional
        return_tensors : None, "np" or "pt"
            Arrays, or tensors of PyTorch; a single text is then a batch of one. None: rows of
            equal length come as one array, others as a list of arrays; for a single text one row.
        return_token_type_ids, return_attention_mask : bool, optional
            By default as the model takes them.
        return_special_tokens_mask, return_length : bool
        return_offsets_mapping : bool
            Where each token is in its text, in characters. No card gives that: such texts are done
            by the CPU, and counted as ``UNSUPPORTED/OFFSETS``.
        verbose
            Has no effect: there are no warnings.
        **others
            Other options of transformers, refused unless they have its default.

        Returns
        -------
        BatchEncoding
            A dict of ndarray of int64, shape (N, L), and ``offset_mapping`` of (N, L, 2).

        Raises
        ------
        ImportError
            Without torch, if its tensors are wanted.
        ValueError
            If an option is wrong or something is no text; a UnicodeError if a text has no UTF-8
            form, or is malformed.
        """
        _check_fixed(others)
        layout = Layout.of(
            self.defaults, add_special_tokens=add_special_tokens, padding=padding,
            truncation=truncation, max_length=max_length, pad_to_multiple_of=pad_to_multiple_of,
            padding_side=padding_side, truncation_side=truncation_side)
        finish = as_tensors(return_tensors)
        wanted = {"token_type_ids": return_token_type_ids,
                  "attention_mask": return_attention_mask}
        wanted = {name: name in self.defaults.inputs if value is None else value
                  for name, value in wanted.items()}
        wanted |= {"special_tokens_mask": return_special_tokens_mask,
                   "offset_mapping": return_offsets_mapping, "length": return_length}
        items, batched = _as_items(text, text_pair)
        flat, widths = self._arranged(layout, items, batched, return_offsets_mapping)
        found = BatchEncoding()
        for name, values in flat.items():
            if wanted.get(name, True):
                value = values if name == "length" else split(values, widths)
                one = not batched and return_tensors is None and name != "length"
                found[name] = value[0] if one else finish(value)
        return found

    def _arranged(self, layout, items, batched, offsets):
        """All rows one behind the other by name, and their widths."""
        where = [n if batched else None for n, item in enumerate(items) for _ in item]
        texts = [text for item in items for text in item]
        rows, places = (self._rows_and_offsets(texts, where) if offsets
                        else (self._rows(texts, where), None))
        return arrange(self.recipe, self.defaults, layout, _grouped(rows, items),
                       offsets and _grouped(places, items))

    def _rows(self, texts, where, errors="raise"):
        """Tokens of each text, or its exception; ``where`` are their places, for messages."""
        rows, items = _as_bytes_each(texts)
        sent = [n for n, row in enumerate(rows) if row is None]
        if self.unfit is not None:
            self.card._done_by_cpu(len(items), Detail.VOCABULARY)
        elif items:
            for n, row in zip(sent, self.card._tokenize(self.recipe, items)):
                rows[n] = row
        missing = {n: item for n, item in zip(sent, items) if rows[n] is None}
        if missing:
            for n, entry in zip(missing, self.recipe.encodings(missing.values())):
                rows[n] = (entry if isinstance(entry, Exception)
                           else np.array(entry.ids, np.uint32))
        return _settled(rows, where, errors)

    def _rows_and_offsets(self, texts, where):
        """Tokens of each text, and where they are, by the CPU."""
        found, items = _as_bytes_each(texts)
        _settled(found, where)
        self.card._done_by_cpu(len(items), Detail.OFFSETS)
        found = _settled(self.recipe.encodings(items) if items else [], where)
        return ([np.array(entry.ids, np.uint32) for entry in found],
                [np.array(entry.offsets, np.int64).reshape(-1, 2) for entry in found])

    def __reduce__(self):
        return _again, (self.card, self.recipe, self.defaults, self.unfit)

    def __repr__(self):
        unfit = f", by the CPU: {self.unfit}" if self.unfit else ""
        return (f"<tokenizer of {len(self.recipe.parts['model']['vocab'])} tokens "
                f"on {self.card!r}{unfit}>")


def _again(card, recipe, defaults, unfit):
    """A tokenizer that was pickled. The card is not asked again, which may be far away."""
    tokenizer = object.__new__(Tokenizer)
    tokenizer.card, tokenizer.recipe = card, recipe
    tokenizer.defaults, tokenizer.unfit = defaults, unfit
    return tokenizer


def _check_fixed(others):
    for name, value in others.items():
        if name not in FIXED:
            raise TypeError(f"Tokenizer takes no option {name!r}")
        if value is not FIXED[name] and value != FIXED[name]:
            raise ValueError(f"{name.capitalize()} must be {FIXED[name]!r} here, not {value!r}: "
                             f"use transformers for it")


# Texts

def _is_text(text):
    return isinstance(text, (str, bytes, bytearray, memoryview))


def _as_list(texts, what="Texts"):
    if (_is_text(texts) or hasattr(texts, "read") or not hasattr(texts, "__iter__")
            or getattr(texts, "ndim", 1) == 0):
        raise ValueError(f"{what} must be a list, not {type(texts).__name__}")
    return list(texts)


def _as_items(text, text_pair):
    """Texts, alone or in pairs, as a list of tuples; and whether they were a list."""
    if _is_text(text):
        if text_pair is not None and not _is_text(text_pair):
            raise ValueError(f"Text_pair must be a text if text is one, not "
                             f"{type(text_pair).__name__}")
        return [(text, text_pair) if text_pair else (text,)], False
    texts = _as_list(text, "Text must be a text, or it")
    if text_pair is None:
        return [tuple(item) if isinstance(item, (list, tuple)) and len(item) == 2 else (item,)
                for item in texts], True
    pairs = _as_list(text_pair, "Text_pair, like text,")
    if len(texts) != len(pairs):
        raise ValueError(f"Text_pair must be as many as text, {len(texts)}, not {len(pairs)}")
    return list(zip(texts, pairs)), True


def _as_bytes_each(texts):
    """For each text None, or its exception; and the bytes of the texts that have none."""
    errors, items = [], []
    for text in texts:
        try:
            items.append(_as_bytes(text))
            errors.append(None)
        except ValueError as error:  # also a lone surrogate
            errors.append(error)
    return errors, items


def _as_bytes(text):
    if isinstance(text, str):
        return text.encode("utf-8")
    if isinstance(text, bytes):
        return bytes(text)
    try:
        view = memoryview(text)
        if view.format not in ("B", "c"):  # the memory of numbers is no text
            raise TypeError
        return bytes(view)
    except (TypeError, ValueError):  # numpy's for what is no buffer
        raise ValueError(f"Text must be str or bytes-like, not {reprlib.repr(text)}") from None


def _settled(rows, where, errors="raise"):
    """Rows, whose exceptions say where they are; the first is raised if that is wanted."""
    for n, row in enumerate(rows):
        if isinstance(row, Exception):
            rows[n] = row if where[n] is None else of_item(row, where[n])
            if errors == "raise":
                raise rows[n]
    return rows


def _grouped(rows, items):
    """Rows in lists as long as those of ``items``."""
    rows = iter(rows)
    return [[next(rows) for _ in item] for item in items]
