# SPDX-License-Identifier: Apache-2.0
"""What is known of each character, by table."""

from amaranth import *
from amaranth.lib import fifo, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .layout import Characters, CharacterWrite, MappedCharacters
from .tables import ASCII_AT, OTHER_ROOT, PAGE, PAGES_AT, ROOT_WORDS, ROOTS, TableImage


__all__ = ["TableImage", "CharacterMap"]


class CharacterMap(wiring.Component):
    """Looks characters up: any function of the code point, for a beat of characters per cycle.

    A table has two levels: the root gives the page of 64 code points, the page their entries.
    ASCII characters have a copy of their entries in each lane. What an entry means is up to who
    loads the tables and who reads them.

    Throughput is 1 beat per cycle, latency is :attr:`LATENCY` cycles. ``i.ready`` does not depend
    on ``o.ready``: beats wait in a short queue.

    Parameters
    ----------
    lanes : int
        Most characters of a beat.
    width : int
        Bits of an entry.
    sets : int
        Tables held at once.
    pages : int
        Pages of a table.

    Members
    -------
    write, write_valid : :py:`In(CharacterWrite(width, sets, pages))`
        Strobe: a word of a table, see :class:`TableImage`. A table must not be written while texts
        that use it are on their way.
    select : :py:`In(stream.Signature(range(sets)))`
        The table of each text, one item a text; taken with its last beat.
    i : :py:`In(stream.Signature(Characters(lanes)))`
    o : :py:`Out(stream.Signature(MappedCharacters(lanes, width, sets)))`
        The same beats. Entries from ``count`` on are undefined.
    """

    LATENCY = 6

    def __init__(self, lanes=4, width=24, sets=1, pages=256):
        self.lanes = lanes
        self.width = width
        self.sets = sets
        self.pages = pages
        super().__init__({
            "write": In(CharacterWrite(width, sets, pages)), "write_valid": In(1),
            "select": In(stream.Signature(range(sets))),
            "i": In(stream.Signature(Characters(lanes))),
            "o": Out(stream.Signature(MappedCharacters(lanes, width, sets))),
        })

    @staticmethod
    def compute(image, codes):
        """Entries of ``codes``, an ndarray of int, in the table of ``image``."""
        return TableImage.look_up(image, codes)

    def elaborate(self, platform):
        m = Module()
        layout = MappedCharacters(self.lanes, self.width, self.sets)
        advance = Signal()
        beat = Signal(Characters(self.lanes))
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(width=beat.shape().size, depth=4)
        m.d.comb += [
            queue.w_data.eq(self.i.payload), queue.w_en.eq(self.i.valid),
            self.i.ready.eq(queue.w_rdy), beat.eq(queue.r_data),
            advance.eq(~self.o.valid | self.o.ready),
            queue.r_en.eq(advance & self.select.valid),
            self.select.ready.eq(advance & queue.r_rdy & beat.last),
        ]
        # Beats beside the word of the root, the page, and the entries.
        beats = [Signal(layout, name=f"beat_{n}") for n in range(3)]
        valids = [Signal(name=f"valid_{n}") for n in range(3)]
        is_ascii = Signal()
        with m.If(advance):
            m.d.sync += [
                beats[0].set.eq(self.select.payload),
                valids[0].eq(queue.r_rdy & self.select.valid),
                *(beats[0][name].eq(beat[name]) for name in Characters(1).members),
                *(b.eq(a) for a, b in zip(beats, beats[1:])), Cat(valids[1:]).eq(Cat(valids[:-1])),
                is_ascii.eq(beats[1].codes[0] < 0x80),
                self.o.payload.eq(beats[2]), self.o.valid.eq(valids[2]),
            ]
        page = self._root(m, advance, beat.codes[0])
        entry = self._page_entry(m, advance, beats[1], page)
        for lane, ascii_entry in enumerate(self._ascii_entries(m, advance, beats[1])):
            with m.If(advance):
                m.d.sync += self.o.p.entries[lane].eq(
                    Mux(is_ascii, ascii_entry, entry) if lane == 0 else ascii_entry)
        return m

    def _memory(self, m, name, shape, *, depth, enable, address, at, read):
        """Output of a memory of all sets; a word of it is written to the set's ``address``."""
        m.submodules[name] = mem = memory.Memory(shape=shape, depth=self.sets * depth, init=[])
        port, output = mem.write_port(), mem.read_port()
        m.d.comb += [
            port.en.eq(self.write_valid & enable), port.data.eq(self.write.data),
            port.addr.eq(self.write.set * depth + address),
            output.addr.eq(at), output.en.eq(read),
        ]
        return output.data

    def _root(self, m, advance, code):
        slot = Signal(range(OTHER_ROOT + 1))
        m.d.comb += slot.eq(OTHER_ROOT)
        with m.Switch(code[16:]):
            for plane, root in ROOTS.items():
                with m.Case(plane):
                    m.d.comb += slot.eq(root)
        word = self._memory(
            m, "root", range(self.pages), depth=ROOT_WORDS,
            enable=self.write.address < ASCII_AT, address=self.write.address[:13],
            at=self.select.payload * ROOT_WORDS + Cat(code[6:16], slot), read=advance)
        page = Signal(range(self.pages))
        with m.If(advance):
            m.d.sync += page.eq(word)
        return page

    def _page_entry(self, m, advance, beat, page):
        return self._memory(
            m, "page", self.width, depth=self.pages * PAGE,
            enable=self.write.address >= PAGES_AT, address=self.write.address - PAGES_AT,
            at=beat.set * (self.pages * PAGE) + Cat(beat.codes[0][:6], page), read=advance)

    def _ascii_entries(self, m, advance, beat):
        return [self._memory(
            m, f"ascii_{lane}", self.width, depth=128,
            enable=self.write.address[7:] == ASCII_AT >> 7, address=self.write.address[:7],
            at=beat.set * 128 + beat.codes[lane][:7], read=advance)
            for lane in range(self.lanes)]
