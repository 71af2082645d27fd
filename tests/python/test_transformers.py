# SPDX-License-Identifier: Apache-2.0
"""Tokenizers called as transformers' own objects are, against those."""

import itertools
import json
import os
import random

import numpy as np
import pytest

import headrace as hr
import vocabulary
from wordpiece_bench import random_text


tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything is made here
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

#: Its class of no model returns types by default, which those of now do not.
OLD = int(transformers.__version__.split(".")[0]) < 5

#: Those that are the CPU's.
UNFIT = "normalized", "stripping"

TEXTS = ["", "the word-piece of unaffable cafés", "hello [MASK] 日本語 한국", "the " * 40,
         "a word  <mask> WORDS a<mask> wörd [X]<y>", "a\N{COMBINING ACUTE ACCENT}",
         "\u1d15 \U0001d165\U0001d165", "ain't [SEP] [CLS]x"]

OPTIONS = dict(
    add_special_tokens=[True, True, False],
    padding=[False, True, "longest", "max_length", "do_not_pad"],
    truncation=[None, None, True, False, "longest_first", "do_not_truncate"],
    max_length=[None, None, 3, 4, 7, 16, 60],
    pad_to_multiple_of=[None, None, None, 8],
    padding_side=[None, None, "left", "right"],
    return_token_type_ids=[None, None, True, False],
    return_attention_mask=[None, None, True, False],
    return_special_tokens_mask=[False, True],
    return_offsets_mapping=[False, False, True],
    return_length=[False, True],
    return_tensors=[None, None, "np"],
)

TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 2}},
               {"Sequence": {"id": "A", "type_id": 1}},
               {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
    "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 2}},
             {"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "[SEP]",
                                                                        "type_id": 0}},
             {"Sequence": {"id": "A", "type_id": 0}}],
    "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2, 3], "tokens": ["[CLS]", "[SEP]"]},
                       "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}},
}


def library(changes=(), **options):
    """The small vocabulary's tokenizer, some of its JSON changed."""
    made = json.loads(vocabulary.tokenizer(vocabulary.small(), **options).to_str())
    return tokenizers.Tokenizer.from_str(json.dumps(made | dict(changes)))


def fast(tokenizer, kind="PreTrainedTokenizerFast", **options):
    """transformers' object."""
    return getattr(transformers, kind)(tokenizer_object=tokenizer,
                                       **{"pad_token": "[PAD]"} | options)


def bert(folder, kind="BertTokenizerFast", **options):
    """transformers' own class, of the small vocabulary."""
    path = folder / "vocab.txt"
    path.write_text("\n".join(vocabulary.small()) + "\n", encoding="utf-8")
    source = ({"vocab_file": str(path)} if OLD else
              {"vocab": {string: n for n, string in enumerate(vocabulary.small())}})
    made = getattr(transformers, kind)(**source, **options)
    path.unlink()
    assert len(made) == len(vocabulary.small())
    return made


def added(tokenizer, *tokens, **options):
    """With more tokens that are found in texts."""
    tokenizer.add_tokens([tokenizers.AddedToken(token, **options) for token in tokens],
                         special_tokens=not options.get("normalized"))
    return tokenizer


KINDS = {
    "fast": lambda folder: fast(library()),
    "cased": lambda folder: fast(library(lowercase=False)),
    "accents": lambda folder: fast(library(strip_accents=False)),
    "stripped": lambda folder: fast(library(lowercase=False, strip_accents=True)),
    "left": lambda folder: fast(library(), padding_side="left", truncation_side="left"),
    "short": lambda folder: fast(library(), model_max_length=9),
    "other pad": lambda folder: fast(library(), pad_token="!"),
    "template": lambda folder: fast(library({"post_processor": TEMPLATE})),
    "alone": lambda folder: fast(library({"post_processor": None})),
    "types": lambda folder: fast(library(), model_input_names=[
        "input_ids", "token_type_ids", "attention_mask"]),
    "added": lambda folder: added(fast(library()), "[X]", "<y>"),
    "normalized": lambda folder: added(fast(library()), "Wörd", "wo", normalized=True),
    "stripping": lambda folder: added(fast(library()), "<mask>", lstrip=True, single_word=True),
    "stored": lambda folder: stored(fast(library())),
    "bert": lambda folder: bert(folder),
    "bert cased": lambda folder: bert(folder, do_lower_case=False),
    "distilbert": lambda folder: bert(folder, "DistilBertTokenizerFast"),
}


def stored(tokenizer):
    """With padding and truncation in its file."""
    tokenizer("a", padding="max_length", max_length=6, truncation=True)
    return tokenizer


def drawn(rng, pairs):
    options = {name: rng.choice(values) for name, values in OPTIONS.items()}
    if rng.random() < 0.2:
        options["truncation"] = rng.choice(["only_first", "only_second"])
        options["max_length"] = rng.choice([30, 60, 90])
    return options if pairs or options["truncation"] != "only_second" else (
        options | {"truncation": True})


