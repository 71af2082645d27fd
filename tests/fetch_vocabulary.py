# SPDX-License-Identifier: Apache-2.0
"""Fetch the vocabulary of uncased BERT: ``python tests/fetch_vocabulary.py [FOLDER]``.

It comes from the source distribution of ``llama-cpp-python`` (70 MB), which carries it for
llama.cpp's own tests, with texts and the tokens that they have. Writes ``vocab.txt``.
"""

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from gguf import GGUFReader

import vocabulary


VERSION = "0.3.36"
NAME = "vendor/llama.cpp/models/ggml-vocab-bert-bge.gguf"
COUNT = 30522


def fetch(folder):
    """Texts and files of the vocabulary, downloaded to ``folder``."""
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                    "--no-binary", "llama-cpp-python", "-d", folder,
                    f"llama-cpp-python=={VERSION}"], check=True)
    archive, = Path(folder).glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.partition("/")[2]
            if name in (NAME, NAME + ".inp", NAME + ".out"):
                (Path(folder) / Path(name).name).write_bytes(tar.extractfile(member).read())
    return Path(folder) / Path(NAME).name


def strings(file):
    """Strings of the vocabulary, as BERT has them.

    llama.cpp marks the start of a word instead of its continuation.
    """
    field = GGUFReader(file).fields["tokenizer.ggml.tokens"]
    for index in field.data:
        token = bytes(field.parts[index]).decode()
        if token.startswith("\u2581"):
            yield token[1:]
        elif len(token) > 2 and token[0] == "[" and token[-1] == "]":
            yield token
        else:
            yield "##" + token


def check(file, tokens):
    """The library, with these strings, gives the tokens that the file's texts are known to have."""
    library = vocabulary.tokenizer(tokens)
    texts = Path(f"{file}.inp").read_text(encoding="utf-8").split("\n__ggml_vocab_test__\n")
    rows = Path(f"{file}.out").read_text().splitlines()
    for text, row in zip(texts, rows):
        assert library.encode(text, add_special_tokens=False).ids == list(map(int, row.split())), \
            repr(text)
    return len(rows)


def main(folder=vocabulary.FILE.parent):
    with tempfile.TemporaryDirectory() as temporary:
        file = fetch(temporary)
        tokens = list(strings(file))
        if len(set(tokens)) != COUNT or len(tokens) != COUNT:
            raise SystemExit(f"Vocabulary must have {COUNT} strings, not {len(tokens)}")
        texts = check(file, tokens)
    Path(folder).mkdir(parents=True, exist_ok=True)
    (Path(folder) / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    print(f"{COUNT} strings, right on {texts} texts: {Path(folder) / 'vocab.txt'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
