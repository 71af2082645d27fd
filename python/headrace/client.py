# SPDX-License-Identifier: Apache-2.0
"""A card at the other end of a network, with the verbs of a card in this machine. Plain sockets.

>>> from headrace.client import Client
>>> with Client("10.0.0.1") as card:                              # doctest: +SKIP
...     batch = card.image(resize=256, crop=224)(files)
"""

import collections
import contextlib
import functools
import threading
import time

import numpy as np

from headrace.card import Card, Outcome, Report
from headrace.channel import Channel, check_options
from headrace.control import PORT, ControlError
from headrace.errors import CardError, VocabularyError
from headrace.hashing import Refused
from headrace.hw.status import Detail, Status
from headrace.processes import ProcessLock
from headrace.results import (
    collect_image, features_of, report_of, settle_images, settle_texts, tokens_of)


__all__ = ["Client"]


#: Channels that a client keeps.
CHANNELS = 8


class Client(Card):
    """A card in the network, with the verbs of every :class:`headrace.Card`.

    Results equal those of a card in this machine to the bit. Every kind of work has a queue pair
    of its own; several threads may use a client, each kind of work in turn.

    An item that the card hands back is done again here (``fallback="cpu"``), or raises
    :class:`ItemError`; so are all texts of a tokenizer that the server's card cannot hold, which is
    found when it is loaded. An item that is lost on the way is sent again; one that is never
    answered raises :class:`NoAnswer`, and :class:`CardError` if the server has gone, whatever
    ``fallback`` says. Images are sent as files: pixels are refused.

    Parameters
    ----------
    host : str
        Of the server; for a TAP device the host's side.
    port : int
        TCP port of control connections.
    fallback : "cpu" or "raise"
    mtu, timeout, retries, window, window_bytes, check, token, tls
        As of :class:`headrace.channel.Channel`.

    Raises
    ------
    ValueError
        If an option is out of range.
    """

    def __init__(self, host, port=PORT, *, fallback="cpu", **options):
        if fallback not in ("cpu", "raise"):
            raise ValueError(f"Fallback must be one of cpu, raise, not {fallback!r}")
        check_options(options)
        super().__init__(f"{host}:{port}", fallback)
        self._address, self._options = (host, port), options
        self._lock = ProcessLock()  # of the table of channels
        self._channels = collections.OrderedDict()
        self._seconds = 0.0
        self._counts = collections.Counter()
        #: Why the server's card cannot take a tokenizer, by its recipe.
        self._too_much = {}
        #: Function that is called when an item is done, from the thread that asked.
        self.on_done = lambda: None

    def __reduce__(self):
        return functools.partial(Client, *self._address, fallback=self.fallback,
                                 **self._options), ()

    def _close(self):
        with self._lock:
            for slot in self._channels.values():
                slot.close()
            self._channels.clear()

    def _abandon(self):
        # The parent goes on with its connections; a channel of one's own is opened for each work.
        for slot in self._channels.values():
            slot.abandon()
        self._channels = collections.OrderedDict()
        self._seconds = 0.0
        self._counts = collections.Counter()

    def counters(self):
        """As of every card; and what happened on the way.

        ``sent`` and ``retried`` requests (``sent`` has the retried ones in it), ``received``
        answers, ``lost`` requests (late, or overtaken), ``unanswered`` items, ``duplicates`` of
        answers, ``damaged`` datagrams, ``incomplete`` answers, ``bytes_sent`` and
        ``bytes_received`` of datagrams, ``seconds`` within calls.
        """
        self._part()
        with self._tally_lock:
            counts = dict(self._counts)
            seconds = self._seconds
        names = ("sent", "received", "lost", "retried", "unanswered", "duplicates", "damaged",
                 "incomplete", "bytes_sent", "bytes_received")
        return {**super().counters(), **{name: counts.get(name, 0) for name in names},
                "seconds": seconds}

    def keep(self, work, payloads):
        """Have results stay in the memory of the server's host.

        Parameters
        ----------
        work : Recipe, HashingRecipe or TokenRecipe
        payloads : list of bytes-like

        Returns
        -------
        list of dict or Exception
            What the server says of each result: ``received`` (number), ``status``, ``detail``,
            ``cycles``, and if there is one ``dtype``, ``shape`` and ``file``.
        """
        return [entry if isinstance(entry, Exception) else entry[0]
                for entry in self._ask(work, payloads, None)]

    def forward(self, work, payloads, to):
        """Have results sent to another station.

        Parameters
        ----------
        work : Recipe, HashingRecipe or TokenRecipe
        payloads : list of bytes-like
        to : Station
            ``mac`` may be None: then the server's host passes them on.

        Returns
        -------
        list of int
            Numbers of the requests. Nobody says whether they arrived.
        """
        with self._channel(work, to) as channel:
            numbers = channel.send(payloads)
            self._add(channel)
        return numbers

    # What a card implements

    takes_pixels = False  # a message has no room for their size

    def _process(self, recipe, items, targets):
        outcomes = []
        for entry, target in zip(self._ask(recipe, items), targets):
            outcomes.append(Report(error=entry) if isinstance(entry, Exception)
                            else _image(recipe, *entry, target))
        return settle_images(self.fallback, recipe, items, targets, outcomes)

    def _hash(self, recipe, items):
        results, reports = self._texts(recipe, items, features_of)
        return [result if result is not None else
                report.error if report.status is Status.OK else
                Refused(report.status, report.detail)
                for result, report in zip(results, reports)]

    def _unfit(self, recipe):
        """What the server says of a tokenizer; it loads it, if it can."""
        try:
            with self._channel(recipe, "sender"):
                self._too_much.pop(recipe, None)
                return None
        except VocabularyError as error:
            self._too_much[recipe] = str(error)
            return str(error)
        except ControlError:
            # It refuses for now, e.g. while its card is in use with another vocabulary.
            return None

    def _tokenize(self, recipe, items):
        results, reports = self._texts(recipe, items, tokens_of)
        return [report.error if result is None else result
                for result, report in zip(results, reports)]

    def _texts(self, recipe, items, collect):
        try:
            outcomes = [_text(entry, collect) for entry in self._ask(recipe, items)]
        except VocabularyError as error:
            self._too_much[recipe] = str(error)
            outcomes = [Report(Status.UNSUPPORTED, Detail.VOCABULARY)] * len(items)
        results, reports = settle_texts(self.fallback, outcomes)
        self._note(reports)
        return results, reports

    # Channels

    def _ask(self, work, payloads, reply="sender"):
        if not payloads:
            return []
        why = self._too_much.get(work)
        if why is not None:  # it would only be sent again to be refused
            raise VocabularyError(why)
        try:
            with self._channel(work, reply) as channel:
                begun = time.monotonic()
                entries = channel.ask(payloads, lambda index: self.on_done())
                self._add(channel, time.monotonic() - begun)
        except ControlError as error:
            raise CardError(str(error)) from error
        return entries

    def _add(self, channel, seconds=0.0):
        with self._tally_lock:
            self._counts.update(channel.counts)
            self._seconds += seconds
        channel.counts.clear()

    @contextlib.contextmanager
    def _channel(self, work, reply):
        """A channel that is this thread's alone."""
        channel = None
        while channel is None:
            # The slot may be closed before it is entered: by close(), after which there is no other
            # one to be had, or because other kinds of work needed the room.
            with self._slot(work, reply) as channel:
                if channel is not None:
                    yield channel

    def _slot(self, work, reply):
        """The slot of a channel, to be entered."""
        self._part()
        with self._lock:
            if self._closed:
                raise CardError(f"Card must be open, not closed: {self!r}")
            key = work, reply
            slot = self._channels.pop(key, None) or _Slot(
                functools.partial(Channel, self._address, work, reply=reply, **self._options))
            self._channels[key] = slot
            oldest = (self._channels.popitem(last=False)[1] if len(self._channels) > CHANNELS
                      else None)
        if oldest is not None:  # without the table's lock: it may be in use for long
            oldest.close()
        return slot


