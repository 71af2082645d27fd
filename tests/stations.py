# SPDX-License-Identifier: Apache-2.0
"""Stations that talk to a card frame by frame, with ``headrace.wire`` at their end."""

import io

import numpy as np
from PIL import Image

import headrace as hr
from headrace import wire
from headrace.hashing import HashingRecipe
from headrace.hw.status import Status
from headrace.hw.wire.outcome import Outcome
from headrace.recipe import Recipe
from headrace.results import array_of


__all__ = ["HERE", "BUDGET", "picture", "expected", "run", "frames_counted", "Peer"]


HERE = wire.Station("02:00:00:00:00:09", "10.77.0.9", 5555)
#: Cycles in which all that a test asks for is done.
BUDGET = 50_000_000


def picture(n, size=(60, 40), format="JPEG", **options):
    """An encoded picture that differs for each ``n``."""
    rng = np.random.default_rng(n)
    noise = Image.fromarray(rng.integers(0, 256, (5, 7, 3), np.uint8))
    file = io.BytesIO()
    noise.resize(size, Image.Resampling.BICUBIC).save(file, format, **options)
    return file.getvalue()


def expected(work, payload):
    """What the CPU makes of a payload, as :func:`headrace.results.array_of` has it."""
    cpu = hr.open("cpu")
    if isinstance(work, Recipe):
        return cpu.image(work.resize, work.crop, filter=work.filter, mean=work.mean, std=work.std,
                         dtype=work.dtype, layout=work.layout)(payload)
    if isinstance(work, HashingRecipe):
        row = cpu.hashing_vectorizer(
            n_features=work.features, ngram_range=work.ngram_range, lowercase=work.lowercase,
            alternate_sign=work.alternate_sign, norm=None, dtype=np.int32).transform([payload])
        row.sort_indices()
        return np.stack([row.indices, row.data], 1).astype(np.int32)
    return work.redo(payload)


def run(nic, frames):
    """What the card sends until it is done with ``frames``."""
    out = nic.exchange(frames, BUDGET)
    assert not nic.busy(), "the card does not come to an end"
    return out


def frames_counted(nic):
    """Frames that the receiver counted, of any outcome."""
    counters = nic.counters()
    return sum(counters[f"frames_{outcome.name.lower()}"] for outcome in Outcome
               if outcome < Outcome.LOST)


class Peer:
    """A queue pair of a card, and the station that uses it.

    Parameters
    ----------
    nic : SimNic
    work : Recipe, HashingRecipe or TokenRecipe
    mtu : int
        Bytes of IPv4 packets.
    station : Station
    number : int
        Queue pair for the answers.
    **options
        Of :meth:`headrace.nic.Nic.listen`.

    Attributes
    ----------
    answers : dict
        Completion and result of each answered request, by number; of one that is answered
        repeatedly the last.
    sent : dict
        Payload of each request, by number.
    """

    def __init__(self, nic, work, *, mtu=1500, station=HERE, number=0x77, **options):
        self.nic, self.work, self.station, self.number = nic, work, station, number
        self.queue_pair = nic.listen(work, queue_pair=number, **options)
        self.sender = wire.Sender(self.queue_pair, station, wire.Station(nic.mac, nic.ip),
                                  segment=mtu - 48, psn=options.get("first") or 0)
        self.reassembler = wire.Reassembler()
        self.answers, self.sent = {}, {}

    def request(self, payload):
        """Frames of the next request."""
        number = len(self.sent) + 1
        self.sent[number] = payload
        return [wire.to_frame(packet) for packet in wire.request(self.sender, number, payload)]

    def hear(self, frames):
        """Take the frames that are for this queue pair, which scapy or others have not changed."""
        for frame in frames:
            packet = wire.from_frame(frame)
            if packet.queue_pair != self.number:
                continue
            assert packet.destination == self.station
            message = self.reassembler.feed(packet)
            if message is not None:
                completion, result = wire.from_response(message)
                self.answers[completion["request"]] = completion, result
        assert self.reassembler.lost == self.reassembler.ignored == 0

    def renew(self):
        """Forget which packet comes next: answers to nonsense were not heard."""
        self.reassembler = wire.Reassembler()

    def check(self, number):
        """Assert that a request was answered with just what the CPU makes of it."""
        completion, result = self.answers[number]
        assert Status(completion["status"]) is Status.OK
        found = array_of(self.work, completion, result)
        np.testing.assert_array_equal(found, expected(self.work, self.sent[number]))

    def ask(self, payload):
        """Send a request, and assert that it is answered exactly."""
        self.hear(run(self.nic, self.request(payload)))
        self.check(len(self.sent))

    def close(self):
        self.nic.unlisten(self.queue_pair)
