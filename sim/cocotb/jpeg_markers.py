# SPDX-License-Identifier: Apache-2.0
"""Markers against crafted headers: what they say, or why they are handed back."""

import random
from types import SimpleNamespace

import cocotb
from cocotb.triggers import RisingEdge
from headrace.hw.jpeg.entropy import TableWrite
from headrace.hw.jpeg.markers import Header, QuantiserWrite
from headrace.hw.status import Detail, Status
from streams import begin, field


CONTEXTS, MAX_WIDTH = 2, 64
OK = Status.OK, Detail.NONE
SEGMENT = Status.CORRUPT, Detail.SEGMENT
TABLES, QUANTISERS = TableWrite(CONTEXTS), QuantiserWrite(CONTEXTS)


def segment(code, body=b"", length=None):
    length = len(body) + 2 if length is None else length
    return bytes([0xff, code]) + length.to_bytes(2, "big") + bytes(body)


def dqt(number, values=None, wide=False):
    values = list(values or range(1, 65))
    return segment(0xdb, bytes([wide << 4 | number])
                   + b"".join(v.to_bytes(1 + wide, "big") for v in values))


def dht(table, counts=(0, 1), symbols=(0,)):
    return segment(0xc4, bytes([table, *counts, *[0] * (16 - len(counts)), *symbols]))


def sof(components=((1, 0x11, 0),), height=8, width=8, precision=8, code=0xc0, **more):
    return segment(code, bytes([precision, *height.to_bytes(2, "big"), *width.to_bytes(2, "big"),
                                len(components), *(b for c in components for b in c)]), **more)


def sos(components=((1, 0x00),), spectral=(0, 63, 0), **more):
    return segment(0xda, bytes([len(components), *(b for c in components for b in c), *spectral]),
                   **more)


SOI, EOI = b"\xff\xd8", b"\xff\xd9"
DQT, DC, AC = dqt(0), dht(0x00), dht(0x10)
GRAY, SCAN = sof(), sos()
COLOR = sof(((1, 0x22, 0), (2, 0x11, 1), (3, 0x11, 1)), 17, 33)
COLOR_SCAN = sos(((1, 0x00), (2, 0x11), (3, 0x11)))
COLOR_TABLES = DQT + dqt(1) + DC + AC + dht(0x01) + dht(0x11)
JFIF = segment(0xe0, b"JFIF\0\1\1\0\0\1\0\1\0\0")


def adobe(transform, size=12):
    return segment(0xee, (b"Adobe\0\x64\0\0\0\0" + bytes([transform])).ljust(size, b"\0"))


def three(ids=(1, 2, 3), sampling=0x11, chroma=0x11, width=16):
    """A 4:4:4 image of one quantiser and one pair of tables, and its scan."""
    return (sof([(ids[0], sampling, 0), (ids[1], chroma, 0), (ids[2], 0x11, 0)], 8, width)
            + DQT + DC + AC + sos([(n, 0) for n in ids]))


BASE = dict(width=8, height=8, mcus_x=0, mcus_y=0, interval=0, h2=0, v2=0, color=0, rgb=0)
RGB = dict(color=1, rgb=1)
YCC = dict(color=1, rgb=0)

PHOTOSHOP = b"Photoshop 3.0\0"
REST = DQT + DC + AC + GRAY + SCAN

