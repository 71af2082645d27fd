# SPDX-License-Identifier: Apache-2.0
"""HashingVectorizer on the Verilated kernel against scikit-learn's own."""

import io
import pickle
import subprocess
import sys

import numpy as np
import pytest

from headrace.errors import ItemError
from headrace.hashing import HashingRecipe, Refused, as_rows, character_table, vectorizer
from headrace.hw.status import Detail, Status


sklearn = pytest.importorskip("sklearn", reason="scikit-learn, the reference, is not installed")

from sklearn.base import clone  # noqa: E402
from sklearn.feature_extraction.text import HashingVectorizer as Reference  # noqa: E402
from sklearn.linear_model import SGDClassifier  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402


class KernelCard:
    """A card that is one Verilated kernel."""

    max_n = 3

    def __init__(self, bench, fallback="cpu"):
        self.bench = bench
        self.fallback = fallback
        self.refused = 0

    def _hash(self, recipe, payloads):
        options = dict(features=recipe.features, ngram_range=recipe.ngram_range,
                       lowercase=recipe.lowercase, alternate_sign=recipe.alternate_sign)
        results = self.bench.run([(bytes(payload), options) for payload in payloads])
        self.refused += sum(result.status != Status.OK for result in results)
        return [(result.columns.view(np.uint32), result.counts) if result.status == Status.OK
                else Refused(result.status, result.detail) for result in results]


@pytest.fixture
def card(hashing_bench):
    return KernelCard(hashing_bench)


TEXTS = [
    "The quick brown fox", "", "a", "the the the cat and the hat",
    "\u039f\u0394\u039f\u03a3 \u0130", "stra\u00dfe \u4e2d\u6587 \U0001f600 x",
    b"bytes as they are", "lone \ud800 surrogate",
    "A\u03a3\u02b0 is handed back", " ".join(f"word{n}" for n in range(4000)),
    " ".join(f"w{n % 97}" for n in range(1500)), "ends here",
]


def same(got, expected):
    assert type(got) is type(expected) and got.shape == expected.shape
    for name in ("data", "indices", "indptr"):
        ours, theirs = getattr(got, name), getattr(expected, name)
        assert ours.dtype == theirs.dtype, name
        np.testing.assert_array_equal(ours, theirs)
    assert got.has_sorted_indices and got.has_canonical_format


@pytest.mark.parametrize("options", [
    {}, {"n_features": 1000}, {"n_features": 2, "norm": "l1"}, {"norm": None}, {"binary": True},
    {"binary": True, "norm": None, "n_features": 20}, {"ngram_range": (1, 2), "norm": "l1"},
    {"ngram_range": [2, 3], "lowercase": False, "alternate_sign": False},
    {"dtype": np.float32}, {"dtype": "float32", "norm": "l1", "n_features": 7},
    {"dtype": np.int64, "norm": None}, {"dtype": np.int32}, {"n_features": 2 ** 31 - 1},
])
def test_equals_sklearn(card, options):
    same(vectorizer(card, **options).transform(iter(TEXTS)), Reference(**options).transform(TEXTS))
    assert card.refused


@pytest.mark.parametrize("how", ["strict", "ignore", "replace"])
def test_malformed(card, how):
    texts = [b"good", b"caf\xe9 au lait", b"more"]
    ours, theirs = vectorizer(card, decode_error=how), Reference(decode_error=how)
    if how == "strict":
        for each in (ours, theirs):
            with pytest.raises(UnicodeDecodeError):
                each.transform(texts)
    else:
        same(ours.transform(texts), theirs.transform(texts))


def test_raise(hashing_bench):
    card = KernelCard(hashing_bench, fallback="raise")
    with pytest.raises(ItemError, match="^item 1: CORRUPT: bytes that are not UTF-8") as caught:
        vectorizer(card).transform([b"good", b"\xff"])
    assert caught.value.detail is Detail.UTF8


def test_inputs(card, tmp_path):
    path = tmp_path / "text"
    path.write_bytes("name of a caf\u00e9".encode())
    expected = Reference().transform([path.read_text("utf-8")])
    same(vectorizer(card, input="filename").transform([path]), expected)
    same(vectorizer(card, input="file").transform([io.BytesIO(path.read_bytes())]), expected)
    same(vectorizer(card, input="file").transform([io.StringIO(path.read_text("utf-8"))]),
         expected)


def test_errors_are_those_of_sklearn(card):
    """And say which text it was."""
    for texts, where in (("one string", ""), ([], ""), ([np.nan], "item 0: "), ([None], "item 0: "),
                         (["a word", 3], "item 1: "), ([bytearray(b"word")], "item 0: ")):
        with pytest.raises(Exception) as theirs:  # noqa: B017
            Reference().transform(texts)
        with pytest.raises(type(theirs.value)) as ours:
            vectorizer(card).transform(texts)
        assert str(ours.value) == f"{where}{theirs.value}"


