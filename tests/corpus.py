# SPDX-License-Identifier: Apache-2.0
"""Real JPEG files with what a decoder must make of them.

They are not part of the repository: ``HEADRACE_CORPUS`` names a folder, by default
``../shared/corpus`` beside the repository, with the files in ``jpeg`` and what is known of them in
``jpeg/manifest.json``. Tests that need them are skipped without it.
"""

import functools
import json
import os
from pathlib import Path

import pytest


__all__ = ["FOLDER", "entries", "params", "data"]


FOLDER = Path(os.environ.get("HEADRACE_CORPUS")
              or Path(__file__).resolve().parents[2] / "shared" / "corpus") / "jpeg"


@functools.cache
def manifest():
    path = FOLDER / "manifest.json"
    return json.loads(path.read_text())["files"] if path.exists() else []


def entries(expected=None, profile=None):
    """Manifest entries, narrowed down."""
    return [entry for entry in manifest()
            if expected in (None, entry["expected"]) and profile in (None, entry["profile"])]


def params(entries):
    """One test parameter an entry; one that skips if there is no corpus."""
    if not manifest():
        return [pytest.param(None, id="no-corpus",
                             marks=pytest.mark.skip(reason=f"no corpus at {FOLDER}"))]
    return [pytest.param(entry, id=entry["file"]) for entry in entries]


def data(entry):
    """Bytes of an entry's file."""
    return (FOLDER / entry["file"]).read_bytes()