#: Headers that are fine, and what they must say beside a few defaults.
GOOD = {
    "gray": (SOI + DQT + DC + AC + GRAY + SCAN, BASE),
    "gray ignores its sampling": (
        SOI + DQT + DC + AC + sof(((1, 0x42, 0),), 20, 20) + SCAN,
        dict(width=20, height=20, mcus_x=2, mcus_y=2, h2=0, v2=0)),
    "4:2:0": (SOI + JFIF + COLOR_TABLES + COLOR + COLOR_SCAN, dict(
        width=33, height=17, mcus_x=2, mcus_y=1, h2=1, v2=1, dc=6, ac=6, quantiser=(0, 1, 1),
        **YCC)),
    "4:2:2": (SOI + three(sampling=0x21, width=64), dict(h2=1, v2=0, mcus_x=3, **YCC)),
    "4:4:0": (SOI + three(sampling=0x12), dict(h2=0, v2=1, mcus_x=1, mcus_y=0, **YCC)),
    "crossed tables": (SOI + COLOR_TABLES + sof(((9, 0x11, 1), (8, 0x11, 0), (7, 0x11, 1)))
                       + sos(((9, 0x10), (8, 0x01), (7, 0x11))),
                       dict(dc=0b101, ac=0b110, quantiser=(1, 0, 1))),
    "interval": (SOI + segment(0xdd, b"\1\2") + DQT + DC + AC + GRAY + SCAN, dict(interval=258)),
    "the last interval": (SOI + segment(0xdd, b"\1\2") + segment(0xdd, b"\0\0") + DQT + DC + AC
                          + GRAY + SCAN, dict(interval=0)),
    "rgb by names": (SOI + three(b"RGB"), RGB),
    "JFIF before names": (SOI + JFIF + three(b"RGB"), YCC),
    "Adobe before names": (SOI + adobe(1) + three(b"RGB"), YCC),
    "rgb by Adobe": (SOI + adobe(0) + three(), RGB),
    "the last Adobe": (SOI + adobe(1) + adobe(0) + three(), RGB),
    "JFIF before Adobe": (SOI + adobe(0) + JFIF + three(), YCC),
    "a JFIF that is too short": (SOI + segment(0xe0, b"JFIF\0\1\1\0\0\1\0\1\0") + adobe(0)
                                 + three(), RGB),
    "an Adobe that is too short": (SOI + adobe(0)[:2] + b"\0\x0d" + adobe(0)[4:-1] + three(),
                                   YCC),
    "JFXX": (SOI + segment(0xe0, b"JFXX\0" + bytes(20)) + three(b"RGB"), RGB),
    "applications and comments": (SOI + b"".join(segment(code, bytes(code % 50))
                                                 for code in [*range(0xe0, 0xf0), 0xfe])
                                  + DQT + DC + AC + GRAY + SCAN, BASE),
    "segments of length 0 and 1": (SOI + segment(0xe5, b"", 0) + segment(0xfe, b"", 1) + DQT + DC
                                   + AC + GRAY + SCAN, BASE),
    "fill bytes and RST": (SOI + b"\xff\xff\xff" + DQT + b"\xff\xd3" + DC + AC + GRAY
                           + b"\xff" + SCAN, BASE),
    "APP2 that is no profile": (SOI + segment(0xe2, bytes(11)) + segment(0xe2, bytes(14)) + REST,
                                BASE),
    "APP0 and APP14 of few bytes": (SOI + segment(0xe0, b"JFI") + segment(0xee, b"Ado")
                                    + segment(0xe0, b"JFIF\0\1\1") + segment(0xe1, b"JFIF") + REST,
                                    BASE),
    "Photoshop's blocks": (SOI + segment(0xed, PHOTOSHOP + b"8BIM\x04\4\0\0\0\0\0\0") + segment(
        0xed, b"8BI") + segment(0xed) + segment(0xe1, PHOTOSHOP + b"8BIM\x07\xdb")
                           + segment(0xed, PHOTOSHOP + b"8BIM\x07\xdb\0") + REST, BASE),
    "DNL": (SOI + DQT + DC + AC + GRAY + segment(0xdc, b"\0\7") + SCAN, BASE),
    "empty tables": (SOI + segment(0xdb) + segment(0xc4) + DQT + DC + AC + GRAY + SCAN, BASE),
    "several tables in a segment": (
        SOI + segment(0xdb, DQT[4:] + dqt(3)[4:]) + segment(0xc4, DC[4:] + AC[4:]) + GRAY + SCAN,
        BASE),
    "16 bits that need but 8": (SOI + dqt(0, wide=True) + DC + AC + GRAY + SCAN, BASE),
    "bad tables that are not used": (
        SOI + DQT + DC + AC + dht(0x01, (2,), (0, 0)) + dht(0x13, (2,), (0, 0))
        + dqt(2, [256] * 64, wide=True) + GRAY + SCAN, BASE),
    "a bad table that is replaced": (
        SOI + dht(0x00, (2,), (0, 0)) + dqt(0, [256] * 64, wide=True) + DQT + DC + AC + GRAY
        + SCAN, BASE),
    "full width": (SOI + DQT + DC + AC + sof(width=64, height=65500) + SCAN,
                   dict(width=64, height=65500, mcus_x=7, mcus_y=8187)),
}

