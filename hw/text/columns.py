# SPDX-License-Identifier: Apache-2.0
"""Hashes to columns of the feature matrix."""

from amaranth import *
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from .layout import TextError
from .multiplier import Multiplier, delayed
from .murmur3 import Finish
from .ngrams import Forks
from .tables import COLUMN


__all__ = ["COLUMN", "ColumnConfig", "Feature", "Columns"]


#: Texts in the pipeline, a power of two: short ones need several to fill it.
BANKS = 4

#: See :func:`.tables.column_config`.
ColumnConfig = data.StructLayout({
    "features": COLUMN, "reciprocal": 32, "scale": 32, "alternate_sign": 1})


def Feature(rows):
    """One occurrence of a feature: counts for ``column``, -1 if ``negative``; none only in a
    ``last`` item. ``home``: a number below ``rows`` that rises with the column."""
    return data.StructLayout({
        "column": COLUMN, "home": range(rows), "negative": 1, "valid": 1, "last": 1,
        "error": TextError})


class Columns(wiring.Component):
    """``abs(h) % features`` and the sign of each hash ``h``, as scikit-learn's FeatureHasher.

    The quotient is estimated with the reciprocal, one too small at most. Throughput is 1 feature
    per cycle. ``i.ready`` does not depend on ``o.ready`` combinationally.

    Parameters
    ----------
    max_n : int
        Of the forks.
    rows : int
        Bound of ``home``.

    Members
    -------
    config : :py:`In(stream.Signature(ColumnConfig))`
        One item a text, taken with its last item.
    i : :py:`In(stream.Signature(Forks(max_n)))`
    o : :py:`Out(stream.Signature(Feature(rows)))`
    """

    def __init__(self, max_n=3, rows=992):
        self.max_n = max_n
        self.rows = rows
        super().__init__({
            "config": In(stream.Signature(ColumnConfig)),
            "i": In(stream.Signature(Forks(max_n))),
            "o": Out(stream.Signature(Feature(rows))),
        })

    @staticmethod
    def compute(hash, features, alternate_sign=True):
        """Column and sign of an unsigned hash of 32 bits."""
        value = hash - (hash >> 31 << 32)
        return abs(value) % features, -1 if alternate_sign and value < 0 else 1

    def elaborate(self, platform):
        m = Module()
        layout = Forks(self.max_n)
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(width=layout.size, depth=16)
        m.submodules.results = results = fifo.SyncFIFOBuffered(
            width=Feature(self.rows).size, depth=4)
        m.d.comb += [
            queue.w_en.eq(self.i.valid), queue.w_data.eq(self.i.payload),
            self.i.ready.eq(queue.w_rdy),
            self.o.valid.eq(results.r_rdy), self.o.payload.eq(results.r_data),
            results.r_en.eq(self.o.ready),
        ]
        feature = Signal(Feature(self.rows))
        advance = Signal()
        m.d.comb += [
            results.w_en.eq(feature.valid | feature.last), results.w_data.eq(feature),
            advance.eq(results.w_rdy | ~results.w_en),
        ]

        # Several texts may be under way: their configurations take turns.
        banks = [Signal(ColumnConfig, name=f"bank_{n}") for n in range(BANKS)]
        used = Signal(BANKS)
        turn, loaded, load = Signal(range(BANKS)), Signal(), Signal()
        m.d.comb += [
            load.eq(self.config.valid & ~loaded & ~used.bit_select(turn, 1)),
            self.config.ready.eq(load),
        ]
        with m.If(load):
            m.d.sync += [loaded.eq(1), used.bit_select(turn, 1).eq(1)]
        for n, bank in enumerate(banks):
            with m.If(load & (turn == n)):
                m.d.sync += bank.eq(self.config.p)

        # One fork after the other.
        head, left = Signal(layout), Signal(self.max_n)
        fresh = Signal(init=1)
        due, rest = Signal(self.max_n), Signal(self.max_n)
        ready = Signal()
        m.d.comb += [
            head.eq(queue.r_data), due.eq(Mux(fresh, head.valid, left)), rest.eq(due & (due - 1)),
            ready.eq(queue.r_rdy & loaded), queue.r_en.eq(ready & advance & (rest == 0)),
        ]
        with m.If(ready & advance):
            m.d.sync += [left.eq(rest), fresh.eq(rest == 0)]
        with m.If(queue.r_en & head.last):
            m.d.sync += [loaded.eq(0), turn.eq(turn + 1)]

        m.submodules.finish = finish = EnableInserter(advance)(Finish())
        for n in reversed(range(self.max_n)):
            with m.If(due[n]):
                m.d.comb += finish.fork.eq(head.forks[n])
        m.submodules.reduce = reduce = EnableInserter(advance)(Reduce(self.rows))
        m.submodules.along = along = EnableInserter(advance)(Delay(Tag, Finish.LATENCY))
        m.d.comb += [
            along.i.valid.eq(ready & (due != 0)), along.i.last.eq(queue.r_en & head.last),
            along.i.error.eq(head.error), along.i.turn.eq(turn),
            reduce.hash.eq(finish.hash), reduce.i.eq(along.o), feature.eq(reduce.o),
            *(reduce.config[n].eq(bank) for n, bank in enumerate(banks)),
        ]
        with m.If(feature.last & advance):
            m.d.sync += used.bit_select(reduce.o_turn, 1).eq(0)
        return m


