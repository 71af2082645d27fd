# SPDX-License-Identifier: Apache-2.0
"""A short campaign of damaged files; and that one finds what is wrong."""

import random
import types
import warnings

import headrace as hr
from damage import LONG, Parts, damaged, sources
from fuzz import Campaign
from headrace.hw.status import Detail, Status
from pictures import pillow


def test_damaged_files(sim_built, tmp_path):
    with hr.open("sim", fallback="raise") as card:
        campaign = Campaign(card, 7, tmp_path)
        campaign.run(100)
        assert Campaign(card, 7, tmp_path).counts == campaign.counts   # goes on there
        campaign.run(60)
    counts = campaign.counts
    assert campaign.wrong == 0, list(tmp_path.glob("*.jpg"))
    assert counts["inputs"] == 160 and counts["whole"] >= 10
    assert counts["equal"] >= 20 and counts["BITS"] >= 20 and counts["FILL"] >= 1


class Lenient:
    """A card that takes FF FF 00 for a data byte, as libjpeg does where it looks for the end."""

    def image(self, **options):
        return self

    def __call__(self, files, errors):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")   # of odd metadata
            results = [self.decode(file) for file in files]
        self.last = [types.SimpleNamespace(
            detail=Detail.BITS if isinstance(result, Exception) else Detail.NONE)
            for result in results]
        return results

    def decode(self, file):
        """Only whole files, and those with such bytes: what else it does is no matter here."""
        error = hr.ItemError(Status.CORRUPT, Detail.BITS)
        if file in self.whole:
            return pillow(file)
        if b"\xff\xff\0" not in file:
            return error
        try:
            return pillow(file.replace(b"\xff\xff\0", b"\xff\0"))
        except Exception:  # whatever Pillow's plugins raise
            return error


def test_what_is_wrong_is_found(tmp_path):
    card = Lenient()
    campaign = Campaign(card, 7, tmp_path)
    card.whole = set(campaign.sources[1])
    campaign.run(600)
    assert campaign.counts["pixels"] > 0
    assert len(list(tmp_path.glob("7-*.jpg"))) == campaign.wrong


def test_damage():
    """The same for the same number; parts make the whole again; many are changed."""
    files = sources(LONG)
    assert len(files) >= 5
    for file in files:
        assert Parts(file).join() == file
    some = [[damaged(files[0], random.Random(n), files) for n in range(50)] for _ in range(2)]
    assert some[0] == some[1] and len(set(some[0])) > 40