#: Headers that are handed back.
BAD = {
    "no SOI": (b"\x89PNG" + bytes(9), (Status.CORRUPT, Detail.NOT_JPEG)),
    "half an SOI": (b"\xff\xd9" + REST, (Status.CORRUPT, Detail.NOT_JPEG)),
    "stray byte": (SOI + DQT + b"\0" + REST, (Status.CORRUPT, Detail.STRAY)),
    "stuffed byte": (SOI + b"\xff\0" + REST, (Status.CORRUPT, Detail.STRAY)),
    "second SOI": (SOI + SOI + REST, (Status.CORRUPT, Detail.MARKER)),
    "reserved": (SOI + b"\xff\x02" + REST, (Status.CORRUPT, Detail.MARKER)),
    "JPG0": (SOI + segment(0xf0, b"12") + REST, (Status.CORRUPT, Detail.MARKER)),
    "TEM": (SOI + DQT + b"\xff\x01" + REST, (Status.CORRUPT, Detail.MARKER)),
    "JFIF cut short": (SOI + segment(0xe0, b"JFIF\0\1") + REST, SEGMENT),
    "Adobe cut short": (SOI + segment(0xee, b"Adobe\0") + REST, SEGMENT),
    "ICC profile cut short": (SOI + segment(0xe2, b"ICC_PROFILE\0\1") + REST, SEGMENT),
    "Photoshop's block cut short": (
        SOI + segment(0xed, PHOTOSHOP + b"8BIM\x07\xdb") + REST, SEGMENT),
    "the last of many": (SOI + segment(
        0xed, PHOTOSHOP + b"8BIM\x07\xdb\0\0\0\0\0\3abc\0" * 20 + b"8BIM\x04\x25") + REST, SEGMENT),
    "JPG": (SOI + segment(0xc8, b"12") + REST, (Status.CORRUPT, Detail.MARKER)),
    "second frame": (SOI + GRAY + REST, (Status.CORRUPT, Detail.MARKER)),
    "EOI": (SOI + EOI, SEGMENT),
    "scan without frame": (SOI + DQT + DC + AC + SCAN, SEGMENT),
    "12 bits": (SOI + sof(precision=12), (Status.UNSUPPORTED, Detail.PRECISION)),
    "two components": (SOI + sof(((1, 0x11, 0), (2, 0x11, 0))),
                       (Status.UNSUPPORTED, Detail.COMPONENTS)),
    "four components": (SOI + sof([(n, 0x11, 0) for n in range(4)]),
                        (Status.UNSUPPORTED, Detail.COMPONENTS)),
    "no components": (SOI + sof(()), (Status.UNSUPPORTED, Detail.COMPONENTS)),
    "4:1:1": (SOI + three(sampling=0x41), (Status.UNSUPPORTED, Detail.SAMPLING)),
    "3 x 1": (SOI + three(sampling=0x31), (Status.UNSUPPORTED, Detail.SAMPLING)),
    "chroma that is not subsampled": (SOI + three(sampling=0x22, chroma=0x21),
                                      (Status.UNSUPPORTED, Detail.SAMPLING)),
    "a factor of 0": (SOI + three(sampling=0x01), SEGMENT),
    "a factor of 5": (SOI + three(chroma=0x15), SEGMENT),
    "quantiser number 4": (SOI + sof(((1, 0x11, 4),)), SEGMENT),
    "no width": (SOI + sof(width=0), SEGMENT),
    "no height": (SOI + sof(height=0), (Status.UNSUPPORTED, Detail.HEIGHT_ZERO)),
    "too high": (SOI + sof(height=65501), SEGMENT),
    "too wide": (SOI + sof(width=65), (Status.TOO_LARGE, Detail.WIDTH)),
    "frame with a byte too many": (SOI + sof(length=12) + REST, SEGMENT),
    "frame of 5 bytes": (SOI + segment(0xc0, b"\x08\0\x08\0\x08") + REST, SEGMENT),
    "frame of no bytes": (SOI + segment(0xc0) + REST, SEGMENT),
    "frame of length 1": (SOI + segment(0xc0, b"", 1) + REST, SEGMENT),
    "DQT number 4": (SOI + dqt(4) + REST, SEGMENT),
    "DQT too short": (SOI + DQT[:2] + b"\0\x42" + DQT[4:] + REST, SEGMENT),
    "wide DQT too short": (SOI + segment(0xdb, b"\x10" + bytes(100)) + REST, SEGMENT),
    "DHT too short": (SOI + segment(0xc4, b"\0" * 16) + REST, SEGMENT),
    "DHT number 4": (SOI + dht(4) + REST, SEGMENT),
    "DHT class 2": (SOI + dht(0x20) + REST, SEGMENT),
    "more symbols than bytes": (SOI + dht(0, (0, 2)) + REST,
                                (Status.CORRUPT, Detail.HUFFMAN_TABLE)),
    "257 symbols": (SOI + dht(0, [0] * 14 + [255, 2], bytes(257)) + REST,
                    (Status.CORRUPT, Detail.HUFFMAN_TABLE)),
    "all ones": (SOI + DQT + dht(0, (2,), (0, 1)) + AC + GRAY + SCAN,
                 (Status.CORRUPT, Detail.HUFFMAN_TABLE)),
    "a DC symbol of 16": (SOI + DQT + dht(0, symbols=(16,)) + AC + GRAY + SCAN,
                          (Status.CORRUPT, Detail.HUFFMAN_TABLE)),
    "no DQT": (SOI + DC + AC + GRAY + SCAN, (Status.UNSUPPORTED, Detail.TABLE_MISSING)),
    "no DC table": (SOI + DQT + AC + GRAY + SCAN, (Status.UNSUPPORTED, Detail.TABLE_MISSING)),
    "no AC table": (SOI + DQT + DC + GRAY + SCAN, (Status.UNSUPPORTED, Detail.TABLE_MISSING)),
    "no chroma table": (SOI + DQT + dqt(1) + DC + AC + dht(0x01) + COLOR + COLOR_SCAN,
                        (Status.UNSUPPORTED, Detail.TABLE_MISSING)),
    "table number 2": (SOI + DQT + DC + AC + GRAY + sos(((1, 0x20),)),
                       (Status.UNSUPPORTED, Detail.TABLE_ID)),
    "table number 4": (SOI + DQT + DC + AC + GRAY + sos(((1, 0x04),)), SEGMENT),
    "16-bit quantiser": (SOI + dqt(0, [1] * 63 + [256], wide=True) + DC + AC + GRAY + SCAN,
                         (Status.UNSUPPORTED, Detail.QUANTISER)),
    "one component of three": (SOI + COLOR_TABLES + COLOR + sos(((1, 0),)),
                               (Status.UNSUPPORTED, Detail.SCANS)),
    "components in another order": (SOI + COLOR_TABLES + COLOR
                                    + sos(((2, 0), (1, 0), (3, 0))),
                                    (Status.UNSUPPORTED, Detail.SCANS)),
    "scan of no components": (SOI + DQT + DC + AC + GRAY + sos(()), SEGMENT),
    "scan of a wrong length": (SOI + DQT + DC + AC + GRAY + sos(length=9) + b"\0", SEGMENT),
    "spectral selection": (SOI + DQT + DC + AC + GRAY + sos(spectral=(0, 62, 0)), SEGMENT),
    "successive approximation": (SOI + DQT + DC + AC + GRAY + sos(spectral=(0, 63, 1)), SEGMENT),
    "DRI of a wrong length": (SOI + segment(0xdd, b"\0\0\0") + REST, SEGMENT),
    "length 0": (SOI + segment(0xdb, b"", 0) + REST, SEGMENT),
    **{f"process {code:x}": (SOI + sof(code=code), (Status.UNSUPPORTED, Detail.PROCESS))
       for code in (0xc1, 0xc2, 0xc3, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf)},
}

