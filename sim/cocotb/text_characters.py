# SPDX-License-Identifier: Apache-2.0
"""Utf8Decoder and CharacterMap, on the texts of the case in ``HEADRACE_CASE``."""

import json
import os

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from headrace.hw.stream.layout import PayloadWord
from headrace.hw.text.characters import CharacterMap
from headrace.hw.text.layout import Characters, CharacterWrite, MappedCharacters
from headrace.hw.text.utf8 import Utf8Decoder
from streams import collect, source, start, words


CASE = json.loads(os.environ.get("HEADRACE_CASE", "{}"))
LANES = CASE.get("lanes", 4)


def texts_of(beats):
    """Code points of each text, and whether it was malformed; the rules of the beats checked."""
    texts, codes = [], []
    for beat in beats:
        count = beat.count
        if beat.malformed:
            assert beat.last and not count
        assert count or beat.last
        codes += [beat.codes[n] for n in range(count)]
        if count > 1:
            assert all(beat.codes[n] < 0x80 for n in range(count))
        if beat.last:
            texts.append((codes, bool(beat.malformed)))
            codes = []
    return texts


@cocotb.test()
async def utf8_matches(dut):
    for run, (payloads, i_stall, o_stall, most) in enumerate(CASE["runs"]):
        payloads = [bytes.fromhex(text) for text in payloads]
        await start(dut, i__valid=0, o__ready=0)
        items = [PayloadWord.const({"data": d, "count": c, "last": e}).as_bits()
                 for payload in payloads for d, c, e in words(payload)]
        cocotb.start_soon(source(dut, "i", items, i_stall, run))
        beats, cycles = await collect(dut, "o", Characters(LANES), len(payloads),
                                      lambda beat: beat.last, o_stall, run)
        for payload, text in zip(payloads, texts_of(beats)):
            assert text == Utf8Decoder.compute(payload), (run, payload)
        assert most is None or cycles <= most, (run, cycles)
        dut.o__ready.value = 1
        for _ in range(20):
            await RisingEdge(dut.clk)
            assert not dut.o__valid.value, "more texts than payloads"


@cocotb.test()
async def characters_match(dut):
    width, sets, pages = CASE["width"], CASE["sets"], CASE["pages"]
    images = [np.array(image, np.uint32) for image in CASE["images"]]
    await start(dut, i__valid=0, o__ready=0, select__valid=0, write_valid=0)
    write = CharacterWrite(width, sets, pages)
    for number, image in enumerate(images):
        for address, word in enumerate(image.tolist()):
            if 0x1880 <= address < 0x2000:
                continue
            dut.write.value = write.const(
                {"set": number, "address": address, "data": word}).as_bits()
            dut.write_valid.value = 1
            await RisingEdge(dut.clk)
    dut.write_valid.value = 0

    layout = Characters(LANES)
    beats = [dict(beat, set=select) for select, text in CASE["texts"] for beat in text]
    items = [layout.const({key: beat[key] for key in layout.members}).as_bits()
             for beat in beats]
    for stall in CASE["stalls"]:
        cocotb.start_soon(source(
            dut, "select", [select for select, _ in CASE["texts"]], stall, 3))
        cocotb.start_soon(source(dut, "i", items, stall, 1))
        got, cycles = await collect(dut, "o", MappedCharacters(LANES, width, sets),
                                    len(CASE["texts"]), lambda beat: beat.last, stall, 2)
        assert len(got) == len(beats)
        for n, (beat, o) in enumerate(zip(beats, got)):
            count = beat["count"]
            expected = CharacterMap.compute(images[beat["set"]], beat["codes"][:count]).tolist()
            assert (o.set, o.count, o.last, o.malformed) == (
                beat["set"], count, beat["last"], beat["malformed"]), n
            assert [o.codes[k] for k in range(count)] == beat["codes"][:count], n
            assert [o.entries[k] for k in range(count)] == expected, n
        assert stall or cycles <= len(beats), cycles
