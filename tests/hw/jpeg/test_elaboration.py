# amaranth: UnusedElaboratable=no

# SPDX-License-Identifier: Apache-2.0
import numpy as np
from amaranth.back import rtlil

from headrace.hw.jpeg.decoder import Decoder
from headrace.hw.jpeg.dequantize import ZIGZAG
from headrace.hw.jpeg.idct import Idct


def test_decoder_elaborates():
    assert "module" in rtlil.convert(Decoder(contexts=2, max_width=256))


def test_zigzag():
    assert ZIGZAG[:10] == [0, 1, 8, 16, 9, 2, 3, 10, 17, 24]
    assert sorted(ZIGZAG) == list(range(64))


def test_idct_of_dc():
    block = np.zeros((8, 8), np.int64)
    block[0, 0] = 80
    assert (Idct().compute(block) == 138).all()
