# SPDX-License-Identifier: Apache-2.0
"""``kernel.xml``: what XRT is told of a Vitis RTL kernel (UG1393, "RTL Kernel XML File").

Without Amaranth: the driver makes the metadata of its overlays by it.
"""

from xml.etree import ElementTree

from ..card import registers
from .identity import CONTROL, MEMORY, NAME, VLNV


__all__ = ["kernel_element", "kernel_xml"]


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


def kernel_element(interfaces, *, ports="ports", args="args"):
    """Element of a kernel with these :class:`.identity.Interface`.

    Arguments are those of a batch, in the order of their addresses: 64 bits are a pointer to what
    the memory port reaches. The network's registers are none: XRT writes all arguments at each
    start, and what lies between them. Their types are those of C, since PYNQ knows no others.

    Parameters
    ----------
    interfaces : iterable of Interface
    ports, args : str or None
        Elements around the ports and the arguments, if there are any.
    """
    kernel = ElementTree.Element("kernel", {
        "name": NAME, "language": "ip_c", "vlnv": VLNV, "attributes": "",
        "preferredWorkGroupSizeMultiple": "0", "workGroupSize": "1", "interrupt": "true",
        "hwControlProtocol": "ap_ctrl_hs"})
    parts = ElementTree.SubElement(kernel, ports) if ports else kernel
    for interface in interfaces:
        ElementTree.SubElement(parts, "port", port(interface))
    parts = ElementTree.SubElement(kernel, args) if args else kernel
    order = registers.arguments()
    for number, (argument, address, size, pointer) in enumerate(order):
        ElementTree.SubElement(parts, "arg", {
            "name": argument, "id": str(number), "offset": f"0x{address:X}",
            "addressQualifier": POINTER if pointer else SCALAR,
            "port": MEMORY if pointer else CONTROL,
            "type": "void*" if pointer else "unsigned int", "size": f"0x{size:X}",
            "hostOffset": "0x0", "hostSize": f"0x{size:X}"})
    streams = [interface for interface in interfaces if interface.kind == "axis"]
    for number, interface in enumerate(streams, len(order)):
        ElementTree.SubElement(parts, "arg", {
            "name": interface.name, "id": str(number), "port": interface.name,
            "addressQualifier": STREAM, "offset": "0x0", "size": "0x0", "hostOffset": "0x0",
            "hostSize": "0x0", "memSize": "0",
            "type": f"stream<ap_axiu<{interface.width},0,0,0>>&"})
    return kernel


def kernel_xml(interfaces):
    """Text of the file of a kernel with these :class:`.identity.Interface`."""
    root = ElementTree.Element("root", versionMajor="1", versionMinor="6")
    root.append(kernel_element(interfaces))
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'
