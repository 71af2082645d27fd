# SPDX-License-Identifier: Apache-2.0
"""What tools and drivers know the kernel by. Without Amaranth: the driver reads it too."""


__all__ = ["VENDOR", "LIBRARY", "NAME", "REVISION", "VLNV", "INSTANCE", "CONTROL", "MEMORY",
           "Interface"]


#: The kernel as Vivado's catalog has it, and its instance in a design.
VENDOR, LIBRARY, NAME, REVISION = "headrace", "kernel", "headrace", "1.0"
VLNV = f"{VENDOR}:{LIBRARY}:{NAME}:{REVISION}"
INSTANCE = f"{NAME}_1"

#: Its ports for registers and for memory.
CONTROL, MEMORY = "s_axi_control", "m_axi_gmem"


class Interface:
    """A bus among the ports of a component.

    Parameters
    ----------
    name : str
        What its ports begin with.
    kind : str
        ``"axi"``, ``"lite"``, ``"axis"``.
    manager : bool
        It begins transfers, or sends the stream.
    width : int
        Bits of data.
    """

    def __init__(self, name, kind, manager, width):
        self.name, self.kind, self.manager, self.width = name, kind, manager, width
