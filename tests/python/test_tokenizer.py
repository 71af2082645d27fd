# SPDX-License-Identifier: Apache-2.0
"""Tokenizers as models take them, against Hugging Face's padding and truncation."""

import json
import pickle

import numpy as np
import pytest

import vocabulary
from headrace.hw.text.units import End
from headrace.hw.text.wordpiece import WordPiece
from headrace.token_recipe import TokenRecipe
from headrace.tokenizer import Tokenizer


tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")

TEXTS = ["", "the word-piece of unaffable cafés", "hello [MASK] 日本語 한국", "the " * 40,
         "a\N{COMBINING ACUTE ACCENT}", "\u1d15 \U0001d165\U0001d165", "ain't"]


class ModelCard:
    """A card whose kernels are their models."""

    def _tokenize(self, recipe, items):
        rows = []
        for item in items:
            tokens, end = WordPiece.compute(recipe.tables(), list(map(ord, item.decode())))
            rows.append(np.array(tokens, np.uint32) if end == End.WELL else None)
        return rows


class HandingBack:
    """A card that does nothing."""

    def _tokenize(self, recipe, items):
        return [None] * len(items)


def made(**changes):
    """The small vocabulary's tokenizer, some of its JSON changed."""
    tokenizer = vocabulary.tokenizer(vocabulary.small())
    parts = json.loads(tokenizer.to_str())
    for path, value in changes.items():
        *names, last = path.split("__")
        part = parts
        for name in names:
            part = part[int(name) if name.isdigit() else name]
        part[last] = value
    return tokenizers.Tokenizer.from_str(json.dumps(parts))


TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 2}},
               {"SpecialToken": {"id": "[MASK]", "type_id": 0}},
               {"Sequence": {"id": "A", "type_id": 1}},
               {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2, 3], "tokens": ["[CLS]", "[SEP]"]},
                       "[MASK]": {"id": "[MASK]", "ids": [4], "tokens": ["[MASK]"]},
                       "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}},
}
PADDING = {"strategy": "BatchLongest", "direction": "Left", "pad_to_multiple_of": None,
           "pad_id": 7, "pad_type_id": 3, "pad_token": "!"}
TRUNCATION = {"direction": "Left", "max_length": 9, "strategy": "LongestFirst", "stride": 0}

NAMES = {"input_ids": "ids", "token_type_ids": "type_ids", "attention_mask": "attention_mask"}


def expected(library, texts, max_length, padding, truncation, add_special_tokens=True):
    """What the library gives, as it pads and truncates by itself."""
    parts = json.loads(library.to_str())
    library.no_padding()
    library.no_truncation()
    if truncation and max_length is not None:
        direction = (parts["truncation"] or {}).get("direction", "right").lower()
        library.enable_truncation(max_length, direction=direction)
    if padding:
        side = parts["padding"] or dict(pad_id=0, pad_type_id=0, direction="right")
        library.enable_padding(
            pad_id=side["pad_id"], pad_type_id=side["pad_type_id"],
            direction=side["direction"].lower(),
            length=max_length if padding == "max_length" else None)
    encodings = library.encode_batch(texts, add_special_tokens=add_special_tokens)
    return {name: [getattr(encoding, member) for encoding in encodings]
            for name, member in NAMES.items()}


@pytest.mark.parametrize("changes", [
    {}, dict(post_processor=TEMPLATE), dict(post_processor=None),
    dict(padding=PADDING, truncation=TRUNCATION, post_processor=TEMPLATE)])
@pytest.mark.parametrize("options", [
    {}, dict(max_length=6), dict(max_length=60, padding="max_length"), dict(truncation=False),
    dict(max_length=4), dict(max_length=4, add_special_tokens=False),
    dict(padding="longest", max_length=20), dict(padding="max_length", max_length=10),
    dict(max_length=None)])
def test_equals_library(changes, options):
    library = made(**changes)
    tok = Tokenizer(ModelCard(), library)
    around = len(tok.recipe.before + tok.recipe.behind)
    if options.get("max_length") is not None and options["max_length"] < around:
        pytest.skip("less than what is around a text, which the library takes for no limit")
    got = tok(TEXTS, **options)
    arguments = {**dict(max_length=128, padding=True, truncation=True), **options}
    for name, rows in expected(library, TEXTS, **arguments).items():
        assert got[name].dtype == np.int64
        np.testing.assert_array_equal(got[name], rows, err_msg=name)


def test_rows_as_they_are():
    library = made()
    got = Tokenizer(HandingBack(), library)(TEXTS, padding=False, max_length=9)
    for name, rows in expected(library, TEXTS, 9, False, True).items():
        assert [row.tolist() for row in got[name]] == rows
        assert all(row.dtype == np.int64 for row in got[name])


@pytest.mark.parametrize("padding", [0, np.False_, 1, np.True_])
def test_truth_of_options(padding):
    tok = Tokenizer(ModelCard(), made())
    got, wanted = (tok(TEXTS[1:4], padding=value)["input_ids"] for value in (
        padding, bool(padding)))
    assert all(map(np.array_equal, got, wanted))


def test_texts_without_utf8():
    """One lone surrogate costs no other text anything."""
    tok = Tokenizer(ModelCard(), made())
    first, wrong, last = tok.each(["hello", "\ud800", "the"])
    assert isinstance(wrong, UnicodeError)
    np.testing.assert_array_equal([*first, *last], tok.ragged(["hello", "the"])[0])
    with pytest.raises(UnicodeError):
        tok.ragged(["hello", "\ud800"])
    with pytest.raises(ValueError, match="^Text must be str or bytes-like, not np.int64"):
        tok.ragged([np.int64(97)])


