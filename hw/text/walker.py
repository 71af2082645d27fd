# SPDX-License-Identifier: Apache-2.0
"""Words to tokens, along a trie."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .units import word_of


__all__ = ["Task", "Walker"]


def Task(geometry):
    """Word number ``slot``, its ``length`` symbols from ``at`` in the ring."""
    return data.StructLayout({
        "slot": geometry.slot_bits, "at": geometry.ring_bits, "length": geometry.ring_bits - 1})


class Walker(wiring.Component):
    """Greedy longest match of words along a trie in a double array, 8 words at a time.

    The next address depends on the node that was read, and there are 8 registers on this way
    round. So 8 words take turns: the state of each goes round with it, and every cycle one of them
    makes a step. A word that is finished gives its place to the next in the same cycle.

    From the root, a word goes down the trie as far as it can, remembering the last token on the
    way; what follows that token goes on from the other root (rewind). With the failure links of
    LinMaxMatch (Song et al., 2021) no symbol would be read twice, whatever the text. On real text
    that saves no steps, and a node would take half as many bits again; here a word of ``n``
    symbols takes at most ``n`` times as many steps as the longest token has symbols.

    Throughput is 1 step per cycle while 8 words are there.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    start, continued : :py:`In(geometry.node_bits)`
        Base of the root for the start of a word, and of that for the rest.
    i : :py:`In(stream.Signature(Task(geometry)))`
        Words whose symbols have been written.
    address, symbol, write : :py:`In(...)`
        Strobe ``write``: ``symbol`` goes to ``address`` of the ring.
    node_address : :py:`Out(geometry.node_bits)`
    node : :py:`In(...)`
        What is there, see :attr:`.vocabulary.Geometry.node`, 1 cycle later.
    done, slot, at, known : :py:`Out(...)`
        Strobe ``done``: the tokens of word ``slot`` lie in the ring of tokens, from the address
        that its symbols have in theirs up to, not including, ``at``. ``known`` is 0 if the
        vocabulary cannot spell the word: then there are none.
    read_address, read : :py:`In(...)`
        Address in the ring of tokens, taken if ``read``.
    token : :py:`Out(geometry.token_bits)`
        What is there, 1 cycle later, until the next ``read``.
    """

    CONTEXTS = 8

    def __init__(self, geometry):
        self.geometry = geometry
        ring, token, node = geometry.ring_bits, geometry.token_bits, geometry.node_bits
        super().__init__({
            "start": In(node), "continued": In(node),
            "i": In(stream.Signature(Task(geometry))),
            "address": In(ring), "symbol": In(geometry.symbol_bits), "write": In(1),
            "node_address": Out(node), "node": In(sum(geometry.node.values())),
            "done": Out(1), "slot": Out(geometry.slot_bits), "at": Out(ring), "known": Out(1),
            "read_address": In(ring), "read": In(1), "token": Out(token),
        })

    @property
    def state(self):
        """Layout of a word under way.

        ``stop`` is where its symbols end, of which ``left`` are left, and ``best_left`` are behind
        ``token``, the longest found from here, if it is ``found``. ``put`` is where that goes.
        """
        g = self.geometry
        return data.StructLayout({
            "active": 1, "slot": g.slot_bits, "stop": g.ring_bits, "left": g.ring_bits - 1,
            "base": g.node_bits, "put": g.ring_bits, "found": 1, "token": g.token_bits,
            "best_left": g.ring_bits - 1})

    @staticmethod
    def compute(geometry, nodes, start, continued, word):
        """Tokens of ``word``, a list of symbols; None if the vocabulary cannot spell it.

        Returns
        -------
        (list of int or None, int)
            The tokens, and how many steps it took.
        """
        tokens, at, steps, base = [], 0, 0, start
        while at < len(word):
            best = None
            for n in range(at, len(word)):
                steps += 1
                node = geometry.unpack(geometry.node, nodes[base + word[n]])
                if node["check"] != word[n]:
                    break
                if node["final"]:
                    best = n + 1, int(node["token"])
                base = int(node["base"])
                if not base:
                    break
            if best is None:
                return None, steps
            at, token = best
            tokens.append(token)
            base = continued
        return tokens, steps

    def elaborate(self, platform):
        m = Module()
        stages = [Signal(self.state, name=f"state_{n}") for n in range(self.CONTEXTS)]
        m.d.sync += [after.eq(before) for before, after in zip(stages, stages[1:])]

        # 0, 1: the symbol.
        m.submodules.symbols = symbols = memory.Memory(
            shape=self.geometry.symbol_bits, depth=1 << self.geometry.ring_bits, init=[])
        write, read = symbols.write_port(), symbols.read_port()
        fetched = [Signal(self.geometry.symbol_bits, name=f"symbol_{n}") for n in range(2, 6)]
        m.d.comb += [
            write.addr.eq(self.address), write.data.eq(self.symbol), write.en.eq(self.write),
            read.addr.eq(stages[0].stop - stages[0].left),
        ]
        m.d.sync += [fetched[0].eq(read.data)]
        m.d.sync += [after.eq(before) for before, after in zip(fetched, fetched[1:])]

        # 2: the address of the node; 3, 4: the node.
        node = word_of(self.geometry.node, Signal(sum(self.geometry.node.values()), name="node_5"))
        m.d.sync += [self.node_address.eq(stages[2].base + fetched[0]),
                     node.as_value().eq(self.node)]

        # 5: whether it goes on.
        hit, final = Signal(), Signal()
        end = Signal()
        m.d.comb += [hit.eq(node.check == fetched[3]), final.eq(hit & node.final)]
        state = stages[6]
        m.d.sync += [end.eq(~hit | (node.base == 0) | (stages[5].left == 1)),
                     state.left.eq(stages[5].left - 1), state.base.eq(node.base)]
        with m.If(final):
            m.d.sync += [state.found.eq(1), state.token.eq(node.token),
                         state.best_left.eq(stages[5].left - 1)]

        # 6: what comes then.
        finished, put = Signal(), Signal()
        m.d.sync += [
            put.eq(state.active & end & state.found),
            finished.eq(state.active & end & (~state.found | (state.best_left == 0))),
        ]
        with m.If(end):
            m.d.sync += [stages[7].left.eq(state.best_left), stages[7].base.eq(self.continued)]

        # 7: a token, another word.
        state = stages[7]
        m.submodules.tokens = tokens = memory.Memory(
            shape=self.geometry.token_bits, depth=1 << self.geometry.ring_bits, init=[])
        write, read = tokens.write_port(), tokens.read_port()
        m.d.comb += [
            write.addr.eq(state.put), write.data.eq(state.token), write.en.eq(put),
            read.addr.eq(self.read_address), read.en.eq(self.read), self.token.eq(read.data),
            self.done.eq(finished), self.slot.eq(state.slot), self.at.eq(state.put + put),
            self.known.eq(state.found),
            self.i.ready.eq(finished | ~state.active),
        ]
        m.d.sync += [stages[0].eq(state), stages[0].put.eq(self.at)]
        with m.If(put):
            m.d.sync += stages[0].found.eq(0)
        with m.If(self.i.ready):
            m.d.sync += [
                stages[0].active.eq(self.i.valid), stages[0].slot.eq(self.i.p.slot),
                stages[0].stop.eq(self.i.p.at + self.i.p.length),
                stages[0].left.eq(self.i.p.length), stages[0].base.eq(self.start),
                stages[0].put.eq(self.i.p.at), stages[0].found.eq(0),
            ]
        return m
