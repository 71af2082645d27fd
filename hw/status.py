# SPDX-License-Identifier: Apache-2.0
"""How a request ended: statuses and their details.

The hardware, the driver and the tests share these numbers. A status other than ``OK`` means that
the result must not be used: the driver redoes the item on the CPU, or raises.
"""

import enum


__all__ = ["Status", "Detail"]


class Status(enum.IntEnum):
    """Outcome of a request, as written to its completion."""

    OK = 0
    UNSUPPORTED = 1
    CORRUPT = 2
    TRUNCATED = 3
    TOO_LARGE = 4
    LOST = 5
    NO_ROOM = 6
    BAD_JOB = 7


class Detail(enum.IntEnum):
    """Why a request did not end ``OK``; the text of a member says it to a person."""

    def __new__(cls, value, text):
        self = int.__new__(cls, value)
        self._value_ = value
        self.text = text
        return self

    NONE = 0, "no detail"

    # JPEG: valid streams that the decoder hands back
    PROCESS = 1, "not baseline: progressive, lossless, arithmetic or another process"
    PRECISION = 2, "sample precision is not 8 bits"
    COMPONENTS = 3, "neither one nor three components"
    SAMPLING = 4, "sampling factors other than 4:4:4, 4:2:2, 4:4:0 and 4:2:0"
    COLOUR = 5, "three components that are not YCbCr"
    SCANS = 6, "more than one scan, or tables behind it"
    QUANTISER = 7, "a quantiser of 16 bits"
    TABLE_ID = 8, "a Huffman table number above 1"
    TABLE_MISSING = 9, "a table that the stream does not define"
    HEIGHT_ZERO = 10, "height given by a DNL marker"
    MARKER = 11, "a marker that is reserved or out of place"

    # JPEG: damage
    NOT_JPEG = 32, "does not start with an SOI marker"
    SEGMENT = 33, "a marker segment of an impossible length or content"
    HUFFMAN_TABLE = 34, "an impossible Huffman table"
    CODE = 35, "a bit sequence that is no Huffman code"
    RUN = 36, "a run past the end of a block"
    BITS = 37, "a marker where coded data should be"
    RESTART = 38, "a restart marker missing or out of order"
    OVERFLOW = 39, "a coefficient outside the range of real images"
    STRAY = 40, "stray bytes between segments"
    FILL = 41, "a fill byte in coded data that no marker follows"
    ENDED = 48, "the data ends before the image does"

    # Image
    WIDTH = 64, "wider than the card's rows"
    SIDE = 65, "a side longer than the resizer takes"
    WINDOW = 66, "a filter window larger than the resizer's memory"
    OUTPUT_WIDTH = 67, "an output row longer than the resizer's memory"
    TIE = 68, "a resize coefficient too near a rounding tie"
    CROP = 69, "a crop larger than the image"
    EMPTY = 70, "an output without pixels"
    ORDER = 71, "a resize whose passes the installed Pillow, older than 13, does in another order"

    # Text
    UTF8 = 80, "bytes that are not UTF-8"
    SIGMA = 81, "a capital sigma whose lower case depends on more than the card looks at"
    FEATURES = 82, "more different features than the card counts"
    COUNT = 83, "a feature that occurs more often than the card counts"
    REORDER = 84, "combining marks that may have to change places"
    VOCABULARY = 85, "a tokenizer that is more than the card's tables hold"
    OFFSETS = 86, "positions of tokens in the text, which the card does not give"

    # Jobs
    KIND = 96, "an unknown kind of job"
    RECIPE = 97, "a recipe that was not loaded, or of a kernel that is not there"
    ALIGNMENT = 98, "an address that is not a multiple of the bus width"
    LENGTH = 99, "a length that does not fit the job"
    CAPACITY = 100, "a result larger than its buffer"
    BUS = 101, "an address that the memory does not answer"
    OWNER = 102, "a control queue pair that is another's"
    KEY = 103, "a key that is not the board's"
