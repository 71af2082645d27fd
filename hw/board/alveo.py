# SPDX-License-Identifier: Apache-2.0
"""Alveo cards: a Vitis RTL kernel, linked with the CMAC kernel of the XUP Vitis Network Example.

The card's port carries whole frames and answers ARP and ICMP itself, so it takes the place of VNx's
``networklayer``, whose streams towards an application have UDP payloads only.
"""

from .board import Board
from .identity import INSTANCE, MEMORY, NAME
from .kernel import Kernel, interfaces
from .kernel_xml import kernel_xml
from .packaging import package_tcl


__all__ = ["CMAC", "link_cfg", "alveo"]


#: Kernel of VNx for the first QSFP, and its streams to us and from us.
CMAC, CMAC_OUT, CMAC_IN = "cmac_0", "M_AXIS", "S_AXIS"

LINK = """\
# Options of v++ --link (UG1393, "Vitis Compiler Configuration File").
kernel_frequency={clock}

[connectivity]
nk={kernel}:1:{instance}
# Jobs, payloads and results may be anywhere.
sp={instance}.{port}:{memory}
"""

STREAMS = """\

# Frames: VNx's CMAC, without its networklayer.
nk={cmac}:1:{cmac}
stream_connect={cmac}.{out}:{instance}.s_axis_rx
stream_connect={instance}.m_axis_tx:{cmac}.{into}
"""

BUILD = """\
#!/bin/sh
# Makes {kernel}.xclbin: needs vivado and v++ on PATH, the platform installed{needs}.
set -eu
{folder}cd "$(dirname "$0")"
: "${{PLATFORM:={platform}}}"
{make}vivado -mode batch -notrace -source package.tcl
v++ --link --target hw --platform "$PLATFORM" --config link.cfg --temp_dir link \\
    {hook}-o {kernel}.xclbin {kernel}.xo{cmac}
"""

NEEDS = """, VNx at $VNX.
# Before VNx's IPs are made, the free licence "UltraScale+ Integrated 100G Ethernet" (cmac_usplus)
# must be installed: if they were made without, make -C "$VNX/Ethernet" distclean"""
FOLDER = """\
: "${VNX:?must name a clone of Xilinx/xup_vitis_network_example}"
VNX=$(cd "$VNX" && pwd)
"""
MAKE = """\
make -C "$VNX/Ethernet" all DEVICE="$PLATFORM" INTERFACE=0
"""
#: VNx's script, called when the design is linked, connects the CMAC to the QSFP's pins.
HOOK = ('--advanced.param '
        'compiler.userPostSysLinkOverlayTcl="$VNX/Ethernet/post_sys_link.tcl" \\\n    ')


def link_cfg(memory, clock, wired):
    """Text of ``link.cfg``."""
    text = LINK.format(kernel=NAME, instance=INSTANCE, port=MEMORY, memory=memory, clock=clock)
    if wired:
        text += STREAMS.format(instance=INSTANCE, cmac=CMAC, out=CMAC_OUT, into=CMAC_IN)
    return text


def build_sh(platform, wired):
    """Text of ``build.sh``."""
    return BUILD.format(
        kernel=NAME, platform=platform, needs=NEEDS if wired else "",
        folder=FOLDER if wired else "", make=MAKE if wired else "", hook=HOOK if wired else "",
        cmac=f' \\\n    "$VNX/Ethernet/_x.$(basename "$PLATFORM" .xpfm)/{CMAC}.xo"'
        if wired else "")


def alveo(name, title, part, config, *, platform, memory, clock=150):
    """The :class:`.board.Board` of an Alveo card.

    Parameters
    ----------
    platform : str
        The platform that it is linked for, unless ``PLATFORM`` is set.
    memory : str
        What the kernel's memory port is connected to.
    """
    wired = bool(config.wire)

    def files(board, component):
        wired = bool(component.config.wire)
        return {"kernel.xml": kernel_xml(interfaces(component).values()),
                "package.tcl": package_tcl(board, component, xo=True),
                "link.cfg": link_cfg(memory, clock, wired),
                "build.sh": build_sh(platform, wired)}

    return Board(
        name=name, title=title, part=part, config=config, top=Kernel, module=NAME,
        sources=f"{NAME}.v", files=files, tools=("vivado", "v++", *(("make",) if wired else ())),
        folders={"VNX": "a clone of Xilinx/xup_vitis_network_example"} if wired else {},
        result=f"{NAME}.xclbin", clock=clock)
