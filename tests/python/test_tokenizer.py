# SPDX-License-Identifier: Apache-2.0
"""Tokenizers as models take them, against Hugging Face's padding and truncation."""

import io
import json
import pickle
import re
import sys

import numpy as np
import pytest

import headrace as hr
import vocabulary
from headrace.bus_card import BusCard
from headrace.card import Card
from headrace.hw.card.config import CardConfig
from headrace.hw.text.units import End
from headrace.hw.text.wordpiece import WordPiece
from headrace.token_recipe import TokenRecipe
from headrace.tokenizer import Tokenizer


tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")

TEXTS = ["", "the word-piece of unaffable cafés", "hello [MASK] 日本語 한국", "the " * 40,
         "a\N{COMBINING ACUTE ACCENT}", "\u1d15 \U0001d165\U0001d165", "ain't"]


class ModelCard(Card):
    """A card whose kernels are their models."""

    def __init__(self):
        super().__init__("model", "cpu")

    def __reduce__(self):
        return type(self), ()

    def _process(self, recipe, items, targets):
        raise NotImplementedError

    def _tokenize(self, recipe, items):
        rows = []
        for item in items:
            if b"\xff" in item:
                rows.append(None)
                continue
            tokens, end = WordPiece.compute(recipe.tables(), list(map(ord, item.decode())))
            rows.append(np.array(tokens, np.uint32) if end == End.WELL else None)
        return rows


class HandingBack(ModelCard):
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
    arguments = {**dict(max_length=128, padding=True, truncation=True), **options}
    got = tok(TEXTS, **arguments)
    for name, rows in expected(library, TEXTS, **arguments).items():
        assert got[name].dtype == np.int64
        np.testing.assert_array_equal(got[name], rows, err_msg=name)


def test_rows_as_they_are():
    library = made()
    got = Tokenizer(HandingBack(), library)(TEXTS, max_length=9)
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
    with pytest.raises(UnicodeError, match=r"\(item 1\)$"):
        tok.ragged(["hello", "\ud800"])


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
    for options in {}, dict(padding=True), dict(padding="max_length", max_length=5):
        assert {name: values.shape for name, values in tok([], **options).items()} == (
            dict.fromkeys(NAMES, (0, 0)))
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
    """Each stands in its own place, and no other text is touched."""
    tok = Tokenizer(HandingBack(), made())
    wrong = [None, 5, "\ud800", b"\xff", np.int64(97), np.ones(3), 2.5, ["the"], object(),
             np.array(["the"]), ("the", "the")]
    texts = [text for one in wrong for text in ("the", one)]
    for card in ModelCard(), HandingBack():
        rows = Tokenizer(card, made()).each(texts)
        assert {tuple(row) for row in rows[::2]} == {(102,)}
        for n, error in enumerate(rows[1::2]):
            assert isinstance(error, ValueError) and f"item {2 * n + 1}" in str(error), error
    for text, message in ((5, "^item 1: Text must be str or bytes-like, not 5$"),
                          (b"\xff", r"invalid start byte \(item 1\)$"),
                          ("\ud800", r"surrogates not allowed \(item 1\)$")):
        for call in tok, tok.ragged, lambda texts: tok.each(texts, errors="raise"):
            with pytest.raises(ValueError, match=message):
                call(["the", text])
        with pytest.raises(ValueError, match=message):
            tok(["the", "the"], ["the", text])
    with pytest.raises(UnicodeEncodeError, match="surrogates not allowed$"):
        tok("\ud800")
    for texts in "hello", b"hello", None, 5, io.StringIO("hello"), np.array("hello"):
        with pytest.raises(ValueError, match=f"^Texts must be a list, not {type(texts).__name__}"):
            tok.ragged(texts)
    with pytest.raises(ValueError, match="^Text must be a text, or it must be a list, not int$"):
        tok(5)
    assert tok(np.array(["the", "the"])).input_ids.shape == (2, 3)
    np.testing.assert_array_equal(tok(bytearray(b"the")).input_ids,
                                  tok(memoryview(b"the")).input_ids)