#: What follows the scan: code of the marker that ended it, bytes behind that.
TAILS = {
    "EOI": (0xd9, b"", OK),
    "the end": (0, b"", (Status.TRUNCATED, Detail.ENDED)),
    "a cut block of Photoshop's, EOI": (
        0xed, segment(0xed, PHOTOSHOP + b"8BIM\x07\xdb")[2:] + EOI, OK),
    "comment, application, EOI": (0xfe, segment(0xfe, b"abc")[2:] + segment(0xe0, b"JFIF") + EOI,
                                  OK),
    **{name: (0xfe, segment(0xfe)[2:] + table + EOI, (Status.UNSUPPORTED, Detail.SCANS))
       for name, table in (("DQT", DQT), ("DHT", DC), ("DRI", segment(0xdd, b"\0\1")))},
    "DNL, EOI": (0xdc, b"\0\4\0\x08" + EOI, OK),
    "RST, TEM, EOI": (0xd0, b"\xff\xd7\xff\x01" + b"\xff\xff" + EOI, OK),
    "another scan": (0xda, SCAN[2:], (Status.UNSUPPORTED, Detail.SCANS)),
    "another frame": (0xc0, GRAY[2:] + EOI, (Status.CORRUPT, Detail.MARKER)),
    "another image": (0xd8, b"", (Status.CORRUPT, Detail.MARKER)),
    "stray bytes": (0xfe, b"\0\2" + b"a" + EOI, (Status.CORRUPT, Detail.STRAY)),
    "cut off": (0xfe, b"\0\x40" + bytes(20), (Status.TRUNCATED, Detail.ENDED)),
    "comment, progressive": (0xfe, b"\0\2" + sof(code=0xc2),
                             (Status.UNSUPPORTED, Detail.PROCESS)),
}


