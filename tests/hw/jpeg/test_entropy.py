# amaranth: UnusedElaboratable=no

# SPDX-License-Identifier: Apache-2.0
import pytest
from entropy_bench import Bench
from headrace.hw.jpeg.entropy import EntropyDecoder
from runner import simulate


@pytest.mark.parametrize("contexts, turns", [(1, 3), (3, 3)])
def test_entropy(contexts, turns):
    simulate(Bench(contexts, turns), "jpeg_entropy", name=f"jpeg_entropy_{contexts}",
             env={"HEADRACE_CONTEXTS": str(contexts)})


def test_contexts():
    with pytest.raises(ValueError, match=r"^Contexts must be within range\(1, 17\), not 17$"):
        EntropyDecoder(17)
    with pytest.raises(ValueError, match=r"^Turns must be within range\(3, 17\), not 2$"):
        EntropyDecoder(3, 2)
