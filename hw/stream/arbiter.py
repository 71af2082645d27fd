# SPDX-License-Identifier: Apache-2.0
"""Several streams of packets into one."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


__all__ = ["Arbiter"]


class Arbiter(wiring.Component):
    """Passes on whole packets, each input in turn.

    Latency is 0: ``o`` depends combinationally on ``i``, and ``i.ready`` on ``o.ready``. No
    cycle is lost between packets. An input that has a packet waits for at most one packet of
    every other.

    Parameters
    ----------
    shape : StructLayout
        Of the payload. The field ``last`` ends a packet.
    inputs : int
        From 2 on.

    Members
    -------
    i : :py:`In(stream.Signature(shape)).array(inputs)`
    o : :py:`Out(stream.Signature(shape))`
    owner : :py:`Out(range(inputs))`
        Where the payload at ``o`` comes from.

    Raises
    ------
    ValueError
        If there are fewer than two inputs.
    """

    def __init__(self, shape, inputs):
        if not isinstance(inputs, int) or inputs < 2:
            raise ValueError(f"Inputs must be two or more, not {inputs!r}")
        self.shape, self.inputs = shape, inputs
        super().__init__({
            "i": In(stream.Signature(shape)).array(inputs), "o": Out(stream.Signature(shape)),
            "owner": Out(range(inputs)),
        })
        self.bound = Signal()               # a packet was offered, and is not over
        self.latest = Signal(range(inputs))  # whose it is, or was

    def elaborate(self, platform):
        m = Module()
        n = self.inputs
        m.d.comb += self.owner.eq(self.latest)
        with m.If(~self.bound):
            with m.Switch(self.latest):
                for latest in range(n):
                    with m.Case(latest):
                        # Last assignment wins: the one behind the latest comes first.
                        for step in reversed(range(1, n + 1)):
                            with m.If(self.i[(latest + step) % n].valid):
                                m.d.comb += self.owner.eq((latest + step) % n)
        with m.Switch(self.owner):
            for number, i in enumerate(self.i):
                with m.Case(number):
                    m.d.comb += [
                        self.o.valid.eq(i.valid), self.o.payload.eq(i.payload),
                        i.ready.eq(self.o.ready),
                    ]
        with m.If(self.o.valid):
            m.d.sync += [
                self.bound.eq(~(self.o.ready & self.o.p.last)), self.latest.eq(self.owner)]
        return m
