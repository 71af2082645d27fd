# SPDX-License-Identifier: Apache-2.0
"""Tries a wheel, and nothing else, in an empty environment. Run as ``python tests/alone.py DIST``.

``DIST`` is a folder with one sdist and the wheel that was built from it, as ``python -m build``
leaves them. Every step prints what it does; the first that goes wrong ends the program.
"""

import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path


__all__ = ["main"]


ROOT = Path(__file__).resolve().parent.parent
PHOTO = ROOT / "examples" / "teddies.jpg"
IMAGENET = ["--resize", "256", "--crop", "224", "--imagenet", "--dtype", "float16"]

#: What is neither the project's nor needed for it: it would be somebody's own build.
FOREIGN = (".a", ".o", ".pyc", ".so")


def check(right, what):
    """End the program unless something is ``right``."""
    print(f"{'ok  ' if right else 'FAIL'} {what}", flush=True)
    if not right:
        sys.exit(1)


def check_sdist(path):
    """It has what git holds, and nothing else but what describes it."""
    with tarfile.open(path) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    check(not [name for name in names if name.endswith(FOREIGN)], f"{path.name}: no objects")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0:
        check(names - {"PKG-INFO"} == set(listed.stdout.split("\n")) - {""},
              f"{path.name}: the files that git holds")


def check_wheel(path):
    """It has the driver, the hardware's sources, and the simulated cards; what it needs is few."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        metadata = archive.read(next(
            name for name in names if name.endswith(".dist-info/METADATA"))).decode()
    for part in "headrace/py.typed", "headrace/hw/card/config.py", "headrace/constraints/":
        check(any(name.startswith(part) for name in names), f"{path.name}: {part}")
    for card in "sim", "nic":
        check(any(name.startswith(f"headrace/_{card}.") for name in names),
              f"{path.name}: the simulated card {card}")
    needs = sorted(line.split(": ")[1] for line in metadata.splitlines()
                   if line.startswith("Requires-Dist") and "extra ==" not in line)
    check([need.partition(">")[0] for need in needs] == ["numpy", "pillow", "tqdm"],
          f"{path.name}: needs {', '.join(needs)}")


def main(dist):
    """Try what is in a folder."""
    dist = Path(dist).resolve()
    [sdist], [wheel] = dist.glob("*.tar.gz"), dist.glob("*.whl")
    check_sdist(sdist)
    check_wheel(wheel)

    home = dist / "alone"
    shutil.rmtree(home, ignore_errors=True)
    venv.create(home / "venv", with_pip=True)
    programs = home / "venv" / "bin"

    def run(*command, fails=False):
        done = subprocess.run([programs / command[0], *map(str, command[1:])], cwd=home,
                              capture_output=True, text=True)
        tidy = "Traceback" not in done.stderr
        check(tidy and (done.returncode != 0) == fails, " ".join(map(str, command)))
        return done

    run("pip", "install", "--quiet", wheel)
    run("headrace", "cards")
    for card in "sim", "cpu", "nic":
        run("headrace", "run", PHOTO, *IMAGENET, "--card", card, "-o", f"{card}.npy")
    run("headrace", "decode", PHOTO, "-o", "photo.png")
    run("headrace", "demo", PHOTO, "-o", "demo")
    run("headrace", "overlay", "-o", "overlay")
    tensors = {(home / f"{card}.npy").read_bytes() for card in ("sim", "cpu", "nic")}
    check(len(tensors) == 1, "the cards agree")
    (home / "text.txt").write_text("a photo of two teddies")
    hint = run("headrace", "hash", "text.txt", "-o", "text.npz", fails=True).stderr
    check("pip install scikit-learn scipy tokenizers" in hint, f"a hint: {hint.strip()}")
    print("1 passed, 0 failed")


if __name__ == "__main__":
    main(*sys.argv[1:])
