# SPDX-License-Identifier: Apache-2.0
"""CRC-32 as linear algebra over GF(2): the constants of the parallel circuits.

A state is an int of 32 bits, as in ``zlib.crc32`` before its final complement. A *matrix* is a
list of columns, ints again: the image of each unit vector.
"""

import functools


__all__ = ["POLYNOMIAL", "INIT", "RESIDUE", "apply", "product", "inverse", "power", "advance",
           "Fold"]


#: CRC-32 of IEEE 802.3, least significant bit first.
POLYNOMIAL = 0xEDB88320

#: State behind the eight bytes of ones that stand for InfiniBand's routing header.
INIT = 0xFFFFFFFF

#: State behind a message and its own CRC, whatever the message.
RESIDUE = 0xDEBB20E3


def apply(matrix, vector):
    """Matrix times vector."""
    result = 0
    for n, column in enumerate(matrix):
        if vector >> n & 1:
            result ^= column
    return result


def product(a, b):
    """Matrix times matrix."""
    return [apply(a, column) for column in b]


def inverse(matrix):
    """Inverse of a square matrix.

    Raises
    ------
    ValueError
        If there is none.
    """
    n = len(matrix)
    rows = [(matrix[k], 1 << k) for k in range(n)]  # columns, and what they are combined of
    for pivot in range(n):
        for k in range(pivot, n):
            if rows[k][0] >> pivot & 1:
                break
        else:
            raise ValueError("Matrix must be regular")
        rows[pivot], rows[k] = rows[k], rows[pivot]
        for k in range(n):
            if k != pivot and rows[k][0] >> pivot & 1:
                rows[k] = rows[k][0] ^ rows[pivot][0], rows[k][1] ^ rows[pivot][1]
    return [combination for _, combination in rows]


def power(matrix, exponent):
    """Matrix to the power of an int from 0 on."""
    result = [1 << n for n in range(len(matrix))]
    while exponent:
        if exponent & 1:
            result = product(result, matrix)
        matrix = product(matrix, matrix)
        exponent >>= 1
    return result


def step(state):
    """State behind a bit of zero."""
    return state >> 1 ^ (POLYNOMIAL if state & 1 else 0)


@functools.cache
def advance(count):
    """Matrix that takes a state past ``count`` bytes of zero, backwards if negative."""
    bit = [step(1 << n) for n in range(32)]
    return power(bit if count >= 0 else inverse(bit), 8 * abs(count))


class Fold:
    """A beat of ``size`` bytes at a time, in coordinates whose feedback is one XOR deep.

    With F the matrix that takes a state past a beat of zeros, and b any state whose images under
    powers of F span the space, the columns b, Fb, F²b… are such coordinates: in them F only moves
    bit n to n + 1, and feeds bit 31 back (Derby, 2001). So a state u of the circuit becomes
    ``(u << 1) ^ (feedback if bit 31) ^ data``, and all else can be pipelined.

    Parameters
    ----------
    size : int
        Bytes of a beat.

    Attributes
    ----------
    basis, coordinates : list of int
        Matrix from coordinates to states, and its inverse.
    feedback : int
    data : list of int
        Matrix from the bits of a beat, the first byte lowest, to coordinates.
    """

    def __init__(self, size):
        self.size = size
        past = advance(size)
        # The bits of byte k enter like a state that then passes k + 1 bytes fewer.
        data = [apply(advance(size - n // 8), 1 << n % 8) for n in range(8 * size)]
        best = None
        for n in range(32):
            basis = [1 << n]
            for _ in range(31):
                basis.append(apply(past, basis[-1]))
            try:
                coordinates = inverse(basis)
            except ValueError:
                continue
            inputs = product(coordinates, data)
            weight = sum(bin(column).count("1") for column in inputs)
            if best is None or weight < best[0]:
                best = weight, basis, coordinates, inputs
        _, self.basis, self.coordinates, self.data = best
        self.feedback = apply(product(self.coordinates, past), self.basis[31])

    def start(self, skipped):
        """Coordinates to begin with if the first ``skipped`` bytes, all zero, do not count."""
        eight = INIT
        for _ in range(8):
            eight = apply(advance(1), eight ^ 0xff)
        return apply(self.coordinates, apply(advance(-skipped), eight))

    def end(self, count):
        """Coordinates behind a good message whose last beat has ``count`` bytes, then zeros."""
        return apply(self.coordinates, apply(advance(self.size - count), RESIDUE))

    def compute(self, state, beat):
        """Coordinates behind a beat of bytes, in software."""
        state = (state << 1 & 0xffffffff) ^ (self.feedback if state >> 31 else 0)
        return state ^ apply(self.data, int.from_bytes(beat, "little"))
