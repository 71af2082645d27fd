# SPDX-License-Identifier: Apache-2.0
"""Rows of pixels that can be written and read by row or by column, a word at a time."""

from amaranth import *
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out


__all__ = ["TileBuffer"]


class TileBuffer(wiring.Component):
    """Ring of rows for each context of a group, in as many banks as a word has pixels.

    With ``n`` of them, pixel ``(y, x)`` lies in bank ``(x + y) % n``, so that ``n`` neighbours in a
    row and ``n`` neighbours in a column are in different banks, at address
    ``((y << shift) + x // n) % 2 ** bits`` of its context. The ring thus holds
    ``2 ** (bits - shift)`` rows of up to ``2 ** shift`` words.

    A word is written 3 cycles after ``write_valid`` and read 3 cycles after ``read``; pixels come
    :attr:`LATENCY` cycles after ``read``. One write and one read every cycle.

    Parameters
    ----------
    geometry : Geometry
        Widths of addresses.
    bits : int
        Address bits of a context. Contexts of other groups are taken for one of this group.

    Members
    -------
    write : :py:`In(geometry.place)`
        Where ``write_data`` goes, if ``write_valid``.
    write_data : :py:`In(ArrayLayout(24, pixels))`
    write_valid : :py:`In(1)`
    read : :py:`In(geometry.place)`
        What to read, if ``read_valid``.
    read_valid : :py:`In(1)`
    read_data : :py:`Out(ArrayLayout(24, pixels))`
    """

    #: Cycles from ``read`` to ``read_data``.
    LATENCY = 6

    def __init__(self, geometry, bits):
        self.geometry = geometry
        self.bits = bits
        self.depth = -(-geometry.contexts // geometry.groups) << bits
        word = data.ArrayLayout(24, geometry.pixels)
        super().__init__({
            "write": In(geometry.place), "write_data": In(word), "write_valid": In(1),
            "read": In(geometry.place), "read_valid": In(1), "read_data": Out(word),
        })

    def _addresses(self, m, place, name):
        """Addresses of all banks 2 cycles after ``place``, and the rotation 1 cycle after it."""
        bits, low = self.bits, self.geometry.column
        base = Signal(bits, name=f"{name}_base")
        column = Signal(self.geometry.word, name=f"{name}_column")
        shift = Signal.like(place.shift, name=f"{name}_shift")
        context = Signal.like(place.context, name=f"{name}_context")
        rotation = Signal(low, name=f"{name}_rotation")
        m.d.sync += [
            base.eq(Cat(C(0, low), place.y[low:]) << place.shift),
            column.eq(place.x[low:]),
            shift.eq(place.shift),
            context.eq(place.context >> (self.geometry.groups - 1)),
            rotation.eq(Mux(place.vertical, place.x[:low], place.y[:low])),
        ]
        addresses = []
        for bank in range(self.geometry.pixels):
            line = Signal(low, name=f"{name}_line_{bank}")
            address = Signal(range(self.depth), name=f"{name}_{bank}")
            m.d.sync += [
                line.eq(Mux(place.vertical, bank - place.x[:low], place.y[:low])),
                # The parts have no bits in common.
                address.eq(Cat((base | (line << shift) | column)[:bits], context)),
            ]
            addresses.append(address)
        return addresses, rotation

    def elaborate(self, platform):
        m = Module()
        write_addresses, write_rotation = self._addresses(m, self.write, "write")
        read_addresses, read_rotation = self._addresses(m, self.read, "read")

        # Pixels need no reset: here and below, what is valid is told apart from them.
        data_1, data_2, fetched, coarse, fine = (
            Signal(self.write_data.shape(), name=name, reset_less=True)
            for name in ("data_1", "data_2", "fetched", "coarse", "fine"))
        valid_1 = Signal()
        valid_2 = Signal()
        m.d.sync += [valid_1.eq(self.write_valid), valid_2.eq(valid_1)]
        with m.If(self.write_valid):
            m.d.sync += data_1.eq(self.write_data)
        with m.If(valid_1):
            m.d.sync += data_2.eq(_rotate_right(data_1, write_rotation))
        # What is read is valid in each of the stages.
        reads = Signal(self.LATENCY - 1)
        m.d.sync += reads.eq(Cat(self.read_valid, reads))

        for bank in range(self.geometry.pixels):
            # Rows that are read are complete.
            mem = memory.Memory(shape=24, depth=self.depth, init=[], attrs={"no_rw_check": 1})
            m.submodules[f"bank_{bank}"] = mem
            write = mem.write_port()
            read = mem.read_port()
            m.d.comb += [
                write.addr.eq(write_addresses[bank]),
                write.data.eq(data_2[bank]),
                write.en.eq(valid_2),
                read.addr.eq(read_addresses[bank]),
                read.en.eq(reads[1]),
            ]
            # The memory's output register, which some FPGAs have in the block RAM itself.
            with m.If(reads[2]):
                m.d.sync += fetched[bank].eq(read.data)

        # The rotation runs along with the words: one cycle behind `read` already.
        rotations = [read_rotation]
        for stage in range(3):
            rotation = Signal.like(read_rotation, name=f"rotation_{stage}")
            m.d.sync += rotation.eq(rotations[-1])
            rotations.append(rotation)
        rest = Signal(2)
        m.d.sync += rest.eq(rotations[-1][:2])
        with m.If(reads[3]):
            m.d.sync += coarse.eq(_rotate_left(fetched, Cat(C(0, 2), rotations[-1][2:])))
        with m.If(reads[4]):
            m.d.sync += fine.eq(_rotate_left(coarse, rest))
        m.d.comb += self.read_data.eq(fine)
        return m


def _rotate_left(word, amount):
    return _rotate(Value.cast(word), amount, lambda b, k: b.rotate_right(24 * k))


def _rotate_right(word, amount):
    return _rotate(Value.cast(word), amount, lambda b, k: b.rotate_left(24 * k))


def _rotate(bits, amount, rotate):
    """Barrel rotation in pixels, one multiplexer a bit of the amount."""
    for k in range(len(amount)):
        bits = Mux(amount[k], rotate(bits, 1 << k), bits)
    return bits
