# SPDX-License-Identifier: Apache-2.0
"""Overlays for PYNQ that hold no bitstream, only what PYNQ is told of the card.

Everything in them is made from :mod:`headrace.hw.card.registers` and what boards are told of the
kernel.
"""

import struct
from xml.etree import ElementTree

from headrace.hw.board.identity import CONTROL, INSTANCE, MEMORY, NAME, VLNV, Interface
from headrace.hw.board.kernel_xml import kernel_element
from headrace.hw.board.register_map import register_map
from headrace.hw.card import registers
from headrace.hw.card.config import BUS
from headrace.hw.command import check_file, check_folder, whole_file


__all__ = ["KINDS", "write"]


#: Its ports, without those of a network.
PORTS = Interface(CONTROL, "lite", False, 32), Interface(MEMORY, "axi", True, 8 * BUS)
#: Bytes of the register space.
SPACE = 1 << registers.ADDRESS_BITS
#: Where the registers are, as the shells of Alveo cards and Vivado on UltraScale+ have them.
ALVEO_BASE, ZYNQ_BASE = 0x0180_0000, 0xA000_0000


def tree(tag, attributes=(), *children):
    """An XML element."""
    element = ElementTree.Element(tag, {name: str(value)
                                        for name, value in dict(attributes).items()})
    element.extend(children)
    return element


def text(root):
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


# Alveo: a file of sections (XRT, "xclbin.h")

def kernel_xml():
    """The section EMBEDDED_METADATA."""
    instance = tree("instance", {"name": INSTANCE},
                    tree("addrRemap", {"base": f"0x{ALVEO_BASE:X}", "port": CONTROL}))
    kernel = kernel_element(PORTS, ports=None, args=None)
    kernel.append(instance)
    core = tree("core", {"name": NAME, "type": "clc_region"}, kernel)
    return text(tree("project", {"name": NAME}, tree("platform", {"vendor": NAME, "name": "sim"},
                     tree("device", {"name": "fpga0"}, core))))


def counted(*entries):
    """A section that is an array."""
    return struct.pack("<i4x", len(entries)) + b"".join(entries)


def xclbin(memory):
    """A file ``.xclbin`` without bitstream, for ``memory`` bytes of the card's memory."""
    pointers = [n for n, (*_, pointer) in enumerate(registers.arguments()) if pointer]
    sections = [
        (2, "EMBEDDED_METADATA", kernel_xml()),
        # Type (DDR4), used, KiB, base, tag.
        (6, "MEM_TOPOLOGY", counted(struct.pack("<BB6xqq16s", 1, 1, memory >> 10, 0, b"bank0"))),
        # Type (a kernel), properties, base, name.
        (8, "IP_LAYOUT", counted(struct.pack("<IIQ64s", 1, 0, ALVEO_BASE,
                                             f"{NAME}:{INSTANCE}".encode()))),
        # Argument, kernel, memory; its count is not padded.
        (7, "CONNECTIVITY", struct.pack("<i", len(pointers))
         + b"".join(struct.pack("<iii", n, 0, 0) for n in pointers)),
    ]
    head = struct.calcsize(AXLF) + len(sections) * struct.calcsize(SECTION)
    table, body = b"", b""
    for kind, name, data in sections:
        body += b"\0" * (-(head + len(body)) % 8)
        table += struct.pack(SECTION, kind, name[:15].encode(), head + len(body), len(data))
        body += data
    length = head + len(body)
    return struct.pack(AXLF, b"xclbin2", b"\xff" * 32, 0, length, b"headrace:sim",
                       b"headrace metadat", len(sections)) + table + body


#: Magic, cipher, 256 bytes of key, id, length, two times, version, mode, 16 bytes of ROM, platform,
#: UUID, 16 bytes for debugging, number of sections.
AXLF = "<8s32s256xQQ16x8x16x64s16s16xI4x"
#: Kind, name, offset, size.
SECTION = "<I16s4xQQ"


# Zynq: a hardware handoff beside a bitstream

def properties(**values):
    return [tree("PROPERTY", {"NAME": name, "VALUE": value}) for name, value in values.items()]


def register(entry):
    fields = [tree("FIELD", {"NAME": name}, *properties(
        DESCRIPTION=name, BIT_OFFSET=bit, BIT_WIDTH=1, ACCESS=access))
        for name, bit, access in entry.fields]
    return tree("REGISTER", {"NAME": entry.name}, *properties(
        DESCRIPTION=entry.name, ADDRESS_OFFSET=f"0x{entry.address:X}", SIZE=entry.bits,
        ACCESS=entry.access, IS_ENABLED="true"), tree("FIELDS", (), *fields))


def bus(name, manager):
    return tree("BUSINTERFACE", {"NAME": name, "TYPE": "MASTER" if manager else "SLAVE",
                                 "VLNV": "xilinx.com:interface:aximm:1.0"})


