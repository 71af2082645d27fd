# SPDX-License-Identifier: Apache-2.0
"""What a card does with a text: a tokenizer, validated."""

import dataclasses
import functools
import json
import os

import numpy as np

from headrace import wordpiece
from headrace.hw.text.vocabulary import Geometry


__all__ = ["TokenRecipe"]


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
        """Recipe of a ``tokenizers.Tokenizer``, or of the file at a path.

        Raises
        ------
        OSError
            If there is no such file.
        ValueError
            If it is none of a tokenizer, or has what the card cannot do.
        """
        library_class = library().Tokenizer
        if isinstance(tokenizer, (str, os.PathLike)):
            with open(tokenizer, encoding="utf-8") as file:
                try:
                    tokenizer = library_class.from_str(file.read())
                except Exception as error:  # the library raises plain Exception
                    raise ValueError(f"Tokenizer must be a tokenizer.json, not "
                                     f"{os.fspath(tokenizer)}: {error}") from None
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
    def vocabulary(self):
        """What :meth:`tables` is made of, a string: equal ones have equal tables."""
        return json.dumps([self.parts["model"], self.parts["normalizer"], self.special_tokens])

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
        return _tables(self.vocabulary, geometry or Geometry())

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
