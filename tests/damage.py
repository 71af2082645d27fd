# SPDX-License-Identifier: Apache-2.0
"""JPEG files that are not what they were: mutations of bytes, and of what the bytes mean."""

import io

import numpy as np
from PIL import Image

import corpus
from pictures import jpeg


__all__ = ["LONG", "SHORT", "sources", "damaged", "Parts"]


#: Bytes of files whose scans are damaged, and of those whose headers are. For each block of an MCU
#: of which 512 bytes are left, libjpeg decodes without looking for the end.
LONG, SHORT = range(10_000, 20_001), range(0, 6_000)

#: Photoshop's identifier, and others that a decoder or Pillow knows.
NAMES = (b"Photoshop 3.0\0", b"Exif\0\0", b"JFIF\0", b"Adobe\0", b"ICC_PROFILE\0", b"MPF\0",
         b"http://ns.adobe.com/xap/1.0/\0", b"FPXR\0")


def noise(side, seed, mode="RGB", **options):
    """A file of much in few pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    image = Image.fromarray(pixels).resize((side * 5 // 4, side), Image.BICUBIC).convert(mode)
    file = io.BytesIO()
    image.save(file, "jpeg", **options)
    return file.getvalue()


def made():
    """Files of all samplings, gray, with restart intervals, with tables of their own, of RGB."""
    exif = Image.Exif()
    exif[0x011A], exif[0x0128], exif[0x010F] = 72.0, 2, "made"
    photoshop = b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\5words\0" + b"8BIM\4\x25\0\0\0\0\0\2ab"
    extra = b"\xff\xed" + (2 + len(photoshop)).to_bytes(2, "big") + photoshop
    yield from (noise(84, 0, quality=90, subsampling=0), noise(104, 1, quality=95),
                noise(104, 2, quality=90, subsampling=1, optimize=True),
                noise(144, 3, "L", quality=92), noise(144, 4, "L", quality=90, optimize=True),
                noise(112, 5, quality=95, restart_marker_blocks=7),
                noise(72, 6, quality=90, keep_rgb=True, optimize=True),
                *(jpeg(24, 40, seed, quality=80, exif=exif, comment=b"a comment", extra=extra,
                       icc_profile=bytes(200)) for seed in range(3)))


def sources(sizes):
    """Real files of these sizes and made ones, all of which cards take."""
    real = [corpus.data(entry) for entry in corpus.entries("exact", "core")
            if entry["bytes"] in sizes and (entry["width"] or 0) * (entry["height"] or 0) < 2e5]
    return [data for data in (*real, *made()) if len(data) in sizes and regular(data)]


def regular(data):
    """Whether a file consists of such parts that it is the same when they are joined."""
    try:
        return Parts(data).join() == data
    except IndexError:
        return False


class Parts:
    """A file in parts.

    Attributes
    ----------
    segments : list of (int, bytes)
        Code and contents of each segment up to the first scan.
    scan, tail : bytes
        Coded data up to the first marker that is no restart, and the rest.
    """

    def __init__(self, data):
        self.segments, at = [], 2
        while True:
            while data[at + 1] == 0xFF:
                at += 1
            code, length = data[at + 1], int.from_bytes(data[at + 2:at + 4], "big")
            self.segments.append((code, data[at + 4:at + 2 + length]))
            at += 2 + length
            if code == 0xDA:
                break
        end = at
        while not (data[end] == 0xFF and data[end + 1] not in (0, *range(0xD0, 0xD8))):
            end += 1
        self.scan, self.tail = data[at:end], data[end:]

    def join(self):
        return b"".join([b"\xff\xd8", *(
            bytes([0xFF, code]) + (len(body) + 2 & 0xFFFF).to_bytes(2, "big") + body
            for code, body in self.segments), self.scan, self.tail])


def spot(data, rng):
    """A place in the bytes, often one where there is an FF."""
    if rng.random() < 0.3 and (at := data.find(b"\xff", rng.randrange(len(data) + 1))) >= 0:
        return min(at + rng.choice((0, 0, 1, 2)), len(data))
    return rng.randrange(len(data) + 1)


def bytes_changed(data, rng, other):
    """What can become of any bytes. ``other`` are bytes of the same kind."""
    at, kind = spot(data, rng), rng.randrange(10)
    length = rng.choice((1, 1, 2, 3, 8, rng.randrange(1, 400)))
    piece, rest = data[at:at + length], data[at + length:]
    if kind == 0 and at < len(data):
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:]
    if kind == 1:
        return data[:at] + rng.randbytes(len(piece)) + rest
    if kind == 2:
        return data[:at] + rng.randbytes(length) + data[at:]
    if kind == 3:
        return data[:at] + rest
    if kind == 4:
        return data[:at] + piece * rng.choice((2, 2, 3)) + rest
    if kind == 5:
        return data[:at] + b"\xff" * rng.choice((1, 1, 2, 3)) + data[at:]
    if kind == 6:
        return data[:at] + rng.choice((b"\xff\xff\0", b"\xff\0", b"\0", bytes(length))) + data[at:]
    if kind == 7:
        there = rng.randrange(len(other) + 1)
        return data[:at] + other[there:there + length] + rest
    if kind == 8:
        code = rng.choice((*range(0xC0, 0xE0), 0x01, 0xFE, rng.randrange(256)))
        return data[:at] + bytes([0xFF, code]) + data[at + rng.choice((0, 2)):]
    return data[:at] + other[at:]


def segments_changed(parts, rng, other):
    """What can become of a header."""
    segments, kind = parts.segments, rng.randrange(9)
    n = rng.randrange(len(segments))
    code, body = segments[n]
    if kind == 0:
        segments.insert(n, segments[n])
    elif kind == 1:
        del segments[n]
    elif kind == 2:
        segments.insert(rng.randrange(len(segments)), segments.pop(n))
    elif kind == 3:
        segments[n] = rng.choice((*range(0xC0, 0xF0), 0xFE, rng.randrange(256))), body
    elif kind == 4:
        segments.insert(n, rng.choice(other.segments))
    elif kind == 5:  # tables and frames of another file
        found = [segment for segment in other.segments if segment[0] == code]
        segments[n] = rng.choice(found) if found else segments[n]
    elif kind == 6:
        contents = rng.choice((b"", rng.choice(NAMES), rng.choice(NAMES) + rng.randbytes(
            rng.randrange(12)), rng.choice(NAMES) + b"8BIM" + rng.randbytes(rng.randrange(4)),
            rng.randbytes(rng.randrange(300))))
        segments.insert(n, (rng.choice((0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE, 0xE9)), contents))
    elif kind == 7:
        segments[n] = code, body[:rng.randrange(len(body) + 1)]
    else:
        segments[n] = code, bytes_changed(body, rng, rng.choice(other.segments)[1])


def damaged(data, rng, others, scans=True):
    """A file that was changed in one to three ways, or, seldom, not at all.

    Parameters
    ----------
    data : bytes
    rng : random.Random
    others : list of bytes
        Other files, parts of which may get into this one.
    scans : bool
        Whether scans are changed mostly, or headers.
    """
    parts, other = Parts(data), Parts(rng.choice(others))
    for _ in range(rng.choice((1, 1, 1, 2, 3)) if rng.random() < 0.98 else 0):
        if rng.random() < (0.85 if scans else 0.15):
            if rng.random() < 0.15:
                parts.scan = rng.choice((parts.scan, parts.scan[:rng.randrange(len(parts.scan))]))
                parts.tail = rng.choice((b"", b"\xff\xd9", b"\xff\xff\xd9", parts.tail))
            else:
                parts.scan = bytes_changed(parts.scan, rng, other.scan)
        else:
            segments_changed(parts, rng, other)
    if rng.random() < 0.3:  # then libjpeg's fast path goes to the end of the scan
        parts.tail += rng.choice((bytes(4000), rng.randbytes(4000), data))
    whole = parts.join()
    if rng.random() < 0.1:
        whole = bytes_changed(whole, rng, data)
    if rng.random() < 0.03:
        whole = whole[:rng.randrange(len(whole) + 1)]
    return whole
