# SPDX-License-Identifier: Apache-2.0
"""RoCEv2's invariant CRC over frames, a beat a cycle."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from . import crc
from .headers import ETHERNET, MASKED


__all__ = ["Covered", "IcrcFold", "IcrcCheck", "IcrcFinish"]


def marked(size):
    """Beats, from the first on, that hold fields which the CRC takes as ones."""
    return MASKED[-1] // size + 1


def Covered(width):
    """A beat of a frame; the CRC covers bytes up to ``count``. ``index`` may stop at 7."""
    return data.StructLayout({
        "data": width, "count": range(width // 8 + 1), "index": 3, "first": 1})


class IcrcFold(wiring.Component):
    """State of the CRC behind each beat, in the coordinates of :class:`.crc.Fold`.

    The Ethernet header and what follows the last covered byte enter as zeros, fields that may
    change on the way as ones. Three stages without feedback, then one XOR of feedback: latency 4
    cycles, 1 beat per cycle.

    Parameters
    ----------
    width : int
        Bits of a beat.

    Members
    -------
    enable : :py:`In(1)`
        Everything stands still without it.
    valid, i : :py:`In(...)`
        A beat of which bytes are covered.
    o_valid, state, count : :py:`Out(...)`
        The beat with ``count`` covered bytes has passed.
    """

    LATENCY = 4

    def __init__(self, width):
        self.width = width
        self.fold = crc.Fold(width // 8)
        super().__init__({
            "enable": In(1), "valid": In(1), "i": In(Covered(width)),
            "o_valid": Out(1), "state": Out(32), "count": Out(range(width // 8 + 1))})

    def mask(self, m):
        """Stage 1: zeros and ones."""
        i, size = self.i, self.width // 8
        masked = Signal(self.width)
        for byte in range(size):
            here = masked[8 * byte:8 * byte + 8]
            with m.If(i.count > byte):
                m.d.comb += here.eq(i.data[8 * byte:8 * byte + 8])
            for index in range(marked(size)):
                position = index * size + byte
                with m.If(i.index == index):
                    if position < ETHERNET.size:
                        m.d.comb += here.eq(0)
                    elif position in MASKED:
                        m.d.comb += here.eq(0xff)
        return masked

    def elaborate(self, platform):
        m = Module()
        columns = self.fold.data
        masked = Signal(self.width)
        lanes = self.width // 64
        partial = [Signal(32, name=f"partial_{lane}") for lane in range(lanes)]
        beat = Signal(32)
        count = [Signal.like(self.count, name=f"count_{n}") for n in range(3)]
        valid, first = Signal(3), Signal(3)
        shifted = Signal(32)
        m.d.comb += shifted.eq(
            Mux(first[2], 0, (self.state << 1)[:32] ^ (self.state[31].replicate(32)
                                                       & self.fold.feedback)))
        with m.If(self.enable):
            m.d.sync += [
                masked.eq(self.mask(m)),
                Cat(count).eq(Cat(self.i.count, count)),
                valid.eq(Cat(self.valid, valid)), first.eq(Cat(self.i.first, first)),
                self.o_valid.eq(valid[2]), self.count.eq(count[2]),
            ]
            for lane, sums in enumerate(partial):
                for bit in range(32):
                    taps = sum((columns[64 * lane + n] >> bit & 1) << n for n in range(64))
                    m.d.sync += sums[bit].eq(
                        (masked[64 * lane:64 * lane + 64] & taps).xor())
            total = partial[0]
            for sums in partial[1:]:
                total = total ^ sums
            # A frame's first state is a constant: it goes in with the data.
            start = self.fold.compute(self.fold.start(ETHERNET.size), bytes(self.width // 8))
            m.d.sync += beat.eq(total ^ Mux(first[1], start, 0))
            with m.If(valid[2]):
                m.d.sync += self.state.eq(shifted ^ beat)
        return m


class IcrcCheck(wiring.Component):
    """Tells whether a frame's CRC is right, 5 cycles behind its last covered beat.

    Parameters
    ----------
    width : int
        Bits of a beat.

    Members
    -------
    valid, i : :py:`In(...)`
        A beat of which bytes are covered, the CRC itself included.
    good : :py:`Out(1)`
        Right so far. Packets whose CRC does not end 2 bytes behind a multiple of 4 are not.
    """

    LATENCY = IcrcFold.LATENCY + 1

    def __init__(self, width):
        self.width = width
        super().__init__({"valid": In(1), "i": In(Covered(width)), "good": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.fold = fold = IcrcFold(self.width)
        m.d.comb += [fold.enable.eq(1), fold.valid.eq(self.valid), fold.i.eq(self.i)]
        right = Signal(32)
        with m.Switch(fold.count):
            for count in range(2, self.width // 8 + 1, 4):
                with m.Case(count):
                    m.d.comb += right.eq(fold.fold.end(count))
        with m.If(fold.o_valid):
            m.d.sync += self.good.eq((fold.state == right) & (fold.count[:2] == 2))
        return m


class IcrcFinish(wiring.Component):
    """The CRC itself, from the state behind the last beat.

    Zeros that followed the last covered byte are taken back: two of them always, then four at a
    time in stages of 1, 2, 4… times four, a stage a cycle.

    Parameters
    ----------
    width : int
        Bits of a beat.

    Attributes
    ----------
    latency : int
        Cycles, enabled ones.

    Members
    -------
    enable : :py:`In(1)`
    state, count : :py:`In(...)`
        Of :class:`IcrcFold`; ``count`` is 2 behind a multiple of 4.
    crc : :py:`Out(32)`
        As it is sent, the low byte first.
    """

    def __init__(self, width):
        self.width = width
        self.stages = (width // 32 - 1).bit_length()
        self.latency = 1 + self.stages
        super().__init__({
            "enable": In(1), "state": In(32), "count": In(range(width // 8 + 1)),
            "crc": Out(32)})

    def elaborate(self, platform):
        m = Module()
        fold = crc.Fold(self.width // 8)

        def times(matrix, vector):
            return Cat(*((vector & sum((column >> bit & 1) << n
                                       for n, column in enumerate(matrix))).xor()
                         for bit in range(32)))

        state, steps = Signal(32), Signal(max(1, self.stages))
        with m.If(self.enable):
            m.d.sync += [
                state.eq(times(crc.product(crc.advance(-2), fold.basis), self.state)),
                steps.eq(~self.count[2:]),
            ]
        for stage in range(self.stages):
            taken, rest = Signal(32, name=f"state_{stage}"), Signal.like(steps)
            with m.If(self.enable):
                m.d.sync += [
                    taken.eq(Mux(steps[stage], times(crc.advance(-4 << stage), state), state)),
                    rest.eq(steps),
                ]
            state, steps = taken, rest
        m.d.comb += self.crc.eq(~state)
        return m
