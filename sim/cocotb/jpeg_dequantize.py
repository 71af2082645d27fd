# SPDX-License-Identifier: Apache-2.0
"""Dequantizer against integers: magnitude, prediction, quantiser, and what is out of range."""

import random
from collections import deque

import cocotb
from cocotb.triggers import RisingEdge
from headrace.hw.jpeg.dequantize import ZIGZAG, Coefficient
from headrace.hw.jpeg.entropy import Token
from headrace.hw.jpeg.markers import QuantiserWrite
from streams import begin, pack


CONTEXTS = 2
LATENCY = 5
COEFFICIENT = Coefficient(CONTEXTS)


def extend(bits, size):
    """ITU-T T.81, figure F.12."""
    return bits if size == 0 or bits >> size - 1 else bits - (1 << size) + 1


def wrap(value, bits):
    return (value + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)


class Model:
    def __init__(self, quantisers, select):
        self.quantisers, self.select = quantisers, select
        self.predictions = {}

    def __call__(self, token, bits):
        """Value, and whether it is wrong."""
        where = token["context"], token["component"]
        value = extend(bits, token["size"])
        if token["dc"]:
            value += 0 if token["reset"] else self.predictions.get(where, 0)
            self.predictions[where] = wrap(value, 16)
        product = value * self.quantisers[token["context"]][self.select[where]][token["position"]]
        wrong = value != wrap(value, 16) or product != wrap(product, 13)
        return product, bool(wrong and token["coefficient"])


def block(context, component, reset, rng, large):
    """Symbols of a block, with their magnitude bits."""
    position = 0
    while True:
        dc = position == 0
        size = rng.randint(0, (11 if dc else 10) if large else 5)
        if not dc and rng.random() < 0.1:
            yield dict(context=context, component=component, size=0, position=position,
                       coefficient=0, dc=0, reset=reset, end=1), 0
            return
        bits = rng.choice([0, (1 << size) - 1, rng.getrandbits(size or 1) & (1 << size) - 1])
        zeros = not dc and size == 0
        yield dict(context=context, component=component, size=size, position=position,
                   coefficient=int(not zeros), dc=int(dc), reset=reset,
                   end=int(position == 63)), bits
        if position == 63:
            return
        position = min(position + 1 + rng.choice([0, 0, 1, 15]), 63)


def ramp():
    """Blocks whose DC grows beyond 16 bits."""
    token = dict(context=0, component=0, size=11, position=0, coefficient=1, dc=1, end=0)
    for n in range(40):
        yield dict(token, reset=int(n == 0)), 2047
        yield dict(token, reset=0, size=0, position=1, coefficient=0, dc=0, end=1), 0


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.5], large=[False, True])
async def coefficients_match(dut, stall, large):
    await begin(dut)
    rng = random.Random(f"{stall} {large}")
    quantisers = [[[rng.choice([1, 255, rng.randint(0, 255)]) if large else rng.randint(0, 40)
                    for _ in range(64)] for _ in range(4)] for _ in range(CONTEXTS)]
    select = {(c, k): rng.randrange(4) for c in range(CONTEXTS) for k in range(3)}
    if large:   # only the prediction can be out of range
        quantisers[0][select[0, 0]][0] = 0
    for context, tables in enumerate(quantisers):
        for table, values in enumerate(tables):
            for index, value in enumerate(values):
                dut.quantiser.value = pack(QuantiserWrite(CONTEXTS), context=context, table=table,
                                           index=index, value=value)
                dut.quantiser_valid.value = 1
                await RisingEdge(dut.clk)
    dut.quantiser_valid.value = 0
    for c in range(CONTEXTS):
        getattr(dut, f"select__{c}").value = sum(select[c, k] << 2 * k for k in range(3))
    model = Model(quantisers, select)

    # Symbols of the contexts in turns, block by block in each.
    streams = [deque(), deque()]
    for context in range(CONTEXTS):
        for n in range(60):
            streams[context].extend(block(context, rng.randrange(3), int(n < 6 or n % 20 == 0),
                                          rng, large))
    if large:
        streams[0].extend(ramp())
    flags = {True: 0, False: 0}
    expected = deque([None] * LATENCY)
    while any(streams) or any(expected):
        context = rng.choice([c for c in range(CONTEXTS) if streams[c]] or [None])
        if context is None or rng.random() < stall:
            dut.i_valid.value = 0
            expected.append(None)
        else:
            token, bits = streams[context].popleft()
            length = rng.randint(1, 9)
            window = rng.getrandbits(length) << 20 - length
            window |= bits << 20 - length - token["size"]
            window |= rng.getrandbits(20 - length - token["size"] or 1) \
                & (1 << 20 - length - token["size"]) - 1
            dut.i.value = pack(Token(CONTEXTS), window=window, length=length, **token)
            dut.i_valid.value = 1
            expected.append((token, *model(token, bits)))
        await RisingEdge(dut.clk)
        wanted = expected.popleft()
        overflow = int(dut.overflow.value)
        assert bool(dut.o_valid.value) == (wanted is not None)
        if wanted is None:
            assert overflow == 0
            continue
        token, value, wrong = wanted
        o = COEFFICIENT.from_bits(int(dut.o.value))
        assert (o.context, o.write, o.first, o.end) == (
            token["context"], token["coefficient"], token["dc"], token["end"])
        assert 8 * o.row + o.column == ZIGZAG[token["position"]]
        assert overflow == wrong << token["context"], (token, value)
        if token["coefficient"] and not wrong:
            assert o.value == value, (token, value, o.value)
        flags[wrong] += token["coefficient"]
    dut._log.info(f"{flags}")
    assert flags[False] > 100 and (flags[True] > 100 if large else not flags[True])
