# amaranth: UnusedElaboratable=no

# SPDX-License-Identifier: Apache-2.0
"""The lane of control queue pairs, and what opens the first of them."""

import pytest
from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from headrace.hw.board.boot import Boot, network_boot
from headrace.hw.board.memory import OnChipMemory
from headrace.hw.card import registers
from headrace.hw.card.card import Card, axi_pins
from headrace.hw.card.commands import NO_KEY
from headrace.hw.card.config import PORTS, CardConfig
from headrace.hw.card.control import AXI_LITE
from headrace.hw.card.jobs import Kind
from headrace.hw.card.network import network_pins
from headrace.hw.card.registers import Mode
from headrace.hw.card.remote_lane import RemoteLane
from runner import simulate


CONFIG = CardConfig(contexts=1, lines=1, max_width=64, max_side=256, max_taps=64, source_rows=32,
                    intermediate_bits=10, output_bits=8, recipes=2, text_lanes=0, wire=64,
                    queues=4, slots=4, remote=True)
PLACE = dict(mac=0x020000001234, ip=0x0A000002)


@pytest.mark.parametrize("port, key", [
    *((port, NO_KEY) for port in PORTS), *((port, bytes(range(1, 17))) for port in PORTS)],
    ids=lambda value: str(value) if isinstance(value, int) else "key" if any(value) else "none")
def test_lane(port, key):
    lapse = 1 << 14
    simulate(RemoteLane(port, key=key, lapse=lapse), "card_remote_lane",
             name=f"remote_lane_{port}_{key[0]}",
             env={"HEADRACE_PORT": str(port), "HEADRACE_KEY": key.hex(),
                  "HEADRACE_LAPSE": str(lapse)})


class Ports(wiring.Component):
    """The manager's ports have a prefix, by which the bench finds them."""

    def __init__(self, writes):
        self.boot = Boot(writes)
        members = {name: self.boot.signature.members[name] for name in AXI_LITE}
        super().__init__({
            **{f"own_{name}": member for name, member in members.items()},
            **{name: member for name, member in self.boot.signature.members.items()
               if name not in members}})

    def elaborate(self, platform):
        m = Module()
        m.submodules.boot = boot = self.boot
        for name, member in self.signature.members.items():
            inner, outer = getattr(boot, name.removeprefix("own_")), getattr(self, name)
            m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        return m


@pytest.mark.parametrize("writes", [
    [(0x10, 1)], [(4 * n % 0x100, n << 20 | n) for n in range(100)] + [(0xF00, 0xFFFFFFFF)]],
    ids=len)
def test_boot(writes):
    simulate(Ports(writes), "board_boot", name=f"boot_{len(writes)}",
             env={"HEADRACE_WRITES": repr(writes)})


def test_network_boot():
    writes, free = network_boot(CONFIG, **PLACE, queue=1, message_bytes=512, result_bytes=1024)
    values, posted, table = {}, [], []
    for address, value in writes:
        if address == registers.POST:
            posted.append(value)
        elif address == registers.COMMIT:
            table.append((value, dict(values)))
        else:
            values[address] = value
    wanted = dict(PLACE, messages=0, results=2048, message_bytes=512, result_bytes=1024,
                  queue_base=0x100, segment=1024, queue_pair=0x101, queue=1,
                  options=registers.LOSSY | registers.ENABLE,
                  queue_options=registers.queue_options(
                      open=1, check=1, reply_port=1, mode=Mode.REPLY, kind=Kind.CONTROL))
    for name, value in wanted.items():
        address, bits = registers.NETWORK[name]
        for offset in range(0, bits, 32):
            assert values.pop(address + offset // 8) == value >> offset & 0xFFFFFFFF, name
    assert not values and free == 2048 + 5 * 1024
    assert posted == [0, 1, 2, 3]
    # The queue pair is made when all of it has been written, and frames are taken last of all.
    (what, before), = table
    assert what == registers.SET | registers.RESTART
    assert before[registers.NETWORK["queue_options"][0]] == wanted["queue_options"]
    assert writes[-1][0] == registers.NETWORK["options"][0]


class Board(wiring.Component):
    """A card with memory of the chip, that has nothing but its network port."""

    def __init__(self, writes, memory_bits):
        self.writes, self.memory_bits = writes, memory_bits
        super().__init__({"ap_clk": In(1), "ap_rst_n": In(1), "booted": Out(1),
                          **network_pins(CONFIG.wire)})

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = domain = ClockDomain("sync")
        m.submodules.card = card = DomainRenamer("card")(Card(CONFIG))
        m.submodules.boot = boot = Boot(self.writes)
        m.submodules.memory = ram = OnChipMemory(self.memory_bits)
        m.d.comb += [domain.clk.eq(self.ap_clk), domain.rst.eq(~self.ap_rst_n),
                     card.ap_clk.eq(self.ap_clk), card.ap_rst_n.eq(self.ap_rst_n),
                     self.booted.eq(boot.done)]

        def join(members, prefix, part, other=""):
            for name, member in members.items():
                ours, its = getattr(card, f"{prefix}_{name}"), getattr(part, f"{other}{name}")
                m.d.comb += ours.eq(its) if member.flow == In else its.eq(ours)

        join(AXI_LITE, "s_axi_control", boot)
        join({name: member.flip() for name, member in AXI_LITE.items()}, "m_axi_lite", boot,
             "lite_")
        join(axi_pins(CONFIG.port), "m_axi_gmem", ram)
        for name, member in network_pins(CONFIG.wire).items():
            inner, outer = getattr(card, name), getattr(self, name)
            m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        return m


def test_board():
    """With a memory port of 512 bits; that of 64 is the ECPIX-5's, which is tested as a whole."""
    bits = 16
    writes, free = network_boot(CONFIG, **PLACE, message_bytes=2048, result_bytes=2560,
                                segment=512)
    simulate(Board(writes, bits), "card_remote", name="remote_board",
             env={"HEADRACE_MAC": str(PLACE["mac"]), "HEADRACE_IP": str(PLACE["ip"]),
                  "HEADRACE_MEMORY_BITS": str(bits), "HEADRACE_FREE": str(free)})


def test_init_wrong():
    with pytest.raises(ValueError, match=r"^Remote must be False without a wire, not True$"):
        CardConfig(remote=True)
    with pytest.raises(ValueError, match=r"^Remote must be a bool, not 2$"):
        CardConfig(wire=64, remote=2)
    with pytest.raises(ValueError, match=r"^Writes must be one or more, not none$"):
        Boot([])
    with pytest.raises(ValueError, match=r"^Write must be of a register and 32 bits, not 0x2, 0x0"):
        Boot([(2, 0)])
    with pytest.raises(ValueError, match=r"^Card must be remote to be driven through the network$"):
        network_boot(CardConfig(wire=64), **PLACE)
    with pytest.raises(ValueError, match=r"^Queue must be within range\(4\), not 4$"):
        network_boot(CONFIG, **PLACE, queue=4)
    with pytest.raises(ValueError, match=r"^MAC must be within range\(1 << 48\), not -1$"):
        network_boot(CONFIG, mac=-1, ip=0)
    with pytest.raises(ValueError, match=r"^Message bytes must be a multiple of 64, at least 256"):
        network_boot(CONFIG, **PLACE, message_bytes=192)