class _Slot:
    """A channel that is opened when it is used, and opened anew if it broke.

    ``with`` it the channel is this thread's alone; it is None if the slot was closed.
    """

    def __init__(self, open):
        self._open = open
        self._lock = threading.RLock()
        self._channel = None
        self._dead = False

    def __enter__(self):
        self._lock.acquire()
        try:
            if self._dead:
                return None
            if self._channel is not None and self._channel.broken is not None:
                self._drop()
            if self._channel is None:
                self._channel = self._open()
        except BaseException:
            self._lock.release()
            raise
        return self._channel

    def __exit__(self, kind, *exception):
        if kind is not None:  # it may be in the middle of a message
            self._drop()
        self._lock.release()

    def close(self):
        """Close the channel, when nobody uses it any more, for good."""
        with self._lock:
            self._dead = True
            self._drop()

    def abandon(self):
        """In a forked process: let go of the channel, which is the parent's."""
        if self._channel is not None:
            self._channel.abandon()

    def _drop(self):
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def _text(entry, collect):
    """(result, Report), or Report of a text's response."""
    if isinstance(entry, Exception):
        return Report(error=entry)
    completion, result = entry
    report = report_of(completion)
    return (collect(bytearray(result)), report) if report.status is Status.OK else report


def _image(recipe, completion, result, target):
    """Outcome or Report of an image's response."""
    def read_into(array):
        if array.nbytes != len(result):
            raise CardError(f"Result of {completion['height']} x {completion['width']} pixels must "
                            f"be {array.nbytes} bytes, not {len(result)}")
        array.reshape(-1).view(np.uint8)[:] = np.frombuffer(result, np.uint8)

    try:
        return collect_image(recipe, report_of(completion), completion["height"],
                             completion["width"], target, False, read_into)
    except CardError as error:
        return Outcome(None, Report(error=error))
