# SPDX-License-Identifier: Apache-2.0
"""Packets and bytes a cycle at the network port of the simulated card."""

import io
import itertools
import math
from pathlib import Path

import numpy as np
from PIL import Image

from headrace import wire
from headrace.bench import CLOCK, LANE
from headrace.hw.card.config import CONFIGS
from headrace.hw.status import Status
from headrace.hw.wire.headers import ARP, BROADCAST, ETHERNET, MIN_FRAME, EtherType
from headrace.recipe import Recipe
from headrace.sim_nic import SimNic


__all__ = ["LINES", "ports", "table"]


#: Bytes of a packet's payload; the last of them fill an MTU of 9000.
ARRIVING = 256, 1024, 4096, 8896
LEAVING = 256, 1024, 4096, 8192
#: Bits a second of the lines that are compared.
LINES = 100e9, 1e9
#: Bytes of a beat.
BEAT = CONFIGS["nic"].wire // 8
#: Bytes on the line around each frame: preamble, check sequence, gap.
AROUND = 24

HERE = wire.Station("02:00:00:00:00:01", "10.77.0.1", 0xC001)


class Meter:
    """Counts cycles of a card until nothing is under way any more."""

    def __init__(self, card):
        self.card = card
        self.there = wire.Station(card.mac, card.ip)
        # Reading the counters takes cycles, and so does being sure that all is over.
        self.idle = 0
        self.idle, _ = self.run([])

    def sender(self, queue, segment=1024):
        return wire.Sender(queue, HERE, self.there, segment=segment)

    def run(self, frames):
        """Cycles until the last transfer, and the frames that left."""
        begun = self.card.counters()["cycles"]
        left = self.card.exchange(frames, 1 << 20)
        while self.card.busy():
            left += self.card.exchange([], 1 << 20)
        return self.card.counters()["cycles"] - begun - self.idle, left

    def steady(self, frames):
        """A quarter of the frames: how many, their cycles when others are before and behind them,
        and the share that was answered."""
        count = len(frames) // 4
        self.run(frames[:count])
        once, _ = self.run(frames[count:2 * count])
        twice, left = self.run(frames[2 * count:4 * count])
        return count, twice - once, len(left) / (2 * count)


def rates(direction, what, frames, size, cycles):
    """Figures of so many frames of ``size`` bytes each, or in the mean."""
    each = cycles / frames
    full = math.ceil(size / BEAT) >= 0.95 * each
    found = {"direction": direction, "what": what, "frame_bytes": size, "frames": frames,
             "cycles": cycles, "cycles_per_frame": each, "bytes_per_cycle": size / each,
             "limit": "a beat a cycle" if full else "reading results",
             "frames_per_second": CLOCK / each, "gigabits_per_second": 8e-9 * CLOCK * size / each}
    for line in LINES:
        found[f"share_of_{line / 1e9:.0f}g"] = 8 * (size + AROUND) * CLOCK / each / line
    found["clock_for_100g"] = LINES[0] / 8 / (size + AROUND) * each
    return found


def arp_request(card):
    """Frame that asks for the card's address."""
    mac, ip = HERE.numbers
    _, target = wire.Station(card.mac, card.ip).numbers
    return (ETHERNET.pack(destination=BROADCAST, source=mac, type=EtherType.ARP) + ARP.pack(
        hardware=1, protocol=EtherType.IPV4, hardware_bytes=6, protocol_bytes=4, operation=1,
        sender_mac=mac, sender_ip=ip, target_ip=target)).ljust(MIN_FRAME, b"\0")


