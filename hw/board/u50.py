# SPDX-License-Identifier: Apache-2.0
"""Alveo U50: 100 GbE, 8 GB of HBM."""

from ..card.config import CardConfig
from .alveo import alveo
from .board import Part


__all__ = ["BOARD"]


BOARD = alveo(
    "u50", "AMD Alveo U50",
    Part("xcu50-fsvh2104-2L-e", 871_680, 1_743_360, 5_952, 1_344, 640),
    CardConfig(wire=512),
    platform="xilinx_u50_gen3x16_xdma_5_202210_1", memory="HBM[0:31]")
