# SPDX-License-Identifier: Apache-2.0
"""The size of a JPEG image, from its header: how much room its pixels need."""


__all__ = ["image_size"]


SOF = {0xC0 + n for n in range(16)} - {0xC4, 0xC8, 0xCC}
SOS, EOI = 0xDA, 0xD9
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
    position = 0
    while position + 9 <= len(data):
        if data[position] != 0xFF:
            position += 1
            continue
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker in SOF:
            return (data[position + 5] << 8 | data[position + 6],
                    data[position + 7] << 8 | data[position + 8])
        elif marker in (SOS, EOI):
            return None
        elif marker in ALONE:
            position += 2
        else:
            position += 2 + max(2, data[position + 2] << 8 | data[position + 3])
    return None