class Parser:
    """The component, and the byte reader that it is used with."""

    def __init__(self, dut, stall):
        self.dut, self.stall, self.rng = dut, stall, random.Random(stall)

    async def run(self, data, *, context=0, marker=None):
        """Parse; what came, and how much was taken."""
        dut, rng = self.dut, self.rng
        dut.context.value = context
        dut.tail.value = marker is not None
        dut.marker.value = marker or 0
        dut.start.value = 1
        dut.i__valid.value = dut.ended.value = 0
        await RisingEdge(dut.clk)
        dut.start.value = 0
        position, valid, skip = 0, False, False
        tables, quantisers = [], {}
        for _ in range(60000):
            if not valid and position < len(data) and rng.random() >= self.stall:
                dut.i__payload.value = data[position]
                valid = True
            dut.i__valid.value = valid
            dut.ended.value = position >= len(data)
            skip = rng.random() >= self.stall
            dut.skip__ready.value = skip
            await RisingEdge(dut.clk)
            if dut.table_valid.value:
                tables.append(int(dut.table.value))
            if dut.quantiser_valid.value:
                bits = int(dut.quantiser.value)
                assert field(QUANTISERS, bits, "context") == context
                quantisers[field(QUANTISERS, bits, "table"), field(QUANTISERS, bits, "index")] \
                    = field(QUANTISERS, bits, "value")
            if valid and dut.i__ready.value:
                position += 1
                valid = False
            if skip and dut.skip__valid.value:
                position += int(dut.skip__payload.value)
                valid = False
            if dut.done.value:
                break
        else:
            raise AssertionError("no end")
        got = SimpleNamespace(
            outcome=(Status(int(dut.status.value)), Detail(int(dut.detail.value))),
            header=Header.from_bits(int(dut.header.value)), taken=min(position, len(data)),
            tables=tables, quantisers=quantisers)
        await RisingEdge(dut.clk)
        await RisingEdge(dut.clk)
        assert not dut.busy.value
        return got


@cocotb.test()
async def headers_are_understood(dut):
    await begin(dut)
    parser = Parser(dut, 0.5)
    for n, (name, (data, wanted)) in enumerate(GOOD.items()):
        got = await parser.run(data + b"\x12\x34\xff\xd9", context=n % 2)
        assert got.outcome == OK, (name, got.outcome)
        assert got.taken == len(data), f"{name}: the scan begins elsewhere"
        for key, value in wanted.items():
            if key == "quantiser":
                assert tuple(got.header.quantiser) == value, name
            else:
                assert getattr(got.header, key) == value, (name, key, got.header)
        assert {field(TABLES, bits, "context") for bits in got.tables} <= {n % 2}, name
        # Each used table is as it was defined; range(1, 65) by default.
        assert [got.quantisers[0, k] for k in range(64)] == list(range(1, 65)), name


@cocotb.test()
async def others_are_handed_back(dut):
    """Each with its reason; a good one in between shows that nothing is left behind."""
    await begin(dut)
    parser = Parser(dut, 0.3)
    for n, (name, (data, wanted)) in enumerate(BAD.items()):
        got = await parser.run(data + bytes(8))
        assert got.outcome == wanted, (name, got.outcome)
        if n % 8 == 0:
            got = await parser.run(SOI + REST)
            assert got.outcome == OK and not got.header.color, f"after {name}"


@cocotb.test()
async def every_cut_is_truncated(dut):
    """Wherever a header ends, it ends; most often within its tables."""
    await begin(dut)
    parser, rng = Parser(dut, 0.0), random.Random(3)
    data = SOI + JFIF + REST
    for cut in sorted({*range(24), *rng.sample(range(len(data)), 40), len(data) - 1}):
        got = await parser.run(data[:cut])
        assert got.outcome == (Status.TRUNCATED, Detail.ENDED), cut
    assert (await parser.run(data)).outcome == OK


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.5])
async def tails_are_understood(dut, stall):
    await begin(dut)
    parser = Parser(dut, stall)
    for name, (marker, data, wanted) in TAILS.items():
        got = await parser.run(data, marker=marker)
        assert got.outcome == wanted, (name, got.outcome)
        assert not got.tables and not got.quantisers, f"{name}: a table was written"
