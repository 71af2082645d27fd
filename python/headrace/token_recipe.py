# SPDX-License-Identifier: Apache-2.0
"""What a card does with a text: a tokenizer, validated."""

import contextlib
import dataclasses
import functools
import json

import numpy as np

from headrace import wordpiece
from headrace.cached import cached
from headrace.errors import VocabularyError
from headrace.hw.text.tables import TableImage
from headrace.hw.text.vocabulary import Geometry


__all__ = ["FIRST", "SECOND", "TokenRecipe"]


#: In a template: a text, and the other one of a pair. Tokens are not below 0.
FIRST, SECOND = -1, -2


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
        raise ImportError("tokenizers is not installed: pip install scikit-learn scipy tokenizers "
                          "(headrace's extra `text`)") from error
    return tokenizers


@contextlib.contextmanager
def panics():
    """Within it a panic of the library, which is no Exception, is a ValueError."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError(f"The tokenizers library panics at this tokenizer: {error}") from None


def _require(what, value, allowed):
    if value not in allowed:
        raise ValueError(f"{what} must be {' or '.join(map(str, allowed))}, not {value}")


def _type(part):
    return None if part is None else part.get("type")


@functools.lru_cache(maxsize=2)
def _tables(parts, geometry):
    """Tables of model, normalizer and added tokens, given as JSON."""
    model, normalizer, added = json.loads(parts)
    for token in added:
        for option in ("single_word", "lstrip", "rstrip", "normalized"):
            if token[option]:
                raise ValueError(f"Token {token['content']!r} must not be {option}")
    characters = wordpiece.Characters.of(
        normalizer["clean_text"], normalizer["handle_chinese_chars"],
        normalizer["strip_accents"], normalizer["lowercase"])
    return wordpiece.build(
        characters, model["vocab"], _found_in_text(added),
        unknown=model["vocab"][model["unk_token"]], prefix=model["continuing_subword_prefix"],
        longest=model["max_input_chars_per_word"], geometry=geometry)


def _found_in_text(added):
    """Ids of the added tokens, which are found in the raw text."""
    return {token["content"]: token["id"] for token in added if token["content"]}


@functools.lru_cache(maxsize=4)
def _fitted(parts, geometry, pages, width):
    """Tables, their table of characters, and None; or twice None, and what does not fit."""
    try:
        tables = _tables(parts, geometry)
        return tables, TableImage.pack(tables.entries, pages, width), None
    except ValueError as error:
        return None, None, str(error)


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

    Raises
    ------
    ValueError
        If it has what no card can do; the message says which part. Whether it fits a card is said
        by :meth:`fitted`.
    """

    source: str

    def __post_init__(self):
        parts = self.parts
        model = parts["model"]
        _require("Model", _type(model), ["WordPiece"])
        _require("Normalizer", _type(parts["normalizer"]), ["BertNormalizer"])
        _require("Pre-tokenizer", _type(parts["pre_tokenizer"]), ["BertPreTokenizer"])
        if model["unk_token"] not in model["vocab"]:
            raise ValueError(f"Unknown token must be in the vocabulary, "
                             f"not {model['unk_token']!r}")
        self._check_template(self.template, FIRST)

    def __reduce__(self):
        return TokenRecipe, (self.source,)

    @classmethod
    def read(cls, tokenizer):
        """Recipe of a tokenizer, see :func:`headrace.token_source.read`.

        Raises
        ------
        OSError
            If there is no such file.
        ValueError
            If it is none of a tokenizer, or has what no card can do.
        """
        from headrace import token_source  # which makes this
        return token_source.read(tokenizer)[0]

    @cached
    def parts(self):
        """The contents of ``source`` as a dict."""
        return json.loads(self.source)

    @cached
    def reference(self):
        """The library's own tokenizer, which neither pads nor truncates."""
        with panics():
            tokenizer = library().Tokenizer.from_str(self.source)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    @cached
    def special_tokens(self):
        return _found_in_text(self.parts["added_tokens"])

    @cached
    def vocabulary(self):
        """What :meth:`tables` is made of, a string: equal ones have equal tables."""
        return json.dumps([self.parts["model"], self.parts["normalizer"],
                           self.parts["added_tokens"]])

    def token_id(self, token):
        """Id of a token of the vocabulary, or added to it; None if it is neither."""
        return self.special_tokens.get(token, self.parts["model"]["vocab"].get(token))

    @cached
    def template(self):
        """What the post-processor makes of a text: a list of (token, type), in which the text
        itself stands as (:data:`FIRST`, its type)."""
        return self._template("single", [(FIRST, 0)])

    @cached
    def pair_template(self):
        """The same of two texts: :data:`FIRST` and :data:`SECOND`.

        Raises
        ------
        ValueError
            If the post-processor does not use each once, or does something else besides.
        """
        template = self._template("pair", [(FIRST, 0), (SECOND, 1)])
        self._check_template(template, FIRST, SECOND)
        return template

    def _template(self, which, alone):
        processor = self.parts["post_processor"]
        _require("Post-processor", _type(processor),
                 [None, "BertProcessing", "TemplateProcessing"])
        if processor is None:
            return alone
        if processor["type"] == "BertProcessing":
            begin, end = processor["cls"][1], processor["sep"][1]
            return [(begin, 0), *((part, kind) for text in alone for part, kind in (
                text, (end, text[1])))]
        template = []
        for piece in processor[which]:
            if "Sequence" in piece:
                sequence = piece["Sequence"]
                template.append(({"A": FIRST, "B": SECOND}[sequence["id"]], sequence["type_id"]))
                continue
            special = piece["SpecialToken"]
            if special["id"] not in processor["special_tokens"]:
                raise ValueError(f"Post-processor must say what {special['id']!r} is")
            template += [(token, special["type_id"])
                         for token in processor["special_tokens"][special["id"]]["ids"]]
        return template

    @property
    def _place(self):
        return [token for token, _ in self.template].index(FIRST)

    @property
    def before(self):
        return self.template[:self._place]

    @property
    def behind(self):
        return self.template[self._place + 1:]

    def _check_template(self, template, *texts):
        """Raise ValueError unless the library does with texts what ``template`` says."""
        if sorted(part for part, _ in template if part < 0) != sorted(texts):
            raise ValueError(f"Post-processor must use {'the text' if len(texts) == 1 else 'each'} "
                             f"once")
        example = [self.parts["model"]["unk_token"]] * len(texts)
        with panics():
            encoding = self.reference.encode(*example)
            inner = self.reference.encode(example[0], add_special_tokens=False).ids
        made = [(token, kind) for part, kind in template
                for token in (inner if part < 0 else [part])]
        if made != list(zip(encoding.ids, encoding.type_ids)):
            around = [part for part, _ in template if part >= 0]
            raise ValueError(f"Post-processor must put the tokens {around} around texts, "
                             f"not make {encoding.ids} of {len(texts)} times {inner}")

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

    def fitted(self, config):
        """Tables for a card, and its table of characters.

        Takes seconds the first time: the library is asked about every character.

        Parameters
        ----------
        config : CardConfig

        Returns
        -------
        (Tables, ndarray of uint32)

        Raises
        ------
        VocabularyError
            If they do not fit the card. The message says which limit, and what is needed.
        """
        tables, image, wrong = _fitted(self.vocabulary, config.wordpiece, config.pages,
                                       config.entry_width)
        if wrong is not None:
            raise VocabularyError(wrong)
        return tables, image

    def encodings(self, texts):
        """What the library makes of texts, without special tokens.

        Parameters
        ----------
        texts : list of bytes-like
            UTF-8.

        Returns
        -------
        list of tokenizers.Encoding or UnicodeDecodeError
            The exception for texts that are not UTF-8.
        """
        found, good = [], []
        for text in texts:
            try:
                good.append(str(text, "utf-8"))
                found.append(None)
            except UnicodeDecodeError as error:
                found.append(error)
        with panics():
            made = iter(self.reference.encode_batch(good, add_special_tokens=False))
        return [next(made) if entry is None else entry for entry in found]

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
        encoding, = self.encodings([text])
        if isinstance(encoding, Exception):
            raise encoding
        return np.array(encoding.ids, np.uint32)
