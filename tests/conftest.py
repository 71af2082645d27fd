# SPDX-License-Identifier: Apache-2.0
import importlib.util

import pytest

import corpus


@pytest.fixture(scope="session")
def sim_built():
    """Skip without the simulated card."""
    if importlib.util.find_spec("headrace._sim") is None:
        pytest.skip("the simulated card is not built: pip install .")


@pytest.fixture(scope="session")
def nic_built():
    """Skip without the simulated card that has a network port."""
    if importlib.util.find_spec("headrace._nic") is None:
        pytest.skip("the simulated card with a network port is not built: pip install .")


@pytest.fixture(scope="session")
def photos():
    """Bytes of small real photos that the card takes, smallest first."""
    chosen = [entry for entry in corpus.entries("exact", "core")
              if entry["width"] * entry["height"] >= 60000]
    if not chosen:
        pytest.skip(f"no corpus at {corpus.FOLDER}")
    chosen.sort(key=lambda entry: entry["width"] * entry["height"])
    return [corpus.data(entry) for entry in chosen]


@pytest.fixture(scope="session")
def hashing_bench(tmp_path_factory):
    """A Verilated text.Hashing; needs a C++ compiler and takes its time."""
    pytest.importorskip("sklearn", reason="scikit-learn, the reference, is not installed")
    from hashing_bench import HashingBench
    return HashingBench(tmp_path_factory.mktemp("hashing"))
