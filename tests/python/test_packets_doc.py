# SPDX-License-Identifier: Apache-2.0
"""What ``docs/packets.md`` says, tried."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from headrace import wire
from headrace.hw.wire.headers import MAX_FRAME, MASKED, Opcode
from headrace.hw.wire.outcome import Outcome


PAGE = Path(__file__).resolve().parents[2] / "docs" / "packets.md"

MAIN = r"""
#include <stdio.h>
int main(int argc, char **argv)
{
    static uint8_t frame[9100], payload[8000];
    uint8_t to[6] = {2, 0, 0, 0, 0x12, 0x34}, from[6] = {2, 0, 0, 0, 0, 1};
    size_t bytes = fread(payload, 1, sizeof payload, stdin);
    size_t n = send_only(frame, to, from, 0x0A000001, 0x0A000002, 0x100, 0x345678, 41, payload,
                         bytes);
    return argc < 0 || fwrite(frame, 1, n, stdout) != n || !argv;
}
"""


def test_c_client(tmp_path):
    if not shutil.which("cc") or not Path("/usr/include/zlib.h").exists():
        pytest.skip("no C compiler with zlib")
    blocks = re.findall(r"```c\n(.*?)```", PAGE.read_text(), re.DOTALL)
    crc, client = blocks
    includes = "".join(line + "\n" for line in client.splitlines() if line.startswith("#"))
    (tmp_path / "client.c").write_text(includes + crc + client + MAIN)
    subprocess.run(["cc", "-Wall", "-Wno-sign-compare", "-Werror", "-o", "client", "client.c",
                    "-lz"], cwd=tmp_path, check=True)
    card = wire.Station("02:00:00:00:12:34", "10.0.0.1")
    here = wire.Station("02:00:00:00:00:01", "10.0.0.2", 0xC000)
    for length in (0, 1, 2, 3, 4, 77, 1400, 8000):
        payload = bytes(n * 7 & 255 for n in range(length))
        done = subprocess.run([tmp_path / "client"], input=payload, capture_output=True,
                              check=True)
        sender = wire.Sender(0x100, here, card, segment=8896, psn=0x345678)
        want, = sender.frames(payload, 41)
        assert done.stdout == want.rstrip(b"\0") or done.stdout == want


def test_tables():
    text = PAGE.read_text()
    for outcome in Outcome:
        assert f"| {outcome.value} | `{outcome.name}` | {outcome.text} |" in text
    for opcode in Opcode:
        name = opcode.name.replace("_IMMEDIATE", " with immediate").replace("SEND_", "SEND ")
        immediate = "yes" if opcode.immediate else "no"
        assert re.search(rf"\| 0x{opcode:02x} \| {name} \| {immediate} \|", text, re.IGNORECASE)
    assert f"longest frame is {MAX_FRAME} bytes" in text.replace("\n", " ")
    assert MASKED == (15, 22, 24, 25, 40, 41, 46)
