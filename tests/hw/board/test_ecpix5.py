# amaranth: UnusedElaboratable=no

# SPDX-License-Identifier: Apache-2.0
"""The ECPIX-5: its clocks and constraints, and the whole of it in its simulated cells."""

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.hw.board import ecpix5
from headrace.hw.board.boards import generate
from headrace.hw.board.constraints import constraints
from headrace.hw.board.ecp5 import DdrInput, pll_settings
from headrace.hw.board.ecpix5_top import CLOCK, REFERENCE, TRANSMIT, Ecpix5
from headrace.hw.card.config import CardConfig


CELLS = Path(__file__).with_name("ecp5_cells.v")

#: A card that is built soon.
SMALL = CardConfig(contexts=1, lines=1, max_width=64, max_side=256, max_taps=64, source_rows=32,
                   intermediate_bits=10, output_bits=8, recipes=1, text_lanes=0, wire=64, port=64,
                   queues=4, slots=2, remote=True)


def test_top():
    """ARP, echoes and images from pin to pin."""
    pytest.importorskip("scapy.contrib.roce", reason="scapy builds packets: pip install scapy")
    pytest.importorskip("cocotbext.eth", reason="the PHY is its: pip install cocotbext-eth")
    from runner import simulate

    # The board's own card, in a simulator that takes its time, or a small one.
    config = ecpix5.BOARD.config if "HEADRACE_WHOLE_CARDS" in os.environ else SMALL
    key = bytes(range(1, 17))
    board = Ecpix5(config, phy_reset=30e-6, key=key, message_bytes=8192, result_bytes=8192)
    simulate(board, "board_top", name="board_top", cells=[CELLS],
             env={"HEADRACE_FREE": str(board.free), "HEADRACE_PHY_RESET": "30000",
                  "HEADRACE_KEY": key.hex()})


@pytest.mark.parametrize("mhz", [50, 60, 62.5, 70, 78.125, 80, 83, 90, 100, 110, 125])
def test_pll(mhz):
    settings = pll_settings(REFERENCE, TRANSMIT, mhz)
    first, second = settings.outputs
    assert first == TRANSMIT and mhz * 0.93 < second <= mhz
    assert 400 <= settings.oscillator <= 800 and settings.compared >= 3.125
    assert settings.oscillator == REFERENCE / settings.input * settings.feedback * settings.first
    assert all(1 <= by <= 128 for by in (
        settings.input, settings.feedback, settings.first, settings.second))
    # No other dividers come nearer.
    assert not any(second < TRANSMIT * n / by <= mhz for n in range(4, 7) for by in range(1, 129))


@pytest.mark.parametrize("first, second", [(TRANSMIT, 80), (TRANSMIT, TRANSMIT), (CLOCK, CLOCK)])
def test_pll_as_ecppll(first, second):
    """Project Trellis' program finds the same dividers: the board has the last two."""
    ecppll = shutil.which("yowasp-ecppll", path=Path(sys.executable).parent)
    if not ecppll:
        pytest.skip("no yowasp-ecppll: pip install '.[hw]'")
    settings = pll_settings(REFERENCE, first, second)
    said = subprocess.run([ecppll, "-i", str(REFERENCE), "-o", str(first), "--clkout1",
                           str(settings.outputs[1])], capture_output=True, text=True).stdout
    found = [float(re.search(rf"^{name}: (\S+)", said, re.M)[1]) for name in (
        "Refclk divisor", "Feedback divisor", "clkout0 divisor", "clkout1 divisor",
        "VCO frequency")]
    assert found == [settings.input, settings.feedback, settings.first, settings.second,
                     settings.oscillator]


def test_init_wrong():
    with pytest.raises(ValueError, match=r"^PLL must make 1 and 80 MHz of 100, and cannot$"):
        pll_settings(100, 1, 80)
    with pytest.raises(ValueError, match=r"^Delay must be within 0 and 3.175 ns, not 3.2$"):
        DdrInput(1, 3.2)
    with pytest.raises(ValueError, match=r"^Wire must be 64, not 512$"):
        Ecpix5(dataclasses.replace(SMALL, wire=512, port=512))
    with pytest.raises(ValueError, match=r"^Buffers must be within 4096 bytes, not \d+$"):
        Ecpix5(SMALL, memory_bits=12)
    with pytest.raises(ValueError, match=r"^Card must be remote to be driven"):
        Ecpix5(dataclasses.replace(SMALL, remote=False))


def test_constraints():
    """Each port has a pin of its own, and nothing else has; clocks that come in are bound."""
    text = constraints(ecpix5.BOARD).read_text()
    sites = re.findall(r'^LOCATE COMP "(\S+)" SITE "(\w+)";$', text, re.M)
    types = re.findall(r'^IOBUF PORT "(\S+)" IO_TYPE=LVCMOS33( PULLMODE=UP| SLEWRATE=FAST)?;$',
                       text, re.M)
    ports = []
    for name, member in Ecpix5(SMALL).signature.members.items():
        width = 1 if member.shape == 1 else member.shape
        ports += [name] if width == 1 else [f"{name}[{n}]" for n in range(width)]
    assert sorted(name for name, _ in sites) == sorted(name for name, _ in types) == sorted(ports)
    assert len({site for _, site in sites}) == len(sites)
    clocks = dict(re.findall(r'^FREQUENCY PORT "(\w+)" (\d+) MHZ;$', text, re.M))
    assert clocks == {"clk100": str(REFERENCE), "eth_rx_clk": "125"}
    rest = re.sub(r"^(#.*|LOCATE.*|IOBUF.*|FREQUENCY.*|)\n", "", text, flags=re.M)
    assert rest == ""


def test_build(tmp_path):
    """The board's scripts with all of it but the card: place and route accept pins, cells and
    constraints, meet the clocks, and make a bitstream."""
    from board_loop import Loop
    tools = Path(sys.executable).parent
    for tool in ecpix5.BOARD.tools:
        if not shutil.which(tool, path=tools):
            pytest.skip(f"no {tool}: pip install '.[hw]'")
    board = dataclasses.replace(ecpix5.BOARD, config=SMALL,
                                top=lambda config: Loop(Ecpix5(config)))
    generate(board, tmp_path)
    run = subprocess.run([tmp_path / "build.sh"], capture_output=True, text=True,
                         env={"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(tmp_path)})
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    assert (tmp_path / "headrace.bit").stat().st_size > 10000
    timing = (tmp_path / "timing.txt").read_text().splitlines()
    assert sorted(re.search(r"PASS at (\S+) MHz", line)[1] for line in timing) == [
        "125.00", "125.00", "75.00"]
    # Of all pins one is delayed, by 2 ns of 25 ps each: the clock that leaves.
    config = (tmp_path / "headrace.config").read_text()
    delays = [int(value, 2) for value in re.findall(r"DELAY\.DEL_VALUE (\d+)", config)]
    assert sorted(delays) == [0] * 10 + [80]
