# SPDX-License-Identifier: Apache-2.0
"""Overlays without bitstream, against the register table. PYNQ reads them in test_pynq.py."""

import importlib.util
import struct
import sys
from xml.etree import ElementTree

import pytest

from headrace import cli, overlay
from headrace.hw.board.identity import INSTANCE, VLNV
from headrace.hw.card import registers


def sections(data):
    """Sections of an xclbin by kind, as XRT's ``xclbin.h`` lays them out."""
    assert data[:8] == b"xclbin2\0"
    length, = struct.unpack_from("<Q", data, 304)
    assert length == len(data)
    count, = struct.unpack_from("<I", data, 448)
    found = {}
    for n in range(count):
        kind, _, start, size = struct.unpack_from("<I16s4xQQ", data, 456 + 40 * n)
        assert start % 8 == 0 and start + size <= length
        found[kind] = data[start:start + size]
    return found


def test_alveo(tmp_path, capsys):
    assert cli.main(["overlay", "-o", str(tmp_path / "new")]) == 0
    path = tmp_path / "new" / "headrace.xclbin"
    assert capsys.readouterr().out.split() == [str(path)]
    found = sections(path.read_bytes())
    assert set(found) == {2, 6, 7, 8}
    kernel = ElementTree.fromstring(found[2]).find("platform/device/core/kernel")
    assert kernel.get("vlnv") == VLNV
    assert kernel.find("instance").get("name") == INSTANCE
    arguments = {arg.get("name"): (int(arg.get("offset"), 0), 8 * int(arg.get("size"), 0))
                 for arg in kernel.findall("arg")}
    assert arguments == registers.ARGUMENTS
    # Pointers, and only they, are connected to memory.
    pointers = {int(arg.get("id")) for arg in kernel.findall("arg") if "*" in arg.get("type")}
    connected = {struct.unpack_from("<iii", found[7], 4 + 12 * n)
                 for n in range(struct.unpack_from("<i", found[7])[0])}
    assert connected == {(number, 0, 0) for number in pointers}


def test_zynq(tmp_path, capsys):
    assert cli.main(["overlay", "-o", str(tmp_path), "--kind", "zynq"]) == 0
    bit, hwh = tmp_path / "headrace.bit", tmp_path / "headrace.hwh"
    assert capsys.readouterr().out.split() == [str(bit), str(hwh)]
    root = ElementTree.fromstring(hwh.read_bytes())
    found = {}
    for register in root.iter("REGISTER"):
        values = {item.get("NAME"): item.get("VALUE") for item in register.findall("PROPERTY")}
        assert values["SIZE"] == "32"
        found[register.get("NAME")] = int(values["ADDRESS_OFFSET"], 0)
    assert len(set(found.values())) == len(found)
    for name in "CTRL", "GIE", "IER", "ISR":
        assert found.pop(name) == getattr(registers, name)
    for name, (address, bits) in [*registers.ARGUMENTS.items(),
                                  *((name, (address, 64))
                                    for name, address in registers.COUNTERS.items())]:
        for n in range(bits // 32):
            assert found.pop(name if bits == 32 else f"{name}_{n + 1}") == address + 4 * n
    assert found == registers.CAPABILITIES


def test_kind_must_be_known(tmp_path):
    with pytest.raises(ValueError, match="^Kind must be one of alveo, zynq, not 'versal'"):
        overlay.write(tmp_path, "versal")


def test_without_pynq(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "headrace.pynq", raising=False)
    with pytest.raises(ImportError, match="^PYNQ is not installed: pip install 'pynq"):
        importlib.import_module("headrace.pynq")
