# SPDX-License-Identifier: Apache-2.0
import importlib.util

import pytest

import corpus


@pytest.fixture(scope="session")
def photos():
    """Real photographs: bytes of core files of at most 0.4 megapixels."""
    entries = [entry for entry in corpus.entries("exact", "core")
               if 5_000 < entry["width"] * entry["height"] <= 400_000]
    if not entries:
        pytest.skip(f"no corpus at {corpus.FOLDER}")
    return [corpus.data(entry) for entry in entries]


@pytest.fixture(scope="session")
def sim_built():
    """Skip where the simulated card is not compiled: in a bare source tree."""
    if importlib.util.find_spec("headrace._sim") is None:
        pytest.skip("the simulated card is not built: pip install .")
