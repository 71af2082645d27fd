# SPDX-License-Identifier: Apache-2.0
"""Clients of the simulated network card with many real files and texts: ``make campaign``.

Every result is compared with the CPU's, every request, message and frame is accounted for. It takes
the corpus that ``tests/corpus.py`` names, or pictures and words of its own.
"""

import argparse
import contextlib
import faulthandler
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import corpus
import headrace as hr
import vocabulary
from faults import Disturbed, Faults
from headrace.client import Client
from headrace.hashing import HashingRecipe
from headrace.hw.status import Status
from headrace.hw.wire.outcome import Outcome
from headrace.recipe import Recipe
from headrace.sim_nic import SimNic
from nonsense import mutated
from soft_nic import serving
from stations import Peer, frames_counted, picture, run


#: Bytes of the longest files that are taken: some twenty thousand symbols.
LONGEST = 16_000
#: Characters of the longest lines.
LINE = 300
#: Minutes after which something is wrong.
MINUTES = 10

RECIPES = (
    dict(resize=64, crop=56, mean=hr.IMAGENET_MEAN, std=hr.IMAGENET_STD, dtype="float16"),
    dict(resize=(48, 40), filter="bicubic", layout="HWC"),
    dict(resize=40, crop=32, dtype="float32"),
)
HASHING = dict(n_features=1 << 18, ngram_range=(1, 2), norm=None)


def images(count):
    """So many files, and how many of them differ: real ones as far as there are any."""
    files = [corpus.data(entry) for entry in corpus.entries()
             if entry["bytes"] <= LONGEST and (entry["width"] or 0) * (entry["height"] or 0) < 2e5]
    files = files or [picture(n, (100, 80)) for n in range(50)]
    return [files[n % len(files)] for n in range(count)], len(files)


def lines(count):
    """So many lines of text in many languages, and how many of them differ."""
    rng, found = random.Random(1), []
    for path in sorted((Path(corpus.FOLDER).parent / "text").glob("*.txt")):
        with contextlib.suppress(UnicodeDecodeError):
            found += [line for line in path.read_text("utf-8").split("\n")
                      if 0 < len(line) <= LINE]
    found = found or [f"the word of a piece {n}" for n in range(500)]
    rng.shuffle(found)
    return [found[n % len(found)] for n in range(count)], min(count, len(found))


def same(found, wanted):
    """Assert that results, or the types of exceptions in their place, are equal."""
    assert len(found) == len(wanted)
    for n, (one, other) in enumerate(zip(found, wanted)):
        if isinstance(other, Exception):
            assert type(one) is type(other), (n, one, other)
        else:
            assert one.dtype == other.dtype, (n, one, other)
            np.testing.assert_array_equal(one, other)
    return len(found)


def prepare(card, options, files):
    return same(card.image(**options)(files, errors="return"),
                hr.open("cpu").image(**options)(files, errors="return"))


def count(card, texts):
    found = card.hashing_vectorizer(**HASHING).transform(texts)
    wanted = hr.open("cpu").hashing_vectorizer(**HASHING).transform(texts)
    assert found.shape == wanted.shape and (found != wanted).nnz == 0
    return len(texts)


def tokenize(card, tokenizer, texts):
    for found, wanted in zip(card.tokenizer(tokenizer).ragged(texts),
                             hr.open("cpu").tokenizer(tokenizer).ragged(texts)):
        np.testing.assert_array_equal(found, wanted)
    return len(texts)


def keep(card, files, folder):
    recipe = Recipe(resize=24)
    cpu = hr.open("cpu", fallback="raise").image(resize=24, layout="HWC")
    kept = card.keep(recipe, files)
    assert [entry["received"] for entry in kept] == list(range(1, len(files) + 1))
    for entry, data in zip(kept, files):
        if entry["status"] == Status.OK:
            np.testing.assert_array_equal(np.load(Path(folder) / entry["file"]), cpu(data))
    return len(files)


def table(title, counts):
    print(f"\n{title}")
    for name, value in counts.items():
        print(f"  {name:28} {value:>12,}" if isinstance(value, int) else
              f"  {name:28} {value:>12.1f}", flush=True)


