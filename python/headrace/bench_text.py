# SPDX-License-Identifier: Apache-2.0
"""What the simulated card needs for texts, in cycles of its clock, beside the CPU libraries."""

import os
import time
from pathlib import Path

import numpy as np

import headrace
from headrace.bench import CLOCK


__all__ = ["text", "table"]


#: Ranges of n-grams that are measured.
NGRAMS = (1, 1), (1, 2)


def documents(path):
    """Texts of a file: its lines, without those that are no UTF-8."""
    texts = []
    for line in Path(path).read_bytes().splitlines():
        try:
            texts.append(line.decode())
        except UnicodeDecodeError:
            continue
    return texts


def timed(function, texts):
    """Megabytes a second of ``function`` on the CPU, the best of three."""
    size, best = sum(len(text.encode()) for text in texts), float("inf")
    for _ in range(3):
        start = time.perf_counter()
        function(texts)
        best = min(best, time.perf_counter() - start)
    return size / best / 1e6


def measure(card, function, texts):
    """Figures of the card over one call."""
    before = card.counters()
    function(texts)
    after = card.counters()
    delta = {name: after[name] - before[name] for name in after if name != "statuses"}
    size, cycles = sum(len(text.encode()) for text in texts), delta["text_busy"]
    return {
        "cycles": cycles, "elements": delta["elements"], "redone": delta["fallbacks"],
        "bytes_per_cycle": size / cycles, "elements_per_cycle": delta["elements"] / cycles,
        "redone_share": delta["fallbacks"] / len(texts),
        "megabytes_per_second": size / cycles * CLOCK / 1e6,
    }


def libraries(tokenizer):
    """CPU tokenizers for the same vocabulary, by name, each on one thread."""
    from tokenizers import Tokenizer
    reference = Tokenizer.from_file(str(tokenizer))

    def encode(texts):
        before = os.environ.get("TOKENIZERS_PARALLELISM")
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        try:
            return reference.encode_batch(texts, add_special_tokens=False)
        finally:
            del os.environ["TOKENIZERS_PARALLELISM"]
            if before is not None:
                os.environ["TOKENIZERS_PARALLELISM"] = before

    found = {"tokenizers": encode}
    try:
        import nanotoken
    except ImportError:
        return found
    other = nanotoken.Tokenizer(str(tokenizer))
    found["nanotoken"] = lambda texts: other.encode_batch(
        texts, add_special_tokens=False, parallel=False)
    return found


def text(paths, tokenizer=None):
    """Measure each line of files as a text.

    Parameters
    ----------
    paths : list of path
        UTF-8.
    tokenizer : path, optional
        A ``tokenizer.json``; without it WordPiece is not measured.

    Returns
    -------
    list of dict
        For each file and kernel: ``file``, ``kernel``, ``texts``, ``bytes``; ``cycles`` of the text
        lane, ``elements`` (features or tokens), ``bytes_per_cycle``, ``elements_per_cycle``;
        ``redone`` texts and their ``redone_share``; ``megabytes_per_second`` at
        :data:`.bench.CLOCK`, an estimate; ``cpu``: megabytes a second of libraries on one thread
        of this machine, by name (``nanotoken`` if it is installed); ``ratio`` of the estimate to
        the fastest of them.
    """
    from sklearn.feature_extraction.text import HashingVectorizer
    figures = []
    with headrace.open("sim") as card:
        kernels = []
        for low, high in NGRAMS:
            options = dict(ngram_range=(low, high))
            reference = HashingVectorizer(**options)
            kernels.append((f"hashing {low}-{high}", card.hashing_vectorizer(**options).transform,
                            {"scikit-learn": reference.transform}))
        if tokenizer is not None:
            kernels.append(("wordpiece", card.tokenizer(tokenizer).ragged, libraries(tokenizer)))
        for path in paths:
            texts = documents(path)
            if not texts:
                raise ValueError(f"File must hold lines of UTF-8: {path}")
            for name, function, references in kernels:
                function(texts[:1])  # tables are loaded
                entry = {"file": str(path), "kernel": name, "texts": len(texts),
                         "bytes": sum(len(text.encode()) for text in texts),
                         **measure(card, function, texts)}
                entry["cpu"] = {library: timed(run, texts) for library, run in references.items()}
                entry["ratio"] = entry["megabytes_per_second"] / max(entry["cpu"].values())
                figures.append(entry)
    return figures


def table(figures):
    """The figures as text, with the mean over all files for each kernel."""
    lines = [f"{'file':28} {'kernel':12} {'texts':>6} {'bytes':>8} {'cycles':>8} {'B/cyc':>6} "
             f"{'el/cyc':>6} {'redone':>7} {'MB/s':>6} {'CPU MB/s':>24} {'ratio':>6}"]
    for entry in figures:
        cpu = ", ".join(f"{name} {rate:.1f}" for name, rate in entry["cpu"].items())
        lines.append(
            f"{Path(entry['file']).name[:28]:28} {entry['kernel']:12} {entry['texts']:6} "
            f"{entry['bytes']:8} {entry['cycles']:8} {entry['bytes_per_cycle']:6.2f} "
            f"{entry['elements_per_cycle']:6.2f} {entry['redone_share']:7.2%} "
            f"{entry['megabytes_per_second']:6.0f} {cpu:>24} {entry['ratio']:6.1f}")
    for kernel in dict.fromkeys(entry["kernel"] for entry in figures):
        mine = [entry for entry in figures if entry["kernel"] == kernel]
        size, cycles, texts, redone = (
            np.sum([entry[name] for entry in mine]) for name in (
                "bytes", "cycles", "texts", "redone"))
        lines.append(f"{'all':28} {kernel:12} {texts:6} {size:8} {cycles:8} {size / cycles:6.2f} "
                     f"{'':6} {redone / texts:7.2%}")
    lines.append("Simulated cycles of one text lane; MB/s is an estimate for it at "
                 f"{CLOCK / 1e6:.0f} MHz, CPU figures are of one thread of this machine.")
    return "\n".join(lines)
