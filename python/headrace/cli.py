# SPDX-License-Identifier: Apache-2.0
"""The command `headrace`."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

import headrace
from headrace import bench, bench_text, demo
from headrace.recipe import DTYPES, FILTERS, LAYOUTS


__all__ = ["main"]


#: Items given to the card at once.
BATCH = 16


def size(text):
    """``256`` or ``HEIGHTxWIDTH``."""
    sides = [int(side) for side in text.split("x")]
    if len(sides) > 2:
        raise ValueError
    return sides[0] if len(sides) == 1 else tuple(sides)


def numbers(text):
    """``a,b,c``."""
    return tuple(float(number) for number in text.split(","))


def ngrams(text):
    """``low,high``."""
    low, high = map(int, text.split(","))
    return low, high


def read(paths):
    """Bytes of each file; the exception where that fails."""
    for path in paths:
        try:
            yield path.read_bytes()
        except OSError as error:
            yield error


def prepare(prep, paths):
    """Result or exception of each file, in order, with a progress bar on a terminal."""
    results = []
    with tqdm(total=len(paths), unit="file", disable=None, leave=False) as bar:
        for start in range(0, len(paths), BATCH):
            data = list(read(paths[start:start + BATCH]))
            done = iter(prep([item for item in data if not isinstance(item, Exception)],
                             errors="return"))
            results += [item if isinstance(item, Exception) else next(done) for item in data]
            bar.update(len(data))
    return results


def tensor_picture(prep, tensors):
    """Tensors side by side as a picture, each stretched to its own range of values."""
    pictures = []
    for tensor in tensors:
        if prep.recipe.dtype == "bfloat16":
            tensor = (tensor.astype(np.uint32) << 16).view(np.float32)
        if prep.recipe.layout == "CHW":
            tensor = tensor.transpose(1, 2, 0)
        if prep.recipe.dtype != "uint8":
            tensor = tensor.astype(np.float32)
            low, high = np.nanmin(tensor), np.nanmax(tensor)
            tensor = ((tensor - low) * (255 / max(high - low, 1e-9))).round().astype(np.uint8)
        pictures.append(tensor)
    canvas = Image.new("RGB", (sum(picture.shape[1] for picture in pictures),
                               max(picture.shape[0] for picture in pictures)))
    left = 0
    for picture in pictures:
        canvas.paste(Image.fromarray(picture), (left, 0))
        left += picture.shape[1]
    return canvas


def report_fallbacks(counters):
    """Say how many items the CPU did, and why."""
    if counters["fallbacks"]:
        print(f"{counters['fallbacks']} of them done again on the CPU: "
              + ", ".join(f"{count} {name}" for name, count in counters["statuses"].items()))


def report_failures(paths, results):
    """Name each failed file with its reason; return the exit code."""
    for path, result in zip(paths, results):
        if isinstance(result, Exception):
            print(f"{path}: {type(result).__name__}: {result}", file=sys.stderr)
    return int(any(isinstance(result, Exception) for result in results))


def run(args):
    mean, std = args.mean, args.std
    if args.imagenet:
        mean, std = headrace.IMAGENET_MEAN, headrace.IMAGENET_STD
    dtype = args.dtype or ("uint8" if mean is None else "float32")
    with headrace.open(args.card, fallback=args.fallback) as card:
        prep = card.image(args.resize, args.crop, args.filter, mean=mean, std=std, dtype=dtype,
                          layout=args.layout)
        results = prepare(prep, args.files)
        counters = card.counters()
    good = [result for result in results if not isinstance(result, Exception)]
    if args.output:
        if prep.shape is None and len({tensor.shape for tensor in good}) > 1:
            print("Results differ in shape: give --crop, or one file at a time", file=sys.stderr)
            return 1
        np.save(args.output, np.stack(good) if good else np.empty((0, *(prep.shape or ())),
                                                                  prep.dtype))
    if args.preview and good:
        tensor_picture(prep, good).save(args.preview)
    shapes = ", ".join(sorted({"x".join(map(str, tensor.shape)) for tensor in good}))
    print(f"{len(good)} of {len(results)} images on card {card.name}"
          + (f": {dtype} {shapes}" if good else ""))
    report_fallbacks(counters)
    return report_failures(args.files, results)


def decode(args):
    with headrace.open(args.card, fallback=args.fallback) as card:
        try:
            pixels = card.decode_jpeg(args.file.read_bytes())
        except Exception as error:  # whatever Pillow raises
            return report_failures([args.file], [error])
    if args.output.suffix == ".npy":
        np.save(args.output, pixels)
    else:
        Image.fromarray(pixels).save(args.output)
    return 0


def texts_of(paths):
    """Contents of the files that can be read, and the exceptions of the others, in order."""
    data = list(read(paths))
    return data, [item for item in data if not isinstance(item, Exception)]


def tokenize(args):
    data, texts = texts_of(args.files)
    with headrace.open(args.card, fallback=args.fallback) as card:
        tokenizer = card.tokenizer(args.tokenizer)
        rows = iter(tokenizer.each(texts, add_special_tokens=args.special))
        results = [item if isinstance(item, Exception) else next(rows) for item in data]
        counters = card.counters()
    good = [row for row in results if not isinstance(row, Exception)]
    if args.output:
        np.savez(args.output, ids=np.concatenate([np.zeros(0, np.uint32), *good]),
                 offsets=np.cumsum([0, *map(len, good)]))
    print(f"{len(good)} of {len(results)} texts on card {card.name}: "
          f"{sum(map(len, good))} tokens")
    report_fallbacks(counters)
    return report_failures(args.files, results)


def hash_texts(args):
    data, texts = texts_of(args.files)
    with headrace.open(args.card, fallback=args.fallback) as card:
        vectorizer = card.hashing_vectorizer(
            n_features=args.features, ngram_range=args.ngrams, decode_error=args.decode_error)
        results, rows = [], []
        for item in data:
            if not isinstance(item, Exception):
                try:
                    rows.append(vectorizer.transform([item]))
                    item = rows[-1]
                except ValueError as error:  # not UTF-8, or handed back
                    item = error
            results.append(item)
        counters = card.counters()
    if args.output:
        from scipy import sparse
        matrix = sparse.vstack(rows, "csr") if rows else sparse.csr_matrix((0, args.features))
        np.savez(args.output, data=matrix.data, indices=matrix.indices, indptr=matrix.indptr,
                 shape=matrix.shape, format="csr")
    print(f"{len(rows)} of {len(results)} texts on card {card.name}: "
          f"{sum(row.nnz for row in rows)} features in {args.features} columns")
    report_fallbacks(counters)
    return report_failures(args.files, results)


def list_cards(args):
    for name, text in headrace.cards().items():
        print(f"{name:8} {text}")
    return 0


def run_bench(args):
    if args.lane == "jpeg":
        figures, table = bench.jpeg(args.files), bench.table
    else:
        figures, table = bench_text.text(args.files, args.tokenizer), bench_text.table
    print(json.dumps(figures, indent=2) if args.json else table(figures))
    return 0


def run_demo(args):
    return demo.run(args.file, args.output, args.card)


def parser():
    top = argparse.ArgumentParser(prog="headrace", description=__doc__, allow_abbrev=False)
    top.add_argument("--version", action="version", version=headrace.__version__)
    verbs = top.add_subparsers(required=True, metavar="VERB")

    def verb(name, function, help):
        sub = verbs.add_parser(name, help=help, description=help, allow_abbrev=False)
        sub.set_defaults(function=function)
        return sub

    def card_options(sub):
        sub.add_argument("--card", choices=("sim", "cpu"), help="default: the simulated card")
        sub.add_argument("--fallback", choices=("cpu", "raise"), default="cpu",
                         help="what to do with items that the card hands back (default: cpu)")

    sub = verb("run", run, "Prepare images for a network.")
    sub.add_argument("files", nargs="+", type=Path, metavar="FILE")
    sub.add_argument("--resize", type=size, metavar="N|HxW", help="shorter side, or exact size")
    sub.add_argument("--crop", type=size, metavar="N|HxW", help="cut from the centre")
    sub.add_argument("--filter", choices=FILTERS, default="bilinear")
    sub.add_argument("--imagenet", action="store_true", help="ImageNet's mean and std")
    sub.add_argument("--mean", type=numbers, metavar="R,G,B")
    sub.add_argument("--std", type=numbers, metavar="R,G,B")
    sub.add_argument("--dtype", choices=tuple(DTYPES),
                     help="default: float32 with mean and std, else uint8")
    sub.add_argument("--layout", choices=LAYOUTS, default="CHW")
    sub.add_argument("-o", "--output", type=Path, metavar="FILE.npy")
    sub.add_argument("--preview", type=Path, metavar="FILE.png", help="the results as a picture")
    card_options(sub)

    sub = verb("decode", decode, "Decode a JPEG file.")
    sub.add_argument("file", type=Path, metavar="FILE")
    sub.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.png|FILE.npy")
    card_options(sub)

    sub = verb("tokenize", tokenize, "Turn texts into tokens, one text a file.")
    sub.add_argument("files", nargs="+", type=Path, metavar="FILE")
    sub.add_argument("--tokenizer", type=Path, required=True, metavar="tokenizer.json")
    sub.add_argument("--special", action="store_true",
                     help="put the post-processor's tokens around each text")
    sub.add_argument("-o", "--output", type=Path, metavar="FILE.npz",
                     help="arrays ids and offsets")
    card_options(sub)

    sub = verb("hash", hash_texts, "Count hashed words, one text a file, as scikit-learn does.")
    sub.add_argument("files", nargs="+", type=Path, metavar="FILE")
    sub.add_argument("--features", type=int, default=1 << 20, metavar="N")
    sub.add_argument("--ngrams", type=ngrams, default=(1, 1), metavar="LOW,HIGH")
    sub.add_argument("--decode-error", choices=("strict", "ignore", "replace"), default="strict")
    sub.add_argument("-o", "--output", type=Path, metavar="FILE.npz",
                     help="a matrix for scipy.sparse.load_npz")
    card_options(sub)

    verb("cards", list_cards, "List the cards that can be opened.")

    sub = verb("bench", run_bench, "Measure the simulated card, in cycles.")
    sub.add_argument("lane", choices=("jpeg", "text"))
    sub.add_argument("files", nargs="+", type=Path, metavar="FILE")
    sub.add_argument("--json", action="store_true")
    sub.add_argument("--tokenizer", type=Path, metavar="tokenizer.json",
                     help="measure WordPiece too (text)")

    sub = verb("demo", run_demo, "Show one photo's way from JPEG to tensor.")
    sub.add_argument("file", type=Path, metavar="FILE")
    sub.add_argument("-o", "--output", type=Path, default=Path("build/demo"), metavar="FOLDER")
    sub.add_argument("--card", choices=("sim", "cpu"))
    return top


def main(argv=None):
    """Run the command; return its exit code."""
    args = parser().parse_args(argv)
    try:
        return args.function(args)
    except (headrace.HeadraceError, ImportError, OSError, ValueError) as error:
        print(f"headrace: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