def clients(nic, work, *, output=None, **options):
    """Run functions of a client, each in a thread with a client of its own."""
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        server, _ = stack.enter_context(serving(nic, output=output))
        cards = [stack.enter_context(Client(*server.address, **options)) for _ in work]
        with ThreadPoolExecutor(len(work)) as pool:
            jobs = [pool.submit(function, card) for function, card in zip(work, cards)]
            asked = sum(job.result() for job in jobs)
        totals = [card.counters() for card in cards]
    own = nic.counters()
    counts = {name: sum(total[name] for total in totals) for name in (
        "sent", "received", "retried", "lost", "duplicates", "incomplete", "damaged",
        "unanswered", "failures", "fallbacks", "bytes_sent", "bytes_received")}
    counts |= {"messages": own["messages"], "refused": own["refused"],
               "frames in": server.counts["frames_in"], "frames out": server.counts["frames_out"],
               "cycles": own["cycles"], "seconds": time.monotonic() - begun}
    counts["cycles a second"] = int(own["cycles"] / counts["seconds"])
    assert counts["received"] == asked and counts["unanswered"] == 0
    assert counts["sent"] == asked + counts["retried"]
    assert own["requests"] == sum(own[f"status_{status.name.lower()}"] for status in Status)
    assert own["bus_errors"] == own["frames_overflow"] == 0
    return asked, counts, server


def many(tokenizer, scale, folder):
    """Several clients, all kinds of work, a network that loses nothing."""
    files, different = images(int(1000 * scale))
    texts, lines_different = lines(int(2000 * scale))
    cuts = [len(files) * n // 10 for n in (0, 3, 6, 9, 10)]
    shares = [files[start:end] for start, end in zip(cuts, cuts[1:])]
    half = len(texts) // 2
    with SimNic() as nic:
        asked, counts, server = clients(nic, [
            *(lambda card, options=options, share=share: prepare(card, options, share)
              for options, share in zip(RECIPES, shares)),
            lambda card: keep(card, shares[3], folder),
            lambda card: count(card, texts[:half]),
            lambda card: tokenize(card, tokenizer, texts[half:])],
            output=folder, timeout=3, retries=20, window=8)
        own = nic.counters()
        assert own["frames_packet"] == server.counts["frames_in"] == frames_counted(nic)
        assert counts["retried"] == 0 or own["refused"] > 0  # more than it has slots for
        assert counts["damaged"] == counts["incomplete"] == 0
        table(f"{asked} requests of 6 clients: {len(files)} files ({different} different), "
              f"{len(texts)} lines ({lines_different} different)", counts)


def bad_network(tokenizer, scale):
    """1 % of the frames lost, 1 % twice, 1 % exchanged, in each direction."""
    files, _ = images(int(150 * scale))
    texts, _ = lines(int(300 * scale))
    with SimNic(wire_stalls=0.2, stalls=0.1) as card:
        nic = Disturbed(card, Faults(0.01, 0.01, 0.01))
        asked, counts, _ = clients(nic, [
            lambda card: prepare(card, RECIPES[0], files),
            lambda card: tokenize(card, tokenizer, texts)],
            timeout=2, retries=40, window=8)
        assert counts["lost"] > 0 and counts["duplicates"] > 0
        assert frames_counted(card) == nic.arrived
        counts |= {"frames to the card": nic.arrived, "frames of the card": nic.left}
        table(f"{asked} requests of 2 clients at 1 % loss, repetition and exchange", counts)


def nonsense(scale):
    """Frames of all kinds of wrong, between requests that are done exactly."""
    rng = random.Random(1)
    with SimNic(message_bytes=8192, result_bytes=8192, wire_stalls=0.1) as nic:
        peers = [Peer(nic, Recipe(resize=20), mtu=256, number=1),
                 Peer(nic, HashingRecipe(5000), number=2)]
        turns = int(100 * scale)
        for turn in range(turns):
            valid = [frame for peer, payload in zip(peers, (picture(turn), b"words " * 20))
                     for frame in peer.request(payload)]
            run(nic, [mutated(frame, rng) for frame in valid for _ in range(12)])
            for peer, payload in zip(peers, (picture(turn), b"some words")):
                peer.renew()
                peer.ask(payload)
        counters = nic.counters()
        table(f"{turns} turns of nonsense", {
            "frames": frames_counted(nic),
            **{outcome.name: counters[f"frames_{outcome.name.lower()}"] for outcome in Outcome}})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of items")
    parser.add_argument("--output", default="build/campaign", help="folder for kept results")
    args = parser.parse_args()
    faulthandler.dump_traceback_later(60 * MINUTES, exit=True)
    Path(args.output).mkdir(parents=True, exist_ok=True)
    tokenizer = vocabulary.tokenizer(vocabulary.small())
    many(tokenizer, args.scale, args.output)
    bad_network(tokenizer, args.scale)
    nonsense(args.scale)
    print("\nall exact")


if __name__ == "__main__":
    sys.exit(main())
