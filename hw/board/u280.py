# SPDX-License-Identifier: Apache-2.0
"""Alveo U280: 100 GbE, 8 GB of HBM."""

from ..card.config import CardConfig
from .alveo import alveo
from .board import Part


__all__ = ["BOARD"]


BOARD = alveo(
    "u280", "AMD Alveo U280",
    Part("xcu280-fsvh2892-2L-e", 1_303_680, 2_607_360, 9_024, 2_016, 960),
    CardConfig(image_lanes=2, wire=512),
    platform="xilinx_u280_gen3x16_xdma_1_202211_1", memory="HBM[0:31]")
