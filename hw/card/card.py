# SPDX-License-Identifier: Apache-2.0
"""The card: everything between the memory port and the control port."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..stream.unpacker import Unpacker
from . import registers
from .completion import Completer
from .config import CardConfig
from .control import AXI_LITE, Control
from .dispatch import Dispatcher
from .image_lane import ImageLane
from .read_dma import ReadDma
from .write_dma import WriteDma


__all__ = ["Card"]


#: Names and members of the AXI4 manager.
AXI = {
    "arvalid": Out(1), "arready": In(1), "araddr": Out(64), "arlen": Out(8), "arsize": Out(3),
    "arburst": Out(2), "arid": Out(1), "arcache": Out(4), "arprot": Out(3), "arlock": Out(1),
    "arqos": Out(4),
    "rvalid": In(1), "rready": Out(1), "rdata": In(512), "rid": In(1), "rresp": In(2),
    "rlast": In(1),
    "awvalid": Out(1), "awready": In(1), "awaddr": Out(64), "awlen": Out(8), "awsize": Out(3),
    "awburst": Out(2), "awid": Out(1), "awcache": Out(4), "awprot": Out(3), "awlock": Out(1),
    "awqos": Out(4),
    "wvalid": Out(1), "wready": In(1), "wdata": Out(512), "wstrb": Out(64), "wlast": Out(1),
    "bvalid": In(1), "bready": Out(1), "bid": In(1), "bresp": In(2),
}


class Card(wiring.Component):
    """One image lane behind ``ap_ctrl_hs`` registers and a 512-bit memory port.

    Ports are those of a Vitis RTL kernel (UG1393, "RTL Kernel Interface Requirements").

    Parameters
    ----------
    config : CardConfig

    Members
    -------
    ap_clk, ap_rst_n : :py:`In(1)`
        Everything is synchronous to ``ap_clk``; the reset is synchronous, active low.
    s_axi_control_* : AXI4-Lite subordinate
        See :mod:`.registers`.
    m_axi_gmem_* : AXI4 manager
        Jobs, recipes and payloads are read, results and completions written; see :mod:`.jobs`.
    interrupt : :py:`Out(1)`
    """

    def __init__(self, config):
        if not isinstance(config, CardConfig):
            raise TypeError(f"Config must be a CardConfig, not {config!r}")
        self.config = config
        super().__init__({
            "ap_clk": In(1), "ap_rst_n": In(1), "interrupt": Out(1),
            **{f"s_axi_control_{name}": member for name, member in AXI_LITE.items()},
            **{f"m_axi_gmem_{name}": member for name, member in AXI.items()},
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        n = config.contexts
        # The reset is registered: it goes everywhere, and simulators need not follow a pin there.
        m.domains.sync = domain = ClockDomain("sync")
        m.domains.pin = pin = ClockDomain("pin", reset_less=True)
        m.d.pin += domain.rst.eq(~self.ap_rst_n)
        m.d.comb += [domain.clk.eq(self.ap_clk), pin.clk.eq(self.ap_clk)]

        values = {"identity": registers.IDENTITY, "version": registers.VERSION,
                  **{name: getattr(config, name) for name in (
                      "contexts", "max_width", "max_side", "max_taps", "recipes")}}
        m.submodules.control = control = Control(values)
        m.submodules.dispatcher = dispatcher = Dispatcher(config)
        m.submodules.lane = lane = ImageLane(config)
        m.submodules.completer = completer = Completer()
        m.submodules.reads = reads = ReadDma(n + 2)
        m.submodules.writes = writes = WriteDma()
        for name, member in AXI_LITE.items():
            inner, outer = getattr(control, name), getattr(self, f"s_axi_control_{name}")
            m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        self._memory(m, reads, writes)
        errors = self._write(m, lane, completer, writes)

        # Jobs
        wiring.connect(m, dispatcher.o_job, lane.i_job)
        wiring.connect(m, dispatcher.o, completer.i[0])
        wiring.connect(m, lane.o_completion, completer.i[1])
        m.d.comb += [
            dispatcher.start.eq(control.start), dispatcher.jobs.eq(control.jobs),
            dispatcher.count.eq(control.count), dispatcher.active.eq(completer.active),
            dispatcher.idle.eq(lane.idle),
            lane.write.eq(dispatcher.write), lane.write_valid.eq(dispatcher.write_valid),
            completer.begin.eq(dispatcher.begin), completer.batch.eq(dispatcher.batch),
            completer.address.eq(control.completions[6:]), completer.count.eq(control.count),
            completer.sent.eq(writes.sent), completer.answered.eq(writes.answered),
            control.ready.eq(dispatcher.ready), control.done.eq(completer.done),
            control.idle.eq(~control.start & ~completer.active.any()),
            self.interrupt.eq(control.interrupt),
        ]
        for k in range(2):
            wiring.connect(m, dispatcher.request[k], reads.request[n + k])
            wiring.connect(m, reads.o[n + k], dispatcher.i[k])

        # Payloads. An idle context has read all of its last one.
        given = dispatcher.o_job.valid & dispatcher.o_job.ready
        for c in range(n):
            m.submodules[f"unpacker_{c}"] = unpacker = Unpacker()
            mine = given & (dispatcher.o_job.p.context == c)
            m.d.comb += [
                reads.request[c].valid.eq(mine), reads.request[c].payload.eq(dispatcher.payload),
                unpacker.start.eq(mine), unpacker.length.eq(dispatcher.length),
                unpacker.i.payload.eq(reads.o[c].p.data), unpacker.i.valid.eq(reads.o[c].valid),
                reads.o[c].ready.eq(unpacker.i.ready),
                lane.fault[c].eq(reads.o[c].valid & reads.o[c].ready & reads.o[c].p.error),
            ]
            wiring.connect(m, unpacker.o, lane.i[c])

        # Counters
        events = {
            "cycles": 1, "busy": ~lane.idle.all(), "requests": completer.completed,
            "symbols": lane.symbol, "starved": lane.starved, "stalled": lane.stalled,
            "pixel_words": lane.pixel_word,
            "read_beats": self.m_axi_gmem_rvalid & self.m_axi_gmem_rready,
            "write_beats": self.m_axi_gmem_wvalid & self.m_axi_gmem_wready,
            "bus_errors": errors,
        }
        for k, name in enumerate(registers.COUNTERS):
            counter = Signal(64, name=f"count_{name}")
            event = events[name] if name in events else completer.completed & (
                completer.status == k - list(registers.COUNTERS).index("status_ok"))
            with m.If(event):
                m.d.sync += counter.eq(counter + 1)
            m.d.comb += control.counters[k].eq(counter)
        return m

    def _write(self, m, lane, completer, writes):
        """Rows and completions to the write DMA: a row is not interrupted."""
        inside = Signal()
        choice, held, waiting = Signal(), Signal(), Signal()
        m.d.comb += choice.eq(Mux(waiting, held, completer.o.valid & ~inside))
        m.d.sync += [held.eq(choice), waiting.eq(writes.i.valid & ~writes.i.ready)]
        with m.If(choice):
            m.d.comb += [
                writes.i.payload.eq(completer.o.payload), writes.i.valid.eq(completer.o.valid),
                completer.o.ready.eq(writes.i.ready),
            ]
        with m.Else():
            m.d.comb += [
                *(writes.i.p[name].eq(lane.o.p[name])
                  for name in ("address", "data", "strobe", "end")),
                writes.i.valid.eq(lane.o.valid), lane.o.ready.eq(writes.i.ready),
            ]
            with m.If(lane.o.valid & lane.o.ready):
                m.d.sync += inside.eq(~lane.o.p.end)
        return ((self.m_axi_gmem_rvalid & self.m_axi_gmem_rready & self.m_axi_gmem_rresp[1])
                | (self.m_axi_gmem_bvalid & self.m_axi_gmem_bready & self.m_axi_gmem_bresp[1]))

    def _memory(self, m, reads, writes):
        """DMA to pins."""
        for prefix, source in (("ar", reads.ar), ("aw", writes.aw)):
            pins = {name: getattr(self, f"m_axi_gmem_{prefix}{name}")
                    for name in ("valid", "ready", "addr", "len", "size", "burst", "cache")}
            m.d.comb += [
                pins["valid"].eq(source.valid), source.ready.eq(pins["ready"]),
                pins["addr"].eq(Cat(C(0, 6), source.p.address)),
                pins["len"].eq(source.p.beats - 1), pins["size"].eq(6), pins["burst"].eq(1),
                pins["cache"].eq(0b0011),
            ]
        m.d.comb += [
            reads.r.valid.eq(self.m_axi_gmem_rvalid), self.m_axi_gmem_rready.eq(reads.r.ready),
            reads.r.p.beat.data.eq(self.m_axi_gmem_rdata),
            reads.r.p.beat.error.eq(self.m_axi_gmem_rresp[1]),
            reads.r.p.last.eq(self.m_axi_gmem_rlast),
            self.m_axi_gmem_wvalid.eq(writes.w.valid), writes.w.ready.eq(self.m_axi_gmem_wready),
            self.m_axi_gmem_wdata.eq(writes.w.p.data), self.m_axi_gmem_wstrb.eq(writes.w.p.strobe),
            self.m_axi_gmem_wlast.eq(writes.w.p.last),
            writes.b.valid.eq(self.m_axi_gmem_bvalid), self.m_axi_gmem_bready.eq(writes.b.ready),
            writes.b.payload.eq(self.m_axi_gmem_bresp[1]),
        ]
