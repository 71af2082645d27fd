# SPDX-License-Identifier: Apache-2.0
"""Damaged JPEG files on the simulated card: ``make fuzz COUNT=2000 SEED=1``.

Whenever the card calls one OK, its pixels are compared with Pillow's; now and then there is a whole
file between them, which must be exact. Inputs are numbered, and each depends on seed and number
alone: a run goes on where the last one with its seed ended, and several seeds may run at once.
"""

import argparse
import collections
import faulthandler
import json
import random
import sys
import time
import warnings
from pathlib import Path

import numpy as np

import damage
import headrace as hr
from pictures import pillow


__all__ = ["Campaign"]


#: Files of a batch, of which every so many are whole.
BATCH, WHOLE = 64, 16
#: Of so many damaged files, one has a damaged header.
HEADERS = 4
#: Seconds after which a batch hangs.
PATIENCE = 600


class Campaign:
    """Inputs of one seed.

    Parameters
    ----------
    card
        What is tried: any card that raises what it does not do.
    seed : int
    folder : Path
        Keeps how far the campaign is (``SEED.json``) and what went wrong (``SEED-NUMBER.jpg``).

    Attributes
    ----------
    counts : Counter
        Of all runs: ``inputs``; ``equal``, those with Pillow's pixels; ``pixels``, with others;
        ``refused``, which Pillow does not open; ``whole``, files between them; and names of
        details.
    """

    def __init__(self, card, seed, folder):
        self.prepare, self.card = card.image(layout="HWC"), card
        self.seed, self.folder = seed, Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state = self.folder / f"{seed}.json"
        self.counts = collections.Counter(
            json.loads(self.state.read_text()) if self.state.exists() else {})
        self.sources = [damage.sources(damage.LONG), damage.sources(damage.SHORT)]
        self.wanted = {}

    def input(self, number):
        """Damaged file of this number."""
        rng = random.Random(f"{self.seed} {number}")
        files = self.sources[number % HEADERS == 0]
        return damage.damaged(rng.choice(files), rng, files, scans=number % HEADERS != 0)

    def whole(self, number):
        """A whole file, and its pixels."""
        files = self.sources[1]
        n = number // WHOLE % len(files)
        if n not in self.wanted:
            self.wanted[n] = pillow(files[n])
        return files[n], self.wanted[n]

    def run(self, count):
        """Try so many inputs more."""
        first = self.counts["inputs"]
        for start in range(first, first + count, BATCH):
            faulthandler.dump_traceback_later(PATIENCE, exit=True)
            self._batch(range(start, min(start + BATCH, first + count)))
            self.state.write_text(json.dumps(self.counts))
        faulthandler.cancel_dump_traceback_later()

    def _batch(self, numbers):
        inputs, files, whole = {}, [], {}
        for number in numbers:
            inputs[len(files)] = number
            files.append(self.input(number))
            if number % WHOLE == WHOLE - 1 or number == numbers[-1]:
                file, whole[len(files)] = self.whole(number)
                files.append(file)
        results = self.prepare(files, errors="return")
        for n, (result, report) in enumerate(zip(results, self.card.last)):
            if n in whole:
                np.testing.assert_array_equal(
                    result, whole[n], f"whole file behind input {inputs[n - 1]}")
                self.counts["whole"] += 1
                continue
            self.counts["inputs"] += 1
            self.counts[report.detail.name] += 1
            if not isinstance(result, Exception):
                self._compare(inputs[n], files[n], result)
            elif not isinstance(result, hr.ItemError):
                raise result

    def _compare(self, number, file, result):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")   # of odd metadata
            try:
                same = np.array_equal(pillow(file), result)
                kind = "equal" if same else "pixels"
            except Exception:  # whatever Pillow's plugins raise
                kind = "refused"
        self.counts[kind] += 1
        if kind != "equal":
            (self.folder / f"{self.seed}-{number}.jpg").write_bytes(file)

    @property
    def wrong(self):
        """Inputs that the card called OK, and Pillow did not."""
        return self.counts["pixels"] + self.counts["refused"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="inputs of this run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--card", default="sim")
    parser.add_argument("--folder", default="build/fuzz", help="for state and what went wrong")
    args = parser.parse_args()
    with hr.open(args.card, fallback="raise") as card:
        campaign = Campaign(card, args.seed, args.folder)
        begun = time.monotonic()
        campaign.run(args.count)
        seconds, counts = time.monotonic() - begun, dict(campaign.counts)
        names = {"inputs": "inputs of this seed", "equal": "OK with Pillow's pixels",
                 "pixels": "OK with others", "refused": "OK although Pillow refuses them",
                 "whole": "whole files between them, exact"}
        for key, name in names.items():
            print(f"{counts.pop(key, 0):10,}  {name}")
        print("Of the inputs:")
        for name, count in sorted(counts.items(), key=lambda entry: -entry[1]):
            print(f"{count:10,}  {'OK' if name == 'NONE' else hr.Detail[name].text}")
        print(f"{args.count / seconds:.1f} inputs a second, "
              f"{card.counters().get('cycles', 0) / seconds:,.0f} cycles a second")
    if campaign.wrong:
        print(f"see {campaign.folder}/{args.seed}-*.jpg")
    return bool(campaign.wrong)


if __name__ == "__main__":
    sys.exit(main())