def as_lists(value):
    """Values of either side as nested lists of ints."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.tolist()
    if isinstance(value, (list, tuple, np.ndarray)):
        return [as_lists(part) for part in value]
    return value


def assert_equal(tok, reference, arguments, options):
    """Same results, or both refuse."""
    wanted = refused = None
    try:
        wanted = reference(*arguments, **options, verbose=False)
    except Exception as error:  # the library raises plain Exception
        refused = error
    if refused is not None:
        with pytest.raises(ValueError):
            tok(*arguments, **options)
        return False
    found = tok(*arguments, **options)
    assert list(found) == list(wanted)
    for name, values in wanted.items():
        assert as_lists(found[name]) == as_lists(values), name
        if options.get("return_tensors"):
            assert isinstance(found[name], np.ndarray)
            # Of nothing it makes floats, or loses the 2 of the offsets.
            assert not values.size or (found[name].dtype, found[name].shape) == (
                values.dtype, values.shape)
    return True


def arguments(rng, pairs):
    """Texts as they are given in different ways."""
    texts = rng.sample(TEXTS, rng.randrange(1, len(TEXTS))) + [random_text(rng, 40)]
    others = [rng.choice(TEXTS) for _ in texts]
    way = rng.choice(["one", "many", "many", "tuples"])
    if way == "one":
        return (texts[0], others[0]) if pairs else (texts[0],)
    if way == "tuples" and pairs:
        return [*zip(texts, others), texts[0]],
    return (texts, others) if pairs else (texts,)


@pytest.fixture(scope="module", params=["cpu", "sim"])
def card(request):
    if request.param == "sim":
        request.getfixturevalue("sim_built")
    with hr.open(request.param) as card:
        yield card


@pytest.mark.parametrize("kind", KINDS)
def test_calls(card, kind, tmp_path):
    """300 drawn calls of an object of transformers."""
    reference = KINDS[kind](tmp_path)
    tok = card.tokenizer(reference)
    assert (tok.unfit is not None) == (card.name == "sim" and kind in UNFIT)
    rng = random.Random(kind)
    count = 300 if card.name == "cpu" else 20
    right = 0
    for pairs in itertools.islice(itertools.cycle([False, True]), count):
        right += assert_equal(tok, reference, arguments(rng, pairs), drawn(rng, pairs))
    assert right > count // 2


@pytest.mark.parametrize("kind", KINDS)
def test_saved_folders(kind, tmp_path):
    """A folder that transformers saved is what transformers reads of it."""
    KINDS[kind](tmp_path).save_pretrained(tmp_path)
    reference = transformers.AutoTokenizer.from_pretrained(tmp_path)
    with hr.open("cpu") as card:
        for source in (tmp_path, str(tmp_path), tmp_path / "tokenizer.json"):
            tok = card.tokenizer(source)
            rng = random.Random(kind)
            for pairs in [False, True] * 20:
                options = drawn(rng, pairs)
                if OLD and options["return_token_type_ids"] is None:
                    options["return_token_type_ids"] = True
                assert_equal(tok, reference, arguments(rng, pairs), options)


@pytest.mark.parametrize("options", [
    dict(do_lower_case=False), dict(do_lower_case=False, strip_accents=True),
    dict(tokenize_chinese_chars=False)])
def test_configuration_against_file(options, tmp_path):
    """Where they differ, the configuration of a class of a model wins."""
    bert(tmp_path, **options).save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text(path.read_text("utf-8").replace(
        '"lowercase": false', '"lowercase": true').replace(
        '"strip_accents": true', '"strip_accents": null').replace(
        '"handle_chinese_chars": false', '"handle_chinese_chars": true'), "utf-8")
    reference = transformers.AutoTokenizer.from_pretrained(tmp_path)
    with hr.open("cpu") as card:
        assert_equal(card.tokenizer(tmp_path), reference, ([*TEXTS, "\u00c9t\u00e9 \u65e5x"],), {})
        config = tmp_path / "tokenizer_config.json"
        config.write_text(config.read_text("utf-8").replace("{", '{"split_special_tokens":true,',
                                                            1), "utf-8")
        with pytest.raises(ValueError, match="^Tokenizer must not encode special tokens"):
            card.tokenizer(tmp_path)


def test_strategies_of_pairs(tmp_path):
    """Every length of both texts, with every strategy and limit."""
    reference = fast(library())
    with hr.open("cpu") as card:
        tok = card.tokenizer(reference)
        texts = ["the " * n for n in range(8)]
        for strategy, limit in itertools.product(
                ("longest_first", "only_first", "only_second"), range(3, 18)):
            for first, second in itertools.product(texts, texts):
                assert_equal(tok, reference, (first, second),
                             dict(truncation=strategy, max_length=limit))


def test_no_padding_token(tmp_path):
    reference = fast(tokenizers.Tokenizer.from_str(library().to_str().replace("[PAD]", "[P]")),
                     pad_token=None)
    with hr.open("cpu") as card:
        tok = card.tokenizer(reference)
        assert_equal(tok, reference, (["the", "a"],), {})
        with pytest.raises(ValueError, match="asking|Asking to pad"):
            reference(["the"], padding=True)
        with pytest.raises(ValueError, match="^Padding needs a token for it"):
            tok(["the"], padding=True)
        reference.pad_token = "a"
        assert_equal(card.tokenizer(reference), reference, (["the", "a b"],), {"padding": True})


def test_tensors():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    reference = fast(library())
    with hr.open("cpu") as card:
        found = card.tokenizer(reference)(TEXTS, padding=True, return_tensors="pt").to("cpu")
        wanted = reference(TEXTS, padding=True, return_tensors="pt")
        for name, values in wanted.items():
            assert torch.equal(found[name], values) and found[name].dtype == values.dtype
        with pytest.raises(ValueError, match="^Rows of a tensor must be of equal length"):
            card.tokenizer(reference)(TEXTS, return_tensors="pt")
