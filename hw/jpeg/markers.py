# SPDX-License-Identifier: Apache-2.0
"""Marker segments: from SOI to the scan, and from the scan to EOI."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..status import Detail, Status
from .entropy import TableWrite
from .huffman import HuffmanBuilder


__all__ = ["Header", "QuantiserWrite", "Markers"]


#: What a decoder needs of the header. ``mcus_x`` and ``mcus_y`` count MCUs less one;
#: ``interval`` is the restart interval in MCUs, 0 for none. Chroma is halved in width if ``h2``,
#: in height if ``v2``. Without ``color`` there is one component. ``rgb``: no colour transform.
#: ``dc``, ``ac``, ``quantiser``: table numbers of the three components.
Header = data.StructLayout({
    "width": 16, "height": 16, "mcus_x": 13, "mcus_y": 13, "interval": 16,
    "h2": 1, "v2": 1, "color": 1, "rgb": 1, "dc": 3, "ac": 3,
    "quantiser": data.ArrayLayout(2, 3),
})


def QuantiserWrite(contexts):
    """A quantiser of table ``table``, ``index`` in zig-zag order."""
    return data.StructLayout({"index": 6, "table": 2, "context": range(contexts), "value": 8})


class Markers(wiring.Component):
    """Parser of marker segments (ITU-T T.81, annex B), for one context at a time.

    ``start`` begins either the header of a payload, which ends behind SOS, or with ``tail`` what
    follows the scan, which ends behind EOI. Decisions are those of libjpeg where it gives no
    warning; what it warns of, what it or Pillow refuses, and what is not baseline in one
    interleaved scan, ends with a status. So do tables behind the scan, and application segments
    that are too short for what Pillow may find in them.

    Members
    -------
    start : :py:`In(1)`
        Strobe while not ``busy``. ``context``, ``tail`` and ``marker`` are held until ``done``.
    marker : :py:`In(8)`
        In the tail, the code of the marker that ended the scan.
    i, ended, skip
        The :class:`ByteReader` of the context.
    busy, done : :py:`Out(1)`
        ``done`` is a strobe; ``status``, ``detail`` and ``header`` are valid with it.
    quantiser, quantiser_valid, table, table_valid
        Writes to the tables of the context.
    """

    def __init__(self, contexts, max_width):
        self.contexts = contexts
        self.max_width = max_width
        super().__init__({
            "start": In(1), "context": In(range(contexts)), "tail": In(1), "marker": In(8),
            "i": In(stream.Signature(8)), "ended": In(1), "skip": Out(stream.Signature(16)),
            "busy": Out(1), "done": Out(1), "status": Out(4), "detail": Out(8),
            "header": Out(Header),
            "quantiser": Out(QuantiserWrite(contexts)), "quantiser_valid": Out(1),
            "table": Out(TableWrite(contexts)), "table_valid": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.huffman = huffman = HuffmanBuilder(self.contexts)

        header = self.header
        byte, valid = self.i.payload, self.i.valid
        code = Signal(8)
        remaining = Signal(16)     # bytes of the segment still to come
        index = Signal(7)          # byte within the segment or table
        high = Signal(8)
        last_bytes = Signal()      # behind what is skipped, those matter

        seen_frame, jfif, adobe, transform, match = (
            Signal(name=name) for name in ("seen_frame", "jfif", "adobe", "transform", "match"))
        ids = Array(Signal(8, name=f"id_{n}") for n in range(3))
        dc_ready, ac_ready = Signal(2), Signal(2)
        dc_bad, ac_bad = Signal(2), Signal(2)
        q_ready, q_wide = Signal(4), Signal(4)

        m.d.comb += [
            self.skip.payload.eq(remaining),
            huffman.context.eq(self.context),
            self.table.eq(huffman.write),
            self.quantiser.context.eq(self.context),
        ]

        def fail(status, detail):
            m.d.sync += [self.status.eq(status), self.detail.eq(detail)]
            m.next = "Fail"

        def corrupt(detail=Detail.SEGMENT):
            fail(Status.CORRUPT, detail)

        def unsupported(detail):
            fail(Status.UNSUPPORTED, detail)

        class take:
            """``with take():`` a byte of the segment has come."""
            def __enter__(_):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.ended & ~valid):
                    fail(Status.TRUNCATED, Detail.ENDED)
                self._context = m.If(valid)
                self._context.__enter__()
                m.d.sync += [remaining.eq(remaining - 1), index.eq(index + 1)]

            def __exit__(_, *args):
                return self._context.__exit__(*args)

        with m.FSM():
            with m.State("Idle"):
                with m.If(self.start):
                    m.d.sync += [
                        self.busy.eq(1), self.status.eq(Status.OK), self.detail.eq(0),
                        code.eq(self.marker),
                    ]
                    with m.If(self.tail):
                        m.next = "Dispatch"
                    with m.Else():
                        m.d.sync += [signal.eq(0) for signal in (
                            header, seen_frame, jfif, adobe, transform, index, last_bytes,
                            dc_ready, ac_ready, dc_bad, ac_bad, q_ready, q_wide)]
                        m.next = "SOI"

            with m.State("SOI"):
                with take():
                    with m.If(byte != Mux(index[0], 0xd8, 0xff)):
                        corrupt(Detail.NOT_JPEG)
                    with m.Elif(index[0]):
                        m.next = "Marker"

            with m.State("Marker"):
                with take():
                    with m.If(byte == 0xff):
                        m.next = "Code"
                    with m.Else():
                        corrupt(Detail.STRAY)

            with m.State("Code"):
                with take():
                    m.d.sync += code.eq(byte)
                    with m.If(byte == 0):
                        corrupt(Detail.STRAY)
                    with m.Elif(byte != 0xff):
                        m.next = "Dispatch"

            with m.State("Dispatch"):
                m.next = "Length"
                with m.Switch(code):
                    with m.Case(0x00):  # the payload ended with the scan
                        fail(Status.TRUNCATED, Detail.ENDED)
                    with m.Case(0xc0, 0xc4, 0xdb, 0xdd, 0xfe, "1110----"):
                        with m.If(self.tail & (code == 0xc0)):
                            corrupt(Detail.MARKER)
                        with m.Elif(self.tail & (code[5:] == 0b110)):
                            unsupported(Detail.SCANS)   # tables, which may be broken
                    with m.Case(0xda):
                        with m.If(self.tail):
                            unsupported(Detail.SCANS)
                    with m.Case(0xdc):
                        pass  # DNL; the height is known
                    with m.Case(0xd9):
                        with m.If(self.tail):
                            m.next = "Done"
                        with m.Else():
                            corrupt()
                    with m.Case("11010---"):  # RSTm stands alone
                        m.next = "Marker"
                    with m.Case(0x01):  # and so does TEM, which Pillow refuses in a header
                        m.next = "Marker"
                        with m.If(~self.tail):
                            corrupt(Detail.MARKER)
                    with m.Case(0xcc, *(c for c in range(0xc1, 0xd0) if c not in (
                            0xc4, 0xc8, 0xcc))):
                        unsupported(Detail.PROCESS)
                    with m.Default():
                        corrupt(Detail.MARKER)

            with m.State("Length"):
                with take():
                    m.d.sync += high.eq(byte)
                    m.next = "Length low"

            with m.State("Length low"):
                with take():
                    length = Cat(byte, high)
                    m.d.sync += [remaining.eq(length - 2), index.eq(0), match.eq(1)]
                    is_app = (code[4:] == 0xe) | (code == 0xfe)
                    # Where Pillow would miss bytes, if this is JFIF, Adobe or an ICC profile.
                    cut = Mux(code == 0xe2, length[1:] == 14 >> 1,
                              (length >= 6) & (length < 9) & ((code == 0xe0) | (code == 0xee)))
                    with m.If(length < 2):
                        m.d.sync += remaining.eq(0)
                        with m.If(~is_app):
                            corrupt()
                        with m.Else():
                            m.next = "Skip"
                    with m.Elif(self.tail | is_app | (code == 0xdc)):
                        m.next = "Skip"
                        with m.If(~self.tail & (((code == 0xe0) & (length >= 16))
                                                | ((code == 0xee) & (length >= 14)))):
                            m.next = "Application"
                        with m.If(~self.tail & (code == 0xed)):
                            m.next = "Photoshop"
                        with m.If(~self.tail & cut):
                            corrupt()
                    with m.Else():
                        with m.Switch(code):
                            with m.Case(0xc0):
                                m.next = "Frame"
                                with m.If(seen_frame):
                                    corrupt(Detail.MARKER)
                            with m.Case(0xc4):
                                m.next = "Huffman tables"
                            with m.Case(0xdb):
                                m.next = "Quantisers"
                            with m.Case(0xdd):
                                m.next = "Restart interval"
                                with m.If(length != 4):
                                    corrupt()
                            with m.Case(0xda):
                                m.next = "Scan"
                                with m.If(~seen_frame):
                                    corrupt()

            with m.State("Skip"):
                m.d.comb += self.skip.valid.eq(1)
                with m.If(self.skip.ready):
                    m.d.sync += last_bytes.eq(0)
                    m.next = "Marker"
                    with m.If(last_bytes):
                        m.next = "Application"

            with m.State("Photoshop"):
                # Of its blocks, Pillow stumbles over one that ends behind its number: that is seen
                # by the last 6 bytes of the segment.
                m.next = "Skip"
                with m.If(remaining >= 6):
                    m.d.sync += [remaining.eq(remaining - 6), last_bytes.eq(1)]

            with m.State("Application"):
                with take():
                    for name, app in ((b"JFIF\0", 0xe0), (b"8BIM", 0xed), (b"Adobe", 0xee)):
                        with m.If(code == app):
                            for n, c in enumerate(name):
                                with m.If((index == n) & (byte != c)):
                                    m.d.sync += match.eq(0)
                    with m.If((code == 0xe0) & (index == 5)):
                        with m.If(match):
                            m.d.sync += jfif.eq(1)
                        m.next = "Skip"
                    with m.If((code == 0xed) & (index == 4)):
                        m.d.sync += remaining.eq(1)
                        m.next = "Skip"
                        with m.If(match):
                            corrupt()
                    with m.If((code == 0xee) & (index == 11)):
                        with m.If(match):
                            m.d.sync += [adobe.eq(1), transform.eq(byte != 0)]
                        m.next = "Skip"

            with m.State("Restart interval"):
                with take():
                    m.d.sync += header.interval.eq(Cat(byte, header.interval[:8]))
                    with m.If(index == 1):
                        m.next = "Marker"

            self._quantisers(m, take, corrupt, remaining, index, q_ready, q_wide)
            self._huffman(m, huffman, take, corrupt, remaining, index,
                          dc_ready, ac_ready, dc_bad, ac_bad)
            self._frame(m, take, fail, remaining, index, seen_frame, ids)
            self._scan(m, take, fail, remaining, index, ids,
                       (dc_ready, ac_ready, dc_bad, ac_bad, q_ready, q_wide))

            with m.State("Colour"):
                # libjpeg's order of evidence: JFIF, Adobe, component identifiers.
                names = (ids[0] == ord("R")) & (ids[1] == ord("G")) & (ids[2] == ord("B"))
                m.d.sync += header.rgb.eq(
                    header.color & ~jfif & Mux(adobe, ~transform, names))
                m.next = "Done"

            with m.State("Fail"):
                m.d.comb += huffman.abort.eq(1)
                with m.If(~huffman.busy):
                    m.next = "Done"

            with m.State("Done"):
                m.d.comb += self.done.eq(1)
                m.d.sync += self.busy.eq(0)
                m.next = "Idle"

        return m

    def _quantisers(self, m, take, corrupt, remaining, index, q_ready, q_wide):
        byte = self.i.payload
        wide, number, low, wrong = Signal(), Signal(2), Signal(), Signal()
        m.d.comb += [
            self.quantiser.table.eq(number), self.quantiser.index.eq(index),
            self.quantiser.value.eq(byte),
        ]
        with m.State("Quantisers"):
            with m.If(remaining == 0):
                m.next = "Marker"
            with m.Else():
                with take():
                    m.d.sync += [wide.eq(byte[4:] != 0), number.eq(byte), low.eq(0),
                                 wrong.eq(0), index.eq(0)]
                    m.next = "Quantiser"
                    with m.If((byte[:4] > 3) | (remaining < Mux(byte[4:] != 0, 129, 65))):
                        corrupt()
        with m.State("Quantiser"):
            with take():
                with m.If(wide & ~low):
                    m.d.sync += [low.eq(1), index.eq(index), wrong.eq(wrong | (byte != 0))]
                with m.Else():
                    m.d.comb += self.quantiser_valid.eq(1)
                    m.d.sync += low.eq(0)
                    with m.If(index == 63):
                        m.d.sync += [
                            q_ready.bit_select(number, 1).eq(1),
                            q_wide.bit_select(number, 1).eq(wrong),
                        ]
                        m.next = "Quantisers"

    def _huffman(self, m, huffman, take, corrupt, remaining, index,
                 dc_ready, ac_ready, dc_bad, ac_bad):
        byte = self.i.payload
        number = Signal(2)
        started = Signal()
        m.d.comb += [
            huffman.number.eq(number),
            huffman.i.payload.eq(byte),
            self.table_valid.eq(huffman.write_valid),
        ]
        with m.State("Huffman tables"):
            with m.If(remaining == 0):
                m.next = "Marker"
            with m.Elif(remaining <= 16):
                corrupt()
            with m.Else():
                with take():
                    m.d.sync += [number.eq(byte), huffman.ac.eq(byte[4]), started.eq(0)]
                    m.next = "Start table"
                    with m.If((byte & 0xec) != 0):
                        corrupt()
        with m.State("Start table"):
            m.d.comb += huffman.start.eq(1)
            m.next = "Table"
        with m.State("Table"):
            # The counts are in the segment, and so are the symbols once it has been seen.
            m.d.comb += huffman.i.valid.eq(self.i.valid)
            with m.If(huffman.counted & ~started):
                m.d.sync += started.eq(1)
                m.d.comb += huffman.i.valid.eq(0)
                with m.If((huffman.symbols > 256) | (huffman.symbols > remaining)):
                    corrupt(Detail.HUFFMAN_TABLE)
            with m.Elif(~huffman.busy):
                with m.If(huffman.ac & ~number[1]):
                    m.d.sync += [ac_ready.bit_select(number[0], 1).eq(1),
                                 ac_bad.bit_select(number[0], 1).eq(huffman.bad)]
                with m.Elif(~number[1]):
                    m.d.sync += [dc_ready.bit_select(number[0], 1).eq(1),
                                 dc_bad.bit_select(number[0], 1).eq(huffman.bad)]
                m.next = "Huffman tables"
            with m.Elif(huffman.i.ready):
                with take():
                    pass

    def _frame(self, m, take, fail, remaining, index, seen_frame, ids):
        byte, header = self.i.payload, self.header
        component = Signal(2)
        part = Signal(2)
        count = Signal(2)
        sampling = Signal(4)   # h2, v2 of the first component; bad ones
        horizontal, vertical = byte[4:], byte[:4]

        with m.State("Frame"):
            with m.If((remaining == 0) & (index < 6)):
                fail(Status.CORRUPT, Detail.SEGMENT)
            with m.Else():
                with take():
                    m.d.sync += [component.eq(0), part.eq(0), sampling.eq(0)]
                    with m.Switch(index):
                        with m.Case(0):
                            with m.If(byte != 8):
                                fail(Status.UNSUPPORTED, Detail.PRECISION)
                        with m.Case(1, 2):
                            m.d.sync += header.height.eq(Cat(byte, header.height[:8]))
                        with m.Case(3, 4):
                            m.d.sync += header.width.eq(Cat(byte, header.width[:8]))
                        with m.Case(5):
                            m.d.sync += [count.eq(byte), header.color.eq(byte == 3)]
                            m.next = "Component"
                            with m.If((byte != 1) & (byte != 3)):
                                fail(Status.UNSUPPORTED, Detail.COMPONENTS)
                            with m.Elif(remaining != Mux(byte[1], 10, 4)):
                                fail(Status.CORRUPT, Detail.SEGMENT)

        with m.State("Component"):
            with take():
                m.d.sync += part.eq(part + 1)
                with m.Switch(part):
                    with m.Case(0):
                        m.d.sync += ids[component].eq(byte)
                    with m.Case(1):
                        with m.If((horizontal == 0) | (horizontal > 4)
                                  | (vertical == 0) | (vertical > 4)):
                            fail(Status.CORRUPT, Detail.SEGMENT)
                        with m.Elif(component == 0):
                            m.d.sync += [
                                header.h2.eq(header.color & (horizontal == 2)),
                                header.v2.eq(header.color & (vertical == 2)),
                                sampling[3].eq((horizontal > 2) | (vertical > 2)),
                            ]
                        with m.Elif(byte != 0x11):
                            m.d.sync += sampling[3].eq(1)
                    with m.Case(2):
                        m.d.sync += [
                            header.quantiser[component].eq(byte),
                            part.eq(0), component.eq(component + 1),
                        ]
                        with m.If(byte > 3):
                            fail(Status.CORRUPT, Detail.SEGMENT)
                        with m.Elif(component + 1 == count):
                            m.next = "Size"

        with m.State("Size"):
            m.d.sync += [
                seen_frame.eq(1),
                header.mcus_x.eq((header.width - 1) >> (3 + header.h2)),
                header.mcus_y.eq((header.height - 1) >> (3 + header.v2)),
            ]
            m.next = "Marker"
            with m.If((header.width == 0) | (header.width > 65500) | (header.height > 65500)):
                fail(Status.CORRUPT, Detail.SEGMENT)
            with m.Elif(header.height == 0):
                fail(Status.UNSUPPORTED, Detail.HEIGHT_ZERO)
            with m.Elif(header.color & sampling[3]):
                fail(Status.UNSUPPORTED, Detail.SAMPLING)
            with m.Elif(header.width > self.max_width):
                fail(Status.TOO_LARGE, Detail.WIDTH)

    def _scan(self, m, take, fail, remaining, index, ids, tables):
        dc_ready, ac_ready, dc_bad, ac_bad, q_ready, q_wide = tables
        byte, header = self.i.payload, self.header
        component = Signal(2)
        second = Signal()
        components = Mux(header.color, 3, 1)
        unsupported_id, wrong = Signal(), Signal()

        with m.State("Scan"):
            with take():
                m.d.sync += [component.eq(0), second.eq(0), unsupported_id.eq(0), wrong.eq(0)]
                m.next = "Scan component"
                with m.If((byte == 0) | (byte > 4) | (remaining != 4 + 2 * byte[:3])):
                    fail(Status.CORRUPT, Detail.SEGMENT)
                with m.Elif(byte != components):
                    fail(Status.UNSUPPORTED, Detail.SCANS)

        with m.State("Scan component"):
            with take():
                m.d.sync += second.eq(~second)
                with m.If(~second):
                    with m.If(byte != ids[component]):
                        m.d.sync += unsupported_id.eq(1)
                with m.Else():
                    m.d.sync += [
                        header.dc.bit_select(component, 1).eq(byte[4]),
                        header.ac.bit_select(component, 1).eq(byte[0]),
                        component.eq(component + 1),
                        index.eq(0),
                    ]
                    with m.If((byte[4:] > 3) | (byte[:4] > 3)):
                        fail(Status.CORRUPT, Detail.SEGMENT)
                    with m.Elif((byte[4:] > 1) | (byte[:4] > 1)):
                        fail(Status.UNSUPPORTED, Detail.TABLE_ID)
                    with m.Elif(component + 1 == components):
                        m.next = "Spectral"

        with m.State("Spectral"):
            with take():
                with m.If(byte != Mux(index == 1, 63, 0)):
                    m.d.sync += wrong.eq(1)
                with m.If(index == 2):
                    m.next = "Tables"

        with m.State("Tables"):
            used = [0] + [1, 2]
            missing, bad, wide = (Signal(3, name=name) for name in ("missing", "bad", "wide"))
            for n in used:
                here = header.color | (n == 0)
                dc, ac = header.dc[n], header.ac[n]
                q = header.quantiser[n]
                m.d.comb += [
                    missing[n].eq(here & ~(dc_ready.bit_select(dc, 1) & ac_ready.bit_select(ac, 1)
                                           & q_ready.bit_select(q, 1))),
                    bad[n].eq(here & (dc_bad.bit_select(dc, 1) | ac_bad.bit_select(ac, 1))),
                    wide[n].eq(here & q_wide.bit_select(q, 1)),
                ]
            m.next = "Colour"
            with m.If(wrong):
                fail(Status.CORRUPT, Detail.SEGMENT)
            with m.Elif(unsupported_id):
                fail(Status.UNSUPPORTED, Detail.SCANS)
            with m.Elif(missing.any()):
                fail(Status.UNSUPPORTED, Detail.TABLE_MISSING)
            with m.Elif(bad.any()):
                fail(Status.CORRUPT, Detail.HUFFMAN_TABLE)
            with m.Elif(wide.any()):
                fail(Status.UNSUPPORTED, Detail.QUANTISER)
