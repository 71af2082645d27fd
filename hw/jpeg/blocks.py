# SPDX-License-Identifier: Apache-2.0
"""Blocks of coefficients between the entropy decoder and the IDCT."""

from amaranth import *
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .dequantize import Coefficient


__all__ = ["COLUMN", "BlockBuffer"]


#: One column of coefficients, top first.
COLUMN = data.ArrayLayout(signed(13), 8)


class BlockBuffer(wiring.Component):
    """A ring of ``depth`` blocks for each context, filled one coefficient, read ``lines`` columns a
    cycle.

    Nothing is cleared: a mask of 64 bits goes with each block and says which coefficients were
    written. Time is divided into windows of ``8 // lines`` cycles, and a block is read in one of
    them.

    Parameters
    ----------
    contexts, depth : int
    lines : int
        Columns read in a cycle: 1, 2, 4 or 8.

    Members
    -------
    i, i_valid
        Coefficients, see :func:`Coefficient`.
    take : :py:`In(contexts)`
        Strobe: the entropy decoder begins a block. Allowed while ``credit``.
    credit : :py:`Out(contexts)`
        A block is free.
    pending : :py:`Out(contexts)`
        A block is complete.
    idle : :py:`Out(1)`
        The next cycle begins a window.
    read, read_context : :py:`In(1)`, :py:`In(range(contexts))`
        Strobe while ``idle``: read the oldest block of a context, which is ``pending``.
    o_start : :py:`Out(1)`
        Strobe: the first columns of a window, full or not.
    o, o_valid : :py:`Out(ArrayLayout(COLUMN, lines))`
        Columns of the block, left first, for a window.
    clear : :py:`In(contexts)`
        Strobe: forget all blocks of a context.
    """

    def __init__(self, contexts, depth=8, lines=1):
        self.contexts = contexts
        self.depth = depth
        self.lines = lines
        super().__init__({
            "i": In(Coefficient(contexts)), "i_valid": In(1),
            "take": In(contexts), "credit": Out(contexts), "pending": Out(contexts),
            "idle": Out(1), "read": In(1), "read_context": In(range(contexts)),
            "o_start": Out(1), "o": Out(data.ArrayLayout(COLUMN, lines)), "o_valid": Out(1),
            "clear": In(contexts),
        })

    def elaborate(self, platform):
        m = Module()
        n, depth = self.contexts, self.depth

        head = Array(Signal(range(depth), name=f"head_{c}") for c in range(n))
        tail = Array(Signal(range(depth), name=f"tail_{c}") for c in range(n))

        # Filling
        masks = Array(Signal(64, name=f"mask_{c}") for c in range(n))
        mask = Signal(64)
        fill_slot = Signal(range(depth))
        context = self.i.context
        ends = Signal(n)
        m.d.comb += [
            fill_slot.eq(tail[context]),
            mask.eq(Mux(self.i.first, 0, masks[context])
                    | (self.i.write << Cat(self.i.column, self.i.row))),
            ends.eq((self.i_valid & self.i.end) << context),
        ]
        with m.If(self.i_valid):
            m.d.sync += masks[context].eq(mask)
            with m.If(self.i.end):
                m.d.sync += tail[context].eq(tail[context] + 1)

        m.submodules.mask_memory = mask_memory = memory.Memory(shape=64, depth=n * depth, init=[])
        mask_write, mask_read = mask_memory.write_port(), mask_memory.read_port()
        m.d.comb += [
            mask_write.addr.eq(Cat(fill_slot, context)),
            mask_write.data.eq(mask),
            mask_write.en.eq(self.i_valid & self.i.end),
        ]

        # Reading
        reading = Signal()
        step = Signal(range(8 // self.lines))   # of the window
        final = step == 8 // self.lines - 1
        read_context = Signal(range(n))
        read_slot = Signal(range(depth))
        released = Signal(n)
        m.d.comb += [
            self.idle.eq(final),
            mask_read.addr.eq(Cat(read_slot, read_context)),
            released.eq((reading & final) << read_context),
        ]
        m.d.sync += step.eq(step + 1)
        with m.If(final):
            m.d.sync += reading.eq(self.read)
        started = Signal(n)
        with m.If(self.read):
            m.d.comb += started.eq(1 << self.read_context)
            m.d.sync += [
                read_context.eq(self.read_context), read_slot.eq(head[self.read_context]),
                head[self.read_context].eq(head[self.read_context] + 1),
            ]

        arrived, at, begun = Signal(), Signal.like(step), Signal()
        m.d.sync += [
            arrived.eq(reading), at.eq(step), self.o_valid.eq(arrived),
            begun.eq(step == 0), self.o_start.eq(begun),
        ]
        shift = exact_log2(self.lines)
        written = Signal(64)
        m.d.comb += written.eq(mask_read.data >> Cat(C(0, shift), at))
        for row in range(8):
            for k in range(self.lines):
                bank = memory.Memory(shape=signed(13), depth=n * depth * 8 // self.lines, init=[])
                m.submodules[f"bank_{row}_{k}"] = bank
                write, read = bank.write_port(), bank.read_port()
                m.d.comb += [
                    write.addr.eq(Cat(self.i.column[shift:], fill_slot, context)),
                    write.data.eq(self.i.value),
                    write.en.eq(self.i_valid & self.i.write & (self.i.row == row)
                                & (self.i.column[:shift] == k)),
                    read.addr.eq(Cat(step, read_slot, read_context)),
                ]
                m.d.sync += self.o[k][row].eq(Mux(written[8 * row + k], read.data, 0))

        # Accounts
        for c in range(n):
            free = Signal(range(depth + 1), init=depth, name=f"free_{c}")
            full = Signal(range(depth + 1), name=f"full_{c}")
            m.d.comb += [self.credit[c].eq(free != 0), self.pending[c].eq(full != 0)]
            m.d.sync += [
                free.eq(free - self.take[c] + released[c]),
                full.eq(full + ends[c] - started[c]),
            ]
            with m.If(self.clear[c]):
                m.d.sync += [free.eq(depth), full.eq(0), head[c].eq(0), tail[c].eq(0)]
        return m
