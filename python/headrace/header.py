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
    position = 2
    while found := MARKER.search(data, position):
        marker, position = found[1][0], found.end()
        if marker in ALONE:
            continue
        if marker in (SOS, EOI) or position + 7 > len(data):
            return None
        if marker in SOF:
            return (data[position + 3] << 8 | data[position + 4],
                    data[position + 5] << 8 | data[position + 6])
        position += max(2, data[position] << 8 | data[position + 1])
    return None
