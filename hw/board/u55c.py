# SPDX-License-Identifier: Apache-2.0
"""Alveo U55C: 100 GbE, 16 GB of HBM."""

from ..card.config import CardConfig
from .alveo import alveo
from .board import Part


__all__ = ["BOARD"]


BOARD = alveo(
    "u55c", "AMD Alveo U55C",
    Part("xcu55c-fsvh2892-2L-e", 1_303_680, 2_607_360, 9_024, 2_016, 960),
    CardConfig(image_lanes=2, wire=512),
    platform="xilinx_u55c_gen3x16_xdma_3_202210_1", memory="HBM[0:31]")
