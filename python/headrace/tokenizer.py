# SPDX-License-Identifier: Apache-2.0
"""Tokenization as Hugging Face's tokenizers do it: WordPiece with BERT's pipeline."""

import operator

import numpy as np

from headrace.token_recipe import TokenRecipe


__all__ = ["Tokenizer"]


class Tokenizer:
    """A card and a tokenizer: a function from texts to tokens. Made by ``Card.tokenizer``.

    Parameters
    ----------
    card : Card
        Its ``_tokenize(recipe, items)`` takes texts as bytes and returns a list: of each text an
        ndarray of uint32, None if the CPU must do it, or the exception that it failed with.
    tokenizer : path, tokenizers.Tokenizer or TokenRecipe
        A ``tokenizer.json``: WordPiece, ``BertNormalizer`` with any options, and
        ``BertPreTokenizer``.

    Members
    -------
    card : Card
    recipe : TokenRecipe

    Raises
    ------
    ImportError
        If ``tokenizers`` is not installed.
    ValueError
        If the card cannot do what the tokenizer does.
    """

    def __init__(self, card, tokenizer):
        self.card = card
        self.recipe = (tokenizer if isinstance(tokenizer, TokenRecipe)
                       else TokenRecipe.read(tokenizer))

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
        rows = self._rows(texts, errors)
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
        UnicodeError
            If a text has no UTF-8 form, or is malformed.
        """
        rows = self.each(texts, add_special_tokens=add_special_tokens, errors="raise")
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        return np.concatenate([np.zeros(0, np.uint32), *rows]), offsets

    def __call__(self, texts, max_length=128, padding=True, truncation=True, *,
                 add_special_tokens=True):
        """Tokens of texts as a model takes them.

        Parameters
        ----------
        texts : list of str or bytes-like, or one of them
            Bytes are UTF-8.
        max_length : int or None
            Longest row, the post-processor's tokens included; None is no limit.
        padding : bool, "longest" or "max_length"
            Rows are padded to the longest (also True), or to ``max_length``. If False, rows stay
            as they are.
        truncation : bool
            Whether rows longer than ``max_length`` are cut off.
        add_special_tokens : bool
            Whether the post-processor's tokens are put around each text.

        Returns
        -------
        dict of str to ndarray of int64, shape (N, L)
            ``input_ids``, ``token_type_ids`` and ``attention_mask``. With ``padding=False`` each
            is a list of arrays of shape (L,); for a single text it is one row of shape (L,).

        Raises
        ------
        ValueError
            If an option is wrong.
        UnicodeError
            If a text has no UTF-8 form, or is malformed.
        """
        around = [*self.recipe.before, *self.recipe.behind] if add_special_tokens else []
        room = self._room(max_length, padding, truncation, len(around))
        padding = padding if isinstance(padding, str) else bool(padding)
        single = _is_text(texts)
        rows = self._rows([texts] if single else texts)
        if room is not None:
            rows = [row[max(0, len(row) - room):] if self.recipe.keeps_end else row[:room]
                    for row in rows]
        filled = self._fill(rows, padding, max_length, add_special_tokens)
        return {name: values[0] for name, values in filled.items()} if single else filled

    def _room(self, max_length, padding, truncation, around):
        """Tokens of a text that are kept; None is all."""
        if padding not in (True, False, "longest", "max_length"):
            raise ValueError(f"Padding must be True, False, 'longest' or 'max_length', "
                             f"not {padding!r}")
        if truncation not in (True, False):
            raise ValueError(f"Truncation must be True or False, not {truncation!r}")
        if max_length is None:
            if padding == "max_length":
                raise ValueError("Max_length must be given when padding is 'max_length'")
            return None
        try:
            length = operator.index(max_length)
        except TypeError:
            length = -1
        if length < max(around, 1):
            raise ValueError(f"Max_length must be an int of at least {max(around, 1)}, "
                             f"not {max_length!r}")
        return length - around if truncation else None

    def _rows(self, texts, errors="raise"):
        """Tokens of each text, or its exception."""
        if errors not in ("return", "raise"):
            raise ValueError(f"Errors must be one of return, raise, not {errors!r}")
        if _is_text(texts):
            raise ValueError(f"Texts must be a list, not {type(texts).__name__}")
        items, rows = [], []
        for text in texts:
            try:
                items.append(_as_bytes(text))
                rows.append(None)
            except UnicodeError as error:  # a lone surrogate
                rows.append(error)
        sent = [n for n, row in enumerate(rows) if row is None]
        for n, item, row in zip(
                sent, items, self.card._tokenize(self.recipe, items) if items else []):
            if row is None:
                try:
                    row = self.recipe.redo(item)
                except UnicodeError as error:
                    row = error
            rows[n] = row
        for row in rows:
            if errors == "raise" and isinstance(row, Exception):
                raise row
        return rows

    def _fill(self, rows, padding, max_length, add_special_tokens):
        """Rows with what belongs around them, and padding, by the name of each result."""
        before, behind = ((self.recipe.before, self.recipe.behind) if add_special_tokens
                          else ([], []))
        pad, pad_type, left = self.recipe.padding
        lengths = [len(before) + len(row) + len(behind) for row in rows]
        if padding is False:
            widths = lengths
        else:
            longest = max(lengths, default=0)
            width = max(longest, max_length) if padding == "max_length" else longest
            widths = [width] * len(rows)
        size = sum(widths)
        flat = {"input_ids": np.full(size, pad, np.int64),
                "token_type_ids": np.full(size, pad_type, np.int64),
                "attention_mask": np.zeros(size, np.int64)}
        at = 0
        for row, length, width in zip(rows, lengths, widths):
            start = at + width - length if left else at
            inner = slice(start + len(before), start + len(before) + len(row))
            whole = slice(start, start + length)
            ids, types = flat["input_ids"][whole], flat["token_type_ids"][whole]
            for n, (token, type_id) in enumerate(before):
                ids[n], types[n] = token, type_id
            for n, (token, type_id) in enumerate(behind, start=length - len(behind)):
                ids[n], types[n] = token, type_id
            flat["input_ids"][inner] = row
            flat["token_type_ids"][inner] = self.recipe.type_id
            flat["attention_mask"][whole] = 1
            at += width
        if padding is False:
            ends = np.cumsum(widths)
            return {name: np.split(values, ends[:-1]) if rows else []
                    for name, values in flat.items()}
        return {name: values.reshape(len(rows), -1) if rows else values.reshape(0, 0)
                for name, values in flat.items()}

    def __reduce__(self):
        return Tokenizer, (self.card, self.recipe)

    def __repr__(self):
        return (f"<tokenizer of {len(self.recipe.parts['model']['vocab'])} tokens "
                f"on {self.card!r}>")


def _is_text(texts):
    return isinstance(texts, (str, bytes, bytearray, memoryview))


def _as_bytes(text):
    if isinstance(text, str):
        return text.encode("utf-8")
    try:
        if isinstance(text, np.generic):  # has the bytes of a number
            raise TypeError
        return bytes(memoryview(text))
    except TypeError:
        raise ValueError(f"Text must be str or bytes-like, not {text!r}") from None
