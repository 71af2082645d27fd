# SPDX-License-Identifier: Apache-2.0
"""Texts on the simulated card against scikit-learn and Hugging Face."""

import io
import pickle
import random
import threading

import numpy as np
import pytest
from PIL import Image

import headrace as hr
import vocabulary
from wordpiece_bench import corpus_texts, random_text


text = pytest.importorskip("sklearn.feature_extraction.text",
                           reason="scikit-learn is not installed")
tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")

pytestmark = pytest.mark.usefixtures("sim_built")

EXAMPLES = ["", "the word-piece of unaffable cafés", "hello [MASK] 日本語 한국 ΟΔΟΣ. İstanbul",
            "a b c", "Words of words, of ÉTÉ", "x" * 4000, "the quick " * 300, "K Ⱥ ǆ"]
#: A text of more different words than the card counts.
TOO_MANY = " ".join(f"word{n}" for n in range(5000))


@pytest.fixture(scope="module")
def sim():
    with hr.open("sim") as card:
        yield card


@pytest.fixture(scope="module")
def small():
    return vocabulary.tokenizer(vocabulary.small())


def assert_same(matrix, expected):
    assert matrix.shape == expected.shape and matrix.dtype == expected.dtype
    for part in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(matrix, part), getattr(expected, part))


def ids(tokenizer, texts):
    return [np.array(encoding.ids, np.uint32)
            for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]


@pytest.mark.parametrize("options", [
    {}, dict(ngram_range=(1, 2), n_features=1000, norm="l1"), dict(norm=None, lowercase=False),
    dict(ngram_range=(2, 3), alternate_sign=False, binary=True), dict(n_features=2 ** 31 - 1)],
    ids=str)
def test_hashing(sim, options):
    rng = random.Random(str(options))
    texts = EXAMPLES + [random_text(rng, 60) for _ in range(200)]
    assert_same(sim.hashing_vectorizer(**options).transform(texts),
                text.HashingVectorizer(**options).transform(texts))


def test_hashing_corpus(sim):
    lines = [line for name, data in corpus_texts().items() if "kuhn" not in name
             for line in data.splitlines()]
    lines = random.Random(1).sample(lines, 3000)
    before = sim.counters()["fallbacks"]
    assert_same(sim.hashing_vectorizer().transform(lines),
                text.HashingVectorizer().transform(lines))
    assert sim.counters()["fallbacks"] - before < 3


def test_texts_that_are_handed_back(sim):
    texts = ["before", TOO_MANY, "after"]
    before = sim.counters()
    assert_same(sim.hashing_vectorizer().transform(texts),
                text.HashingVectorizer().transform(texts))
    after = sim.counters()
    assert after["fallbacks"] - before["fallbacks"] == 1
    assert after["statuses"]["TOO_LARGE/FEATURES"] >= 1
    with pytest.raises(UnicodeDecodeError):
        sim.hashing_vectorizer().transform([b"good", b"\xff bad"])
    with pytest.raises(UnicodeDecodeError, match=r"\(item 1\)$"):
        sim.hashing_vectorizer().transform([b"good", b"\xff bad"])
    for wrong in None, 5, bytearray(b"good"), np.nan:
        with pytest.raises((ValueError, TypeError, AttributeError), match="^item 1: "):
            sim.hashing_vectorizer().transform(["good", wrong])
        good, error = sim.hashing_vectorizer().each(["good", wrong])
        assert good.nnz == 1 and str(error).startswith("item 1: ")
    with pytest.raises(ValueError, match="^Texts must be a list, not str$"):
        sim.hashing_vectorizer().each("good")
    ignoring = dict(decode_error="ignore")
    assert_same(sim.hashing_vectorizer(**ignoring).transform([b"good", b"\xff bad"]),
                text.HashingVectorizer(**ignoring).transform([b"good", b"\xff bad"]))
    with hr.open("sim", fallback="raise") as strict:
        with pytest.raises(hr.ItemError, match="^item 1: "):
            strict.hashing_vectorizer().transform(texts)
        assert strict.hashing_vectorizer().transform(texts[:1]).nnz == 1


def test_tokenizer(sim, small):
    rng = random.Random(5)
    texts = EXAMPLES + [random_text(rng, 70) for _ in range(300)]
    tok = sim.tokenizer(small)
    for found, expected in zip(tok.each(texts), ids(small, texts)):
        np.testing.assert_array_equal(found, expected)
    flat, offsets = tok.ragged(texts)
    assert flat.dtype == np.uint32 and offsets[-1] == len(flat) and len(offsets) == len(texts) + 1
    small.enable_truncation(16)
    small.enable_padding()
    expected = small.encode_batch(texts)
    small.no_truncation()
    small.no_padding()
    found = tok(texts, max_length=16, truncation=True, padding=True)
    np.testing.assert_array_equal(found["input_ids"], [e.ids for e in expected])
    np.testing.assert_array_equal(found["attention_mask"], [e.attention_mask for e in expected])
    np.testing.assert_array_equal(found["token_type_ids"], [e.type_ids for e in expected])


