# SPDX-License-Identifier: Apache-2.0
"""EntropyDecoder with the tables of HuffmanBuilder: symbols in, the same symbols out."""

import os
import random
from collections import deque

import cocotb
from cocotb.triggers import RisingEdge
from headrace.hw.jpeg.entropy import ScanConfig, Token
from headrace.hw.jpeg.unstuff import Chunk
from headrace.hw.status import Detail
from jpeg_huffman import codes
from streams import Source, begin, pack


CONTEXTS = int(os.environ.get("HEADRACE_CONTEXTS", "1"))
TOKEN = Token(CONTEXTS)


def counts_for(symbols, rng):
    """Code lengths of a random tree, often a deep one."""
    leaves = [0]
    while len(leaves) <= symbols:
        leaves.sort()
        shallow = [n for n, depth in enumerate(leaves) if depth < 16]
        at = shallow[-1] if rng.random() < 0.3 else rng.choice(shallow)
        leaves[at:at + 1] = [leaves[at] + 1] * 2
    leaves.remove(max(leaves))   # all ones
    return [leaves.count(length) for length in range(1, 17)]


class Table:
    def __init__(self, symbols, rng):
        self.symbols = symbols
        self.counts = counts_for(len(symbols), rng)
        self.codes = dict(zip(symbols, codes(self.counts)))


class Scan:
    """Random symbols of a scan, coded; what must come out, and how it ends."""

    def __init__(self, tables, context, rng, error=None):
        self.color = rng.randrange(2)
        self.luma = rng.choice([1, 2, 4]) if self.color else 1
        self.dc, self.ac = (rng.randrange(8) for _ in range(2))
        self.mcus = rng.randint(3, 8)
        self.interval = rng.choice([0, 1, 2])
        self.tokens, self.segments = [], []
        self.error, self.context = error, context
        self.wrong = rng.randrange(1, self.mcus) if error else None
        bits = ""
        for mcu in range(self.mcus):
            first = mcu == 0 or bool(self.interval) and mcu % self.interval == 0
            if first and mcu:
                self.segments.append(bits)
                bits = ""
            for component in [0] * self.luma + [1, 2] * self.color:
                reset = first and (component > 0 or len(bits) == 0)
                bits += self.block(component, int(reset), tables, rng)
            if mcu == self.wrong:
                if self.interval and (mcu + 1) % self.interval == 0:
                    self.segments.append(bits)
                    bits = ""
                if error == Detail.CODE:
                    bits += "1" * 16
                elif error == Detail.RUN:
                    bits += self.overrun(tables, rng)
                break   # Detail.BITS: nothing more comes
        self.segments.append(bits)

    def put(self, table, symbol, rng, **fields):
        """A symbol with random magnitude bits."""
        length, code = table.codes[symbol]
        size = symbol & 15
        magnitude = rng.getrandbits(size) if size else 0
        here = length - 9 if length > 9 else length
        window = (code & (1 << here) - 1) << size | magnitude
        self.tokens.append(dict(window=window, length=here, size=size, **fields))
        return f"{code:0{length}b}" + (f"{magnitude:0{size}b}" if size else "")

    def block(self, component, reset, tables, rng):
        dc = tables[self.context, 0, self.dc >> component & 1]
        ac = tables[self.context, 1, self.ac >> component & 1]
        bits = self.put(dc, rng.choice(dc.symbols), rng, component=component, reset=reset,
                        dc=1, coefficient=1, position=0, end=0)
        position = 1
        while position < 64:
            symbol = rng.choice(ac.symbols)
            if rng.random() < 0.1 or position + (symbol >> 4) > 63:
                symbol = 0
            ended = symbol == 0
            position += symbol >> 4
            bits += self.put(
                ac, symbol, rng, component=component, reset=reset, dc=0,
                coefficient=int(symbol & 15 != 0), position=position,
                end=int(ended or position == 63))
            position = 64 if ended else position + 1
        return bits

    def overrun(self, tables, rng):
        """The luma block after next runs past its end: four ZRL, then a run."""
        before = len(self.tokens)
        dc, ac = tables[self.context, 0, self.dc & 1], tables[self.context, 1, self.ac & 1]
        first = bool(self.interval) and (self.wrong + 1) % self.interval == 0
        fields = dict(component=0, reset=int(first), coefficient=0, end=0)
        bits = self.put(dc, dc.symbols[0], rng, **{**fields, "coefficient": 1}, dc=1, position=0)
        for n in range(4):
            if n < 3:
                bits += self.put(ac, 0xf0, rng, **fields, dc=0, position=16 * n + 16)
            else:
                length, code = ac.codes[0xf0]
                bits += f"{code:0{length}b}"   # position 49 + 15 is 64
        assert len(self.tokens) == before + 4
        return bits + "0" * 32

    def chunks(self, segment):
        bits = self.segments[segment]
        bits += "1" * (-len(bits) % 8)
        result = []
        for n in range(0, len(bits), 16):
            part = bits[n:n + 16]
            result.append(pack(Chunk, bits=int(part.ljust(16, "0"), 2), half=len(part) == 8))
        return result


