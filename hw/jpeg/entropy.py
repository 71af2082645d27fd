# SPDX-License-Identifier: Apache-2.0
"""The entropy decoder: Huffman symbols of several images, taken in turns."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..status import Detail
from .unstuff import Chunk


__all__ = ["ENTRY", "LEVEL_BITS", "ScanConfig", "Token", "TableWrite", "EntropyDecoder"]


#: Bits that the first level of a table looks at; the second level sees up to 7 more.
LEVEL_BITS = 9


#: Entry of a Huffman table. With ``miss``, the code is longer than the first level: it goes on in
#: the second level at ``base``, whose sub-table looks at ``7 - shift`` bits. Else ``length`` bits
#: of code in this level are followed by ``size`` bits of magnitude, ``total`` together, after
#: ``run`` zero coefficients. ``total`` 0: no code begins so.
ENTRY = data.StructLayout({
    "symbol": data.UnionLayout({
        "hit": data.StructLayout({"run": 4, "size": 4, "length": 4}),
        "miss": data.StructLayout({"base": 9, "shift": 3}),
    }),
    "total": 5,
    "miss": 1,
})


#: What the entropy decoder must know of a scan. ``luma`` is the number of luma blocks in an MCU;
#: ``dc`` and ``ac`` are the table numbers of the three components.
ScanConfig = data.StructLayout({"luma": 3, "color": 1, "dc": 3, "ac": 3})


def Token(contexts):
    """A decoded symbol, still with its bits.

    ``window`` starts with the ``length`` bits of code, which ``size`` bits of magnitude follow.
    ``coefficient``: it yields the coefficient at zig-zag position ``position``; ``dc``: that is a
    difference to the prediction, which is 0 if ``reset``. ``end``: it completes its block.
    """
    return data.StructLayout({
        "context": range(contexts), "window": 20, "length": 4, "size": 4, "position": 6,
        "coefficient": 1, "dc": 1, "reset": 1, "component": 2, "end": 1,
    })


def TableWrite(contexts):
    """A write to the Huffman tables: class (0 DC, 1 AC), number, level, index."""
    return data.StructLayout({
        "index": LEVEL_BITS, "level": 1, "number": 1, "ac": 1, "context": range(contexts),
        "entry": ENTRY,
    })


class EntropyDecoder(wiring.Component):
    """Huffman decoder of baseline scans (ITU-T T.81, F.2.2), ``contexts`` of them interleaved.

    The loop of a Huffman decoder (bit position, window, table, length, position) is cut into
    pipeline stages, and as many images take turns in it: each context gets one slot every ``turns``
    cycles, and in each slot one symbol (or one half of a code longer than 9 bits) is decoded. More
    turns give shorter stages, hence a higher clock.

    The window is four chunks of 16 bits and a bit offset into the first. A symbol takes at most
    20 bits, so three chunks are enough for any; at the end of a segment the missing bits read as
    zero, and only using one of them is an error.

    Parameters
    ----------
    contexts : int
    turns : int
        Stages of the loop, at least ``contexts``, which is the default: nobody has the others.

    Members
    -------
    i : :py:`In(stream.Signature(Chunk)).array(contexts)`
        Coded data.
    segment_end : :py:`In(contexts)`
        No more chunks in this segment.
    config : :py:`In(ScanConfig).array(contexts)`
        Read at ``start``.
    start, kill, restart : :py:`In(contexts)`
        Levels, held until ``active`` (``start``), not ``active`` (``kill``), not ``waiting``
        (``restart``): begin a scan; give it up; begin the next restart interval.
    active, waiting : :py:`Out(contexts)`
        In a scan; at the end of a restart interval.
    stray : :py:`Out(contexts)`
        Whole bytes were left when the interval ended. Valid while ``waiting``.
    mcu_done : :py:`Out(contexts)`
        Strobe: the last symbol of an MCU was decoded.
    last_mcu, last_of_interval : :py:`In(contexts)`
        The present MCU is the last of the scan, of the restart interval.
    finished : :py:`Out(contexts)`
        Strobe: the scan is complete.
    error, error_detail : :py:`Out(contexts)`, :py:`Out(8)`
        Strobe: the scan ended with an error, a :class:`Detail`.
    credit : :py:`In(contexts)`
        A block buffer is free.
    take : :py:`Out(contexts)`
        Strobe: it is taken.
    o : :py:`Out(Token(contexts))`, with ``o_valid``
        Symbols; there is no back-pressure beyond ``credit``.
    write : :py:`In(TableWrite(contexts))`, with ``write_valid``
        Fills the tables.
    starved, stalled : :py:`Out(1)`
        Strobes: a slot was lost for lack of bits, of a block buffer.
    """

    def __init__(self, contexts, turns=None):
        if contexts not in range(1, 17):
            raise ValueError(f"Contexts must be within range(1, 17), not {contexts!r}")
        turns = contexts if turns is None else turns
        if turns not in range(contexts, 17):
            raise ValueError(f"Turns must be within range({contexts}, 17), not {turns!r}")
        self.contexts, self.turns = contexts, turns
        n = contexts
        super().__init__({
            "i": In(stream.Signature(Chunk)).array(n),
            "segment_end": In(n),
            "config": In(ScanConfig).array(n),
            "start": In(n), "kill": In(n), "restart": In(n),
            "active": Out(n), "waiting": Out(n), "stray": Out(n),
            "mcu_done": Out(n), "last_mcu": In(n), "last_of_interval": In(n),
            "finished": Out(n), "error": Out(n), "error_detail": Out(8),
            "credit": In(n), "take": Out(n),
            "o": Out(Token(n)), "o_valid": Out(1),
            "write": In(TableWrite(n)), "write_valid": In(1),
            "starved": Out(1), "stalled": Out(1),
        })
        # Nothing reaches the slots from ``contexts`` on, which never become active.
        self._state = data.StructLayout({
            "context": range(turns), "active": 1, "waiting": 1, "first": 1,
            "buffer": 64, "chunks": 3, "half": 1, "offset": 4,
            "position": 6, "second": 1, "base": 9, "shift": 3, "block": 3, "component": 2,
            "config": ScanConfig,
            # within a turn
            "fire": 1, "window": 20,
        })
        # Where the loop can be cut, most useful first; the table's address register always is.
        names = ["update", "entry", "symbol", "address"]
        self._cuts = names[:turns - 1]
        self._delays = max(0, turns - 1 - len(names))

    def elaborate(self, platform):
        m = Module()

        tables = memory.Memory(shape=ENTRY, depth=self.contexts << (LEVEL_BITS + 3), init=[])
        m.submodules.tables = tables
        write = tables.write_port()
        read = tables.read_port()
        w = self.write
        m.d.comb += [
            write.addr.eq(Cat(w.index, w.level, w.number, w.ac, w.context)),
            write.data.eq(w.entry),
            write.en.eq(self.write_valid),
        ]

        turn = 0

        def register(signal, *, context=None):
            nonlocal turn
            init = {} if context is None else {"context": context}
            copy = Signal(signal.shape(), init=init) if init else Signal.like(signal)
            m.d.sync += copy.eq(signal)
            return copy

        def cut(name, *signals):
            """Pipeline registers at cut ``name`` if it is made; the first signal is the state."""
            nonlocal turn
            if name not in self._cuts:
                return signals
            state, *rest = signals
            turn += 1
            return (register(state, context=turn), *map(register, rest))

        # The state at the top of the loop; closed at the bottom.
        top = Signal(self._state)

        state, address = self._look(m, top)
        state, address = cut("address", state, address)
        m.d.comb += read.addr.eq(address)
        state = register(state, context=0)
        state, entry = cut("entry", state, read.data)
        state, entry, total, position = cut("symbol", *self._symbol(m, state, entry))
        after = self._update(m, state, entry, total, position)
        (after,) = cut("update", after)
        for _ in range(self._delays):
            turn += 1
            after = register(after, context=turn)
        m.d.comb += top.eq(after)

        return m

    def _look(self, m, top):
        """Window and table address; decides if the slot is used."""
        state = Signal(self._state)
        here = Signal(self.contexts)
        m.d.comb += [
            state.eq(top),
            here.eq(top.active << top.context),
            state.window.eq((top.buffer << top.offset)[44:]),
        ]

        bits = (top.chunks >= 3) | (self.segment_end & here).any()
        begins = (top.position == 0) & ~top.second
        room = ~begins | (self.credit & here).any()
        running = top.active & ~top.waiting
        m.d.comb += [
            state.fire.eq(running & bits & room),
            self.take.eq(here & (running & bits & begins).replicate(self.contexts)
                         & self.credit),
            self.starved.eq(running & ~bits),
            self.stalled.eq(running & bits & ~room),
        ]

        dc = top.position == 0
        number = Mux(dc, top.config.dc, top.config.ac).bit_select(top.component, 1)
        index = Signal(LEVEL_BITS)
        with m.If(top.second):
            m.d.comb += index.eq(top.base + (state.window[13:] >> top.shift))
        with m.Else():
            m.d.comb += index.eq(state.window[11:])
        return state, Cat(index, top.second, number, ~dc, top.context)

    def _symbol(self, m, state, entry):
        """Bits that the symbol takes, and the zig-zag position behind its run."""
        total = Signal(6)
        position = Signal(7)
        hit = entry.symbol.hit
        m.d.comb += [
            total.eq(state.offset + entry.total),
            position.eq(state.position + hit.run),
        ]
        return state, entry, total, position

    def _update(self, m, state, entry, total, position):
        """The state after this turn; emits the token."""
        n = self.contexts
        after = Signal(self._state)
        here = Signal(n)
        m.d.comb += [after.eq(state), here.eq(1 << state.context)]

        hit = entry.symbol.hit
        dc = state.position == 0
        end_of_block = ~dc & (hit.size == 0) & (hit.run == 0)
        zeros = ~dc & (hit.size == 0) & (hit.run == 15)
        overrun = ~end_of_block & position[6]
        done = Signal()
        last_block = Signal()
        m.d.comb += [
            done.eq(end_of_block | (position == 63)),
            last_block.eq(Mux(state.config.color, state.component == 2, 1)),
        ]

        # Errors, in the order in which a sequential decoder meets them.
        detail = Signal(8)
        used = Signal(3)
        available = (state.chunks << 4) - (state.half << 3)
        with m.If(total > available):
            m.d.comb += detail.eq(Detail.BITS)
        with m.Elif(entry.total == 0):
            m.d.comb += detail.eq(Detail.CODE)
        with m.Elif(~entry.miss & overrun):
            m.d.comb += detail.eq(Detail.RUN)
        good = Signal()
        m.d.comb += good.eq(state.fire & (detail == 0))

        with m.If(state.fire):
            with m.If(detail != 0):
                m.d.comb += [after.active.eq(0)]
            m.d.comb += [used.eq(total[4:]), after.offset.eq(total[:4])]
        m.d.sync += [
            self.error.eq(here & (state.fire & (detail != 0)).replicate(n)),
            self.error_detail.eq(detail),
        ]

        mcu = Signal()
        with m.If(good):
            m.d.comb += [after.second.eq(entry.miss)]
            with m.If(entry.miss):
                m.d.comb += [
                    after.base.eq(entry.symbol.miss.base), after.shift.eq(entry.symbol.miss.shift),
                ]
            with m.Else():
                m.d.comb += after.position.eq(Mux(done, 0, position + 1))
                with m.If(done):
                    m.d.comb += [after.block.eq(state.block + 1), mcu.eq(last_block)]
                    with m.If(last_block):
                        m.d.comb += [after.block.eq(0), after.component.eq(0)]
                    with m.Elif(state.block + 1 >= state.config.luma):
                        m.d.comb += after.component.eq(state.component + 1)
        with m.If(mcu):
            m.d.comb += after.first.eq(0)
            with m.If((self.last_mcu & here).any()):
                m.d.comb += after.active.eq(0)
            with m.Elif((self.last_of_interval & here).any()):
                m.d.comb += after.waiting.eq(1)
        m.d.sync += [
            self.mcu_done.eq(here & mcu.replicate(n)),
            self.finished.eq(here & self.last_mcu & mcu.replicate(n)),
        ]

        # Used chunks leave at the top, the next one is added behind the last.
        chunks = Signal(3)
        shifted = Signal(64)
        m.d.comb += [
            chunks.eq(Mux(state.chunks < used, 0, state.chunks - used)),
            shifted.eq(state.buffer << (used[:2] << 4)),
            after.chunks.eq(chunks),
            after.buffer.eq(shifted),
        ]
        for c in range(n):
            m.d.comb += self.i[c].ready.eq(
                here[c] & state.active & ~state.waiting & (state.chunks != 4))
        chunk = Signal(Chunk)
        arrives = Signal()
        for c in range(n):
            with m.If(here[c]):
                m.d.comb += [chunk.eq(self.i[c].payload), arrives.eq(self.i[c].valid)]
        with m.If(arrives & state.active & ~state.waiting & (state.chunks != 4)):
            m.d.comb += [
                after.buffer.eq(shifted | (Cat(C(0, 48), chunk.bits) >> (chunks[:2] << 4))),
                after.chunks.eq(chunks + 1),
                after.half.eq(chunk.half),
            ]

        self._control(m, state, after, here)

        first_of_component = (state.block == 0) | (state.component != 0)
        m.d.sync += [
            self.o_valid.eq(good & ~entry.miss),
            self.o.context.eq(state.context),
            self.o.window.eq(state.window),
            self.o.length.eq(hit.length),
            self.o.size.eq(hit.size),
            self.o.position.eq(position),
            self.o.coefficient.eq(~end_of_block & ~zeros),
            self.o.dc.eq(dc),
            self.o.reset.eq(state.first & first_of_component),
            self.o.component.eq(state.component),
            self.o.end.eq(done),
        ]
        return after

    def _control(self, m, state, after, here):
        """Starts, restarts and kills, which come once a scan or interval."""
        left = (state.chunks << 4) - (state.half << 3) - state.offset
        config = Signal(ScanConfig)
        for c in range(self.contexts):
            with m.If(here[c]):
                m.d.comb += config.eq(self.config[c])
                m.d.sync += [
                    self.active[c].eq(after.active),
                    # A turn late, so that `stray` is about the bits left by the last symbol.
                    self.waiting[c].eq(state.waiting & after.active & after.waiting),
                    self.stray[c].eq(left >= 8),
                ]

        def clear():
            return [after[name].eq(0) for name in (
                "waiting", "buffer", "chunks", "half", "offset", "position", "second",
                "block", "component")] + [after.first.eq(1)]

        with m.If((self.kill & here).any()):
            m.d.comb += after.active.eq(0)
        with m.Elif((self.start & here).any() & ~state.active):
            m.d.comb += [*clear(), after.active.eq(1), after.config.eq(config)]
        with m.Elif(state.waiting & (self.restart & here).any()):
            m.d.comb += clear()
