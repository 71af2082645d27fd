# SPDX-License-Identifier: Apache-2.0
"""Many mixed requests through ``headrace serve``, without and with hostile peers: ``make soak``.

Every result is compared with the CPU's. It says how the server's memory grows, and what the hostile
peers do to the latency of the honest client.
"""

import argparse
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import headrace as hr
import vocabulary
from headrace.client import Client
from stations import picture


__all__ = ["Figures", "soak"]


#: Threads of the honest client.
THREADS = 3
#: Different items of each kind of work.
ITEMS = 50
#: Requests after which the honest client is another one, with queue pairs of its own.
RENEWED = 2000
#: Seconds after which the server has all that it ever needs.
SETTLED = 120.0
#: What must hold: bytes by which memory grows, times by which latency does.
MOST_GROWTH, MOST_SLOWER = 20e6, 2.0

IMAGES = (
    dict(resize=16, crop=12),
    dict(resize=(20, 24), filter="bicubic", layout="HWC"),
    dict(crop=16, mean=hr.IMAGENET_MEAN, std=hr.IMAGENET_STD, dtype="float16"),
    dict(resize=12, dtype="float32"),
)
HASHING = (dict(n_features=1 << 18, ngram_range=(1, 2), norm=None),
           dict(n_features=1000, lowercase=False, norm=None))
SIZES = (16, 16), (24, 16), (32, 24), (48, 40)
WORDS = "the word of a piece hello Café über 日本 naïve NATIONALLY inter-national 1984".split()


class Figures(dict):
    """What was seen, by name; ``str`` is a table."""

    def __str__(self):
        return "\n".join(f"  {name:34} {value:>14,.1f}" if isinstance(value, float) else
                         f"  {name:34} {value:>14,}" for name, value in self.items())


def kinds():
    """Pairs of a function of a card and an item, and (item, its right result) of each kind."""
    cpu, rng = hr.open("cpu"), random.Random(1)
    files = [picture(n, SIZES[n % len(SIZES)]) for n in range(ITEMS)]
    texts = [" ".join(rng.choices(WORDS, k=rng.randrange(20))) for _ in range(ITEMS)]
    tokenizer = vocabulary.tokenizer(vocabulary.small())

    def images(card, options):
        return lambda item: card.image(**options)(item)

    def hashing(card, options):
        def row(text):
            matrix = card.hashing_vectorizer(**options).transform([text])
            return np.concatenate([matrix.indices, matrix.data])
        return row

    def tokens(card, options):
        return lambda text: card.tokenizer(options).ragged([text])[0]

    for make, options, items in (*((images, options, files) for options in IMAGES),
                                 *((hashing, options, texts) for options in HASHING),
                                 (tokens, tokenizer, texts)):
        right = make(cpu, options)
        yield lambda card, make=make, options=options: make(card, options), [
            (item, right(item)) for item in items]


@contextlib.contextmanager
def process(*command, **options):
    """A Python process that is ended in the end."""
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), *sys.path]))
    one = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True,
                           env={**os.environ, "PYTHONPATH": path}, **options)
    try:
        yield one
    finally:
        one.kill()
        one.communicate()


def resident(pid):
    """Bytes of memory of a process."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) << 10


def honest(address, work, count, latencies, setups):
    """Requests of all kinds by a client and threads, each result compared; their number."""
    rng = random.Random(count)

    def ask(function, items):
        item, right = rng.choice(items)
        begun = time.monotonic()
        found = function(item)
        seconds = time.monotonic() - begun
        np.testing.assert_array_equal(found, right)
        assert found.dtype == right.dtype
        return seconds

    with Client(*address, timeout=2) as card, ThreadPoolExecutor(THREADS) as pool:
        functions = [(make(card), items) for make, items in work]
        setups += [ask(*entry) for entry in functions]
        latencies += pool.map(lambda _: ask(*rng.choice(functions)), range(count))
    return len(functions) + count


def watch(pid, ended, sizes):
    """Note the memory of a process every second."""
    begun = time.monotonic()
    while not ended.wait(1.0):
        sizes.append((time.monotonic() - begun, resident(pid)))


def run(work, count, hostile, card="sim", log=None):
    """Figures of so many requests."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(process(
            "-m", "headrace.cli", "serve", "--udp", "127.0.0.1:0", "--card", card))
        port = int(re.search(r"control at 127\.0\.0\.1:(\d+)", server.stdout.readline())[1])
        rest = []
        reader = threading.Thread(target=lambda: rest.extend(server.stdout))
        reader.start()
        address = "127.0.0.1", port
        stranger = hostile and stack.enter_context(process(
            "-m", "hostile", *map(str, address), stdin=subprocess.PIPE))
        latencies, setups, sizes, done = [], [], [], 0
        ended, begun = threading.Event(), time.monotonic()
        watcher = threading.Thread(target=watch, args=(server.pid, ended, sizes))
        watcher.start()
        try:
            while done < count:
                done += honest(address, work, min(RENEWED, count - done), latencies, setups)
        finally:
            seconds = time.monotonic() - begun
            ended.set()
            watcher.join()
        deeds = json.loads(stranger.communicate("\n")[0]) if hostile else {}
        children = _children(server.pid)
        server.send_signal(signal.SIGTERM)
        code = server.wait(60)
        reader.join()
    assert code == 0, (code, rest[-20:])
    if log:
        Path(log).write_text("".join(rest))
    settled = [size for at, size in sizes if at >= min(SETTLED, seconds / 4)] or [0]
    return Figures({
        "requests, all exact": done, "seconds": seconds,
        "median latency, ms": 1e3 * float(np.median(latencies)),
        "99th percentile, ms": 1e3 * float(np.percentile(latencies, 99)),
        "longest, ms": 1e3 * max(latencies),
        "longest with set-up, ms": 1e3 * max(setups),
        "memory when settled, MB": settled[0] / 1e6,
        "memory in the end, MB": settled[-1] / 1e6,
        "processes left behind": sum(Path(f"/proc/{child}").exists() for child in children),
        **{f"hostile: {name}": number for name, number in deeds.items()}})


def _children(pid):
    """Processes that a process has started."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        found += path.read_text().split()
    return found


def soak(count, card="sim", log=None):
    """Figures without and with hostile peers, half of the requests each."""
    work = list(kinds())
    figures = []
    for hostile in (False, True):
        figures.append(run(work, count // 2, hostile, card, log))
        print(f"{'with' if hostile else 'without'} hostile peers\n{figures[-1]}", flush=True)
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="requests, in both runs together")
    parser.add_argument("--card", default="sim", help="as of headrace serve")
    parser.add_argument("--log", help="file for what the server of the last run printed")
    args = parser.parse_args()
    alone, beside = soak(args.count, args.card, args.log)
    wrong = []
    for name in ("median latency, ms", "99th percentile, ms"):
        times = beside[name] / alone[name]
        print(f"{name.partition(',')[0]}: {times:.2f} times")
        if times > MOST_SLOWER:
            wrong.append(name)
    for figures in alone, beside:
        growth = figures["memory in the end, MB"] - figures["memory when settled, MB"]
        print(f"memory grew by {growth:.1f} MB")
        if 1e6 * growth > MOST_GROWTH or figures["processes left behind"]:
            wrong.append("memory, or processes left behind")
    print(f"WRONG: {', '.join(wrong)}" if wrong else "all as it should be")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