class Context:
    """What a sequencer and an unstuffer do for a scan."""

    def __init__(self, dut, number, scans, rng, stall):
        self.dut, self.number, self.rng, self.stall = dut, number, rng, stall
        self.source = Source(dut, f"i__{number}", stall=stall)
        self.scans = deque(scans)
        self.scan = self.outcome = None
        self.credit = 0
        self.waited = 0

    def begin(self):
        scan = self.scan = self.scans.popleft()
        self.tokens = deque(scan.tokens)
        self.mcu = self.segment = 0
        self.source.queue.extend(scan.chunks(0))
        getattr(self.dut, f"config__{self.number}").value = pack(
            ScanConfig, luma=scan.luma, color=scan.color, dc=scan.dc, ac=scan.ac)
        self.outcome = None
        self.starting, self.restarting = True, False

    def token(self, token):
        wanted = self.tokens.popleft()
        bits = wanted["length"] + wanted["size"]
        assert token.window >> 20 - bits == wanted["window"], (wanted, token)
        for name in ("length", "size", "component", "reset", "dc", "coefficient", "end"):
            assert token[name] == wanted[name], (name, wanted, token)
        if wanted["coefficient"]:
            assert token.position == wanted["position"], (wanted, token)

    def cycle(self, active, waiting, stray, done, finished, error, detail, take):
        """Inputs for the next cycle: bits of start, restart, last_mcu and so on."""
        self.credit -= take
        assert self.credit >= 0, "a block was taken that was not free"
        if self.credit < 2 and self.rng.random() >= self.stall:
            self.credit += 1
        if self.scan is None:
            if self.scans and not active:
                self.begin()
            else:
                return dict(credit=int(self.credit > 0))
        scan = self.scan
        self.mcu += done
        if active:
            self.starting = False
        if self.restarting and not waiting:
            self.restarting = False
        if waiting and not self.restarting:
            assert not stray, "bits were left over"
            self.restarting = True
            self.segment += 1
            self.source.queue.extend(scan.chunks(self.segment))
        if finished or error:
            wanted = {None: [None], Detail.BITS: [Detail.BITS, Detail.CODE]}.get(
                scan.error, [scan.error])   # padding may look like no code
            assert (detail if error else None) in wanted, (scan.error, detail)
            assert not self.tokens or error
            self.outcome = True
        if self.outcome and not active:
            # The last symbol may still be on its way out.
            self.waited += 1
            if self.waited > 4 * CONTEXTS + 4:
                assert not self.tokens, f"{len(self.tokens)} symbols are missing"
                assert scan.error or self.mcu == scan.mcus
                self.source.drop()
                self.scan, self.waited = None, 0
        total = scan.mcus + 5 if scan.error else scan.mcus
        return dict(
            start=self.starting, restart=self.restarting, credit=int(self.credit > 0),
            last_mcu=self.mcu == total - 1,
            last_of_interval=bool(scan.interval) and self.mcu % scan.interval
            == scan.interval - 1,
            segment_end=self.source.idle and not self.starting)


async def build(dut, source, key, table):
    context, ac, number = key
    dut.context.value, dut.ac.value, dut.number.value = context, ac, number
    dut.table_start.value = 1
    await RisingEdge(dut.clk)
    dut.table_start.value = 0
    source.queue.extend(bytes(table.counts + table.symbols))
    await RisingEdge(dut.clk)
    while True:
        await RisingEdge(dut.clk)
        if not dut.busy.value:
            break
    assert not dut.bad.value


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.5])
async def symbols_match(dut, stall):
    """Scans of all contexts at a time, good ones and broken ones."""
    await begin(dut)
    rng = random.Random(int(10 * stall))
    dut.kill.value = 0
    source, tables = Source(dut, "i_table"), {}
    for context in range(CONTEXTS):
        for ac in range(2):
            for number in range(2):
                symbols = [run << 4 | size for run in range(16) for size in range(1, 11)]
                symbols = [0x00, 0xf0, *rng.sample(symbols, 60)] if ac else list(range(12))
                rng.shuffle(symbols)
                tables[context, ac, number] = table = Table(symbols, rng)
                await build(dut, source, (context, ac, number), table)
    errors = [None, Detail.BITS, None, Detail.CODE, Detail.RUN, None, Detail.CODE, None]
    contexts = [Context(dut, c, [Scan(tables, c, rng, error) for error in errors], rng, stall)
                for c in range(CONTEXTS)]
    for _ in range(60000):
        await RisingEdge(dut.clk)
        if dut.o_valid.value:
            token = TOKEN.from_bits(int(dut.o.value))
            contexts[token.context].token(token)
        levels = [int(getattr(dut, name).value) for name in (
            "active", "waiting", "stray", "mcu_done", "finished", "error")]
        detail, take = int(dut.error_detail.value), int(dut.take.value)
        inputs = dict.fromkeys(("start", "restart", "credit", "last_mcu", "last_of_interval",
                                "segment_end"), 0)
        for c, context in enumerate(contexts):
            bits = context.cycle(*(level >> c & 1 for level in levels), detail, take >> c & 1)
            for name, bit in bits.items():
                inputs[name] |= bool(bit) << c
        for name, value in inputs.items():
            getattr(dut, name).value = value
        if all(context.scan is None and not context.scans for context in contexts):
            break
    else:
        raise AssertionError(f"stuck: {[vars(c) for c in contexts]}")
