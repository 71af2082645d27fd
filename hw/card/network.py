# SPDX-License-Identifier: Apache-2.0
"""The card's network side: frames to jobs, completions to frames."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..wire.axis import FromAxi, ToAxi
from ..wire.station import Station
from . import registers
from .completion import Completion
from .blocks import BlockWriter
from .config import BUS
from .gate import Gate
from .gather import Gather
from .inbox import Inbox
from .outbox import Outbox
from .queue_table import QUEUE_ARGUMENTS, QueueTable
from .read_dma import ReadBeat, ReadRequest
from .recorder import Recorder
from .slots import Slots
from .widen import SegmentWidener
from .write_dma import WriteBeat


__all__ = ["network_pins", "Network"]


def network_pins(width):
    """Names and members of the network port: frames as AXI4-Stream, ``width`` bits a beat."""
    keep = width // 8
    return {
        "s_axis_rx_tvalid": In(1), "s_axis_rx_tready": Out(1), "s_axis_rx_tdata": In(width),
        "s_axis_rx_tkeep": In(keep), "s_axis_rx_tlast": In(1), "s_axis_rx_tuser": In(1),
        "m_axis_tx_tvalid": Out(1), "m_axis_tx_tready": In(1), "m_axis_tx_tdata": Out(width),
        "m_axis_tx_tkeep": Out(keep), "m_axis_tx_tlast": Out(1),
    }


class Network(wiring.Component):
    """A station on the network, and the way of messages through slots of the card's memory.

    Parameters
    ----------
    config : CardConfig
        Whose ``wire`` is not 0.

    Members
    -------
    s_axis_rx_*, m_axis_tx_* : AXI4-Stream
    mac, ... : :py:`In(...)`
        Arguments, see :data:`.registers.NETWORK`.
    commit, wire_count, received, arrived, post, posted
        Of :class:`.control.Control`.
    o_job : :py:`Out(stream.Signature(512)).array(2 + remote)`
        A :data:`.jobs.JOB` for each message that is whole; of the :data:`.inbox.KINDS`.
    o_completion : :py:`Out(stream.Signature(Completion))`
        Of all others.
    i_completion : :py:`In(stream.Signature(Completion))`
        Of jobs and others, in any order.
    o_write : :py:`Out(stream.Signature(WriteBeat(port))).array(2)`
    sent, answered, failed
        Of :class:`.write_dma.WriteDma`, into which ``o_write`` goes at once.
    request, i_beats
        To a client of the read DMA.
    whole, refused : :py:`Out(1)`
        Strobes of :class:`.gather.Gather`.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            **network_pins(config.wire),
            **{name: In(bits) for name, (_, bits) in registers.NETWORK.items()},
            "commit": In(2), "wire_count": Out(32), "received": Out(stream.Signature(16)),
            "arrived": Out(1), "post": In(1), "posted": In(16),
            "o_job": Out(stream.Signature(8 * BUS)).array(2 + config.remote),
            "o_completion": Out(stream.Signature(Completion)),
            "i_completion": In(stream.Signature(Completion)),
            "o_write": Out(stream.Signature(WriteBeat(config.port))).array(2),
            "sent": In(32), "answered": In(32), "failed": In(1),
            "request": Out(stream.Signature(ReadRequest(config.port))),
            "i_beats": In(stream.Signature(ReadBeat(config.port))),
            "whole": Out(1), "refused": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        width, port = self.config.wire, self.config.port
        queues, slots = self.config.queues, self.config.slots
        m.submodules.station = station = Station(width, queues)
        m.submodules.table = table = QueueTable(queues)
        m.submodules.slots = free = Slots(slots)
        m.submodules.gather = gather = Gather(queues, slots, port=port, bursts=width == port)
        m.submodules.inbox = inbox = Inbox(queues, slots, remote=self.config.remote)
        m.submodules.recorder = recorder = Recorder(queues, slots)
        m.submodules.outbox = outbox = Outbox(width, queues, slots, port=port)
        self._frames(m, station, table)

        # In
        segments = station.o_segment
        if width != port:
            m.submodules.widener = widener = SegmentWidener(width, queues)
            wiring.connect(m, segments, widener.i)
            segments = widener.o
        wiring.connect(m, segments, gather.i)
        wiring.connect(m, free.o, gather.slot)
        wiring.connect(m, gather.o, inbox.i)
        for inner, outer in zip(inbox.o_job, self.o_job):
            wiring.connect(m, inner, wiring.flipped(outer))
        wiring.connect(m, inbox.o_completion, wiring.flipped(self.o_completion))
        m.d.comb += [
            gather.spare.eq(free.spare), free.take_spare.eq(gather.take_spare),
            recorder.note.eq(gather.o.payload),
            recorder.note_valid.eq(gather.o.valid & gather.o.ready),
            self.whole.eq(gather.whole), self.refused.eq(gather.refused),
        ]

        # Out
        wiring.connect(m, wiring.flipped(self.i_completion), recorder.i)
        wiring.connect(m, recorder.o, outbox.i)
        wiring.connect(m, outbox.request, wiring.flipped(self.request))
        wiring.connect(m, wiring.flipped(self.i_beats), outbox.i_beats)
        wiring.connect(m, outbox.o_message, station.i_message)
        wiring.connect(m, outbox.o_data, station.i_data)
        wiring.connect(m, outbox.o_free, free.i)
        received = outbox.o_received
        m.d.comb += [
            self.received.valid.eq(received.valid), self.received.payload.eq(received.payload),
            received.ready.eq(self.received.ready), self.arrived.eq(outbox.arrived),
            free.lent.eq(received.valid & received.ready), free.lent_slot.eq(received.payload),
        ]
        # The registers are far away.
        m.d.sync += [free.post.eq(self.post), free.posted.eq(self.posted)]

        records = recorder.o_write
        if port != 8 * BUS:
            m.submodules.records = writer = BlockWriter(port)
            wiring.connect(m, records, writer.i)
            records = writer.o
        for beats, write in zip((gather.o_write, records), self.o_write):
            wiring.connect(m, beats, wiring.flipped(write))
        for part in gather, recorder:
            m.d.comb += [part.sent.eq(self.sent), part.answered.eq(self.answered),
                         part.failed.eq(self.failed)]
        for part in gather, inbox:
            m.d.comb += [part.messages.eq(self.messages[6:]),
                         part.message_beats.eq(self.message_bytes[6:])]
        for part in inbox, recorder, outbox:
            m.d.comb += [part.results.eq(self.results[6:]),
                         part.result_beats.eq(self.result_bytes[6:])]
        for k, part in enumerate((inbox, outbox)):
            m.d.comb += [table.address[k].eq(part.address), part.queue.eq(table.o[k])]
        return m

    def _frames(self, m, station, table):
        """Pins and arguments to the station; all is thrown away while it is not enabled."""
        m.submodules.rx = rx = FromAxi(self.config.wire)
        m.submodules.gate = gate = Gate(self.config.wire)
        m.submodules.tx = tx = ToAxi(self.config.wire)
        wiring.connect(m, rx.o, gate.i)
        wiring.connect(m, gate.o, station.i)
        wiring.connect(m, station.o, tx.i)
        for part in "tvalid", "tdata", "tkeep", "tlast":
            m.d.comb += [getattr(rx, part).eq(getattr(self, f"s_axis_rx_{part}")),
                         getattr(self, f"m_axis_tx_{part}").eq(getattr(tx, part))]
        enabled = (self.options & registers.ENABLE).any()
        m.d.comb += [
            rx.tuser.eq(self.s_axis_rx_tuser), self.s_axis_rx_tready.eq(rx.tready),
            tx.tready.eq(self.m_axis_tx_tready), gate.open.eq(enabled),
            station.lossy.eq((self.options & registers.LOSSY).any()),
            *(getattr(station, name).eq(getattr(self, name)) for name in (
                "mac", "ip", "queue_base", "segment", "index")),
            *(getattr(station, name).eq(getattr(table, name)) for name in (
                "set", "set_queue", "owner", "nonce")),
            station.open.eq(Mux(enabled, table.open, 0)), station.check.eq(table.check),
            station.restart.eq(table.restart), self.wire_count.eq(station.count),
            table.commit.eq(self.commit),
            *(getattr(table, name).eq(getattr(self, name)) for name in QUEUE_ARGUMENTS),
        ]
