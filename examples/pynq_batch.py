# SPDX-License-Identifier: Apache-2.0
"""Plain PYNQ: a JPEG file on the card, register by register and buffer by buffer.

Nothing here knows whether the card is simulated. With the simulated one:

    headrace overlay
    python -m headrace.pynq examples/pynq_batch.py headrace.xclbin examples/teddies.jpg
"""

import sys

import numpy as np
import pynq

from headrace import Recipe
from headrace.bus_card import pack_recipe
from headrace.hw.card.jobs import Kind
from headrace.hw.status import Status
from headrace.pynq import COMPLETION, JOB


__all__ = ["main"]


def prepare(ip, data, recipe):
    """Tensor of a file."""
    loaded = pynq.allocate(len(pack_recipe(recipe)), "u1")
    loaded[:] = np.frombuffer(pack_recipe(recipe), "u1")
    file = pynq.allocate(len(data), "u1")
    file[:] = np.frombuffer(data, "u1")
    result = pynq.allocate(recipe.fixed_shape, recipe.element)

    jobs = pynq.allocate(2, JOB)
    jobs[0] = (Kind.LOAD, 0, 0, loaded.device_address, loaded.nbytes, 0, 0, 0, 0)
    jobs[1] = (Kind.IMAGE, 0, 1, file.device_address, file.nbytes, 0, 0,
               result.device_address, result.nbytes)
    completions = pynq.allocate(2, COMPLETION)

    for buffer in loaded, file, jobs:
        buffer.sync_to_device()
    ip.start(jobs, 2, completions).wait()
    completions.sync_from_device()
    result.sync_from_device()
    for done in completions:
        if done["status"] != Status.OK:
            raise RuntimeError(f"Job {done['request']}: {Status(done['status']).name}")
    return np.array(result)


def main(overlay, path):
    ip = pynq.Overlay(overlay).headrace_1
    with open(path, "rb") as file:
        data = file.read()
    recipe = Recipe(resize=256, crop=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225),
                    dtype="float16", layout="CHW")
    tensor = prepare(ip, data, recipe)
    print(tensor.dtype, tensor.shape)
    # The same by the driver.
    print((tensor == ip.image(resize=256, crop=224, mean=recipe.mean, std=recipe.std,
                              dtype="float16")(data)).all())
    return tensor


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: pynq_batch.py headrace.xclbin photo.jpg")
    main(*sys.argv[1:])
