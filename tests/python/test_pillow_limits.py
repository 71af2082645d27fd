# SPDX-License-Identifier: Apache-2.0
"""What Pillow's own Python refuses or limits: cards must do the same, whatever libjpeg decodes."""

import io
import random
import struct
import warnings

import pytest
from PIL import Image

import headrace as hr
from headrace import header
from headrace.client import Client
from headrace.sim_nic import SimNic
from pictures import jpeg
from soft_board import SoftBoard
from soft_nic import serving


FILE = jpeg(20, 33)
PHOTOSHOP = b"Photoshop 3.0\0"


def segment(code, body):
    return bytes([0xFF, code]) + (len(body) + 2).to_bytes(2, "big") + body


def with_segments(*segments):
    """The file, without its JFIF segment, behind others."""
    return FILE[:2] + b"".join(segments) + FILE[4 + int.from_bytes(FILE[4:6], "big"):]


def exif(*entries, order=">", extra=b""):
    """An EXIF segment of a directory of (tag, type, count, 4 bytes)."""
    packed = [struct.pack(order + "HHL", tag, kind, count) + value
              for tag, kind, count, value in entries]
    return segment(0xE1, b"Exif\0\0" + (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(
        order + "LH", 8, len(packed)) + b"".join(packed) + bytes(4) + extra)


def outcome(card, data):
    try:
        return card.decode_jpeg(data).shape
    except Exception as error:
        return type(error)


INCH = 0x128, 3, 1, b"\0\2\0\0"
HEADERS = {
    "a block cut behind its number": [segment(0xED, PHOTOSHOP + b"8BIM\x07\xdb")],
    "the last block of several": [segment(
        0xED, PHOTOSHOP + b"8BIM\4\4\0\0\0\0\0\0" + b"8BIM\4\5")],
    "blocks": [segment(0xED, PHOTOSHOP + b"8BIM\4\4\0\0\0\0\0\0")],
    "a resolution of one digit": [exif(INCH, (0x11A, 2, 1, b"7\0\0\0"))],
    "of no digit": [exif(INCH, (0x11A, 2, 1, b"\0\0\0\0"))],
    "of one byte": [exif(INCH, (0x11A, 1, 1, b"\7\0\0\0"), order="<")],
    "of words": [exif(INCH, (0x11A, 2, 4, b"abc\0"))],
    "of an undefined byte": [exif(INCH, (0x11A, 7, 1, b"\7\0\0\0"))],
    "of zero by zero": [exif(INCH, (0x11A, 5, 1, b"\0\0\0\x26"), extra=bytes(40))],
    "beyond the end": [exif(INCH, (0x11A, 5, 1, b"\0\1\0\0"))],
    "in a second segment": [segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08"), segment(
        0xE1, exif(INCH, (0x11A, 1, 1, b"\7\0\0\0"))[4:10] + exif(
            INCH, (0x11A, 1, 1, b"\7\0\0\0"))[18:])],
    "an identifier twice": [segment(
        0xE1, b"Exif\0\0" + exif(INCH, (0x11A, 1, 1, b"\7\0\0\0"))[4:])],
    "JFIF's before it": [segment(0xE0, b"JFIF\0\1\1\1\0\1\0\1\0\0"),
                         exif(INCH, (0x11A, 1, 1, b"\7\0\0\0"))],
    "a malformed index of pictures": [segment(0xE2, b"MPF\0MM\0*" + bytes(8))],
    "short segments": [segment(0xE1, b"Exif\0\0"), segment(0xE1, b"Exif"), segment(0xED, b"8BIM")],
}


@pytest.fixture(scope="module")
def sim(sim_built):
    with hr.open("sim") as card:
        yield card


@pytest.mark.parametrize("name", HEADERS)
def test_headers(sim, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = with_segments(*HEADERS[name])
        assert outcome(sim, data) == outcome(hr.open("cpu"), data)


def test_exif_directories():
    """Whether Pillow opens a file with any directory at all is foreseen."""
    rng, found = random.Random(5), set()
    for _ in range(2000):
        order = rng.choice("<>")
        tags = list({0x11A, 0x128, rng.randrange(1 << 16)})
        rng.shuffle(tags)
        data = bytearray(exif(*((
            tag, rng.choice((1, 2, 3, 5, 7, rng.randrange(20))), rng.choice((0, 1, 1, 2, 1 << 31)),
            rng.choice((b"7\0\0\0", b"77\0\0", rng.randbytes(4)))) for tag in tags), order=order))
        for _ in range(rng.choice((0, 0, 1))):
            data[rng.randrange(4, len(data))] = rng.randrange(256)
        file = with_segments(bytes(data))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                Image.open(io.BytesIO(file)).close()
                opens = True
            except Exception:
                opens = False
            assert header.check_file(file) == opens, data.hex()
        found.add(opens)
    assert len(found) == 2


@pytest.fixture(params=["sim", "cpu", "client", "udp"])
def card(request):
    """Cards of all kinds that decode on their own or for a client."""
    if request.param == "client":
        request.getfixturevalue("nic_built")
        with SimNic() as nic, serving(nic) as (server, _), \
                Client(*server.address, timeout=10) as card:
            yield card
    elif request.param == "udp":
        with SoftBoard([hr.Recipe(), hr.Recipe(crop=18)]) as board, \
                hr.open(board.name, timeout=0.05, retries=20) as card:
            yield card
    else:
        if request.param == "sim":
            request.getfixturevalue("sim_built")
        with hr.open(request.param) as card:
            yield card


def test_limit_of_pixels(card, monkeypatch):
    """More than MAX_IMAGE_PIXELS warn, more than twice as many are an error, of that item alone."""
    small = jpeg(8, 9)
    decode = card.image(layout="HWC")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20 * 33)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(FILE).shape == (20, 33, 3)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
        found = decode([small, FILE, small], errors="return")
    assert isinstance(found[1], Image.DecompressionBombWarning)
    assert [found[n].shape for n in (0, 2)] == [(8, 9, 3)] * 2
    with pytest.warns(Image.DecompressionBombWarning, match=r"\(660 pixels\) exceeds limit of 400"):
        assert card.decode_jpeg(FILE).shape == (20, 33, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 329)
    found = decode([small, FILE, small], errors="return")
    assert isinstance(found[1], Image.DecompressionBombError)
    assert [found[n].shape for n in (0, 2)] == [(8, 9, 3)] * 2
    with pytest.raises(Image.DecompressionBombError, match=r"\(660 pixels\) exceeds limit of 658"):
        card.decode_jpeg(FILE)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert decode(FILE).shape == (20, 33, 3)
