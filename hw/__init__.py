# SPDX-License-Identifier: Apache-2.0
"""The kernels and the card, in Amaranth HDL.

Modules that the driver shares with the hardware (:mod:`headrace.hw.status`,
:mod:`headrace.hw.command`,
:mod:`headrace.hw.card.config`, :mod:`headrace.hw.card.jobs`, :mod:`headrace.hw.card.registers`,
:mod:`headrace.hw.image.order`, :mod:`headrace.hw.text.tables`,
:mod:`headrace.hw.board.identity`, :mod:`headrace.hw.board.kernel_xml`,
:mod:`headrace.hw.board.register_map`) import neither Amaranth nor anything else that a host without
it lacks.
"""

__all__ = []
