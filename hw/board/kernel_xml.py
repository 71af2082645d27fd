# SPDX-License-Identifier: Apache-2.0
"""``kernel.xml``: what XRT is told of a Vitis RTL kernel (UG1393, "RTL Kernel XML File")."""

from xml.etree import ElementTree

from ..card import registers
from .kernel import interfaces


__all__ = ["kernel_xml"]


#: Of an argument: a number, a pointer, a stream.
SCALAR, POINTER, STREAM = "0", "1", "4"


def port(interface):
    """Attributes of a port."""
    if interface.kind == "axis":
        return {"name": interface.name, "portType": "stream", "dataWidth": str(interface.width),
                "mode": "write_only" if interface.manager else "read_only"}
    size = (1 << 64 if interface.manager else 1 << registers.ADDRESS_BITS)
    return {"name": interface.name, "portType": "addressable",
            "mode": "master" if interface.manager else "slave",
            "dataWidth": str(interface.width), "base": "0x0",
            # The range of a manager is its last address, that of a subordinate its size.
            "range": f"0x{size - 1:X}" if interface.manager else f"0x{size:X}"}


def kernel_xml(name, component):
    """Text of the file of a kernel.

    Arguments are those of a batch, in the order of their addresses: 64 bits are a pointer to what
    ``m_axi_gmem`` reaches. The network's registers are none: XRT writes all arguments at each
    start, and what lies between them.
    """
    buses = interfaces(component)
    root = ElementTree.Element("root", versionMajor="1", versionMinor="6")
    kernel = ElementTree.SubElement(root, "kernel", {
        "name": name, "language": "ip_c", "vlnv": f"headrace:kernel:{name}:1.0", "attributes": "",
        "preferredWorkGroupSizeMultiple": "0", "workGroupSize": "1", "interrupt": "true",
        "hwControlProtocol": "ap_ctrl_hs"})
    parts = ElementTree.SubElement(kernel, "ports")
    for interface in buses.values():
        ElementTree.SubElement(parts, "port", port(interface))
    args = ElementTree.SubElement(kernel, "args")
    order = registers.arguments()
    for number, (argument, address, size, pointer) in enumerate(order):
        ElementTree.SubElement(args, "arg", {
            "name": argument, "id": str(number), "offset": f"0x{address:X}",
            "addressQualifier": POINTER if pointer else SCALAR,
            "port": "m_axi_gmem" if pointer else "s_axi_control",
            "type": "void*" if pointer else "uint", "size": f"0x{size:X}",
            "hostOffset": "0x0", "hostSize": f"0x{size:X}"})
    streams = [interface for interface in buses.values() if interface.kind == "axis"]
    for number, interface in enumerate(streams, len(order)):
        ElementTree.SubElement(args, "arg", {
            "name": interface.name, "id": str(number), "port": interface.name,
            "addressQualifier": STREAM, "offset": "0x0", "size": "0x0", "hostOffset": "0x0",
            "hostSize": "0x0", "memSize": "0",
            "type": f"stream<ap_axiu<{interface.width},0,0,0>>&"})
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'
