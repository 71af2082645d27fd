# SPDX-License-Identifier: Apache-2.0
"""scikit-learn's HashingVectorizer on a card. Imports scikit-learn."""

import numpy as np
from sklearn.feature_extraction import text
from sklearn.preprocessing import normalize

from headrace.errors import ItemError, of_item
from headrace.hashing import MAX_N, HashingRecipe, Refused, as_rows


__all__ = ["HashingVectorizer"]


class HashingVectorizer(text.HashingVectorizer):
    r"""scikit-learn's HashingVectorizer, whose words are hashed, counted and sorted by a card.

    The matrices are equal to scikit-learn's to the bit. Texts that the card hands back (not UTF-8,
    too many different words…) are done by scikit-learn, or raise :class:`.errors.ItemError` if the
    card was opened with ``fallback="raise"``. A clone uses the same card; a pickle opens another.

    Parameters
    ----------
    input, encoding, decode_error, strip_accents, lowercase, preprocessor, tokenizer, stop_words, \
    token_pattern, ngram_range, analyzer, n_features, binary, norm, alternate_sign, dtype
        As scikit-learn's.
    card : Card or None
        Where to do it; None: scikit-learn does everything.

    Raises
    ------
    ValueError
        If the card cannot honour an option.
    """

    def __init__(self, *, input="content", encoding="utf-8", decode_error="strict",
                 strip_accents=None, lowercase=True, preprocessor=None, tokenizer=None,
                 stop_words=None, token_pattern=r"(?u)\b\w\w+\b", ngram_range=(1, 1),
                 analyzer="word", n_features=(2 ** 20), binary=False, norm="l2",
                 alternate_sign=True, dtype=np.float64, card=None):
        super().__init__(
            input=input, encoding=encoding, decode_error=decode_error,
            strip_accents=strip_accents, lowercase=lowercase, preprocessor=preprocessor,
            tokenizer=tokenizer, stop_words=stop_words, token_pattern=token_pattern,
            ngram_range=ngram_range, analyzer=analyzer, n_features=n_features, binary=binary,
            norm=norm, alternate_sign=alternate_sign, dtype=dtype)
        self.card = card
        if card is not None:
            self._recipe()

    def __sklearn_clone__(self):
        return type(self)(**self.get_params(deep=False))

    def _recipe(self):
        return HashingRecipe.from_options(self.get_params(deep=False),
                                          getattr(self.card, "max_n", MAX_N))

    def transform(self, X):
        """Matrix of features of texts.

        Parameters
        ----------
        X : iterable of str or bytes
            Or of names or files, see ``input``.

        Returns
        -------
        sparse matrix of shape (n_samples, n_features)
        """
        documents = None if isinstance(X, str) or self.card is None else list(X)
        if not documents:  # nothing for the card: as scikit-learn says
            return super().transform(X if documents is None else documents)
        documents = [self._read(document) for document in documents]
        features = self._redo(documents, self._features(documents))
        for found in features:
            if isinstance(found, Exception):
                raise found
        return self._finish(features)

    def each(self, X):
        """Features of each text for itself, whatever happens to the others.

        Parameters
        ----------
        X : list of str or bytes
            Texts themselves.

        Returns
        -------
        list of sparse matrix of shape (1, n_features)
            The exception of a text that fails stands in its place.
        """
        if isinstance(X, (str, bytes)) or hasattr(X, "read"):
            raise ValueError(f"Texts must be a list, not {type(X).__name__}")
        documents = list(X)
        features = self._redo(documents, self._features(documents)) if documents else []
        return [found if isinstance(found, Exception) else self._finish([found])
                for found in features]

    def _features(self, documents):
        """What the card says of each document: columns and counts, an exception, or None."""
        self._validate_ngram_range()
        recipe = self._recipe()
        payloads = [_payload(document) for document in documents]
        sent = [n for n, payload in enumerate(payloads) if payload is not None]
        features = [None] * len(documents)
        hashed = self.card._hash(recipe, [payloads[n] for n in sent]) if sent else []
        for n, result in zip(sent, hashed):
            if isinstance(result, Exception):
                features[n] = of_item(result, n)
            elif not isinstance(result, Refused):
                features[n] = result
            elif getattr(self.card, "fallback", "cpu") == "raise":
                features[n] = ItemError(result.status, result.detail, n)
        return features

    def _read(self, document):
        """The document itself, where ``input`` says where it is."""
        if self.input == "filename":
            with open(document, "rb") as file:
                return file.read()
        return document.read() if self.input == "file" else document

    def _redo(self, documents, features):
        """Features of all documents: those that are missing as scikit-learn finds them, or its
        exception, which says where."""
        missing = [n for n, found in enumerate(features) if found is None]
        if missing:
            content = text.HashingVectorizer(**{
                name: value for name, value in self.get_params(deep=False).items()
                if name != "card"} | {"input": "content"})
            analyze, done = content.build_analyzer(), []

            def analyzed():
                yield []  # hashing no rows at all is an error
                for n in missing:
                    try:
                        words = analyze(documents[n])
                    except Exception as error:  # whatever it makes of what is no text
                        features[n] = of_item(error, n)
                        continue
                    done.append(n)
                    yield words

            rows = self._get_hasher().transform(analyzed())
            for row, n in enumerate(done, start=1):
                cut = slice(*rows.indptr[row:row + 2])
                features[n] = rows.indices[cut], rows.data[cut]
        return features

    def _finish(self, features):
        """The matrix that scikit-learn makes of counts."""
        # Whether it is a matrix or an array depends on scikit-learn and its configuration.
        kind = type(self._get_hasher().transform([[]]))
        matrix = kind(as_rows(features, self.dtype), shape=(len(features), self.n_features))
        matrix.has_canonical_format = True
        if self.binary:
            matrix.data.fill(1)
        if self.norm is not None:
            matrix = normalize(matrix, norm=self.norm, copy=False)
        return matrix


def _payload(document):
    """Bytes for the card; None for what only scikit-learn can judge."""
    if isinstance(document, bytes):
        return document
    if isinstance(document, str):
        try:
            return document.encode("utf-8")
        except UnicodeEncodeError:  # a lone surrogate
            return None
    return None
