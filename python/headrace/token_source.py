# SPDX-License-Identifier: Apache-2.0
"""Where a tokenizer comes from: a file, a folder, or an object of a library; and what calls of it
do unless told otherwise."""

import dataclasses
import json
import os
from pathlib import Path

from headrace.token_recipe import TokenRecipe, library, panics


__all__ = ["Defaults", "read"]


#: Special tokens that a configuration names, in the order in which transformers adds them.
NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token",
         "mask_token")
#: Classes of transformers that are of no model, or of none that is named.
WITHOUT_CLASS = {"None", "PreTrainedTokenizer", "TokenizersBackend"}
#: Classes whose models take no types of tokens.
WITHOUT_TYPES = {"DistilBertTokenizer", "MPNetTokenizer", "RetriBertTokenizer",
                 *WITHOUT_CLASS} - {"None"}
#: Options of BERT's normalizer by their names in a configuration.
NORMALIZING = {"do_lower_case": "lowercase", "strip_accents": "strip_accents",
               "tokenize_chinese_chars": "handle_chinese_chars"}
#: What other models take.
INPUTS = "input_ids", "token_type_ids", "attention_mask"
#: A longest row above this is none.
NO_LENGTH = 10 ** 20


@dataclasses.dataclass(frozen=True)
class Defaults:
    """What calls of a tokenizer do unless told otherwise.

    Parameters
    ----------
    pad_token : str or None
    pad_token_id : int or None
        None if padding is not possible.
    pad_type_id : int
        Type of padding.
    padding_side, truncation_side : "left" or "right"
    model_max_length : int or None
        Longest row that the model takes, if that is known.
    inputs : tuple of str
        What the model takes.
    """

    pad_token: str | None = None
    pad_token_id: int | None = None
    pad_type_id: int = 0
    padding_side: str = "right"
    truncation_side: str = "right"
    model_max_length: int | None = None
    inputs: tuple = INPUTS


def read(tokenizer, pad_token=None):
    """Recipe of a tokenizer, and what its calls do unless told otherwise.

    Parameters
    ----------
    tokenizer : path, PreTrainedTokenizerFast, tokenizers.Tokenizer or TokenRecipe
        A ``tokenizer.json`` or a folder with one; ``tokenizer_config.json`` and
        ``special_tokens_map.json`` beside it are read, too.
    pad_token : str, optional
        Token for padding.

    Returns
    -------
    (TokenRecipe, Defaults)

    Raises
    ------
    ImportError
        Without ``tokenizers``.
    OSError
        If there is no such file.
    ValueError
        If it is none of a tokenizer, or has what no card can do.
    """
    settings = {}
    if isinstance(tokenizer, (str, os.PathLike)):
        tokenizer, settings = _from_files(Path(tokenizer))
    elif isinstance(getattr(tokenizer, "backend_tokenizer", None), library().Tokenizer):
        settings = _of_transformers(tokenizer)
        tokenizer = tokenizer.backend_tokenizer
    if isinstance(tokenizer, TokenRecipe):
        recipe = tokenizer
    elif not isinstance(tokenizer, library().Tokenizer):
        raise ValueError(f"Tokenizer must be a path, a PreTrainedTokenizerFast or a "
                         f"tokenizers.Tokenizer, not {tokenizer!r}")
    elif getattr(tokenizer, "encode_special_tokens", False):
        raise ValueError("Tokenizer must not encode special tokens as text")
    else:
        recipe = TokenRecipe(tokenizer.to_str())
    if pad_token is not None:
        if not isinstance(pad_token, str) or recipe.token_id(pad_token) is None:
            raise ValueError(f"Pad_token must be in the vocabulary, not {pad_token!r}")
        settings |= {"pad_token": pad_token}
    return recipe, _defaults(recipe, settings)


def _of_transformers(tokenizer):
    """Settings of a PreTrainedTokenizerFast."""
    return {"pad_token": tokenizer.special_tokens_map.get("pad_token"), "pad_type_id":
            tokenizer.pad_token_type_id} | {
                name: getattr(tokenizer, name) for name in (
                    "padding_side", "truncation_side", "model_max_length", "model_input_names")}


# Files

