# SPDX-License-Identifier: Apache-2.0
"""Tries as tables. Without Amaranth, so that a driver can import it."""

import numpy as np


__all__ = ["DoubleArray"]


class DoubleArray:
    """Tries in one table: the child by symbol ``s`` of a node is at ``base + s``.

    No two nodes have the same base, so a child is known by its symbol alone. A slot in use has a
    ``check`` that is not 0, the symbol that leads to it; a node without children has base 0.

    Parameters
    ----------
    tries : list of dict
        Token of each string, a tuple of symbols.
    size : int
        Slots of the table.
    what : str
        The strings, for messages.

    Members
    -------
    roots : list of int
        Base of each trie's root: 1 for the first, 0 for a trie without strings.
    nodes : dict of ndarray, each of shape (size,)
        ``check``, ``base``, ``final`` and ``token``.

    Raises
    ------
    ValueError
        If the tries do not fit.
    """

    def __init__(self, tries, size, what="Tries"):
        self.size = size
        self.what = what
        self.nodes = {name: np.zeros(size, np.int64)
                      for name in ("check", "base", "final", "token")}
        children = []  # of each node: {symbol: node}
        tokens = []

        def node():
            children.append({})
            tokens.append(-1)
            return len(children) - 1

        roots = []
        for trie in tries:
            root = node()
            roots.append(root)
            for string, token in trie.items():
                at = root
                for symbol in string:
                    if symbol not in children[at]:
                        children[at][symbol] = node()
                    at = children[at][symbol]
                if at != root:
                    tokens[at] = token
        if len(children) - len(tries) >= size:  # slot 0 is never used
            raise self._full(children)
        bases = self._place(children, roots)
        parents = [n for n in range(len(children)) if children[n]]
        for parent in parents:
            for symbol, child in children[parent].items():
                slot = bases[parent] + symbol
                self.nodes["check"][slot] = symbol
                self.nodes["base"][slot] = bases[child]
                self.nodes["final"][slot] = tokens[child] >= 0
                self.nodes["token"][slot] = max(tokens[child], 0)
        self.roots = [bases[root] for root in roots]

    def _full(self, children):
        gaps = " and the gaps between them" if len(children) < self.size else ""
        return ValueError(f"{self.what} must have room in {self.size} nodes of a trie, "
                          f"not {len(children)}{gaps}")

    def _place(self, children, roots):
        """Base of each node; 0 for nodes without children. Roots, then large families go first."""
        used = np.zeros(self.size, bool)       # slots
        taken = np.zeros(self.size, bool)      # bases
        taken[0] = True
        bases = [0] * len(children)
        order = sorted((n for n in range(len(children)) if children[n]),
                       key=lambda n: (n not in roots, -len(children[n])))
        free, first = np.arange(self.size), 0
        small = [n for n in order if len(children[n]) == 1 and n not in roots]
        for count, n in enumerate(order[:len(order) - len(small)]):
            if count % 256 == 0:
                free, first = np.flatnonzero(~used), 0
            symbols = np.array(sorted(children[n]))
            base = self._fit(symbols, used, taken, free, first)
            if base < 0:
                raise self._full(children)
            bases[n] = base
            used[base + symbols] = True
            taken[base] = True
            while first < len(free) and used[free[first]]:
                first += 1
        # Those with one child: nearly every slot will do.
        free, taken = np.flatnonzero(~used)[::-1].tolist(), taken.tolist()
        for n in small:
            symbol, refused = next(iter(children[n])), []
            while free and (free[-1] <= symbol or taken[free[-1] - symbol]):
                refused.append(free.pop())
            if not free:
                raise self._full(children)
            bases[n] = free.pop() - symbol
            taken[bases[n]] = True
            free += reversed(refused)
        return bases

    def _fit(self, symbols, used, taken, free, first):
        """A base that is not taken and whose slots for ``symbols`` are free, or -1."""
        chunk = 64
        while first < len(free):
            base = free[first:first + chunk] - symbols[0]
            base = base[(base > 0) & (base + symbols[-1] < self.size)]
            base = base[~taken[base]]
            base = base[~used[base[:, None] + symbols].any(axis=1)]
            if len(base):
                return int(base[0])
            first += chunk
            chunk = min(chunk * 4, 4096)
        return -1
