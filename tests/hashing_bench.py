# SPDX-License-Identifier: Apache-2.0
"""A Verilated text.Hashing, and what scikit-learn makes of the same texts."""

import struct
import subprocess
from collections import namedtuple
from pathlib import Path

import numpy as np

from headrace.hashing import character_table
from headrace.hw.status import Detail, Status
from headrace.hw.text.hashing import Hashing, HashingConfig
from headrace.hw.text.layout import CharacterWrite
from headrace.hw.text.tables import EntryBits, hashing_config
from verilated import compile_bench


__all__ = ["Result", "HashingBench", "reference", "check"]


Result = namedtuple("Result", "status detail columns counts cycle")


class HashingBench:
    """Runs texts through one Verilated kernel with the given parameters, back to back.

    ``run`` takes ``(payload, options)`` pairs; options are those of ``hashing_config``.
    """

    def __init__(self, folder, **parameters):
        kernel = Hashing(**parameters)
        self.folder = folder
        self.limits = {"rows": kernel.rows, "max_n": kernel.max_n}
        self.layout = HashingConfig(kernel.max_n)
        self.words = (self.layout.size + 31) // 32
        write = CharacterWrite(EntryBits.WIDTH, 1, kernel.pages)
        self.bench = compile_bench(
            kernel, Path(__file__).parent / "hw" / "text" / "hashing.cpp", folder,
            defines=[f"CONFIG_WORDS={self.words}", f"WRITE_ADDRESS={write['address'].offset}"])
        self.table = folder / "table"
        character_table(kernel.pages).tofile(self.table)

    def run(self, texts, *, stall=0.0, seed=1):
        source, results = self.folder / "texts", self.folder / "results"
        with source.open("wb") as file:
            for payload, options in texts:
                config = self.layout.const(hashing_config(**options, **self.limits)).as_bits()
                file.write(config.to_bytes(4 * self.words, "little"))
                file.write(struct.pack("<I", len(payload)) + payload)
        run = subprocess.run([self.bench, str(stall), str(seed), self.table, source, results],
                             capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        raw, at, found = results.read_bytes(), 0, []
        for _ in texts:
            status, detail, count, cycle = struct.unpack_from("<iiiq", raw, at)
            pairs = np.frombuffer(raw, np.int32, 2 * count, at + 20).reshape(-1, 2)
            found.append(Result(Status(status), Detail(detail), pairs[:, 0], pairs[:, 1], cycle))
            at += 20 + 8 * count
        assert at == len(raw)
        return found


def reference(texts):
    """scikit-learn's columns and counts of each of ``(payload, options)``; None if not UTF-8."""
    from sklearn.feature_extraction.text import HashingVectorizer

    groups, rows = {}, [None] * len(texts)
    for number, (payload, options) in enumerate(texts):
        try:
            text = payload.decode("utf-8")
        except UnicodeDecodeError:
            continue
        groups.setdefault(tuple(sorted(options.items())), []).append((number, text))
    for options, group in groups.items():
        options = dict(options)
        if "features" in options:
            options["n_features"] = options.pop("features")
        matrix = HashingVectorizer(norm=None, **options).transform([text for _, text in group])
        for row, (number, _) in enumerate(group):
            cut = slice(*matrix.indptr[row:row + 2])
            rows[number] = matrix.indices[cut], matrix.data[cut]
    return rows


def check(texts, results, allowed=()):
    """Results equal scikit-learn's, or are a refusal that is ``allowed``; how many were refused."""
    refused = 0
    for (payload, options), result, row in zip(texts, results, reference(texts)):
        where = (payload[:200], options)
        if row is None:
            assert (result.status, result.detail) == (Status.CORRUPT, Detail.UTF8), where
        elif result.status != Status.OK:
            assert result.detail in allowed, (result, where)
            refused += 1
        if result.status != Status.OK:
            assert not len(result.columns), where
        else:
            assert np.array_equal(result.columns, row[0]), where
            assert np.array_equal(result.counts, row[1]), where
    return refused