def receiving(meter, amount):
    """Frames that arrive back to back, short ones and packets of a long message."""
    card = meter.card
    recipe = Recipe(dtype="uint8")
    queue = card.listen(recipe, reply=None)
    short = amount // 16
    for what, frames in (
            ("closed queue pair", meter.sender(queue + 1).frames(bytes(4)) * short),
            ("ARP request", [arp_request(card)] * short),
            ("message of 4 bytes", [frame for _ in range(short)
                                    for frame in meter.sender(queue).frames(bytes(4))])):
        count, cycles, answered = meter.steady(frames)
        yield rates("in", what, count, len(frames[0]), cycles) | {"answered": answered}
    card.unlisten(queue)
    meter.run([])
    card.receive()
    for segment in ARRIVING:
        # A message that goes on: nothing of it is a job yet.
        queue = card.listen(recipe, reply=None)
        count = 4 * max(2, amount // segment)
        frames = meter.sender(queue, segment).frames(bytes(segment * (count + 1)))[:count]
        count, cycles, _ = meter.steady(frames)
        yield rates("in", f"payload of {segment}", count, len(frames[-1]), cycles)
        card.unlisten(queue)
        meter.run([])
        card.receive()


def picture(size):
    """A small JPEG file."""
    ramp = np.add.outer(np.arange(size), np.arange(size)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(ramp).convert("RGB").save(file, "JPEG")
    return file.getvalue()


def held(meter, frames):
    """Cycles in which responses leave that all wait in memory at first, and their frames."""
    meter.card.stall_wire(0, 1)
    meter.run(frames)
    meter.card.stall_wire(0, 0)
    return meter.run([])


def leaving(meter, segments):
    """Responses without and with a result; each size of packet needs a card of its own."""
    with (first := meter(segments[0])).card:
        queue, slots = first.card.listen(Recipe(dtype="uint8")), first.card.config.slots
        frames = first.sender(queue).frames(bytes(4), 1)
        # Some leave at once: they were in the transmitter.
        (half, _), (cycles, left) = (
            held(first, frames * count) for count in (slots // 2, slots))
        yield rates("out", "response without result", slots // 2, len(left[0]), cycles - half)
    recipe = Recipe(resize=(256, 256), mean=(0,) * 3, std=(1,) * 3, dtype="float32")
    for segment in segments:
        one = meter(segment)
        with one.card:
            queue = one.card.listen(recipe)
            sender = one.sender(queue)
            cycles, left = held(one, [frame for n in range(2)
                                      for frame in sender.frames(picture(64), n)])
            sizes = list(map(len, left))
            yield rates("out", f"payload of {segment}", len(left), sum(sizes) / len(sizes), cycles)


def whole(meter, data, copies):
    """Images in, tensors out."""
    queue = meter.card.listen(Recipe(**LANE))
    sender = meter.sender(queue)
    frames = [frame for n in range(copies) for frame in sender.frames(data, n)]
    before = meter.card.counters()
    cycles, left = meter.run(frames)
    after = meter.card.counters()
    reassembler = wire.Reassembler()
    messages = filter(None, map(reassembler.feed, map(wire.from_frame, left)))
    done = [wire.from_response(message)[0] for message in messages]
    status = Status(done[0]["status"])
    meter.card.unlisten(queue)
    found = {"images": len(done), "status": status.name, "cycles": cycles}
    for name, some in ("in", frames), ("out", left):
        size = sum(map(len, some))
        beats = sum(math.ceil(len(frame) / BEAT) for frame in some)
        found |= {f"frames_{name}": len(some), f"bytes_{name}": size,
                  f"busy_{name}": beats / cycles,
                  f"gigabits_per_second_{name}": 8e-9 * CLOCK * size / cycles}
    busy = {"image lane": (after["busy"] - before["busy"]) / cycles,
            "wire in": found["busy_in"], "wire out": found["busy_out"]}
    return found | {
        "images_per_megacycle": 1e6 * len(done) / cycles,
        "images_per_second": CLOCK * len(done) / cycles,
        "lane_busy": busy["image lane"], "limit": max(busy, key=busy.get)}


def ports(paths=(), *, copies=8, amount=1 << 18, options=None):
    """Measure the card named ``nic``: what arrives, what leaves, and files all the way.

    What arrives is timed where frames are before and behind it; responses that leave are ready in
    memory before the first of them may.

    Parameters
    ----------
    paths : list of path
        JPEG files.
    copies : int
        Of a file, each a request; the answers are tensors as in :data:`.bench.LANE`, all packets
        have payloads of up to 1024 bytes.
    amount : int
        Bytes of payload that are timed, about.
    options : dict, optional
        Of :class:`.sim_nic.SimNic`.

    Returns
    -------
    list of dict
        For what arrives and leaves: ``direction`` (``"in"``, ``"out"``), ``what``,
        ``frame_bytes`` without check sequence, ``frames``, ``cycles``, ``cycles_per_frame``,
        ``bytes_per_cycle``; at :data:`.bench.CLOCK` the estimates ``frames_per_second``,
        ``gigabits_per_second``, and ``share_of_100g``, ``share_of_1g``: of what such a line
        carries of these frames, preambles and gaps counted; ``clock_for_100g``: hertz at which
        the former would be 1; ``limit``: ``"a beat a cycle"``, or ``"reading results"`` from the
        card's memory, whose latency is not hidden; for short frames ``answered``, the share that
        was.
        For each file: ``file``, ``direction`` (``"through"``), ``status``, ``images``,
        ``cycles``, ``images_per_megacycle``, ``images_per_second`` (estimated),
        ``lane_busy``, the ``limit``: what is busiest; and with ``_in`` and ``_out`` ``frames``,
        ``bytes``, ``busy`` (the share of cycles with a beat) and ``gigabits_per_second``
        (estimated).
    """
    def meter(segment):
        return Meter(SimNic(segment=segment, **options or {}))

    with (one := meter(1024)).card:
        figures = list(receiving(one, amount))
    figures += leaving(meter, LEAVING)
    for path in paths:
        with (one := meter(1024)).card:
            figures.append({"file": str(path), "direction": "through",
                            **whole(one, Path(path).read_bytes(), copies)})
    return figures


def table(figures):
    """The figures as text."""
    lines = [f"{'':4}{'frames':26} {'bytes':>6} {'frames':>7} {'cycles':>8} {'cyc/frame':>9} "
             f"{'B/cyc':>6} {'Mframe/s':>8} {'Gb/s':>6} {'of 100G':>8} {'of 1G':>7} "
             f"{'MHz for 100G':>12} limit"]
    groups = itertools.groupby(figures, key=lambda found: found["direction"] == "through")
    for through, group in groups:
        if through:
            lines.append(f"{'through':30} {'images':>6} {'cycles':>9} {'image/Mcyc':>10} "
                         f"{'lane':>6} {'wire in':>8} {'wire out':>8} {'image/s':>7} "
                         f"{'Gb/s in':>7} {'out':>6} limit")
        for found in group:
            lines.append((through_line if through else port_line)(found))
    clock = CLOCK / 1e6
    lines.append(f"Simulated cycles; what is a second is an estimate, at {clock:.0f} MHz: "
                 f"{8 * BEAT} bits a cycle are {8e-3 * BEAT * clock:.1f} Gb/s then.")
    lines.append("Bytes are of frames without check sequence; of 100G and of 1G are what such a "
                 "line carries of them, with preambles and gaps.")
    return "\n".join(lines)


def port_line(found):
    answered = f", {found['answered']:.0%} answered" if found.get("answered") else ""
    return (f"{found['direction']:4}{found['what']:26} {found['frame_bytes']:6.0f} "
            f"{found['frames']:7} {found['cycles']:8} {found['cycles_per_frame']:9.2f} "
            f"{found['bytes_per_cycle']:6.2f} {found['frames_per_second'] / 1e6:8.2f} "
            f"{found['gigabits_per_second']:6.1f} {found['share_of_100g']:8.1%} "
            f"{found['share_of_1g']:7.1f} {found['clock_for_100g'] / 1e6:12.0f} "
            f"{found['limit']}{answered}")


def through_line(found):
    name = Path(found["file"]).name[:30]
    if found["status"] != Status.OK.name:
        return f"{name:30} {found['status']}"
    return (f"{name:30} {found['images']:6} {found['cycles']:9} "
            f"{found['images_per_megacycle']:10.2f} {found['lane_busy']:6.1%} "
            f"{found['busy_in']:8.2%} {found['busy_out']:8.2%} {found['images_per_second']:7.0f} "
            f"{found['gigabits_per_second_in']:7.2f} {found['gigabits_per_second_out']:6.2f} "
            f"{found['limit']}")