def _from_files(path):
    """The library's tokenizer of a file or folder, and settings beside it."""
    if path.is_dir():
        folder, path = path, path / "tokenizer.json"
        if not path.exists():
            raise FileNotFoundError(f"There is no tokenizer.json in {folder}: save a fast "
                                    f"tokenizer there by save_pretrained")
    try:
        with panics():
            tokenizer = library().Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except OSError:
        raise
    except Exception as error:  # the library raises plain Exception
        raise ValueError(f"Tokenizer must be a tokenizer.json, not {path}: {error}") from None
    config = _json(path.parent / "tokenizer_config.json")
    special = _json(path.parent / "special_tokens_map.json")
    kind = str(config.get("tokenizer_class")).removesuffix("Fast")
    tokenizer = _normalized(tokenizer, kind, config)
    if config.get("split_special_tokens"):
        tokenizer.encode_special_tokens = True
    # As transformers: the map is of older files, and only counts without the newer field.
    named = config if "added_tokens_decoder" in config else config | special
    tokens = {name: _content(named[name]) for name in NAMED if named.get(name) is not None}
    _add(tokenizer, tokens.values())
    settings = {"pad_token": tokens.get("pad_token")} | {
        name: config[name] for name in ("padding_side", "truncation_side", "model_max_length",
                                        "model_input_names") if config.get(name) is not None}
    if kind in WITHOUT_TYPES:
        settings.setdefault("model_input_names", [name for name in INPUTS if "type" not in name])
    return tokenizer, settings


def _json(path):
    """The object in a file, {} if there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} must be JSON, not {path}: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} must hold an object, not {type(found).__name__}: {path}")
    return found


def _content(token):
    """The string of a token, which may come with options."""
    content = token.get("content") if isinstance(token, dict) else token
    if not isinstance(content, str):
        raise ValueError(f"Token of tokenizer_config.json must be a string, not {token!r}")
    return content


def _normalized(tokenizer, kind, config):
    """The tokenizer, with the options of BERT's normalizer that the configuration gives, which
    transformers' classes of models prefer to those in ``tokenizer.json``."""
    parts = json.loads(tokenizer.to_str())
    normalizer = parts["normalizer"] or {}
    options = {option: config[name] for name, option in NORMALIZING.items() if name in config}
    if (normalizer.get("type") != "BertNormalizer" or kind in WITHOUT_CLASS
            or options.items() <= normalizer.items()):
        return tokenizer
    normalizer |= options
    try:
        return library().Tokenizer.from_str(json.dumps(parts))
    except Exception as error:  # the library raises plain Exception
        raise ValueError(f"Options of tokenizer_config.json must be true, false or null, not "
                         f"{options}: {error}") from None


def _add(tokenizer, tokens):
    """Have the library find tokens in the raw text, as transformers does with named ones."""
    known = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    missing = [token for token in tokens if token and token not in known]
    if missing:
        tokenizer.add_special_tokens(missing)


# Settings

def _defaults(recipe, settings):
    """Defaults by what was given, then by what the file says."""
    padding, truncation = recipe.parts["padding"] or {}, recipe.parts["truncation"] or {}
    token, number = settings.get("pad_token"), None
    if token is None and padding:
        token, number = padding["pad_token"], padding["pad_id"]
    elif token is None:
        token = "[PAD]"
    if number is None:
        number = recipe.token_id(token)
    sides = {name: settings.get(name, part.get("direction", "right").lower())
             for name, part in (("padding_side", padding), ("truncation_side", truncation))}
    for name, side in sides.items():
        if side not in ("left", "right"):
            raise ValueError(f"{name.capitalize()} must be left or right, not {side!r}")
    inputs = settings.get("model_input_names", INPUTS)
    if not isinstance(inputs, (list, tuple)) or not all(isinstance(name, str) for name in inputs):
        raise ValueError(f"Model_input_names must be a list of strings, not {inputs!r}")
    return Defaults(
        None if number is None else token, number,
        settings.get("pad_type_id", padding.get("pad_type_id", 0)), **sides,
        model_max_length=_length(settings.get("model_max_length")),
        inputs=tuple(inputs))


def _length(value):
    """A longest row, or None if it is no limit."""
    if value is None:
        return None
    try:
        length = int(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"Model_max_length must be a number, not {value!r}") from None
    return length if length <= NO_LENGTH else None