def memory_range(instance, block, manager, subordinate, base, size, kind):
    return tree("MEMORYMAP", (), tree("MEMRANGE", {
        "ADDRESSBLOCK": block,
        "BASEVALUE": f"0x{base:08X}", "HIGHVALUE": f"0x{base + size - 1:08X}",
        "INSTANCE": instance, "IS_DATA": "TRUE", "MASTERBUSINTERFACE": manager,
        "SLAVEBUSINTERFACE": subordinate, "MEMTYPE": kind}))


def module(instance, kind, vlnv, buses, *children, parameters=()):
    return tree("MODULE", {"FULLNAME": f"/{instance}", "INSTANCE": instance, "MODTYPE": kind,
                           "VLNV": vlnv, "IS_ENABLE": 1},
                tree("PARAMETERS", (), *(tree("PARAMETER", {"NAME": name, "VALUE": value})
                                         for name, value in dict(parameters).items())),
                tree("PORTS"), tree("BUSINTERFACES", (), *buses), *children)


def hwh(memory):
    """A file ``.hwh``: the card beside the processing system of a Zynq UltraScale+."""
    clocks = {}
    for n in range(4):
        clocks |= {f"PSU__FPGA_PL{n}_ENABLE": int(n == 0),
                   f"PSU__CRL_APB__PL{n}_REF_CTRL__DIVISOR0": 10,
                   f"PSU__CRL_APB__PL{n}_REF_CTRL__DIVISOR1": 1,
                   f"PSU__CRL_APB__PL{n}_REF_CTRL__SRCSEL": "IOPLL",
                   f"PSU__CRL_APB__PL{n}_REF_CTRL__ACT_FREQMHZ": 100}
    block = tree("ADDRESSBLOCK", {"ACCESS": "read-write", "INTERFACE": CONTROL, "NAME": "Reg",
                                  "RANGE": SPACE, "USAGE": "register"},
                 tree("REGISTERS", (), *map(register, register_map(False, words=True))))
    kernel = module(
        INSTANCE, NAME, VLNV, [bus(CONTROL, False), bus(MEMORY, True)],
        tree("ADDRESSBLOCKS", (), block),
        memory_range("ps", "HP0_DDR_LOW", MEMORY, "S_AXI_HP0_FPD", 0, memory, "MEMORY"))
    system = module(
        "ps", "zynq_ultra_ps_e", "xilinx.com:ip:zynq_ultra_ps_e:3.5",
        [bus("M_AXI_HPM0_FPD", True), bus("S_AXI_HP0_FPD", False)],
        memory_range(INSTANCE, "Reg", "M_AXI_HPM0_FPD", CONTROL, ZYNQ_BASE, SPACE, "REGISTER"),
        parameters=clocks)
    return text(tree("EDKSYSTEM", {"EDWVERSION": "1.2"},
                     tree("SYSTEMINFO", {"ARCH": "zynquplus", "NAME": NAME}),
                     tree("EXTERNALPORTS"), tree("EXTERNALINTERFACES"),
                     tree("MODULES", (), kernel, system)))


def bit(memory):
    """A file ``.bit`` without bitstream: the header of one, and no data."""
    def field(key, value):
        return key + struct.pack(">h", len(value) + 1) + value + b"\0"

    return (struct.pack(">h", 9) + b"\x0f\xf0" * 4 + b"\0" + struct.pack(">h", 1)
            + field(b"a", b"headrace;metadata only") + field(b"b", b"none")
            + field(b"c", b"") + field(b"d", b"") + b"e" + struct.pack(">i", 0))


#: Files of each kind of overlay: what their names end in, and what makes them.
KINDS = {"alveo": {".xclbin": xclbin}, "zynq": {".bit": bit, ".hwh": hwh}}


def write(target, kind=None, memory=1 << 28):
    """Write an overlay without bitstream for the simulated card.

    Parameters
    ----------
    target : Path
        A file, if it ends as one of an overlay does; the others of that overlay are beside it,
        named alike. Else a folder, which is made if it is not there.
    kind : "alveo" or "zynq", optional
        By default that of the file, or ``"alveo"``.
    memory : int
        Bytes of the card's memory.

    Returns
    -------
    list of Path
        The files; the first is the one that ``pynq.Overlay`` is given.
    """
    of_file = None if target.is_dir() else next(
        (name for name, endings in KINDS.items() if target.suffix in endings), None)
    kind = kind or of_file or next(iter(KINDS))
    if kind not in KINDS:
        raise ValueError(f"Kind must be one of {', '.join(KINDS)}, not {kind!r}")
    if of_file not in (None, kind):
        raise ValueError(f"Overlay of kind {kind} must end in {' or '.join(KINDS[kind])}, not "
                         f"{target.name!r}")
    stem = target.with_suffix("") if of_file else target / NAME
    if of_file is None:
        check_folder(target)
        target.mkdir(parents=True, exist_ok=True)
    made = {stem.with_name(stem.name + ending): make(memory)
            for ending, make in KINDS[kind].items()}
    for path in made:
        check_file(path)
    for path, data in made.items():
        with whole_file(path) as file:
            file.write(data)
    return list(made)