@pytest.mark.parametrize("arguments, message", [
    (("a", ["b"]), "Text_pair must be a text if text is one, not list$"),
    ((["a"], "b"), "Text_pair, like text, must be a list, not str$"),
    ((["a"], ["b", "c"]), "Text_pair must be as many as text, 1, not 2$"),
    ((["a"], 128), "Text_pair, like text, must be a list, not int$"),
    (([("a", "b", "c")],), "item 0: Text must be str or bytes-like, not "),
])
def test_wrong_pairs(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Tokenizer(HandingBack(), made())(*arguments)


@pytest.mark.parametrize("options, message", [
    (dict(padding="left"), "Padding must be one of False, True, 'longest', .*, not 'left'$"),
    (dict(padding=None), "Padding must be one of False, True, 'longest', .*, not None$"),
    (dict(truncation="first"), "Truncation must be one of None, .*, 'only_first', .*'first'$"),
    (dict(truncation=True, max_length=1), "Max_length must be an int of at least 2, .*not 1$"),
    (dict(max_length=4.0), "Max_length must be an int of at least 0, not 4.0$"),
    (dict(max_length=-1), "Max_length must be an int of at least 0, not -1$"),
    (dict(padding=True, pad_to_multiple_of=0), "Pad_to_multiple_of must be an int of at least 1"),
    (dict(padding=True, pad_to_multiple_of=8, truncation=True, max_length=12),
     "Max_length must be a multiple of pad_to_multiple_of=8 .*, not 12$"),
    (dict(padding_side="top"), "Padding_side must be one of 'left', 'right', not 'top'$"),
    (dict(truncation_side=0.5), "Truncation_side must be one of 'left', 'right', not 0.5$"),
    (dict(return_tensors="tf"), "Return_tensors must be one of None, 'np', 'pt', not 'tf'$"),
    (dict(truncation="only_second", max_length=3), "Truncation must be longest_first or only_f"),
    (dict(stride=3), "Stride must be 0 here, not 3: use transformers for it$"),
    (dict(is_split_into_words=True), "Is_split_into_words must be False here, not True"),
    (dict(return_overflowing_tokens=True), "Return_overflowing_tokens must be False here"),
    (dict(text_target="a"), "Text_target must be None here"),
])
def test_wrong_options(options, message):
    tok = Tokenizer(HandingBack(), made())
    with pytest.raises(ValueError, match=f"^{message}"):
        tok("hello the the", **options)
    if "second" in str(options):
        tok("hello", **options)  # there is nothing to cut off
        with pytest.raises(ValueError, match=f"^item 1: {message}"):
            tok(["hello", "hello the the"], **options)


def test_options_without_effect():
    tok = Tokenizer(HandingBack(), made())
    np.testing.assert_array_equal(
        tok("the", stride=0, is_split_into_words=False, verbose=False).input_ids,
        tok("the").input_ids)
    with pytest.raises(TypeError, match="^Tokenizer takes no option 'paddin'$"):
        tok("the", paddin=True)
    with pytest.raises(AttributeError, match="^nothing$"):
        assert tok("the").nothing


def test_without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="pip install torch"):
        Tokenizer(HandingBack(), made())("the", return_tensors="pt")


def test_offsets_are_counted():
    with hr.open("cpu") as cpu:
        wanted = cpu.tokenizer(made())(TEXTS, return_offsets_mapping=True)
        assert cpu.counters()["statuses"] == {} and cpu.counters()["items"] == len(TEXTS)
        tok = cpu.tokenizer(made())
    for call in tok, tok.each, lambda texts: tok(texts, return_offsets_mapping=True):
        with pytest.raises(hr.CardError, match="^Card must be open, not closed"):
            call(TEXTS)
    card = HandingBack()
    found = Tokenizer(card, made())(TEXTS, return_offsets_mapping=True)
    assert card.counters() == {"items": len(TEXTS), "fallbacks": len(TEXTS), "failures": 0,
                               "statuses": {"UNSUPPORTED/OFFSETS": len(TEXTS)}}
    for name, rows in wanted.items():
        assert all(map(np.array_equal, found[name], rows))
    assert found.offset_mapping[1][1].tolist() == [0, 3]
    strict = HandingBack()
    strict.fallback = "raise"
    with pytest.raises(hr.ItemError, match="^UNSUPPORTED: positions of tokens"):
        Tokenizer(strict, made())(TEXTS, return_offsets_mapping=True)


# Where tokenizers come from