def test_tokenizer_hands_back(sim, small):
    tok = sim.tokenizer(small)
    reorder = "\u1d15 \U0001d165\U0001d165"
    before = sim.counters()["fallbacks"]
    np.testing.assert_array_equal(tok.each([reorder])[0], ids(small, [reorder])[0])
    assert sim.counters()["fallbacks"] - before == 1
    bad, good = tok.each([b"\xc3", "the word"])
    assert isinstance(bad, UnicodeDecodeError)
    np.testing.assert_array_equal(good, ids(small, ["the word"])[0])
    with pytest.raises(UnicodeDecodeError):
        tok.ragged([b"\xc3"])


def test_tokenizers_that_do_not_fit(sim, small):
    """A vocabulary of twenty scripts' letters is the CPU's; the next one is the card's again."""
    letters = [chr(code) for code in range(0x100, 0x3400) if chr(code).isalpha()]
    many = vocabulary.tokenizer([*vocabulary.small(), *letters])
    texts = [*EXAMPLES, "".join(letters[::50]), " ".join(letters[1::70])]
    for tokenizer, count in (small, 0), (many, len(texts)), (small, 0):
        tok = sim.tokenizer(tokenizer)
        before = sim.counters()
        np.testing.assert_array_equal(tok.ragged(texts)[0], np.concatenate(ids(tokenizer, texts)))
        after = sim.counters()
        assert after["fallbacks"] - before["fallbacks"] == count
        assert (tok.unfit is None) == (not count)
    assert after["statuses"]["UNSUPPORTED/VOCABULARY"] == len(texts)
    assert "must have less than 4096 different characters, not" in sim.tokenizer(many).unfit
    with hr.open("sim", fallback="raise") as strict:
        with pytest.raises(ValueError, match="^Vocabulary must have .*fallback=\"cpu\""):
            strict.tokenizer(many)
        np.testing.assert_array_equal(strict.tokenizer(small).ragged(EXAMPLES)[0],
                                      np.concatenate(ids(small, EXAMPLES)))


def test_real_vocabulary(sim):
    real = vocabulary.tokenizer(vocabulary.real())
    lines = [line.decode() for name, data in corpus_texts().items() if "kuhn" not in name
             for line in data.splitlines()]
    lines = random.Random(2).sample(lines, 2000)
    for found, expected in zip(sim.tokenizer(real).each(lines), ids(real, lines)):
        np.testing.assert_array_equal(found, expected)


def test_vocabularies_take_turns(sim, small):
    other = vocabulary.tokenizer(vocabulary.small()[::-1])
    for tokenizer in (small, other, small):
        found, _ = sim.tokenizer(tokenizer).ragged(EXAMPLES)
        np.testing.assert_array_equal(found, np.concatenate(ids(tokenizer, EXAMPLES)))


def test_stalls_do_not_matter(small):
    with hr.open("sim", stalls=0.5, fallback="raise", memory=1 << 22) as card:
        assert_same(card.hashing_vectorizer().transform(EXAMPLES),
                    text.HashingVectorizer().transform(EXAMPLES))
        np.testing.assert_array_equal(card.tokenizer(small).ragged(EXAMPLES)[0],
                                      np.concatenate(ids(small, EXAMPLES)))


def test_more_recipes_than_the_card_holds(sim):
    for n in range(2 * sim.config.recipes + 1):
        options = dict(n_features=10 + n % 11)
        assert_same(sim.hashing_vectorizer(**options).transform(EXAMPLES),
                    text.HashingVectorizer(**options).transform(EXAMPLES))


def test_threads_and_images(sim, small):
    """Texts and images from several threads, on one card."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (40, 50, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "jpeg")
    decoded = np.array(Image.open(file))
    hashed, tokens = text.HashingVectorizer().transform(EXAMPLES), ids(small, EXAMPLES)
    vec, tok = sim.hashing_vectorizer(), sim.tokenizer(small)
    errors = []

    def work(n):
        try:
            for _ in range(4):
                if n % 3 == 0:
                    np.testing.assert_array_equal(sim.decode_jpeg(file.getvalue()), decoded)
                elif n % 3 == 1:
                    assert_same(vec.transform(EXAMPLES), hashed)
                else:
                    np.testing.assert_array_equal(tok.ragged(EXAMPLES)[0], np.concatenate(tokens))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_pickles(sim, small):
    with_copy = pickle.loads(pickle.dumps(sim.tokenizer(small)))
    np.testing.assert_array_equal(with_copy.ragged(EXAMPLES[:2])[0],
                                  np.concatenate(ids(small, EXAMPLES[:2])))
    with_copy.card.close()


def test_cpu_card(small):
    with hr.open("cpu") as card:
        assert_same(card.hashing_vectorizer().transform(EXAMPLES),
                    text.HashingVectorizer().transform(EXAMPLES))
        np.testing.assert_array_equal(card.tokenizer(small).ragged(EXAMPLES)[0],
                                      np.concatenate(ids(small, EXAMPLES)))


def test_options_that_a_card_does_not_know(sim):
    with pytest.raises(ValueError, match="^Analyzer must be 'word'"):
        sim.hashing_vectorizer(analyzer="char")
    with pytest.raises(ValueError, match="^Ngram_range must end at most at 3"):
        sim.hashing_vectorizer(ngram_range=(1, 4))
