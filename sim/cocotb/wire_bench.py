# SPDX-License-Identifier: Apache-2.0
"""Beats in and out of the network kernels, an integer each, with stalls on every side."""

import random

import cocotb
from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from headrace.hw.wire.axis import FromAxi, ToAxi
from headrace.hw.wire.station import Station


__all__ = ["Ports", "pack", "unpack", "beats", "frames_of", "reset", "Bench", "MAC", "IP",
           "PEER_MAC", "PEER_IP", "mac_text", "ip_text"]


MAC, IP = 0x020000001234, 0x0A000001
PEER_MAC, PEER_IP = 0x0200000A0B0C, 0x0A0000FE


class Ports(wiring.Component):
    """A station with two pairs of doors: its own, and AXI4-Stream. Use one pair at a time."""

    def __init__(self, width, queues, **options):
        self.station = Station(width, queues, **options)
        keep = width // 8
        super().__init__({
            **dict(self.station.signature.members),
            **{f"s_axis_rx_{name}": In(bits) for name, bits in (
                ("tvalid", 1), ("tdata", width), ("tkeep", keep), ("tlast", 1), ("tuser", 1))},
            **{f"m_axis_tx_{name}": Out(bits) for name, bits in (
                ("tvalid", 1), ("tdata", width), ("tkeep", keep), ("tlast", 1), ("tuser", 1))},
            "s_axis_rx_tready": Out(1), "m_axis_tx_tready": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.station = station = self.station
        m.submodules.rx = rx = FromAxi(station.width)
        m.submodules.tx = tx = ToAxi(station.width)
        for name, member in station.signature.members.items():
            if member.is_signature and name not in ("i", "o"):
                inner, outer = getattr(station, name), wiring.flipped(getattr(self, name))
                wiring.connect(m, inner, outer)
            elif member.is_port:
                pair = getattr(station, name), getattr(self, name)
                m.d.comb += pair[0].eq(pair[1]) if member.flow is In else pair[1].eq(pair[0])
        for part in "tvalid", "tdata", "tkeep", "tlast", "tuser":
            m.d.comb += [getattr(rx, part).eq(getattr(self, f"s_axis_rx_{part}")),
                         getattr(self, f"m_axis_tx_{part}").eq(getattr(tx, part))]
        m.d.comb += [
            station.i.valid.eq(self.i.valid | rx.o.valid),
            station.i.payload.eq(Mux(rx.o.valid, rx.o.payload, self.i.payload)),
            self.i.ready.eq(station.i.ready), rx.o.ready.eq(station.i.ready),
            self.s_axis_rx_tready.eq(rx.tready), tx.tready.eq(self.m_axis_tx_tready),
            tx.i.valid.eq(station.o.valid), tx.i.payload.eq(station.o.payload),
            self.o.valid.eq(station.o.valid), self.o.payload.eq(station.o.payload),
            station.o.ready.eq(self.o.ready | tx.i.ready),
        ]
        return m


def mac_text(mac):
    return ":".join(f"{mac:012x}"[n:n + 2] for n in range(0, 12, 2))


def ip_text(ip):
    return ".".join(str(byte) for byte in ip.to_bytes(4, "big"))


def pack(layout, **fields):
    """A payload as an int; fields may be dicts of fields."""
    value = 0
    for name, field in fields.items():
        at = layout[name]
        inner = pack(at.shape, **field) if isinstance(field, dict) else int(field)
        value |= inner << at.offset
    return value


def unpack(layout, value):
    """Fields of a payload, as a dict."""
    fields = {}
    for name, at in layout:
        part = value >> at.offset & (1 << at.width) - 1
        fields[name] = (unpack(at.shape, part) if isinstance(at.shape, data.Layout) else part)
    return fields


def beats(layout, packet, **more):
    """Bytes of a packet as payloads of a beat layout; what lies behind the end is noise."""
    size = layout["data"].width // 8
    for at in range(0, max(1, len(packet)), size):
        part = packet[at:at + size]
        noise = b"\xA5" * (size - len(part))
        yield pack(layout, data=int.from_bytes(part + noise, "little"), count=len(part),
                   last=at + size >= len(packet), **more)


def frames_of(layout, payloads):
    """Bytes of the packets in a list of beat payloads."""
    frames, frame = [], b""
    size = layout["data"].width // 8
    for payload in payloads:
        beat = unpack(layout, payload)
        assert beat["count"] == size or beat["last"], beat
        frame += beat["data"].to_bytes(size, "little")[:beat["count"]]
        if beat["last"]:
            frames.append(frame)
            frame = b""
    assert not frame, "a frame does not end"
    return frames


async def reset(dut):
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    for name in ("i__valid", "i_message__valid", "i_data__valid", "o__ready", "o_segment__ready",
                 "s_axis_rx_tvalid", "m_axis_tx_tready", "lossy", "open", "restart", "set"):
        getattr(dut, name).value = 0
    dut.rst.value = 1
    for _ in range(3):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    dut.owner.value = dut.nonce.value = 0
    dut.set.value = 1
    for cycle in range(40):  # counters are cleared, and all queue pairs anyone's
        dut.set_queue.value = cycle % (1 << len(dut.set_queue))
        await RisingEdge(dut.clk)
    dut.set.value = 0


class Bench:
    """All streams of a kernel, cycle by cycle.

    ``inputs`` and ``outputs`` are names of streams. ``put[name]`` are the payloads that wait to go
    in, ``got[name]`` those that came out, as pairs of a cycle and a payload.
    """

    def __init__(self, dut, inputs, outputs, *, seed=1, i_stall=0.0, o_stall=0.0):
        self.dut, self.rng = dut, random.Random(seed)
        self.inputs, self.outputs = inputs, outputs
        self.i_stall, self.o_stall = i_stall, {name: o_stall for name in outputs}
        self.put = {name: [] for name in inputs}
        self.got = {name: [] for name in outputs}
        self.gone = {name: [] for name in inputs}   # cycles in which payloads went in
        self.cycle = 0
        self.offered = dict.fromkeys(inputs)
        self.ready = dict.fromkeys(outputs, 0)
        self.held = dict.fromkeys(outputs)
        self.ports = {name: tuple(getattr(dut, f"{name}__{part}") for part in (
            "valid", "ready", "payload")) for name in (*inputs, *outputs)}
        for name in inputs:
            self.ports[name][0].value = 0
        for name in outputs:
            self.ports[name][1].value = 0

    async def step(self):
        """One cycle; returns whether anything moved."""
        await RisingEdge(self.dut.clk)
        self.cycle += 1
        moved = False
        for name in self.inputs:
            valid, ready, payload = self.ports[name]
            if self.offered[name] is not None and ready.value:
                self.offered[name] = None
                self.gone[name].append(self.cycle)
                valid.value = 0
                moved = True
            if self.offered[name] is None and self.put[name] \
                    and (not self.i_stall or self.rng.random() >= self.i_stall):
                self.offered[name] = self.put[name].pop(0)
                payload.value = self.offered[name]
                valid.value = 1
        for name in self.outputs:
            valid, ready, payload = self.ports[name]
            if valid.value:
                value = int(payload.value)
                assert self.held[name] in (None, value), f"{name} changed while it waited"
                self.held[name] = value
                if self.ready[name]:
                    self.held[name] = None
                    self.got[name].append((self.cycle, value))
                    moved = True
            else:
                assert self.held[name] is None, f"{name} was taken back"
            stall = self.o_stall[name]
            now = int(not stall or self.rng.random() >= stall)
            if now != self.ready[name]:
                ready.value = self.ready[name] = now
        return moved

    async def drain(self, quiet=60, limit=200000):
        """Run until nothing has moved for ``quiet`` cycles; everything must have gone in."""
        idle = 0
        while idle < quiet:
            idle = 0 if await self.step() else idle + 1
            assert self.cycle < limit, "it does not end"
        for name in self.inputs:
            assert not self.put[name] and self.offered[name] is None, f"{name} is stuck"

    def take(self, name):
        """Payloads that came out of a stream so far."""
        values = [value for _, value in self.got[name]]
        self.got[name] = []
        return values
