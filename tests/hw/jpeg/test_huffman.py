# SPDX-License-Identifier: Apache-2.0
from headrace.hw.jpeg.huffman import HuffmanBuilder
from runner import simulate


def test_huffman():
    simulate(HuffmanBuilder(2), "jpeg_huffman", name="jpeg_huffman")
