# SPDX-License-Identifier: Apache-2.0
"""The size of a JPEG image, from its header: how much room its pixels need."""

import re


__all__ = ["image_size"]


SOF = {0xC0 + n for n in range(16)} - {0xC4, 0xC8, 0xCC}
SOI, SOS, EOI = 0xD8, 0xDA, 0xD9
#: A marker; any number of the first byte may stand before it.
MARKER = re.compile(rb"\xff([^\xff])", re.DOTALL)
ALONE = {0x00, 0x01, *range(0xD0, 0xD9)}  # markers without a segment: TEM, RSTn, SOI


def image_size(data):
    """Height and width that the first frame header of a JPEG file names.

    Only good for reserving memory: nothing else about the file is checked.

    Parameters
    ----------
    data : bytes-like

    Returns
    -------
    (int, int) or None
        None if there is no frame header before the first scan.
    """
    if len(data) < 2 or data[0] != 0xFF or data[1] != SOI:
        return None
    position, last = 2, len(data) - 9
    while position <= last:
        marker = data[position + 1]
        if data[position] != 0xFF or marker == 0xFF:
            found = MARKER.search(data, position)
            if found is None or found.start() > last:
                return None
            position, marker = found.start(), found[1][0]
        if marker in SOF:
            return (data[position + 5] << 8 | data[position + 6],
                    data[position + 7] << 8 | data[position + 8])
        if marker in (SOS, EOI):
            return None
        if marker in ALONE:
            position += 2
        else:
            position += 2 + max(2, data[position + 2] << 8 | data[position + 3])
    return None
