# SPDX-License-Identifier: Apache-2.0
"""What the header of a JPEG file says of its pixels, and what Pillow's parser makes of it."""

import io
import re
import struct

from PIL import Image, JpegImagePlugin


__all__ = ["image_size", "check_file"]


SOF = {0xC0 + n for n in range(16)} - {0xC4, 0xC8, 0xCC}
SOI, SOS, EOI = 0xD8, 0xDA, 0xD9
#: A marker; any number of the first byte may stand before it.
MARKER = re.compile(rb"\xff([^\xff])", re.DOTALL)
#: A marker with its first byte, and the length of its segment.
SEGMENT = struct.Struct(">HH")
FRAME, SCAN, APP1, FILL = 0xFFC0, 0xFFDA, 0xFFE1, 0xFFFF
#: What is more than a segment to be passed over.
NOTABLE = {FRAME, SCAN, APP1, FILL, 0xFF01, *range(0xFFD0, 0xFFD9)}
#: Identifier, byte order and offset of the first directory of EXIF data, in either order; what an
#: entry begins with that has the horizontal resolution as bytes or text: Pillow may want more of
#: them than there are.
EXIF = {b"Exif\0\0MM\0*": (struct.Struct(">10xL"), struct.Struct(">H"),
                           re.compile(rb"\x01\x1a\0[\x01\x02\x07]")),
        b"Exif\0\0II*\0": (struct.Struct("<10xL"), struct.Struct("<H"),
                           re.compile(rb"\x1a\x01[\x01\x02\x07]\0"))}
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


def odd_resolution(exif):
    """Whether Pillow might stumble over the resolution in an EXIF segment, False only if not."""
    if exif[:10] not in EXIF:
        return True
    offset, count, entry = EXIF[exif[:10]]
    try:
        first = 6 + offset.unpack_from(exif)[0]
        return bool(entry.search(exif, first, first + 2 + 12 * count.unpack_from(exif, first)[0]))
    except struct.error:
        return False   # no directory at all


def check_file(data):
    """Whether Pillow opens a JPEG file that a card has decoded.

    Its parser reads more of a header than libjpeg does. Only where that could make a difference is
    it asked. Its limit of pixels holds in any case.

    Parameters
    ----------
    data : bytes-like

    Returns
    -------
    bool

    Raises
    ------
    DecompressionBombError
        If there are more than twice as many pixels as ``PIL.Image.MAX_IMAGE_PIXELS``. For more than
        as many there is a ``DecompressionBombWarning``, which is raised if warnings are errors.
    """
    size, exif, position, unpack = None, [], 2, SEGMENT.unpack_from
    try:
        while True:
            marker, length = unpack(data, position)
            if marker in NOTABLE:
                if marker == SCAN:
                    break
                if marker == FRAME:
                    size = unpack(data, position + 5)
                elif marker == APP1:
                    segment = bytes(data[position + 4:position + 2 + length])
                    if segment.startswith(b"Exif\0\0"):
                        exif.append(segment)
                else:
                    position += 1 if marker == FILL else 2
                    continue
            position += 2 + length if length > 2 else 4
    except struct.error:
        size = None
    if size is None:
        return False   # a header that nobody but Pillow may understand
    if len(exif) > 1 or (exif and odd_resolution(exif[0])):
        try:
            JpegImagePlugin.jpeg_factory(io.BytesIO(data)).close()
        except Exception:  # whatever it raises
            return False
    height, width = size
    if Image.MAX_IMAGE_PIXELS is not None and height * width > Image.MAX_IMAGE_PIXELS:
        Image._decompression_bomb_check((width, height))
    return True
