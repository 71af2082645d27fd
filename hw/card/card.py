# SPDX-License-Identifier: Apache-2.0
"""The card: everything between the memory port and the control port."""

from amaranth import *
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out

from ..stream.arbiter import Arbiter
from ..stream.register import Register
from ..stream.unpacker import Unpacker
from . import registers
from .activity import Activity
from .blocks import BlockWriter
from .commands import NO_KEY
from .completion import Completer
from .config import CardConfig, beat_bits
from .control import AXI_LITE, Control
from .dispatch import Dispatcher
from .image_lane import ImageLane
from .network import Network, network_pins
from .read_dma import ReadDma
from .remote_lane import RemoteLane
from .text_lane import TextLane
from .write_dma import WriteBeat, WriteDma


__all__ = ["axi_pins", "card_pins", "Card"]


#: Kinds of lanes, each in a clock domain of its own.
FAMILIES = "image", "text"


def axi_pins(port):
    """Names and members of an AXI4 manager, ``port`` bits a beat."""
    return {
        "arvalid": Out(1), "arready": In(1), "araddr": Out(64), "arlen": Out(8), "arsize": Out(3),
        "arburst": Out(2), "arid": Out(1), "arcache": Out(4), "arprot": Out(3), "arlock": Out(1),
        "arqos": Out(4),
        "rvalid": In(1), "rready": Out(1), "rdata": In(port), "rid": In(1), "rresp": In(2),
        "rlast": In(1),
        "awvalid": Out(1), "awready": In(1), "awaddr": Out(64), "awlen": Out(8), "awsize": Out(3),
        "awburst": Out(2), "awid": Out(1), "awcache": Out(4), "awprot": Out(3), "awlock": Out(1),
        "awqos": Out(4),
        "wvalid": Out(1), "wready": In(1), "wdata": Out(port), "wstrb": Out(port // 8),
        "wlast": Out(1),
        "bvalid": In(1), "bready": Out(1), "bid": In(1), "bresp": In(2),
    }


def card_pins(config):
    """Names and members of a card."""
    return {
        "ap_clk": In(1), "ap_rst_n": In(1), "interrupt": Out(1),
        **{f"{family}_{name}": member for family in FAMILIES if config.gated
           for name, member in (("clk", In(1)), ("wanted", Out(1)))},
        **{f"s_axi_control_{name}": member for name, member in AXI_LITE.items()},
        **{f"m_axi_gmem_{name}": member for name, member in axi_pins(config.port).items()},
        **(network_pins(config.wire) if config.wire else {}),
        **{f"m_axi_lite_{name}": member.flip() for name, member in AXI_LITE.items()
           if config.remote},
    }


class Card(wiring.Component):
    """Image and text lanes behind ``ap_ctrl_hs`` registers and a memory port.

    Ports are those of a Vitis RTL kernel (UG1393, "RTL Kernel Interface Requirements").

    Parameters
    ----------
    config : CardConfig
    key : bytes
        Of :class:`.remote_lane.RemoteLane`, if ``config.remote``.

    Members
    -------
    ap_clk, ap_rst_n : :py:`In(1)`
        Everything is synchronous to ``ap_clk``; the reset is synchronous, active low.
    s_axi_control_* : AXI4-Lite subordinate
        See :mod:`.registers`.
    m_axi_gmem_* : AXI4 manager
        Jobs, recipes and payloads are read, results and completions written; see :mod:`.jobs`.
    interrupt : :py:`Out(1)`
    image_clk, text_clk : :py:`In(1)`
        If ``config.gated``: rising edges of ``ap_clk``, of which those may be left out (by a
        simulator, or a clock buffer with an enable) before which the following is low.
    image_wanted, text_wanted : :py:`Out(1)`
        The lanes of the family have something to do.
    s_axis_rx_*, m_axis_tx_* : AXI4-Stream, if the card has a network port
        Frames that arrive, and those that leave; see :mod:`..wire.axis`.
    m_axi_lite_* : AXI4-Lite manager, if ``config.remote``
        Accesses of control queue pairs to registers: to be led to ``s_axi_control``.
    """

    def __init__(self, config, *, key=NO_KEY):
        if not isinstance(config, CardConfig):
            raise TypeError(f"Config must be a CardConfig, not {config!r}")
        self.config, self.key = config, key
        super().__init__(card_pins(config))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        # The reset is registered: it goes everywhere, and simulators need not follow a pin there.
        m.domains.sync = domain = ClockDomain("sync")
        m.domains.pin = pin = ClockDomain("pin", reset_less=True)
        m.d.pin += domain.rst.eq(~self.ap_rst_n)
        m.d.comb += [domain.clk.eq(self.ap_clk), pin.clk.eq(self.ap_clk)]

        values = {"identity": registers.IDENTITY, "version": registers.VERSION,
                  **{name: getattr(config, name) for name in registers.LIMITS}}
        images = [ImageLane(config) for _ in range(config.image_lanes)]
        texts = [TextLane(config) for _ in range(config.text_lanes)]
        lanes = [*images, *texts]
        m.submodules.control = control = Control(values)
        m.submodules.dispatcher = dispatcher = Dispatcher(config)
        wired, remote = bool(config.wire), None
        if config.remote:
            m.submodules.remote = remote = RemoteLane(config.port, key=self.key)
            lanes.append(remote)
        m.submodules.completer = completer = Completer(1 + len(lanes) + wired, network=wired)
        m.submodules.reads = reads = ReadDma(
            2 + len(images) * config.contexts + len(texts) + wired + config.remote,
            config.prefetch, config.port)
        m.submodules.writes = writes = WriteDma(config.port)
        for family, members in zip(FAMILIES, (images, texts)):
            self._clock(m, family, members)
            for n, lane in enumerate(members):
                m.submodules[f"{family}_{n}"] = DomainRenamer(family)(lane)
        network = None
        if wired:
            m.submodules.network = network = Network(config)
        for name, member in AXI_LITE.items():
            inner, outer = getattr(control, name), getattr(self, f"s_axi_control_{name}")
            m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        self._memory(m, reads, writes)
        self._write(m, images, (*texts, *([remote] if remote else ())), completer, network, writes)

        # Jobs
        wiring.connect(m, dispatcher.o, completer.i[0])
        for lane, into in zip(lanes, list(completer.i)[1:]):
            wiring.connect(m, lane.o_completion, into)
        m.d.comb += [
            dispatcher.start.eq(control.start), dispatcher.jobs.eq(control.jobs),
            dispatcher.count.eq(control.count), dispatcher.active.eq(completer.active),
            completer.begin.eq(dispatcher.begin), completer.batch.eq(dispatcher.batch),
            completer.address.eq(control.completions[6:]), completer.count.eq(control.count),
            completer.sent.eq(writes.sent), completer.answered.eq(writes.answered),
            completer.failed.eq(writes.failed),
            control.ready.eq(dispatcher.ready), control.done.eq(completer.done),
            control.idle.eq(~control.start & ~completer.active.any()),
            self.interrupt.eq(control.interrupt),
        ]
        clients = iter(zip(reads.request, reads.o))
        for k in range(2):
            request, beats = next(clients)
            wiring.connect(m, dispatcher.request[k], request)
            wiring.connect(m, beats, dispatcher.i[k])
        for n, lane in enumerate(images):
            self._image_payloads(m, n, lane, dispatcher, clients, reads, writes.failed)
        for n, lane in enumerate(texts):
            self._text_payloads(m, n, lane, dispatcher, *next(clients), writes.failed)
        if wired:
            self._connect(m, network, control, dispatcher, completer, writes, *next(clients))
        if remote:
            self._connect_remote(m, remote, network, writes, *next(clients))
        self._count(m, control, completer, images, texts, network, remote)
        return m

    def _clock(self, m, family, lanes):
        """The domain of a family, with a reset of its own, and whether its clock is wanted."""
        domain, pin = ClockDomain(family), ClockDomain(f"{family}_pin", reset_less=True)
        m.domains += [domain, pin]
        clock = self.ap_clk
        if self.config.gated:
            clock = getattr(self, f"{family}_clk")
            m.submodules[f"{family}_activity"] = activity = Activity()
            m.d.comb += [
                activity.busy.eq(Cat(lane.active for lane in lanes).any()),
                getattr(self, f"{family}_wanted").eq(
                    activity.wanted | ~self.ap_rst_n | domain.rst),
            ]
        m.d.comb += [domain.clk.eq(clock), pin.clk.eq(clock)]
        m.d[pin.name] += domain.rst.eq(~self.ap_rst_n)

    def _image_payloads(self, m, n, lane, dispatcher, clients, reads, failed):
        """A client of the read DMA for each context. Of an idle one nothing is under way."""
        job = dispatcher.o_image[n]
        wiring.connect(m, job, lane.i_job)
        m.d.comb += [
            dispatcher.idle[n].eq(lane.idle), lane.write.eq(dispatcher.write),
            lane.write_valid.eq(dispatcher.write_valid), lane.failed.eq(failed),
        ]
        for c in range(self.config.contexts):
            request, beats = next(clients)
            client = 2 + n * self.config.contexts + c
            m.submodules[f"unpacker_{n}_{c}"] = unpacker = Unpacker(self.config.port)
            mine = job.valid & job.ready & (job.p.context == c)
            m.d.comb += [
                request.valid.eq(mine), request.payload.eq(dispatcher.payload),
                unpacker.start.eq(mine), unpacker.length.eq(dispatcher.length),
                unpacker.i.payload.eq(beats.p.data), unpacker.i.valid.eq(beats.valid),
                beats.ready.eq(unpacker.i.ready),
                # With the first word: the others may be dropped.
                lane.fault[c].eq(lane.i[c].valid & lane.i[c].ready & beats.valid & beats.p.error),
                unpacker.stop.eq(lane.drop[c]), reads.drop[client].eq(lane.drop[c]),
                lane.dropped[c].eq(unpacker.idle & reads.empty[client]),
            ]
            wiring.connect(m, unpacker.o, lane.i[c])

    def _text_payloads(self, m, n, lane, dispatcher, request, beats, failed):
        """One client, which reads ahead: lengths wait for the unpacker."""
        job = dispatcher.o_text[n]
        m.submodules[f"text_unpacker_{n}"] = unpacker = Unpacker(self.config.port)
        m.submodules[f"text_lengths_{n}"] = lengths = fifo.SyncFIFOBuffered(
            width=32, depth=lane.DEPTH)
        able = request.ready & lengths.w_rdy
        taken = job.valid & job.ready
        m.d.comb += [
            dispatcher.text_idle[n].eq(lane.idle), lane.write.eq(dispatcher.text_write),
            lane.write_valid.eq(dispatcher.text_write_valid),
            lane.i_job.payload.eq(job.payload), lane.i_job.valid.eq(job.valid & able),
            job.ready.eq(lane.i_job.ready & able),
            request.valid.eq(taken), request.payload.eq(dispatcher.payload),
            lengths.w_data.eq(dispatcher.length), lengths.w_en.eq(taken),
            unpacker.start.eq(lengths.r_rdy & unpacker.idle), lengths.r_en.eq(unpacker.idle),
            unpacker.length.eq(lengths.r_data),
            unpacker.i.payload.eq(beats.p.data), unpacker.i.valid.eq(beats.valid),
            beats.ready.eq(unpacker.i.ready),
            lane.fault.eq(beats.valid & beats.ready & beats.p.error), lane.failed.eq(failed),
        ]
        wiring.connect(m, unpacker.o, lane.i)

    def _connect(self, m, network, control, dispatcher, completer, writes, request, beats):
        """The network to pins, registers, jobs and completions."""
        for name, member in network_pins(self.config.wire).items():
            inner, outer = getattr(network, name), getattr(self, name)
            m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        for job, into in zip(network.o_job, dispatcher.i_job):
            wiring.connect(m, job, into)
        wiring.connect(m, network.o_completion, list(completer.i)[-1])
        wiring.connect(m, completer.o_network, network.i_completion)
        wiring.connect(m, network.request, request)
        wiring.connect(m, beats, network.i_beats)
        wiring.connect(m, network.received, control.received)
        m.d.comb += [
            *(getattr(network, name).eq(getattr(control, name)) for name in (
                *registers.NETWORK, "commit", "post", "posted")),
            control.wire_count.eq(network.wire_count), control.arrived.eq(network.arrived),
            network.sent.eq(writes.sent), network.answered.eq(writes.answered),
            network.failed.eq(writes.failed),
        ]

    def _connect_remote(self, m, remote, network, writes, request, beats):
        """The lane of control queue pairs to pins, jobs and memory."""
        for name, member in AXI_LITE.items():
            inner, outer = getattr(remote, f"lite_{name}"), getattr(self, f"m_axi_lite_{name}")
            m.d.comb += inner.eq(outer) if member.flow == Out else outer.eq(inner)
        wiring.connect(m, network.o_job[2], remote.i_job)
        # What becomes of a beat, and what is asked for, depends on the command.
        for name, i, o in (("request", remote.request, request), ("beats", beats, remote.i_beats)):
            m.submodules[f"remote_{name}"] = register = Register(i.payload.shape())
            wiring.connect(m, i, register.i)
            wiring.connect(m, register.o, o)
        m.d.comb += [remote.sent.eq(writes.sent), remote.answered.eq(writes.answered),
                     remote.failed.eq(writes.failed)]

    def _count(self, m, control, completer, images, texts, network, remote):
        """Counters: of lanes, how many of them have the event."""
        def total(strobes):
            return sum(strobes, C(0, 1))

        bus_errors = ((self.m_axi_gmem_rvalid & self.m_axi_gmem_rready & self.m_axi_gmem_rresp[1])
                      + (self.m_axi_gmem_bvalid & self.m_axi_gmem_bready
                         & self.m_axi_gmem_bresp[1]))
        events = {
            "cycles": 1, "requests": completer.completed,
            "busy": Cat(~lane.idle.all() for lane in images).any(),
            "text_busy": Cat(~lane.idle for lane in texts).any(),
            **{name: total(getattr(lane, strobe) for lane in images) for name, strobe in (
                ("symbols", "symbol"), ("starved", "starved"), ("stalled", "stalled"),
                ("pixel_words", "pixel_word"))},
            "text_words": total(lane.payload_word for lane in texts),
            "elements": total(lane.element for lane in texts),
            "read_beats": self.m_axi_gmem_rvalid & self.m_axi_gmem_rready,
            "write_beats": self.m_axi_gmem_wvalid & self.m_axi_gmem_wready,
            "bus_errors": bus_errors,
            "messages": network.whole if network else 0,
            "refused": network.refused if network else 0,
            "denied": remote.denied if remote else 0,
        }
        first_status = list(registers.COUNTERS).index("status_ok")
        for k, name in enumerate(registers.COUNTERS):
            counter, event = Signal(64, name=f"count_{name}"), Signal(8, name=f"event_{name}")
            # Registered: what is counted comes from everywhere.
            m.d.sync += event.eq(events[name] if name in events else
                                 completer.completed & (completer.status == k - first_status))
            with m.If(event != 0):
                m.d.sync += counter.eq(counter + event)
            m.d.comb += control.counters[k].eq(counter)

    def _write(self, m, images, others, completer, network, writes):
        """Rows, results of other lanes, completions and packets to the write DMA: neither a piece
        of a row nor a packet is interrupted."""
        packets = network.o_write if network else ()
        m.submodules.arbiter = arbiter = Arbiter(
            WriteBeat(self.config.port), 1 + len(images) + len(others) + len(packets))
        sources = iter(arbiter.i)
        wiring.connect(m, self._beats(m, "completions", completer.o), next(sources))
        for lane in images:
            into = next(sources)
            m.d.comb += [
                into.valid.eq(lane.o.valid), lane.o.ready.eq(into.ready),
                *(into.p[name].eq(lane.o.p[name]) for name in into.p.shape().members),
            ]
        for n, lane in enumerate(others):
            wiring.connect(m, self._beats(m, f"blocks_{n}", lane.o), next(sources))
        for write in packets:
            wiring.connect(m, write, next(sources))
        wiring.connect(m, arbiter.o, writes.i)

    def _beats(self, m, name, blocks):
        """Beats as wide as the memory port, of blocks if they are not."""
        if len(blocks.p.data) == self.config.port:
            return blocks
        m.submodules[name] = writer = BlockWriter(self.config.port)
        wiring.connect(m, blocks, writer.i)
        return writer.o

    def _memory(self, m, reads, writes):
        """DMA to pins."""
        bits = beat_bits(self.config.port)
        for prefix, source in (("ar", reads.ar), ("aw", writes.aw)):
            pins = {name: getattr(self, f"m_axi_gmem_{prefix}{name}")
                    for name in ("valid", "ready", "addr", "len", "size", "burst", "cache")}
            m.d.comb += [
                pins["valid"].eq(source.valid), source.ready.eq(pins["ready"]),
                pins["addr"].eq(Cat(C(0, bits), source.p.address)),
                pins["len"].eq(source.p.beats - 1), pins["size"].eq(bits), pins["burst"].eq(1),
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
