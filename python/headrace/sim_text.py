# SPDX-License-Identifier: Apache-2.0
"""Texts on the simulated card: recipes and tables that it holds, jobs and their results."""

import functools

import numpy as np

from headrace.card import Report
from headrace.errors import CardError, VocabularyError
from headrace.hashing import HashingRecipe, character_table
from headrace.held import Held
from headrace.hw.card.config import BUS
from headrace.hw.card.jobs import JOB, TABLE_RECORD, TEXT_RECIPE, Kernel, Kind, TextTable
from headrace.hw.status import Detail, Status
from headrace.results import features_of, reports_of, tokens_of


__all__ = ["TextWork"]


def records(table, addresses, data):
    """Bytes that write ``data`` to ``addresses`` of tables."""
    out = np.zeros(len(data), TABLE_RECORD.dtype)
    out["table"], out["address"], out["data"] = table, addresses, data
    return out.tobytes()


class TextWork:
    """What a card does with texts. Used by :class:`headrace.bus_card.BusCard` under its lock.

    Parameters
    ----------
    config : CardConfig
    rounds : headrace.rounds.Rounds
    """

    def __init__(self, config, rounds):
        self.config = config
        self._rounds = rounds
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

        def room(lengths):
            words = lengths // 3 + 1  # two characters and a separator each
            return 8 * np.minimum(words * (high - low + 1), limit)

        return self._work(recipe, items, room, features_of)

    def tokenize(self, recipe, items):
        """Tokens of each text, or a :class:`Report` of why not."""
        try:
            return self._work(recipe, items, lambda lengths: 4 * (2 * lengths + 1), tokens_of)
        except VocabularyError:
            return [Report(Status.UNSUPPORTED, Detail.VOCABULARY)] * len(items)

    # Queue pairs of the network

    def open(self, recipe):
        """Load what a queue pair needs, for as long as it is open; the number of its recipe.

        Raises
        ------
        VocabularyError
            If the vocabulary does not fit the card's tables.
        CardError
            If other queue pairs need another vocabulary, or all recipes.
        """
        arena = self._rounds.arena()
        number, jobs, note = self._setup(recipe, arena)
        self._rounds.load(jobs, arena)
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
        tables, image = recipe.fitted(self.config)
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
        table, note_tables = tables()
        number, new = self._recipes.number(key)
        jobs = []
        if new:
            at = arena.need(BUS)
            self._rounds.memory.write(at, TEXT_RECIPE.pack(kernel=kernel, **dict(fields)))
            jobs.append(JOB.pack(kind=Kind.LOAD_TEXT, recipe=number, payload=at, length=BUS))
        if table:
            at = arena.need(len(table))
            self._rounds.memory.write(at, table)
            jobs.append(JOB.pack(kind=Kind.TABLE, payload=at, length=len(table)))

        def note():
            note_tables()
            self._recipes.hold(key, number)

        return number, jobs, note

    def _work(self, recipe, items, room, collect):
        lengths = np.fromiter(map(len, items), np.int64, len(items))
        outcomes = []
        for done, results in self._rounds.do(
                Kind.TEXT, functools.partial(self._setup, recipe), items, lengths, room(lengths)):
            if done is None:
                outcomes.append(Report(Status.NO_ROOM, Detail.CAPACITY))
                continue
            for n, (report, size) in enumerate(zip(reports_of(done), done["bytes"].tolist())):
                outcomes.append((collect(results.bytes(n, size)), report)
                                if report.status is Status.OK else report)
        return outcomes