#: What goes along with a hash; ``turn``: whose configuration is used.
Tag = data.StructLayout({"turn": range(BANKS), "valid": 1, "last": 1, "error": TextError})


class Delay(wiring.Component):
    """``i``, ``cycles`` later."""

    def __init__(self, shape, cycles):
        self.cycles = cycles
        super().__init__({"i": In(shape), "o": Out(shape)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(delayed(m, Value.cast(self.i), self.cycles, "delay"))
        return m


class Reduce(wiring.Component):
    """The arithmetic of :class:`Columns`; nothing can stall it."""

    def __init__(self, rows):
        self.rows = rows
        super().__init__({
            "config": In(ColumnConfig).array(BANKS), "hash": In(32), "i": In(Tag),
            "o": Out(Feature(rows)), "o_turn": Out(range(BANKS))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.estimate = estimate = Multiplier(high=True)
        m.submodules.back = back = Multiplier()
        m.submodules.spread = spread = Multiplier(high=True)
        tag = self.i

        def pass_time(cycles, name):
            """What goes along, and its configuration, so many cycles later."""
            nonlocal tag
            for n in range(cycles):
                later = Signal(Tag, name=f"{name}_{n}")
                m.d.sync += later.eq(tag)
                tag = later
            config = Signal(ColumnConfig, name=f"{name}_config")
            m.d.comb += config.eq(Array(self.config)[tag.turn])
            return config

        magnitude, negative = Signal(32), Signal()
        m.d.sync += [magnitude.eq(abs(self.hash.as_signed())), negative.eq(self.hash[31])]
        config = pass_time(1, "estimate")
        m.d.comb += [estimate.a.eq(magnitude), estimate.b.eq(config.reciprocal)]
        config = pass_time(Multiplier.LATENCY, "back")
        m.d.comb += [back.a.eq(estimate.product), back.b.eq(config.features)]
        pass_time(Multiplier.LATENCY, "rest")
        rest, column = Signal(32), Signal(32)
        late = delayed(m, magnitude, 2 * Multiplier.LATENCY, "magnitude")
        m.d.sync += rest.eq(late - back.product)
        config = pass_time(1, "correct")
        m.d.sync += column.eq(Mux(rest >= config.features, rest - config.features, rest))
        config = pass_time(1, "spread")
        m.d.comb += [spread.a.eq(column), spread.b.eq(config.scale)]
        config = pass_time(Multiplier.LATENCY, "o")
        sign = delayed(m, negative, 3 * Multiplier.LATENCY + 2, "negative")
        m.d.comb += [
            self.o.column.eq(delayed(m, column, Multiplier.LATENCY, "column")),
            self.o.home.eq(spread.product), self.o.negative.eq(sign & config.alternate_sign),
            self.o.valid.eq(tag.valid), self.o.last.eq(tag.last), self.o.error.eq(tag.error),
            self.o_turn.eq(tag.turn),
        ]
        return m
