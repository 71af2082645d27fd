# SPDX-License-Identifier: Apache-2.0
"""What a card does with a text to be hashed, and what becomes of its features."""

import codecs
import dataclasses
import functools
import operator

import numpy as np

from headrace.hw.status import Detail, Status
from headrace.hw.text.tables import COLUMN, EntryBits, TableImage, hashing_config, hashing_entries


__all__ = ["MAX_N", "HashingRecipe", "Refused", "character_table", "as_rows", "vectorizer"]


#: Most words of an n-gram, unless the card says otherwise.
MAX_N = 3

#: Options of scikit-learn's HashingVectorizer that a card knows one value of.
FIXED = {"analyzer": "word", "tokenizer": None, "preprocessor": None, "stop_words": None,
         "strip_accents": None, "token_pattern": r"(?u)\b\w\w+\b"}
DTYPES = ("float64", "float32", "int64", "int32")


@dataclasses.dataclass(frozen=True)
class Refused:
    """In place of the features of a text: the card handed it back, and why."""

    status: Status
    detail: Detail


@dataclasses.dataclass(frozen=True)
class HashingRecipe:
    """What happens to a text on the card.

    Parameters
    ----------
    features : int
        Columns, within range(1, 2**31).
    ngram_range : (int, int)
        Least and most words of an n-gram.
    lowercase : bool
        ``str.lower`` first.
    alternate_sign : bool
        Hashes below zero count -1.

    Raises
    ------
    ValueError
        If an option is not one of the above.
    """

    features: int = 1 << 20
    ngram_range: tuple = (1, 1)
    lowercase: bool = True
    alternate_sign: bool = True

    def __post_init__(self):
        try:
            features = operator.index(self.features)
        except TypeError:
            features = 0
        if not 1 <= features < 1 << COLUMN:
            raise ValueError(f"N_features must be within range(1, 2**31), not {self.features!r}")
        try:
            low, high = map(operator.index, self.ngram_range)
        except (TypeError, ValueError):
            low = high = 0
        if not 1 <= low <= high:
            raise ValueError(f"Ngram_range must be two ints, the first from 1 to the second, "
                             f"not {self.ngram_range!r}")
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "ngram_range", (low, high))
        object.__setattr__(self, "lowercase", bool(self.lowercase))
        object.__setattr__(self, "alternate_sign", bool(self.alternate_sign))

    @classmethod
    def from_options(cls, options, max_n=MAX_N):
        """Recipe for the options of scikit-learn's HashingVectorizer.

        Parameters
        ----------
        options : dict
            By scikit-learn's names; those that are missing have its defaults.
        max_n : int
            Most words of an n-gram that the card takes.

        Raises
        ------
        ValueError
            If the card cannot honour an option.
        """
        for name, value in FIXED.items():
            given = options.get(name, value)
            if given is not value and not (isinstance(given, str) and given == value):
                raise ValueError(f"{name.capitalize()} must be {value!r} on a card, not {given!r}")
        encoding = options.get("encoding", "utf-8")
        try:
            utf8 = codecs.lookup(encoding).name == "utf-8"
        except (LookupError, TypeError):
            utf8 = False
        if not utf8:
            raise ValueError(f"Encoding must be 'utf-8' on a card, not {encoding!r}")
        norm = options.get("norm", "l2")
        if norm not in ("l1", "l2", None):
            raise ValueError(f"Norm must be one of 'l1', 'l2', None, not {norm!r}")
        try:
            dtype = np.dtype(options.get("dtype", np.float64)).name
        except TypeError:
            dtype = None
        if dtype not in DTYPES:
            raise ValueError(f"Dtype must be one of {', '.join(DTYPES)} on a card, "
                             f"not {options['dtype']!r}")
        recipe = cls(options.get("n_features", 1 << 20), options.get("ngram_range", (1, 1)),
                     options.get("lowercase", True), options.get("alternate_sign", True))
        if recipe.ngram_range[1] > max_n:
            raise ValueError(f"Ngram_range must end at most at {max_n} on this card, "
                             f"not {recipe.ngram_range!r}")
        return recipe

    def config(self, rows, max_n=MAX_N):
        """Members of a ``HashingConfig`` for a kernel with these parameters."""
        return hashing_config(self.features, self.ngram_range, self.lowercase,
                              self.alternate_sign, rows=rows, max_n=max_n)


@functools.cache
def character_table(pages=384):
    """Table of characters for a kernel of so many ``pages``, of the running Python's Unicode.

    Takes a second or two when first called.

    Returns
    -------
    ndarray of uint32
        Word n belongs at address n. Read-only.
    """
    image = TableImage.pack(hashing_entries(), pages, EntryBits.WIDTH)
    image.flags.writeable = False
    return image


def as_rows(features, dtype=np.float64):
    """Features of texts as the arrays of a CSR matrix.

    Parameters
    ----------
    features : list of (columns, counts)
        Arrays of one text each, columns ascending.
    dtype : numpy.dtype
        Of the counts wanted.

    Returns
    -------
    data, indices, indptr : ndarray
    """
    indptr = np.zeros(len(features) + 1, np.int64)
    np.cumsum([len(columns) for columns, _ in features], out=indptr[1:])
    if indptr[-1] < 1 << 31:
        indptr = indptr.astype(np.int32)
    indices, data = np.empty(indptr[-1], indptr.dtype), np.empty(indptr[-1], dtype)
    for begin, end, (columns, counts) in zip(indptr[:-1], indptr[1:], features):
        indices[begin:end], data[begin:end] = columns, counts
    return data, indices, indptr


def vectorizer(card, **options):
    """:class:`headrace.vectorizer.HashingVectorizer` on ``card``.

    Raises
    ------
    ImportError
        Without scikit-learn.
    ValueError
        If the card cannot honour an option.
    """
    try:
        from headrace.vectorizer import HashingVectorizer
    except ImportError as error:
        raise ImportError("HashingVectorizer needs scikit-learn: pip install scikit-learn scipy "
                          "tokenizers (headrace's extra `text`)") from error
    return HashingVectorizer(card=card, **options)
