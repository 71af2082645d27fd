# SPDX-License-Identifier: Apache-2.0
"""What the driver itself costs the host: time around the card, in batches of small requests."""

import importlib.util
import io
import time

import numpy as np
from PIL import Image

import headrace
from headrace.bench import CLOCK
from headrace.hw.card.jobs import COMPLETION, JOB


__all__ = ["host", "table"]


#: Sides of an image in pixels, and bytes of a text, about.
SIDE, TEXT = 32, 60

WORDS = ("a river carries water from hills and rain into mills that grind corn while cards turn "
         "pictures words numbers").split()


def images(count):
    """JPEG files."""
    rng, files = np.random.default_rng(1), []
    for _ in range(count):
        pixels = rng.integers(0, 256, (5, 5, 3)).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).resize((SIDE, SIDE), Image.BICUBIC).save(file, "jpeg")
        files.append(file.getvalue())
    return files


def texts(count):
    """Lines of words."""
    rng = np.random.default_rng(1)
    return [" ".join(rng.choice(WORDS, TEXT // 6)) for _ in range(count)]


def vocabulary():
    """A tokenizer of these words."""
    import tokenizers
    tokens = ["[UNK]", *WORDS, *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(
        {token: n for n, token in enumerate(tokens)}, unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    return tokenizer


def verbs(card, count):
    """Functions of a batch, by name."""
    files, lines = images(count), texts(count)
    prep = card.image(resize=(SIDE, SIDE))
    found = {"decode_jpeg": lambda: card.decode_jpeg(files), "image": lambda: prep(files)}
    if importlib.util.find_spec("sklearn"):
        vectorizer = card.hashing_vectorizer()
        found["hash"] = lambda: vectorizer.transform(lines)
    if importlib.util.find_spec("tokenizers"):
        tokenizer = card.tokenizer(vocabulary())
        found["tokenize"] = lambda: tokenizer.ragged(lines)
    return found


def arrays(result):
    """Arrays that a result consists of."""
    if hasattr(result, "indptr"):
        return result.data, result.indices, result.indptr
    return result if isinstance(result, (list, tuple)) else (result,)


class Watched:
    """Stands before a transport, measures its batches' processor time, or leaves them out.

    The card's memory still holds the results that the same batch left there the last time, and the
    completions are written again for the numbers of the new jobs, so that the driver does not see
    the difference. That is not the driver's time, either.
    """

    def __init__(self, bus):
        self._bus = bus
        self.skip, self.seconds = False, 0.0
        self._records = {}      # completions by their address, their numbers counted from 0

    def __getattr__(self, name):
        return getattr(self._bus, name)

    def run(self, jobs, count, completions):
        start = time.thread_time()
        job, records = np.empty(1, JOB.dtype), np.empty(count, COMPLETION.dtype)
        self._bus.memory.read_into(jobs, job.view(np.uint8))
        if self.skip:
            records[:] = self._records[completions]
            records["request"] += job["request"]
            self._bus.memory.write(completions, records.view(np.uint8))
        else:
            self._bus.run(jobs, count, completions)
            self._bus.memory.read_into(completions, records.view(np.uint8))
            records["request"] -= job["request"]
            self._records[completions] = records
        self.seconds += time.thread_time() - start


def measure(card, bus, function, requests, repeats):
    """Figures of one verb."""
    function()                       # tables and recipes are loaded
    bus.skip, bus.seconds = False, 0.0
    before, start = card.counters(), time.thread_time()
    expected = function()
    around = time.thread_time() - start - bus.seconds
    after = card.counters()
    bus.skip, times = True, []
    for _ in range(repeats):
        bus.seconds, start = 0.0, time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start - bus.seconds)
    for got, wanted in zip(arrays(result), arrays(expected), strict=True):
        np.testing.assert_array_equal(got, wanted)
    bus.skip = False
    scale = 1e6 / requests
    host, card_time = min(times) * scale, (after["cycles"] - before["cycles"]) / CLOCK * scale
    return {"host_us": host, "median_us": float(np.median(times)) * scale,
            "around_us": around * scale, "card_us": card_time, "share": host / card_time}


def host(*, requests=256, repeats=30):
    """Measure the driver with batches of small requests: JPEG files of 32 x 32 pixels, and texts of
    60 bytes.

    Parameters
    ----------
    requests : int
        In a batch, at most :data:`headrace.rounds.ROUND`.
    repeats : int
        Of each batch, of which the fastest counts.

    Returns
    -------
    list of dict
        For each verb: ``verb``, ``requests``; microseconds a request ``host_us`` of a whole call
        with a card that is done at once, and ``median_us``; ``around_us``, processor time of a call
        with the simulated card that was not spent simulating it; ``card_us``, what the card takes
        at :data:`.bench.CLOCK`, an estimate; ``share``, ``host_us`` as a share of it.
    """
    with headrace.open("sim", fallback="raise") as card:
        bus = card._bus = Watched(card._bus)
        return [{"verb": verb, "requests": requests,
                 **measure(card, bus, function, requests, repeats)}
                for verb, function in verbs(card, requests).items()]


def table(figures):
    """The figures as text."""
    lines = [f"{'verb':12} {'requests':>8} {'host us':>8} {'median':>7} {'around sim':>10} "
             f"{'card us':>8} {'share':>6}"]
    for entry in figures:
        lines.append(f"{entry['verb']:12} {entry['requests']:8} {entry['host_us']:8.2f} "
                     f"{entry['median_us']:7.2f} {entry['around_us']:10.2f} "
                     f"{entry['card_us']:8.2f} {entry['share']:6.0%}")
    lines.append("Microseconds a request: of the driver with a card that is done at once (the best "
                 "and the median")
    lines.append("call), of the driver around one simulation, and of the card at "
                 f"{CLOCK / 1e6:.0f} MHz (an estimate).")
    return "\n".join(lines)
