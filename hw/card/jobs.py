# SPDX-License-Identifier: Apache-2.0
"""Jobs, recipes and completions as they lie in the card's memory, little-endian.

The driver packs and unpacks them with these tables; the RTL makes its layouts of them.
"""

import enum

import numpy as np

from .config import BUS


__all__ = ["Kind", "Kernel", "TextTable", "Record", "JOB", "RECIPE", "TEXT_RECIPE", "TABLE_RECORD",
           "COMPLETION", "RECIPE_BYTES", "TABLE_RECORD_BYTES"]


class Kind(enum.IntEnum):
    """What a job does."""

    LOAD = 1       # payload: a RECIPE and its tables, stored as image recipe `recipe`
    IMAGE = 2      # payload: a JPEG file, or rows of RGB pixels
    TEXT = 3       # payload: UTF-8
    LOAD_TEXT = 4  # payload: a TEXT_RECIPE, stored as text recipe `recipe`
    TABLE = 5      # payload: any number of TABLE_RECORD for the text lanes
    CONTROL = 6    # payload: COMMANDs; of queue pairs only, if the card is `remote`


class Kernel(enum.IntEnum):
    """What a text recipe makes of texts."""

    HASHING = 0    # result: for each feature its column and its count, 4 bytes each
    WORDPIECE = 1  # result: tokens, 4 bytes each


class TextTable(enum.IntEnum):
    """Tables of the text lanes."""

    CHARACTERS = 0  # one for each Kernel: CHARACTERS + kernel
    WORDPIECE = 4   # WORDPIECE + table, see :class:`..text.vocabulary.Table`


class Record:
    """Fields of one block of memory, in order, without gaps but those named.

    Parameters
    ----------
    size : int
        Bytes of a record.
    fields : dict of str to int
        Bytes of each field; names that begin with ``_`` are gaps.

    Members
    -------
    dtype : numpy.dtype
        Of arrays of records. Fields that numpy has no number for are bytes.
    """

    def __init__(self, size=BUS, **fields):
        self.fields = {}
        offset = 0
        for name, length in fields.items():
            if not name.startswith("_"):
                self.fields[name] = offset, length
            offset += length
        if offset > size:
            raise ValueError(f"Record must fit {size} bytes, not {offset}")
        self.dtype = np.dtype({
            "names": list(self.fields),
            "formats": [f"<u{length}" if length in (1, 2, 4, 8) else f"V{length}"
                        for _, length in self.fields.values()],
            "offsets": [offset for offset, _ in self.fields.values()],
            "itemsize": size})

    def pack(self, **values):
        """Bytes of a record; fields that are not given are zero."""
        record = bytearray(self.dtype.itemsize)
        for name, value in values.items():
            offset, size = self.fields[name]
            record[offset:offset + size] = int(value).to_bytes(size, "little")
        return bytes(record)

    def unpack(self, record):
        """Fields of a record, as a dict of int."""
        return {name: int.from_bytes(record[offset:offset + size], "little")
                for name, (offset, size) in self.fields.items()}

    def view(self, beat, number=0):
        """Fields of a record in hardware: slices of ``beat``, of those that begin in the beat of
        that ``number`` and width."""
        before = number * len(beat) // 8
        return {name: beat[8 * (offset - before):8 * (offset - before + size)]
                for name, (offset, size) in self.fields.items()
                if before <= offset < before + len(beat) // 8}


#: A job. ``payload`` must be a multiple of 64, and so must ``result`` of a text. If ``height`` and
#: ``width`` are not zero, the payload is that many rows of RGB pixels, each padded to a multiple of
#: 8 pixels. ``capacity`` is the room at ``result``, in bytes.
JOB = Record(kind=1, recipe=1, _0=2, request=4, payload=8, length=4, height=2, width=2,
             result=8, capacity=4)

#: How a job ended. ``bytes``, ``height`` and ``width`` of the result are zero unless ``status`` is
#: OK. ``cycles`` from taking the job to its end. The rest is zero but for messages of the network:
#: ``request`` is their immediate then, or 0, and ``ip``, ``port`` and ``mac`` are of their sender,
#: numbers with the first byte the most significant.
COMPLETION = Record(request=4, status=1, detail=1, _0=2, bytes=4, height=2, width=2, cycles=4,
                    queue=2, has_immediate=1, _1=1, ip=4, port=2, mac=6)

#: A recipe; ``element`` is log2 of the bytes of an element. ``raw``: the tables are the identity
#: and elements are bytes. Behind it, for each channel and value, the element as 4 bytes.
RECIPE = Record(filter=1, rule=1, height=2, width=2, crop_height=2, crop_width=2, element=1,
                interleaved=1, raw=1)

#: What becomes of a text, see :func:`..text.tables.hashing_config`. WordPiece has no options.
TEXT_RECIPE = Record(kernel=1, lowercase=1, min_n=1, max_n=1, features=4, reciprocal=4, scale=4,
                     alternate_sign=1)

#: A word of a table of the text lanes.
TABLE_RECORD_BYTES = 16
TABLE_RECORD = Record(TABLE_RECORD_BYTES, data=8, address=4, table=1)

#: Bytes of an image recipe and its tables.
RECIPE_BYTES = BUS + 3 * 256 * 4
