# SPDX-License-Identifier: Apache-2.0
"""Texts on the simulated card: recipes and tables that it holds, jobs and their results."""

import collections

import numpy as np

from headrace.arena import Arena
from headrace.card import Report
from headrace.errors import CardError
from headrace.hashing import HashingRecipe, character_table
from headrace.held import Held
from headrace.hw.card.config import BUS
from headrace.hw.card.jobs import (
    JOB, TABLE_RECORD, TABLE_RECORD_BYTES, TEXT_RECIPE, Kernel, Kind, TextTable)
from headrace.hw.status import Detail, Status
from headrace.hw.text.tables import TableImage
from headrace.results import features_of, report_of, tokens_of


__all__ = ["TextWork"]


#: Items of one round of jobs.
ROUND = 256
#: Request number of loads.
LOADING = 0xFFFFFFFF

#: A record of a table as numpy writes it.
RECORD = np.dtype({
    "names": list(TABLE_RECORD.fields),
    "formats": [f"<u{size}" for _, size in TABLE_RECORD.fields.values()],
    "offsets": [offset for offset, _ in TABLE_RECORD.fields.values()],
    "itemsize": TABLE_RECORD_BYTES})


def records(table, addresses, data):
    """Bytes that write ``data`` to ``addresses`` of tables."""
    out = np.zeros(len(data), RECORD)
    out["table"], out["address"], out["data"] = table, addresses, data
    return out.tobytes()


class TextWork:
    """What a card does with texts. Used by :class:`headrace.bus_card.BusCard` under its lock.

    Parameters
    ----------
    config : CardConfig
    memory
        Of the card.
    run
        Function of packed jobs and a free address for them; completions by request.
    """

    def __init__(self, config, memory, run):
        self.config = config
        self.memory = memory
        #: Begin and end of the memory that may be used.
        self.start, self.room = 0, memory.size
        self.run = run
        self.forget()

    def forget(self):
        """The card was reset: it holds nothing."""
        self._recipes = Held(self.config.recipes)
        self._hashing_loaded = False
        self._vocabulary, self._users = None, 0

    def hash(self, recipe, items):
        """Columns and counts of each text, or a :class:`Report` of why not."""
        low, high = recipe.ngram_range
        limit = self.config.max_features

        def room(length):
            words = length // 3 + 1  # two characters and a separator each
            return 8 * min(words * (high - low + 1), limit)

        return self._work(recipe, items, room, features_of)

    def tokenize(self, recipe, items):
        """Tokens of each text, or a :class:`Report` of why not."""
        return self._work(recipe, items, lambda length: 4 * (2 * length + 1), tokens_of)

    # Queue pairs of the network

    def open(self, recipe):
        """Load what a queue pair needs, for as long as it is open; the number of its recipe.

        Raises
        ------
        CardError
            If other queue pairs need another vocabulary, or all recipes.
        """
        arena = Arena(self.start, self.room, BUS)
        address = arena.take(8 * BUS)
        number, jobs, note = self._setup(recipe, arena)
        if jobs:
            self.run(jobs, address)
        note()
        key, _ = self._wanted(recipe)
        self._recipes.use(key)
        self._users += key[0] == Kernel.WORDPIECE
        return number

    def close(self, recipe):
        """The queue pair is closed."""
        key, _ = self._wanted(recipe)
        self._recipes.leave(key)
        self._users -= key[0] == Kernel.WORDPIECE

    # Tables and recipes

    def _hashing_tables(self):
        """Records to load, and a function that notes that they are."""
        if self._hashing_loaded:
            return b"", lambda: None
        image = character_table(self.config.pages)

        def note():
            self._hashing_loaded = True

        return records(TextTable.CHARACTERS + Kernel.HASHING, np.arange(len(image)), image), note

    def _wordpiece_tables(self, recipe):
        if self._vocabulary == recipe.vocabulary:
            return b"", lambda: None
        if self._users:
            raise CardError("The card holds one vocabulary at a time, and a queue pair is open for "
                            "another one: close it, or open another card")
        tables = recipe.tables(self.config.wordpiece)
        image = TableImage.pack(tables.entries, self.config.pages, self.config.entry_width)
        writes = tables.writes()
        self._vocabulary = None  # from now on the card's tables are a mixture

        def note():
            self._vocabulary = recipe.vocabulary

        return (records(TextTable.CHARACTERS + Kernel.WORDPIECE, np.arange(len(image)), image)
                + records(TextTable.WORDPIECE + writes[:, 0], writes[:, 1], writes[:, 2])), note

    def _wanted(self, recipe):
        """Kernel and fields of a recipe, hashable; function that says which tables to load."""
        if isinstance(recipe, HashingRecipe):
            fields = recipe.config(self.config.feature_rows, self.config.max_ngram)
            return (Kernel.HASHING, *sorted(fields.items())), self._hashing_tables
        return (Kernel.WORDPIECE,), lambda: self._wordpiece_tables(recipe)

    def _setup(self, recipe, arena):
        """Number of a recipe, jobs that load what the card does not hold, and a function that
        notes that they were done."""
        key, tables = self._wanted(recipe)
        kernel, *fields = key
        table, note = tables()
        number, new = self._recipes.number(key)
        jobs = []
        if new:
            at = arena.take(BUS)
            self.memory.write(at, TEXT_RECIPE.pack(kernel=kernel, **dict(fields)))
            jobs.append(JOB.pack(kind=Kind.LOAD_TEXT, recipe=number, request=LOADING, payload=at,
                                 length=BUS))
        if table:
            at = arena.take(len(table))
            self.memory.write(at, table)
            jobs.append(JOB.pack(kind=Kind.TABLE, request=LOADING, payload=at,
                                 length=len(table)))
        return number, jobs, note

    # Rounds

    def _work(self, recipe, items, room, collect):
        outcomes = [None] * len(items)
        waiting = collections.deque(range(len(items)))
        while waiting:
            self._round(recipe, items, room, collect, waiting, outcomes)
        return outcomes

    def _round(self, recipe, items, room, collect, waiting, outcomes):
        """As many of the waiting texts as the memory holds."""
        arena = Arena(self.start, self.room, BUS)
        address = arena.take(2 * (ROUND + 2) * BUS)
        number, jobs, note = self._setup(recipe, arena)
        results = {}
        while waiting and len(results) < ROUND:
            n = waiting[0]
            capacity, start = room(len(items[n])), arena.next
            at, result = arena.take(len(items[n])), arena.take(capacity)
            if at is None or result is None or capacity >= 1 << 32:
                arena.next = start
                if results:
                    break
                outcomes[n] = Report(Status.NO_ROOM, Detail.CAPACITY)
                waiting.popleft()
                continue
            self.memory.write(at, items[n])
            jobs.append(JOB.pack(kind=Kind.TEXT, recipe=number, request=n, payload=at,
                                 length=len(items[n]), result=result, capacity=capacity))
            results[n] = result
            waiting.popleft()
        completions = self.run(jobs, address)
        note()
        for n, result in results.items():
            done = completions[n]
            outcomes[n] = report_of(done)
            if outcomes[n].status is Status.OK:
                raw = np.empty(done["bytes"], np.uint8)
                self.memory.read_into(result, raw)
                outcomes[n] = collect(raw), outcomes[n]
