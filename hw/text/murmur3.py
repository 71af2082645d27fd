# SPDX-License-Identifier: Apache-2.0
"""MurmurHash3_x86_32 in pieces: https://github.com/aappleby/smhasher."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .multiplier import Multiplier, delayed


__all__ = ["murmur3", "step", "Scrambler", "Finish", "Fork"]


C1, C2 = 0xcc9e2d51, 0x1b873593
STEP = 0xe6546b64
MIX_1, MIX_2 = 0x85ebca6b, 0xc2b2ae35

#: What finishes a hash: the state after the whole blocks, XOR the length in bytes; and the bytes
#: behind the last whole block, the first in the low ones, the others zero.
Fork = data.StructLayout({"state": 32, "tail": 24})


def murmur3(key):
    """Hash of ``key`` (bytes) with seed 0, unsigned."""
    def rotate(x, n):
        return (x << n | x >> (32 - n)) & 0xffffffff

    def scramble(k):
        return rotate(k * C1 & 0xffffffff, 15) * C2 & 0xffffffff

    h = 0
    whole = len(key) // 4 * 4
    for n in range(0, whole, 4):
        h ^= scramble(int.from_bytes(key[n:n + 4], "little"))
        h = (rotate(h, 13) * 5 + STEP) & 0xffffffff
    h ^= scramble(int.from_bytes(key[whole:], "little")) ^ len(key)
    h = (h ^ h >> 16) * MIX_1 & 0xffffffff
    h = (h ^ h >> 13) * MIX_2 & 0xffffffff
    return h ^ h >> 16


def step(state, k):
    """State after a block whose scrambled value is ``k``, in the low 32 bits of an expression."""
    mixed = (state ^ k)[:32].rotate_left(13)
    # Five times that and the constant, in one carry chain.
    shifted, constant = (mixed << 2)[:32], C(STEP, 32)
    carries = mixed & shifted | constant & (mixed | shifted)
    return (mixed ^ shifted ^ constant) + (carries << 1)


class Scrambler(wiring.Component):
    """What a block adds to the state. Latency is :attr:`LATENCY` cycles; nothing can stall it.

    Members
    -------
    block : :py:`In(32)`
        Four bytes, the first in the low ones.
    k : :py:`Out(32)`
    """

    LATENCY = 2 * Multiplier.LATENCY

    block: In(32)
    k: Out(32)

    def elaborate(self, platform):
        m = Module()
        m.submodules.first = first = Multiplier(factor=C1)
        m.submodules.second = second = Multiplier(factor=C2)
        m.d.comb += [
            first.a.eq(self.block), second.a.eq(first.product.rotate_left(15)),
            self.k.eq(second.product),
        ]
        return m


class Finish(wiring.Component):
    """Hashes from forks. Latency is :attr:`LATENCY` cycles; nothing can stall it.

    Members
    -------
    fork : :py:`In(Fork)`
    hash : :py:`Out(32)`
    """

    LATENCY = Scrambler.LATENCY + 2 * Multiplier.LATENCY + 2

    fork: In(Fork)
    hash: Out(32)

    def elaborate(self, platform):
        m = Module()
        m.submodules.tail = tail = Scrambler()
        m.submodules.first = first = Multiplier(factor=MIX_1)
        m.submodules.second = second = Multiplier(factor=MIX_2)
        state = delayed(m, self.fork.state, Scrambler.LATENCY, "state")
        h = Signal(32)
        m.d.comb += tail.block.eq(self.fork.tail)
        m.d.sync += h.eq(state ^ tail.k)
        m.d.comb += [
            first.a.eq(h ^ (h >> 16)), second.a.eq(first.product ^ (first.product >> 13))]
        m.d.sync += self.hash.eq(second.product ^ (second.product >> 16))
        return m
