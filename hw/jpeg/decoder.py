# SPDX-License-Identifier: Apache-2.0
"""The baseline JPEG decoder."""

from amaranth import *
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.layout import PIXELS, Done, Frame, PayloadWord, PixelWord
from ..stream.turns import next_in_turn
from .blocks import BlockBuffer
from .bytes import ByteReader
from .color import ColorTransform, Upsampler
from .dequantize import Dequantizer
from .entropy import EntropyDecoder
from .idct import Idct
from .markers import Markers
from .rows import Place, RowBuffer
from .sequencer import Sequencer
from .unstuff import Unstuffer


__all__ = ["Decoder"]


class Decoder(wiring.Component):
    """Baseline JPEG to RGB, equal to libjpeg-turbo's defaults to the bit.

    Takes SOF0 with 8 bits in one interleaved scan: gray, 4:4:4, 4:2:2, 4:4:0 and 4:2:0, any
    restart interval. Gray comes out as three equal channels. Anything else, and anything damaged,
    ends with a status; whatever came out before is then to be dropped.

    ``contexts`` images are decoded at a time, in turns. Together they reach one Huffman symbol a
    cycle, one block per ``8 // lines`` cycles and ``pixels`` pixels a cycle, whichever is the
    least.

    Parameters
    ----------
    contexts : int
        Images in flight, within ``range(1, 17)``.
    max_width : int
        Largest width in pixels, a multiple of 16. Height is not limited.
    lines : int
        Columns and rows of a block that the inverse DCT takes in a cycle: 1, 2 or 4. With less it
        is smaller, but holds up images of less than ``8 // lines`` symbols a block.
    turns : int
        See :class:`.entropy.EntropyDecoder`: with more than ``contexts`` each image is decoded
        slower, at a higher clock.
    pixels : int
        Pixels of a pixel word: 8, or 16, which images of more than 8 pixels a symbol need.

    Members
    -------
    i : :py:`In(stream.Signature(PayloadWord)).array(contexts)`
        A payload each.
    o_frame : :py:`Out(stream.Signature(Frame(contexts)))`
        Size of an image, before its first pixel word.
    grant : :py:`In(contexts)`
        A row of the context may be started. Without it, nobody else is held up.
    o : :py:`Out(stream.Signature(PixelWord(contexts, pixels)))`
        Pixels, rows of different contexts interleaved.
    o_done : :py:`Out(stream.Signature(Done(contexts)))`
        The end of a request, after its last pixel word.
    drop : :py:`Out(contexts)`
        Level: of this payload nothing more is wanted. What follows up to its last word is taken,
        but may be left out.
    symbol, starved, stalled : :py:`Out(1)`
        Strobes: a symbol was decoded; a slot was lost for lack of bits, of a free block.
    """

    #: Pixel words between the row buffers and the output.
    DEPTH = 32

    def __init__(self, contexts=4, max_width=2048, lines=2, turns=None, pixels=PIXELS):
        self.contexts = contexts
        self.turns = turns
        self.lines = lines
        self.max_width = max_width
        self.pixels = pixels
        super().__init__({
            "i": In(stream.Signature(PayloadWord)).array(contexts),
            "o_frame": Out(stream.Signature(Frame(contexts))),
            "grant": In(contexts),
            "o": Out(stream.Signature(PixelWord(contexts, pixels))),
            "o_done": Out(stream.Signature(Done(contexts))),
            "drop": Out(contexts),
            "symbol": Out(1), "starved": Out(1), "stalled": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        n = self.contexts
        m.submodules.entropy = entropy = EntropyDecoder(n, self.turns)
        m.submodules.dequantizer = dequantizer = Dequantizer(n)
        m.submodules.blocks = blocks = BlockBuffer(n, lines=self.lines)
        m.submodules.idct = idct = Idct(self.lines)
        m.submodules.rows = rows = RowBuffer(n, self.max_width, self.lines, self.pixels)
        m.submodules.upsampler = upsampler = Upsampler(n, self.pixels)
        m.submodules.color = color = ColorTransform(n, self.pixels)
        sequencers = []
        for c in range(n):
            m.submodules[f"sequencer_{c}"] = sequencer = Sequencer()
            sequencers.append(sequencer)

        self._parser(m, entropy, dequantizer, sequencers)
        overflow = self._transform(m, entropy, dequantizer, blocks, idct, rows, sequencers)
        self._pixels(m, rows, upsampler, color, sequencers)
        self._announce(m, self.o_frame, [s.frame_valid for s in sequencers],
                       [s.frame_ready for s in sequencers],
                       [{"width": s.header.width, "height": s.header.height}
                        for s in sequencers])
        self._announce(m, self.o_done, [s.done_valid for s in sequencers],
                       [s.done_ready for s in sequencers],
                       [{"status": s.done_status, "detail": s.done_detail}
                        for s in sequencers])

        for c, s in enumerate(sequencers):
            m.d.comb += [
                entropy.start[c].eq(s.start), entropy.kill[c].eq(s.kill),
                entropy.restart[c].eq(s.restart),
                entropy.config[c].luma.eq((1 << s.header.h2) << s.header.v2),
                entropy.config[c].color.eq(s.header.color),
                entropy.config[c].dc.eq(s.header.dc), entropy.config[c].ac.eq(s.header.ac),
                s.active.eq(entropy.active[c]), s.waiting.eq(entropy.waiting[c]),
                s.stray.eq(entropy.stray[c]), s.mcu_done.eq(entropy.mcu_done[c]),
                s.finished.eq(entropy.finished[c]), s.error.eq(entropy.error[c]),
                s.error_detail.eq(entropy.error_detail),
                entropy.last_mcu[c].eq(s.last_mcu),
                entropy.last_of_interval[c].eq(s.last_of_interval),
                dequantizer.select[c].eq(s.header.quantiser),
                rows.header[c].eq(s.header),
                s.overflow.eq(dequantizer.overflow[c] | overflow[c]),
                s.rows_done.eq(rows.done[c]),
                blocks.clear[c].eq(s.clear), rows.clear[c].eq(s.clear),
                rows.enable[c].eq(s.running), rows.grant[c].eq(self.grant[c]),
            ]
        m.d.comb += [
            self.symbol.eq(entropy.o_valid),
            self.starved.eq(entropy.starved), self.stalled.eq(entropy.stalled),
        ]
        return m

    def _parser(self, m, entropy, dequantizer, sequencers):
        """Byte readers, the shared marker parser, unstuffers."""
        n = self.contexts
        m.submodules.markers = markers = Markers(n, self.max_width)
        requests = Signal(n)
        m.d.comb += [
            dequantizer.quantiser.eq(markers.quantiser),
            dequantizer.quantiser_valid.eq(markers.quantiser_valid),
            entropy.write.eq(markers.table), entropy.write_valid.eq(markers.table_valid),
        ]
        chosen = Signal(range(n))
        starting = Signal()
        m.d.comb += [markers.start.eq(starting), markers.context.eq(chosen)]
        m.d.sync += starting.eq(0)
        here = Signal(n)       # whose bytes the parser takes
        with m.If(starting):
            m.d.sync += here.eq(1 << chosen)
        with m.If(markers.done):
            m.d.sync += here.eq(0)
        with m.If(~markers.busy & ~starting & requests.any()):
            m.d.sync += starting.eq(1)
            m.d.sync += chosen.eq(next_in_turn(m, requests, chosen, "parse"))

        for c, s in enumerate(sequencers):
            m.submodules[f"reader_{c}"] = reader = ByteReader()
            m.submodules[f"unstuffer_{c}"] = unstuffer = Unstuffer()
            wiring.connect(m, wiring.flipped(self.i[c]), reader.i)
            # A parser that is idle takes nothing: of one context all is its own.
            mine = here[c] if n > 1 else C(1, 1)
            m.d.comb += [
                requests[c].eq(s.parse),
                s.available.eq(reader.o.valid), s.ended.eq(reader.ended),
                reader.drain.eq(s.drain), self.drop[c].eq(s.drain), reader.next.eq(s.next),
                s.parsed.eq(mine & markers.done),
                s.status.eq(markers.status), s.detail.eq(markers.detail),
                s.parsed_header.eq(markers.header),
                unstuffer.enable.eq(s.scanning), unstuffer.ended.eq(reader.ended),
                unstuffer.resume.eq(s.resume),
                s.stopped.eq(unstuffer.stopped), s.marker.eq(unstuffer.marker),
                s.chunk.eq(unstuffer.o.valid),
                unstuffer.i.payload.eq(reader.o.payload),
                unstuffer.i.valid.eq(reader.o.valid),
                # An unstuffer takes nothing but from a scan.
                reader.o.ready.eq((mine & markers.i.ready) | unstuffer.i.ready),
                reader.skip.payload.eq(markers.skip.payload),
                reader.skip.valid.eq(mine & markers.skip.valid),
                entropy.i[c].payload.eq(unstuffer.o.payload),
                entropy.i[c].valid.eq(unstuffer.o.valid),
                unstuffer.o.ready.eq(entropy.i[c].ready | s.discard),
                entropy.segment_end[c].eq(unstuffer.stopped & ~unstuffer.o.valid),
            ]
            with m.If(mine):
                m.d.comb += [
                    markers.i.payload.eq(reader.o.payload), markers.i.valid.eq(reader.o.valid),
                    markers.ended.eq(reader.ended), markers.skip.ready.eq(reader.skip.ready),
                ]
            with m.If(chosen == c):
                m.d.comb += [markers.tail.eq(s.tail), markers.marker.eq(s.tail_marker)]

    def _transform(self, m, entropy, dequantizer, blocks, idct, rows, sequencers):
        """Symbols to rows of samples; returns the contexts of blocks that are not exact."""
        n = self.contexts
        m.d.comb += [
            dequantizer.i.eq(entropy.o), dequantizer.i_valid.eq(entropy.o_valid),
            entropy.credit.eq(blocks.credit), blocks.take.eq(entropy.take),
            blocks.i.eq(dequantizer.o), blocks.i_valid.eq(dequantizer.o_valid),
            idct.i.eq(blocks.o), idct.i_valid.eq(blocks.o_valid),
            idct.i_start.eq(blocks.o_start),
        ]
        # A block goes to the IDCT when its rows have a place.
        able = Signal(n)
        m.d.comb += able.eq(blocks.pending & rows.room
                            & Cat(s.running for s in sequencers))
        turn = Signal(range(n))
        pick = next_in_turn(m, able, turn, "block")
        go = Signal()
        places = fifo.SyncFIFO(width=Place(n, self.max_width).size, depth=4 * max(self.lines, 2))
        m.submodules.places = places
        m.d.comb += [
            go.eq(able.any() & blocks.idle),
            blocks.read.eq(go), blocks.read_context.eq(pick),
            rows.issue.eq(go), rows.issue_context.eq(pick),
            places.w_en.eq(go), places.w_data.eq(rows.place),
            rows.i_place.eq(places.r_data),
            rows.i.eq(idct.o), rows.i_valid.eq(idct.o_valid), rows.i_row.eq(idct.row),
            rows.i_last.eq(idct.row == 8 - self.lines),
            places.r_en.eq(idct.o_valid & rows.i_last),
        ]
        with m.If(go):
            m.d.sync += turn.eq(pick)
        overflow = Signal(n)
        m.d.comb += overflow.eq(idct.overflow << rows.i_place.context)
        return overflow

    def _pixels(self, m, rows, upsampler, color, sequencers):
        """Rows to pixel words; counts those under way."""
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(
            width=PixelWord(self.contexts, self.pixels).size, depth=self.DEPTH)
        credit = Signal(range(self.DEPTH + 1), init=self.DEPTH)
        sent = self.o.valid & self.o.ready
        m.d.sync += credit.eq(credit - rows.taken + sent)
        m.d.comb += [
            rows.advance.eq(credit != 0),
            upsampler.i.eq(rows.step), upsampler.i_valid.eq(rows.step_valid),
            upsampler.luma.eq(rows.luma),
            color.i.eq(upsampler.o), color.i_valid.eq(upsampler.o_valid),
            color.i_step.eq(upsampler.o_step),
            queue.w_data.eq(color.o), queue.w_en.eq(color.o_valid),
            self.o.payload.eq(queue.r_data), self.o.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.o.ready),
        ]
        m.d.comb += [upsampler.blue[k].eq(rows.blue[k]) for k in range(2)]
        m.d.comb += [upsampler.red[k].eq(rows.red[k]) for k in range(2)]
        for c, s in enumerate(sequencers):
            under_way = Signal(range(self.DEPTH + 1), name=f"under_way_{c}")
            m.d.sync += under_way.eq(
                under_way + (rows.taken & (rows.taken_context == c))
                - (sent & (self.o.p.context == c)))
            m.d.comb += s.quiet.eq((under_way == 0) & ~rows.busy[c])

    def _announce(self, m, out, valids, readys, payloads):
        """Sends one message of each context at a time, lowest context first."""
        with m.If(~out.valid | out.ready):
            m.d.sync += out.valid.eq(0)
            taken = C(0, 1)
            for c, (valid, ready, payload) in enumerate(zip(valids, readys, payloads)):
                first = valid & ~taken
                m.d.comb += ready.eq(first)
                with m.If(first):
                    m.d.sync += [out.valid.eq(1), out.p.context.eq(c)]
                    m.d.sync += [out.p[name].eq(value) for name, value in payload.items()]
                taken = taken | valid