def test_estimator(card):
    """Clones, parameters, fit, pipelines, pickles."""
    ours = vectorizer(card, n_features=500)
    copy = clone(ours)
    assert copy.card is card and copy.get_params() == ours.get_params()
    assert ours.fit(TEXTS) is ours
    same(ours.fit_transform(TEXTS), Reference(n_features=500).fit_transform(TEXTS))
    ours.set_params(n_features=50)
    same(ours.transform(TEXTS), Reference(n_features=50).transform(TEXTS))
    ours.set_params(ngram_range=(1, 5))
    with pytest.raises(ValueError, match="^Ngram_range must end at most at 3"):
        ours.transform(TEXTS)
    labels = np.arange(len(TEXTS)) % 2
    predictions = [make_pipeline(each, SGDClassifier(random_state=0)).fit(TEXTS, labels)
                   .decision_function(TEXTS) for each in (copy, Reference(n_features=500))]
    np.testing.assert_array_equal(*predictions)
    same(pickle.loads(pickle.dumps(copy.set_params(card=None))).transform(TEXTS),
         Reference(n_features=500).transform(TEXTS))


@pytest.mark.parametrize("options, message", [
    ({"analyzer": "char"}, "Analyzer must be 'word' on a card, not 'char'"),
    ({"analyzer": str.split}, "Analyzer must be 'word' on a card, not <method"),
    ({"tokenizer": str.split}, "Tokenizer must be None on a card, not <method"),
    ({"preprocessor": str.upper}, "Preprocessor must be None on a card, not <method"),
    ({"stop_words": "english"}, "Stop_words must be None on a card, not 'english'"),
    ({"strip_accents": "ascii"}, "Strip_accents must be None on a card, not 'ascii'"),
    ({"token_pattern": r"\w+"}, r"Token_pattern must be .* on a card, not '\\\\w\+'"),
    ({"encoding": "latin-1"}, "Encoding must be 'utf-8' on a card, not 'latin-1'"),
    ({"encoding": "no such"}, "Encoding must be 'utf-8' on a card, not 'no such'"),
    ({"norm": "max"}, "Norm must be one of 'l1', 'l2', None, not 'max'"),
    ({"dtype": np.int8}, "Dtype must be one of float64, float32, int64, int32 on a card, not"),
    ({"ngram_range": (1, 4)}, r"Ngram_range must end at most at 3 on this card, not \(1, 4\)"),
    ({"ngram_range": (2, 1)}, "Ngram_range must be two ints, the first from 1 to the second"),
    ({"ngram_range": 2}, "Ngram_range must be two ints, the first from 1 to the second, not 2"),
    ({"n_features": 0}, r"N_features must be within range\(1, 2\*\*31\), not 0"),
    ({"n_features": 2.5}, r"N_features must be within range\(1, 2\*\*31\), not 2.5"),
])
def test_options_that_a_card_lacks(options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        HashingRecipe.from_options(options)
    with pytest.raises(ValueError, match=f"^{message}"):
        vectorizer(object(), **options)


def test_spellings():
    assert HashingRecipe.from_options({"encoding": "UTF8"}) == HashingRecipe()
    recipe = HashingRecipe.from_options({"n_features": np.int64(10), "ngram_range": [1, 2]})
    assert recipe == HashingRecipe(10, (1, 2)) and hash(recipe) == hash(HashingRecipe(10, (1, 2)))
    assert recipe.config(rows=1024)["max_n"] == 2


def test_tables_are_made_once():
    table = character_table()
    assert table is character_table() and not table.flags.writeable


def test_rows():
    data, indices, indptr = as_rows([(np.uint32([1, 5]), np.int32([2, -1])), ([], []),
                                     (np.uint32([3]), np.int32([7]))], np.float32)
    assert data.dtype == np.float32 and data.tolist() == [2, -1, 7]
    assert indices.tolist() == [1, 5, 3] and indptr.tolist() == [0, 2, 2, 3]


def test_import_without_sklearn():
    """The module needs numpy alone; the vectorizer says what it lacks."""
    script = """if True:
        import sys
        sys.modules["sklearn"] = sys.modules["scipy"] = sys.modules["amaranth"] = None
        import headrace.hashing
        try:
            headrace.hashing.vectorizer(None)
        except ImportError as error:
            print(error)
    """
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.stdout == ("HashingVectorizer needs scikit-learn: pip install scikit-learn "
                          "scipy tokenizers (headrace's extra `text`)\n"), run.stderr
