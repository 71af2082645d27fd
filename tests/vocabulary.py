# SPDX-License-Identifier: Apache-2.0
"""Vocabularies for WordPiece: a small one made here, and the 30,522 tokens of uncased BERT.

The real one is not part of the repository: ``HEADRACE_VOCAB`` names its ``vocab.txt``, by default
``build/vocabulary/vocab.txt``, where ``make vocabulary`` puts it. Tests that need it are skipped
without it.
"""

import functools
import os
import string
from pathlib import Path

import pytest


__all__ = ["FILE", "SPECIALS", "small", "real", "tokenizer"]


FILE = Path(os.environ.get("HEADRACE_VOCAB")
            or Path(__file__).resolve().parents[1] / "build" / "vocabulary" / "vocab.txt")

#: Special tokens of BERT.
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

WORDS = """the of and a un ##aff ##able ##ably ##ing ##s ##ed word piece ##piece ##pieces in inter
##inter ##inter##national ##nation ##national ##ally naive cafe hello world don t ain ##t ##n
abcdef ##bcdef ##bcd ##ef aa aaa aaaaa ##aa ##aaa ##aaaaa 19 ##84 2000 ##0 ß σ ##ς ς и ##и привет
##вет ні ##ні 日 本 ##本 語 の ##の カ ##カ カタ ## ##。 。 ！ ª ##ª ᄒ ##ᅡ ##ᆫ ᄀ ##ᅮ ##ᆨ ᄋ ##ᅥ
ক ##ক ো ##ে ##া 𝅗 ##𝅥 ǆ ## i̇ [unused1] [mask] é ##é É Ωmega µ ﬁ ##ﬁ … ... -- ##- '""".split()


@functools.cache
def small():
    """Some hundred strings that bring out what a tokenizer does, [UNK] and the like included."""
    letters = string.ascii_lowercase.replace("q", "") + string.digits + string.punctuation
    rest = [*letters, *("##" + c for c in letters[:30]), *WORDS]
    return list(dict.fromkeys([*SPECIALS, *rest]))


@functools.cache
def real():
    """The strings of the real vocabulary."""
    if not FILE.exists():
        pytest.skip(f"no vocabulary at {FILE}: make vocabulary, or set HEADRACE_VOCAB")
    return FILE.read_text(encoding="utf-8").split("\n")[:-1]


def tokenizer(strings, specials=SPECIALS, longest=100, **options):
    """The library's tokenizer for a vocabulary, with BERT's pipeline."""
    import tokenizers
    from tokenizers import models, normalizers, pre_tokenizers, processors
    made = tokenizers.Tokenizer(models.WordPiece(
        {s: n for n, s in enumerate(strings)}, unk_token="[UNK]",
        max_input_chars_per_word=longest))
    made.normalizer = normalizers.BertNormalizer(**options)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens(list(specials))
    made.post_processor = processors.BertProcessing(
        ("[SEP]", made.token_to_id("[SEP]")), ("[CLS]", made.token_to_id("[CLS]")))
    return made
