# SPDX-License-Identifier: Apache-2.0
"""Tokenization as Hugging Face's tokenizers do it: WordPiece with BERT's pipeline."""

import dataclasses
import functools
import json
import operator
import os

import numpy as np

from headrace import wordpiece
from headrace.hw.text.vocabulary import Geometry


__all__ = ["TokenRecipe", "Tokenizer"]


def library():
    """The ``tokenizers`` module.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        import tokenizers
    except ImportError as error:
        raise ImportError("tokenizers is not installed: pip install 'headrace[text]'") from error
    return tokenizers


def _require(what, value, allowed):
    if value not in allowed:
        raise ValueError(f"{what} must be {' or '.join(map(str, allowed))}, not {value}")


def _type(part):
    return None if part is None else part.get("type")


@functools.lru_cache(maxsize=2)
def _tables(parts, geometry):
    """Tables of model, normalizer and special tokens, given as JSON."""
    model, normalizer, special_tokens = json.loads(parts)
    characters = wordpiece.Characters.of(
        normalizer["clean_text"], normalizer["handle_chinese_chars"],
        normalizer["strip_accents"], normalizer["lowercase"])
    return wordpiece.build(
        characters, model["vocab"], special_tokens, unknown=model["vocab"][model["unk_token"]],
        prefix=model["continuing_subword_prefix"], longest=model["max_input_chars_per_word"],
        geometry=geometry)


@dataclasses.dataclass(frozen=True)
class TokenRecipe:
    """What a card does with a text: a tokenizer, validated.

    Parameters
    ----------
    source : str
        Contents of a ``tokenizer.json``, as the library writes it.

    Members
    -------
    special_tokens : dict of str to int
        Tokens that are found in the raw text.
    before, behind : list of (int, int)
        Token and type of what the post-processor puts around a text.
    type_id : int
        Type of the tokens of a text.

    Raises
    ------
    ValueError
        If it has what the card cannot do; the message says which part.
    """

    source: str

    def __post_init__(self):
        parts = self.parts
        model = parts["model"]
        _require("Model", _type(model), ["WordPiece"])
        _require("Normalizer", _type(parts["normalizer"]), ["BertNormalizer"])
        _require("Pre-tokenizer", _type(parts["pre_tokenizer"]), ["BertPreTokenizer"])
        for token in parts["added_tokens"]:
            for option in ("single_word", "lstrip", "rstrip", "normalized"):
                if token[option]:
                    raise ValueError(f"Token {token['content']!r} must not be {option}")
        if model["unk_token"] not in model["vocab"]:
            raise ValueError(f"Unknown token must be in the vocabulary, "
                             f"not {model['unk_token']!r}")
        self._check_template()

    def __reduce__(self):
        return TokenRecipe, (self.source,)

    @classmethod
    def read(cls, tokenizer):
        """Recipe of a ``tokenizers.Tokenizer``, or of the file at a path."""
        library_class = library().Tokenizer
        if isinstance(tokenizer, (str, os.PathLike)):
            tokenizer = library_class.from_file(os.fspath(tokenizer))
        if not isinstance(tokenizer, library_class):
            raise ValueError(f"Tokenizer must be a path or a tokenizers.Tokenizer, "
                             f"not {tokenizer!r}")
        if getattr(tokenizer, "encode_special_tokens", False):
            raise ValueError("Tokenizer must not encode special tokens as text")
        return cls(tokenizer.to_str())

    @functools.cached_property
    def parts(self):
        """The contents of ``source`` as a dict."""
        return json.loads(self.source)

    @functools.cached_property
    def reference(self):
        """The library's own tokenizer, which neither pads nor truncates."""
        tokenizer = library().Tokenizer.from_str(self.source)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    @functools.cached_property
    def special_tokens(self):
        return {token["content"]: token["id"] for token in self.parts["added_tokens"]
                if token["content"]}

    @functools.cached_property
    def template(self):
        """What the post-processor makes of a text, as (token, type) with None for its tokens."""
        processor = self.parts["post_processor"]
        _require("Post-processor", _type(processor),
                 [None, "BertProcessing", "TemplateProcessing"])
        if processor is None:
            return [(None, 0)]
        if processor["type"] == "BertProcessing":
            return [(processor["cls"][1], 0), (None, 0), (processor["sep"][1], 0)]
        template = []
        for piece in processor["single"]:
            if "Sequence" in piece:
                template.append((None, piece["Sequence"]["type_id"]))
            else:
                special = piece["SpecialToken"]
                template += [(token, special["type_id"])
                             for token in processor["special_tokens"][special["id"]]["ids"]]
        return template

    @property
    def _place(self):
        return [token for token, _ in self.template].index(None)

    @property
    def before(self):
        return self.template[:self._place]

    @property
    def behind(self):
        return self.template[self._place + 1:]

    @property
    def type_id(self):
        return self.template[self._place][1]

    def _check_template(self):
        if [token for token, _ in self.template].count(None) != 1:
            raise ValueError("Post-processor must use the text once")
        encoding = self.reference.encode(self.parts["model"]["unk_token"])
        inner = self.reference.encode(self.parts["model"]["unk_token"], add_special_tokens=False)
        made = [*self.before, *((token, self.type_id) for token in inner.ids), *self.behind]
        if made != list(zip(encoding.ids, encoding.type_ids)):
            raise ValueError(f"Post-processor must put {self.before} and {self.behind} around "
                             f"a text, not make {encoding.ids} of {inner.ids}")

    @property
    def padding(self):
        """Token and type of padding, and whether it comes before the text."""
        padding = self.parts["padding"]
        if padding:
            return padding["pad_id"], padding["pad_type_id"], padding["direction"] == "Left"
        return self.special_tokens.get("[PAD]", 0), 0, False

    @property
    def keeps_end(self):
        """Whether truncation cuts off the beginning of a text."""
        return (self.parts["truncation"] or {}).get("direction") == "Left"

    def tables(self, geometry=None):
        """Tables of the kernel.

        Takes seconds the first time: the library is asked about every character.

        Parameters
        ----------
        geometry : Geometry, optional
            Widths of the card's tables.

        Returns
        -------
        Tables

        Raises
        ------
        ValueError
            If the vocabulary does not fit the geometry.
        """
        return _tables(json.dumps([self.parts["model"], self.parts["normalizer"],
                                   self.special_tokens]), geometry or Geometry())

    def redo(self, text):
        """Tokens of a text, by the library.

        Parameters
        ----------
        text : bytes-like
            UTF-8.

        Returns
        -------
        ndarray of uint32

        Raises
        ------
        UnicodeDecodeError
            If ``text`` is not UTF-8.
        """
        encoding = self.reference.encode(str(text, "utf-8"), add_special_tokens=False)
        return np.array(encoding.ids, np.uint32)


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
        items = [_as_bytes(text) for text in texts]
        rows = self.card._tokenize(self.recipe, items) if items else []
        for n, row in enumerate(rows):
            if row is None:
                try:
                    rows[n] = self.recipe.redo(items[n])
                except UnicodeError as error:
                    rows[n] = error
            if errors == "raise" and isinstance(rows[n], Exception):
                raise rows[n]
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
        return bytes(memoryview(text))
    except TypeError:
        raise ValueError(f"Text must be str or bytes-like, not {text!r}") from None
