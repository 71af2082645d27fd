# SPDX-License-Identifier: Apache-2.0
"""Rows of samples: from blocks in MCU order to raster order."""

from amaranth import *
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2, exact_log2

from ..stream.layout import PIXELS
from ..stream.turns import next_in_turn
from .lines import check_lines
from .markers import Header


__all__ = ["Place", "Step", "RowBuffer"]


def Place(contexts, max_width):
    """Where a block goes: ``x`` counts blocks. ``row_end``: it completes a row of MCUs."""
    return data.StructLayout({
        "context": range(contexts), "component": 2, "x": ceil_log2(max_width // 8),
        "lower": 1, "slot": 1, "row_end": 1,
    })


def Step(contexts):
    """What the upsampler has to do with the samples that come with it.

    ``chroma``: the chroma words are new; ``luma``: so is the luma word, and a pixel word is due.
    ``near``: the nearer chroma row is odd; ``blend``: the other one is the farther one.
    ``right``: the last chroma column is column ``edge`` of the word of this pixel word.
    ``fancy``: triangle filter, else replication.
    """
    return data.StructLayout({
        "context": range(contexts), "chroma": 1, "luma": 1, "near": 1, "blend": 1,
        "left": 1, "right": 1, "edge": 3, "odd_word": 1, "odd_row": 1,
        "h2": 1, "v2": 1, "fancy": 1, "color": 1, "rgb": 1, "row_last": 1, "last": 1,
    })


class RowBuffer(wiring.Component):
    """Two rows of MCUs for each context, written by block, read by row of the image.

    Rows lie in two banks, even and odd, so that two rows of a block are written, and the two
    chroma rows that a vertically upsampled row blends are read, in the same cycle. For 16 pixels
    there are four: word ``x`` of row ``y`` lies in bank ``(y + 2 x) % 4``, so that four rows of a
    block, and two neighbouring words of two neighbouring rows, are in different banks. A row of
    MCUs is freed when no row of the image needs it any more: with halved chroma height, that is one
    row into the next.

    A row of the image takes 2 cycles more than it has words. Rows of different contexts follow
    each other without a gap; the next row of the same context takes 2 more.

    Parameters
    ----------
    contexts : int
    max_width : int
        Widest image in pixels, a multiple of 16.
    lines : int
        Rows of a block that come in a cycle: 1 or 2, or 4 with 16 pixels.
    pixels : int
        Pixels that a row of the image is read by: 8 or 16.

    Members
    -------
    header : :py:`In(Header).array(contexts)`
    enable, clear : :py:`In(contexts)`
        Rows are read while ``enable``; ``clear`` is a strobe that forgets everything.
    room : :py:`Out(contexts)`
        The next block may be issued.
    issue, issue_context, place
        Strobe: the next block of the context gets a place.
    i, i_valid, i_row, i_place, i_last
        ``lines`` neighbouring rows of samples of a block, the number of the first and the place of
        the block; ``i_last`` with the last rows of a block.
    grant : :py:`In(contexts)`
        The consumer has room for one row of the image.
    advance : :py:`In(1)`
        The consumer has room for one more pixel word.
    step, step_valid, luma, blue, red
        Samples for the upsampler, two cycles after ``taken``.
    taken : :py:`Out(1)`, ``taken_context``
        A pixel word was started.
    busy, done : :py:`Out(contexts)`
        A row is being read; all rows have been.
    """

    def __init__(self, contexts, max_width, lines=1, pixels=PIXELS):
        if max_width % 16:
            raise ValueError(f"Max width must be a multiple of 16, not {max_width!r}")
        check_lines(lines, pixels)
        self.contexts = contexts
        self.max_width = max_width
        self.lines = lines
        self.pixels = pixels
        #: Of each component's memory.
        self.banks = pixels // 4
        n = contexts
        super().__init__({
            "header": In(Header).array(n), "enable": In(n), "clear": In(n),
            "room": Out(n), "issue": In(1), "issue_context": In(range(n)),
            "place": Out(Place(n, max_width)),
            "i": In(data.ArrayLayout(64, lines)), "i_valid": In(1), "i_row": In(3), "i_last": In(1),
            "i_place": In(Place(n, max_width)),
            "grant": In(n), "advance": In(1),
            "step": Out(Step(n)), "step_valid": Out(1),
            "luma": Out(8 * pixels),
            "blue": Out(8 * pixels).array(2), "red": Out(8 * pixels).array(2),
            "taken": Out(1), "taken_context": Out(range(n)),
            "busy": Out(n), "done": Out(n),
        })

    def elaborate(self, platform):
        m = Module()
        n = self.contexts
        x_bits = ceil_log2(self.max_width // 8)

        released = Signal(n)   # strobes: a row of MCUs is free, a row of the image complete
        row_read = Signal(n)
        ready = Signal(n)
        ys = Array(Signal(16, name=f"y_{c}") for c in range(n))
        for c in range(n):
            self._context(m, c, ys[c], ready, released, row_read)

        low = exact_log2(self.banks)
        wide = self.pixels == 16
        reads = self._memories(m, x_bits, low)

        # The next row is chosen while one is read, so that it can follow at once.
        following, waiting = Signal(range(n)), Signal()
        next_header, next_y = Signal(Header), Signal(16)
        chosen, running = Signal(range(n)), Signal()
        header, y = Signal(Header), Signal(16)
        index = Signal(x_bits + 2)
        words = Signal(x_bits + 1)
        final = index == words + 1
        go = Signal()
        pick = next_in_turn(m, ready, following, "row")
        with m.If(~waiting & ready.any()):
            m.d.sync += [waiting.eq(1), following.eq(pick), next_y.eq(ys[pick])]
            for c in range(n):
                with m.If(pick == c):
                    m.d.sync += next_header.eq(self.header[c])

        # Reading. The chroma words run two steps ahead of the luma words.
        chroma_width = Signal(16)
        near, far = Signal(16), Signal(16)
        last_chroma = (next_header.height - 1) >> 1
        half = next_y >> 1
        m.d.comb += go.eq(running & (self.advance | (index < 2)))
        with m.If(go):
            m.d.sync += index.eq(index + 1)
            with m.If(final):
                m.d.sync += running.eq(0)
        with m.If(waiting & (~running | (go & final))):
            m.d.sync += [
                waiting.eq(0), running.eq(1), index.eq(int(wide)),
                chosen.eq(following), header.eq(next_header), y.eq(next_y),
                words.eq((next_header.width + (self.pixels - 1)) >> exact_log2(self.pixels)),
                chroma_width.eq(((next_header.width + next_header.h2) >> next_header.h2) - 1),
                near.eq(next_y >> next_header.v2),
                far.eq(Mux(~next_header.v2, next_y, Mux(
                    next_y[0], Mux(half == last_chroma, half, half + 1),
                    Mux(next_y == 0, 0, half - 1)))),
            ]
        m.d.comb += [
            row_read.eq((go & final) << chosen),
            self.busy.eq((running << chosen) | (waiting << following)),
            self.taken.eq(go & (index >= 2)),
            self.taken_context.eq(chosen),
        ]

        j = Signal(x_bits + 1)
        chroma_index = Signal(x_bits)
        m.d.comb += [
            j.eq(index - 2),
            chroma_index.eq(index - 1 if wide else Mux(header.h2, index >> 1, index - 1)),
        ]
        for bank, read in enumerate(reads[0]):
            x = Cat(y[1] ^ (bank >> 1), j)[:x_bits] if wide else j[:x_bits]
            m.d.comb += read.addr.eq(Cat(
                x, y[low:3], header.v2 & y[3], Mux(header.v2, y[4], y[3]), chosen))
        for k, read in enumerate(reads[1] + reads[2]):
            bank = k % self.banks
            line, x = Mux(near[0] == bank % 2, near, far), chroma_index
            if wide:
                # With halved width, one word is enough.
                x = Mux(header.h2, x, Cat(line[1] ^ (bank >> 1), x)[:x_bits])
            m.d.comb += read.addr.eq(Cat(x, line[low:3], line[3], chosen))

        step, valid = Signal(Step(n)), Signal()
        m.d.sync += [
            valid.eq(go),
            step.context.eq(chosen),
            step.chroma.eq(1 if wide else Mux(header.h2, ~index[0], 1)),
            step.luma.eq(index >= 2),
            step.near.eq(near[0]),
            step.blend.eq(near != far),
            step.left.eq(j == 0),
            step.right.eq((chroma_width >> 3) == (j if wide else j >> 1)),
            step.edge.eq(chroma_width[:3]),
            step.odd_word.eq(0 if wide else j[0]),
            step.odd_row.eq(y[0]),
            step.h2.eq(header.h2), step.v2.eq(header.v2),
            step.fancy.eq(~header.h2 | (chroma_width > 1)),
            step.color.eq(header.color), step.rgb.eq(header.rgb),
            step.row_last.eq(final),
            step.last.eq(final & (y == header.height - 1)),
        ]
        luma_turned = chroma_turned = None
        if wide:
            # Of even and odd rows: bank k + 2 has the left word, or the only one.
            right = header.h2 & chroma_index[0]
            even_row, odd_row = Mux(near[0], far, near), Mux(near[0], near, far)
            luma_turned = Cat(y[1], y[1])
            chroma_turned = Cat(even_row[1] ^ right, odd_row[1] ^ right)
        luma = self._words(m, reads[0], luma_turned, "luma")
        blue = self._words(m, reads[1], chroma_turned, "blue")
        red = self._words(m, reads[2], chroma_turned, "red")
        # The memories' output registers.
        m.d.sync += [
            self.step.eq(step), self.step_valid.eq(valid),
            self.luma.eq(Mux(step.odd_row, luma[1], luma[0])),
            self.blue[0].eq(blue[0]), self.blue[1].eq(blue[1]),
            self.red[0].eq(red[0]), self.red[1].eq(red[1]),
        ]
        with m.If(go & final):
            # With halved chroma, the first row of an MCU still needs the MCU above.
            m.d.comb += released.eq(Mux(
                header.v2, (y[:4] == 0) & (y != 0), y[:3] == 7) << chosen)
        return m

    def _memories(self, m, x_bits, low):
        """Writes what comes; returns the read ports of luma, blue and red, one for each bank."""
        p = self.i_place
        reads = []
        for component, name in enumerate(("luma", "blue", "red")):
            above = Cat(p.lower, p.slot, p.context) if component == 0 else Cat(p.slot, p.context)
            bits = x_bits + 3 - low + len(above) - len(p.context)
            reads.append([])
            for bank in range(self.banks):
                mem = memory.Memory(shape=64, depth=self.contexts << bits, init=[])
                m.submodules[f"{name}_{bank}"] = mem
                write = mem.write_port()
                here = C(1, 1) if self.lines == self.banks else self.i_row[0] == bank
                row = self.i[bank % self.lines]
                if self.pixels == 16:
                    row = Mux(p.x[0], self.i[bank ^ 2], row)
                m.d.comb += [
                    write.addr.eq(Cat(p.x, self.i_row[low:], above)),
                    write.data.eq(row),
                    write.en.eq(self.i_valid & (p.component == component) & here),
                ]
                reads[-1].append(mem.read_port())
        return reads

    def _words(self, m, ports, turned, name):
        """What the ports of a component give of even and of odd rows."""
        given = [port.data for port in ports]
        if len(given) == 2:
            return given
        late = Signal(2, name=f"{name}_turned")
        m.d.sync += late.eq(turned)
        return [Mux(late[k], Cat(given[k + 2], given[k]), Cat(given[k], given[k + 2]))
                for k in range(2)]

    def _context(self, m, c, y, ready, released, row_read):
        """Progress of one context: blocks issued, rows of MCUs filled, rows of the image read."""
        header = self.header[c]
        block = Signal(3, name=f"block_{c}")
        x = Signal(13, name=f"x_{c}")
        slot = Signal(name=f"slot_{c}")
        used = Signal(2, name=f"used_{c}")
        filled = Signal(14, name=f"filled_{c}")
        luma_blocks = Signal(3, name=f"luma_blocks_{c}")
        begins = (block == 0) & (x == 0)
        issued = Signal(name=f"issued_{c}")
        last_block = Signal(name=f"last_block_{c}")
        in_luma = block < luma_blocks
        m.d.comb += [
            luma_blocks.eq((1 << header.h2) << header.v2),
            issued.eq(self.issue & (self.issue_context == c)),
            self.room[c].eq(~begins | (used != 2)),
            last_block.eq(block == Mux(header.color, luma_blocks + 1, 0)),
        ]
        with m.If(self.issue_context == c):
            right, lower = Signal(name=f"right_{c}"), Signal(name=f"lower_{c}")
            m.d.comb += [
                right.eq(header.h2 & block[0]),
                lower.eq(Mux(header.h2, block[1], block[0])),
                self.place.context.eq(c),
                self.place.component.eq(Mux(in_luma, 0, block - luma_blocks + 1)),
                self.place.x.eq(Mux(in_luma & header.h2, Cat(right, x), x)),
                self.place.lower.eq(in_luma & header.v2 & lower),
                self.place.slot.eq(slot),
                self.place.row_end.eq(last_block & (x == header.mcus_x)),
            ]
        with m.If(issued):
            m.d.sync += block.eq(block + 1)
            with m.If(last_block):
                m.d.sync += [block.eq(0), x.eq(x + 1)]
                with m.If(x == header.mcus_x):
                    m.d.sync += [x.eq(0), slot.eq(~slot)]
        m.d.sync += used.eq(used + (issued & begins) - released[c])
        with m.If(self.i_valid & self.i_last & self.i_place.row_end
                  & (self.i_place.context == c)):
            m.d.sync += filled.eq(filled + 1)

        # An odd row of an image with halved chroma height needs the chroma row below, too.
        needs = Signal(16, name=f"needs_{c}")
        m.d.comb += [
            needs.eq(y + (header.v2 & y[0] & (y != header.height - 1))),
            self.done[c].eq(y == header.height),
        ]
        m.d.sync += ready[c].eq(
            self.enable[c] & self.grant[c] & ~self.done[c] & ~self.busy[c]
            & ((needs >> (3 + header.v2)) < filled))
        with m.If(row_read[c]):
            m.d.sync += [y.eq(y + 1), ready[c].eq(0)]
        with m.If(self.clear[c]):
            m.d.sync += [s.eq(0) for s in (block, x, slot, used, filled, y)] + [ready[c].eq(0)]
