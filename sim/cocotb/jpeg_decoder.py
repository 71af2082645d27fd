# SPDX-License-Identifier: Apache-2.0
"""The decoder as a black box: small files of Pillow, whose pixels must come out."""

import io
import os
import random
from collections import deque

import cocotb
import numpy as np
from PIL import Image
from cocotb.triggers import RisingEdge
from headrace.hw.status import Detail, Status
from headrace.hw.stream.layout import Done, Frame, PayloadWord, PixelWord
from streams import Sink, Source, begin, field, pack


CONTEXTS = int(os.environ.get("HEADRACE_CONTEXTS", "1"))
STALL = float(os.environ.get("HEADRACE_STALL", "0"))
FRAME, WORD, DONE = Frame(CONTEXTS), PixelWord(CONTEXTS), Done(CONTEXTS)


def encode(rng, width, height, mode="RGB", **options):
    """A JPEG of noise with flat parts."""
    pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
    pixels[: height // 2] //= 16
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "jpeg", **options)
    return file.getvalue()


def turned(data):
    """4:4:0 of a 4:2:2 file, which has as many MCUs: sides and factors change places."""
    at = data.index(b"\xff\xc0") + 5
    assert data[at + 6] == 0x21
    return b"".join([data[:at], data[at + 2:at + 4], data[at:at + 2], data[at + 4:at + 6],
                     b"\x12", data[at + 7:]])


def pixels_of(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def files():
    """(data, status, detail) of every request."""
    rng = np.random.default_rng(5)
    ok, sizes = [], [(1, 1), (3, 2), (16, 9), (33, 17)]
    for n, size in enumerate(sizes):
        ok.append(encode(rng, *size, mode="L", quality=(50, 95)[n % 2]))
        for subsampling in range(3):
            ok.append(encode(rng, *size, subsampling=subsampling, quality=(75, 30, 90)[n % 3],
                             optimize=n % 2 == 1))
        ok.append(turned(encode(rng, *size, subsampling=1)))
    for subsampling in range(3):
        ok.append(encode(rng, 29, 18, subsampling=subsampling, restart_marker_blocks=1))
    ok.append(encode(rng, 17, 30, restart_marker_rows=1))
    ok.append(encode(rng, 19, 21, keep_rgb=True, quality=90))
    ok.append(encode(rng, 64, 9, subsampling=2, quality=100))
    requests = [(data, Status.OK, Detail.NONE) for data in ok]
    long = encode(rng, 40, 30, subsampling=2, restart_marker_blocks=2)
    for cut in (0, 1, 30, 400, 640, len(long) * 3 // 4, len(long) - 1):
        requests.append((long[:cut], Status.TRUNCATED, Detail.ENDED))
    requests += [
        (encode(rng, 16, 16, progressive=True), Status.UNSUPPORTED, Detail.PROCESS),
        (encode(rng, 16, 16, mode="CMYK"), Status.UNSUPPORTED, Detail.COMPONENTS),
        (encode(rng, 65, 4), Status.TOO_LARGE, Detail.WIDTH),
        (b"GIF89a" + bytes(30), Status.CORRUPT, Detail.NOT_JPEG),
        (long.replace(b"\xff\xd1", b"\xff\xd2", 1), Status.CORRUPT, Detail.RESTART),
    ]
    random.Random(7).shuffle(requests)
    return requests


class Context:
    """The request under way in a context."""

    def __init__(self, number, source):
        self.number, self.source = number, source
        self.request = None

    def begin(self, request):
        data = request[0]
        self.request, self.frame, self.rows, self.whole = request, None, [[]], False
        for n in range(0, max(len(data), 1), 8):
            part = data[n:n + 8]
            self.source.queue.append(pack(
                PayloadWord, data=int.from_bytes(part, "little"), count=len(part),
                last=n + 8 >= len(data)))

    def size(self, bits):
        assert self.frame is None, "two frames"
        self.frame = field(FRAME, bits, "height"), field(FRAME, bits, "width")

    def word(self, bits):
        assert self.frame and not self.whole, "a word without a frame"
        self.rows[-1].append(field(WORD, bits, "pixels").to_bytes(24, "little"))
        if field(WORD, bits, "row_last"):
            self.rows.append([])
        self.whole = bool(field(WORD, bits, "last"))

    def done(self, bits):
        data, status, detail = self.request
        got = Status(field(DONE, bits, "status")), Detail(field(DONE, bits, "detail"))
        assert got == (status, detail), (got, status, detail, len(data))
        if status == Status.OK:
            wanted = pixels_of(data)
            height, width = self.frame
            assert (height, width) == wanted.shape[:2] and self.whole
            assert self.rows.pop() == []
            rows = np.frombuffer(b"".join(b"".join(row) for row in self.rows), np.uint8)
            rows = rows.reshape(height, -(-width // 8) * 8, 3)[:, :width]
            np.testing.assert_array_equal(rows, wanted)
        assert self.source.idle, "a payload was not taken to the end"
        self.request = self.frame = None


async def grants(dut, rng):
    while True:
        dut.grant.value = sum((rng.random() >= STALL) << c for c in range(CONTEXTS))
        await RisingEdge(dut.clk)


@cocotb.test()
async def files_match(dut):
    await begin(dut)
    rng = random.Random(1)
    contexts = [Context(c, Source(dut, f"i__{c}", stall=STALL)) for c in range(CONTEXTS)]
    sinks = [Sink(dut, name, stall=STALL) for name in ("o_frame", "o", "o_done")]
    cocotb.start_soon(grants(dut, rng))
    requests = deque(files())
    total, finished, silent = len(requests), 0, 0
    while finished < total:
        for context in contexts:
            if context.request is None and requests:
                context.begin(requests.popleft())
        await RisingEdge(dut.clk)
        silent += 1
        assert silent < 20000, "stuck"
        # In this order: words come behind the frame, the end behind the words.
        for sink, layout, take in zip(sinks, (FRAME, WORD, DONE),
                                      (Context.size, Context.word, Context.done)):
            while sink.queue:
                silent = 0
                bits = sink.queue.popleft()
                take(contexts[field(layout, bits, "context")], bits)
                finished += take is Context.done
    dut._log.info(f"{total} files")