def folder(path, source=None, **files):
    """A folder with a tokenizer, and other JSON files."""
    path.mkdir(exist_ok=True)
    (source or made()).save(str(path / "tokenizer.json"))
    for name, content in files.items():
        (path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return path


def padded(tok):
    """Token that a short row is padded with, and whether it is at the left."""
    ids = tok(["the", "the the"], padding=True)["input_ids"][0].tolist()
    return (ids[0], True) if ids[-1] == 3 else (ids[-1], False)


Z = vocabulary.small().index("z")
PAD = dict(PADDING, pad_id=Z, pad_token="z")


@pytest.mark.parametrize("changes, files, options, wanted", [
    ({}, {}, {}, (0, False)),
    (dict(padding=PAD), {}, {}, (Z, True)),
    ({}, dict(tokenizer_config={"pad_token": "z"}), {}, (Z, False)),
    ({}, dict(tokenizer_config={"pad_token": {"content": "z", "lstrip": False}}), {}, (Z, False)),
    ({}, dict(special_tokens_map={"pad_token": "z"}), {}, (Z, False)),
    ({}, dict(special_tokens_map={"pad_token": {"content": "z"}}), {}, (Z, False)),
    ({}, dict(tokenizer_config={"pad_token": "y"}, special_tokens_map={"pad_token": "z"}), {},
     (Z, False)),
    ({}, dict(tokenizer_config={"pad_token": "z", "added_tokens_decoder": {}},
              special_tokens_map={"pad_token": "y"}), {}, (Z, False)),
    (dict(padding=PADDING), dict(tokenizer_config={"pad_token": "z"}), {}, (Z, True)),
    (dict(padding=PADDING), dict(tokenizer_config={"pad_token": "y", "padding_side": "right"}),
     dict(pad_token="z"), (Z, False)),
    ({}, dict(tokenizer_config={"pad_token": None}), {}, (0, False)),
    ({}, dict(tokenizer_config={"pad_token": "[new]"}), {}, (196, False)),
])
def test_padding_token(changes, files, options, wanted, tmp_path):
    where = folder(tmp_path / "model", made(**changes), **files)
    for path in where, where / "tokenizer.json":
        assert padded(Tokenizer(HandingBack(), path, **options)) == wanted


def test_no_padding_token():
    source = tokenizers.Tokenizer.from_str(made().to_str().replace("[PAD]", "[P]"))
    tok = Tokenizer(HandingBack(), source)
    assert tok(["the", "the the"])["input_ids"][0].tolist() == [2, 102, 3]
    for padding in True, "longest":
        with pytest.raises(ValueError, match="^Padding needs a token for it, .*pad_token="):
            tok(["the", "a b"], padding=padding)
    assert padded(Tokenizer(HandingBack(), source, pad_token="[P]")) == (0, False)
    for wrong in "[PAD]", 5, ["[P]"]:
        with pytest.raises(ValueError, match="^Pad_token must be in the vocabulary, not "):
            Tokenizer(HandingBack(), source, pad_token=wrong)


@pytest.mark.parametrize("config, types", [
    ({}, True), ({"tokenizer_class": "BertTokenizer"}, True),
    ({"tokenizer_class": "DistilBertTokenizerFast"}, False),
    ({"tokenizer_class": "DistilBertTokenizer", "model_input_names": ["input_ids",
                                                                      "token_type_ids"]}, True),
    ({"model_input_names": ["input_ids"]}, False)])
def test_inputs_of_the_model(config, types, tmp_path):
    tok = Tokenizer(HandingBack(), folder(tmp_path / "model", tokenizer_config=config))
    assert ("token_type_ids" in tok("the")) is types
    assert "token_type_ids" in tok("the", return_token_type_ids=True)


def test_longest_row_of_the_model(tmp_path):
    tok = Tokenizer(HandingBack(), folder(tmp_path / "model", tokenizer_config={
        "model_max_length": 7}))
    assert tok("the " * 9).input_ids.shape == (11,)
    assert tok("the " * 9, truncation=True).input_ids.shape == (7,)
    assert tok("the", padding="max_length").input_ids.shape == (7,)


@pytest.mark.parametrize("files, message", [
    (dict(tokenizer_config=[]), "tokenizer_config.json must hold an object, not list: "),
    (dict(special_tokens_map={"pad_token": 5}), "Token of tokenizer_config.json must be a str"),
    (dict(tokenizer_config={"padding_side": "top"}), "Padding_side must be left or right"),
    (dict(tokenizer_config={"model_max_length": "long"}), "Model_max_length must be a number"),
    (dict(tokenizer_config={"model_input_names": 5}), "Model_input_names must be a list of str"),
])
def test_wrong_files(files, message, tmp_path):
    with pytest.raises(ValueError, match=f"^{message}"):
        Tokenizer(HandingBack(), folder(tmp_path / "model", **files))


def test_no_files(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text("{", encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="^There is no tokenizer.json in "):
        Tokenizer(HandingBack(), tmp_path)
    made().save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match="^tokenizer_config.json must be JSON, not "):
        Tokenizer(HandingBack(), tmp_path)
    with pytest.raises(FileNotFoundError, match="No such file or directory: 'bert-base'"):
        Tokenizer(HandingBack(), "bert-base")


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
    (dict(post_processor=dict(TEMPLATE, single=[{"Sequence": {"id": "B", "type_id": 0}}])),
     "Post-processor must use the text once$"),
    (dict(post_processor=dict(TEMPLATE, single=TEMPLATE["single"][2:3] * 2)),
     "Post-processor must use the text once$"),
])
def test_refused(changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Tokenizer(HandingBack(), made(**changes))


def test_refused_otherwise():
    library = made()
    library.encode_special_tokens = True
    with pytest.raises(ValueError, match="^Tokenizer must not encode special tokens as text$"):
        Tokenizer(HandingBack(), library)
    with pytest.raises(ValueError, match="^Tokenizer must be a path, a PreTrainedTokenizerFast or"):
        Tokenizer(HandingBack(), 5)


def test_refused_for_pairs():
    """A post-processor that uses a text twice does single texts all the same."""
    twice = dict(TEMPLATE, pair=TEMPLATE["pair"] + TEMPLATE["pair"][:1])
    tok = Tokenizer(HandingBack(), made(post_processor=twice))
    assert tok("the").input_ids.tolist() == [2, 3, 4, 102, 3]
    with pytest.raises(ValueError, match="^Post-processor must use each once$"):
        tok("the", "the")


# Limits of a card

LIMITS = [
    (dict(model__max_input_chars_per_word=256),
     r"Longest word must be within range\(1, 256\), not 256"),
    ({"model__vocab__[UNK]": 1 << 17}, r"Token must be within range\(131072\), not 131072"),
    (dict(added_tokens__4__content="[MA SK]"), "Special token must be of characters that stand"),
    (dict(added_tokens__4__content="x" * 32), "Special token must be of at most 31 .* not 32: "),
    (dict(added_tokens__4__content="abcdefghijklmnopqrstuvwxyz01234"),
     "Special tokens must have less than 32 different characters, not"),
    (dict(model__vocab=dict(zip(["[UNK]", *(chr(0x4e00 + n) for n in range(5000))],
                                range(5001)))),
     "Vocabulary must have less than 4096 different characters, not 50"),
    (dict(model__vocab={"[UNK]": 0} | {
        f"{n:08b}{m:010b}"[::-1]: 1 + (n << 10 | m) for n in range(100) for m in range(1000)}),
     r"Vocabulary must have room in 65536 nodes of a trie, not \d{6}"),
    *((dict([(f"added_tokens__4__{option}", True)]), rf"Token '\[MASK\]' must not be {option}")
      for option in ("single_word", "lstrip", "rstrip", "normalized")),
]


class Limited(ModelCard):
    """A card with the tables of one that is built."""

    config = CardConfig()
    _unfit = BusCard._unfit


@pytest.mark.parametrize("changes, message", LIMITS)
def test_limits(changes, message):
    """They are found at once, and said; the CPU does such texts if it may."""
    library = made(**changes)
    card = Limited()
    tok = Tokenizer(card, library)
    assert re.match(message, tok.unfit) and tok.unfit in repr(tok)
    assert pickle.loads(pickle.dumps(TokenRecipe.read(library))) == tok.recipe
    card.fallback = "raise"
    with pytest.raises(ValueError, match=f"^{message}.*fallback=\"cpu\""):
        Tokenizer(card, library)


@pytest.mark.parametrize("changes, message", LIMITS[:2])
def test_tables_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        TokenRecipe.read(made(**changes)).tables()


def test_limit_of_pages():
    class Small(Limited):
        config = CardConfig(pages=50)

    assert re.match(r"Table of characters must have at most 50 different pages of 64, not \d+",
                    Tokenizer(Small(), made()).unfit)
    assert Tokenizer(Limited(), made()).unfit is None
