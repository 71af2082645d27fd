# SPDX-License-Identifier: Apache-2.0
"""The registers behind ``s_axi_control``: 32-bit words at byte addresses."""

from ..status import Status


__all__ = ["IDENTITY", "VERSION", "ADDRESS_BITS", "CTRL", "GIE", "IER", "ISR", "ARGUMENTS",
           "LIMITS", "CAPABILITIES", "COUNTERS", "START", "DONE", "IDLE", "READY"]


#: "HDRC" in ASCII, the word at ``CAPABILITIES["identity"]``.
IDENTITY = 0x48445243
#: Of this interface.
VERSION = 1

ADDRESS_BITS = 12

#: ``ap_ctrl_hs``, as the kernels of Vitis HLS have it (UG1399, "S_AXILITE Control Register Map").
CTRL, GIE, IER, ISR = 0x00, 0x04, 0x08, 0x0C
#: Bits of CTRL. ``START`` stays set until the last job has been given to a lane; then another
#: batch may be started. ``DONE`` and ``READY`` are cleared by reading.
START, DONE, IDLE, READY = 1, 2, 4, 8

#: Address and bits of the arguments; the words above 32 bits follow.
ARGUMENTS = {"jobs": (0x10, 64), "count": (0x1C, 32), "completions": (0x24, 64)}

#: Members of :class:`.config.CardConfig` that software may want to know.
LIMITS = ("contexts", "max_width", "max_side", "max_taps", "recipes", "image_lanes", "text_lanes",
          "max_ngram", "max_features")

#: What the card is: constants.
CAPABILITIES = {name: 0x40 + 4 * n for n, name in enumerate(("identity", "version", *LIMITS))}

#: 64-bit counters since reset: low word, high word. Symbols, starved and stalled are cycles of the
#: entropy decoder: it decoded a symbol, it lacked bits, it lacked a free block. ``pixel_words`` are
#: words of 8 pixels that were decoded, ``text_words`` 8 bytes of text that were taken (or less, at
#: the end of one), ``elements`` features and tokens; ``read_beats`` and ``write_beats`` are 64
#: bytes each. ``busy`` and ``text_busy`` are cycles in which an image lane, a text lane had work.
COUNTERS = {name: 0x100 + 8 * n for n, name in enumerate((
    "cycles", "busy", "requests", *(f"status_{status.name.lower()}" for status in Status),
    "symbols", "starved", "stalled", "pixel_words", "read_beats", "write_beats", "bus_errors",
    "text_busy", "text_words", "elements"))}