def test_single_text():
    tok = Tokenizer(ModelCard(), made())
    one, many = tok("hello the"), tok(["hello the"])
    for name in NAMES:
        assert one[name].shape == many[name].shape[1:]
        np.testing.assert_array_equal(one[name], many[name][0])
    assert tok(b"hello the")["input_ids"].tolist() == one["input_ids"].tolist()
    assert tok("hello the", max_length=20, padding="max_length")["input_ids"].shape == (20,)


def test_no_texts():
    tok = Tokenizer(ModelCard(), made())
    assert {name: values.shape for name, values in tok([]).items()} == dict.fromkeys(NAMES, (0, 0))
    assert tok([], padding=False) == {name: [] for name in NAMES}
    ids, offsets = tok.ragged([])
    assert (ids.tolist(), offsets.tolist()) == ([], [0])
    assert tok([""], add_special_tokens=False)["input_ids"].shape == (1, 0)


@pytest.mark.parametrize("card", [ModelCard, HandingBack])
@pytest.mark.parametrize("around", [False, True])
def test_ragged(card, around):
    library = made()
    ids, offsets = Tokenizer(card(), library).ragged(
        [text.encode() for text in TEXTS], add_special_tokens=around)
    assert (ids.dtype, offsets.dtype) == (np.uint32, np.int64)
    rows = [library.encode(text, add_special_tokens=around).ids for text in TEXTS]
    assert [ids[a:b].tolist() for a, b in zip(offsets, offsets[1:])] == rows


def test_sources(tmp_path):
    library = made()
    path = tmp_path / "tokenizer.json"
    library.save(str(path))
    recipes = [Tokenizer(HandingBack(), source).recipe
               for source in (path, str(path), library, TokenRecipe.read(library))]
    assert len(set(recipes)) == 1
    tok = Tokenizer(HandingBack(), path)
    copy = pickle.loads(pickle.dumps(tok))
    assert copy("hello")["input_ids"].tolist() == tok("hello")["input_ids"].tolist()
    assert repr(tok).startswith("<tokenizer of ")


def test_texts_that_are_none():
    tok = Tokenizer(HandingBack(), made())
    with pytest.raises(UnicodeDecodeError):
        tok([b"the", b"\xff"])
    with pytest.raises(UnicodeEncodeError):
        tok(["\ud800"])
    with pytest.raises(ValueError, match="^Text must be str or bytes-like, not 5$"):
        tok([5])
    with pytest.raises(ValueError, match="^Texts must be a list, not str$"):
        tok.ragged("hello")


@pytest.mark.parametrize("options, message", [
    (dict(padding="left"), "Padding must be True, False, 'longest' or 'max_length', not 'left'$"),
    (dict(truncation="only_first"), "Truncation must be True or False, not 'only_first'$"),
    (dict(max_length=1), "Max_length must be an int of at least 2, not 1$"),
    (dict(max_length=4.0), "Max_length must be an int of at least 2, not 4.0$"),
    (dict(max_length=None, padding="max_length"), "Max_length must be given when padding"),
])
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Tokenizer(HandingBack(), made())("hello", **options)


@pytest.mark.parametrize("changes, message", [
    (dict(model={"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"},
          added_tokens=[], post_processor=None), "Model must be WordPiece, not WordLevel$"),
    (dict(normalizer={"type": "Lowercase"}), "Normalizer must be BertNormalizer, not Lowercase$"),
    (dict(normalizer=None), "Normalizer must be BertNormalizer, not None$"),
    (dict(pre_tokenizer={"type": "Whitespace"}),
     "Pre-tokenizer must be BertPreTokenizer, not Whitespace$"),
    (dict(post_processor={"type": "RobertaProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2],
                          "trim_offsets": True, "add_prefix_space": True}),
     "Post-processor must be None or BertProcessing or TemplateProcessing, not Roberta"),
    (dict(model__unk_token="[NONE]"), "Unknown token must be in the vocabulary, not '.NONE.'$"),
    *((dict([(f"added_tokens__4__{option}", True)]), rf"Token '\[MASK\]' must not be {option}$")
      for option in ("single_word", "lstrip", "rstrip", "normalized")),
])
def test_refused(changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Tokenizer(HandingBack(), made(**changes))


def test_refused_otherwise():
    library = made()
    library.encode_special_tokens = True
    with pytest.raises(ValueError, match="^Tokenizer must not encode special tokens as text$"):
        Tokenizer(HandingBack(), library)
    with pytest.raises(ValueError, match="^Tokenizer must be a path or a tokenizers.Tokenizer"):
        Tokenizer(HandingBack(), 5)


@pytest.mark.parametrize("changes, message", [
    (dict(model__max_input_chars_per_word=256),
     r"Longest word must be within range\(1, 256\), not 256$"),
    ({"model__vocab__[UNK]": 1 << 17},
     r"Unknown token must be within range\(131072\), not 131072$"),
    (dict(added_tokens__4__content="[MA SK]"), "Special token must be of characters that stand"),
    (dict(added_tokens__4__content="x" * 32), "Special token must be of at most 31 characters"),
    (dict(added_tokens__4__content="abcdefghijklmnopqrstuvwxyz012345"[:31] + ""),
     "Special tokens must have less than 32 different characters"),
])
def test_does_not_fit(changes, message):
    recipe = TokenRecipe.read(made(**changes))
    with pytest.raises(ValueError, match=f"^{message}"):
        recipe.tables()
