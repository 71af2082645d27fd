# SPDX-License-Identifier: Apache-2.0
"""Several streams of packets into one."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


__all__ = ["Arbiter"]


class Arbiter(wiring.Component):
    """Passes on whole packets, each input in turn.

    Latency is 0: ``o`` depends combinationally on ``i``, and ``i.ready`` on ``o.ready``; but whose
    turn it is comes from registers. No cycle is lost between packets of inputs that wait; one that
    was not waiting begins a cycle late, unless it had the last packet, too. An input that has a
    packet waits for at most one packet of every other.

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
        self.within = Signal()      # a packet was begun, and is not over

    def elaborate(self, platform):
        m = Module()
        n = self.inputs
        over = Signal()
        m.d.comb += over.eq(Mux(self.o.valid, self.o.ready & self.o.p.last, ~self.within))
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.within.eq(~self.o.p.last)
        with m.Switch(self.owner):
            for number, i in enumerate(self.i):
                with m.Case(number):
                    m.d.comb += [
                        self.o.valid.eq(i.valid), self.o.payload.eq(i.payload),
                        i.ready.eq(self.o.ready),
                    ]
                    with m.If(over):
                        # Last assignment wins: the one behind comes first.
                        for step in reversed(range(1, n)):
                            with m.If(self.i[(number + step) % n].valid):
                                m.d.sync += self.owner.eq((number + step) % n)
        return m
