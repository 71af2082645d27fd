# SPDX-License-Identifier: Apache-2.0
"""The command `headrace`."""

import argparse
import contextlib
import io
import json
import re
import ssl
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

import headrace
from headrace import (
    bench, bench_boards, bench_card, bench_host, bench_text, bench_wire, demo, nic, overlay)
from headrace.client import Client
from headrace.hashing import HashingRecipe
from headrace.hw.command import (
    check_file, check_folder, command, save_array, whole_file)
from headrace.hw.status import Detail, Status
from headrace.limits import Limits
from headrace.options import (
    bench_options, card_options, files_argument, hash_options, image_options, output_option,
    send_options, serve_options, token_options)
from headrace.recipe import Recipe
from headrace.token_recipe import TokenRecipe


__all__ = ["main"]


#: Items given to the card at once; to one in the network, which should not run dry.
BATCH, NETWORK_BATCH = 16, 256


def open_card(args):
    """The card that the arguments name: in this machine, or in the network."""
    if "to" not in args:
        return headrace.open(args.card, fallback=args.fallback)
    return Client(*args.to, fallback=args.fallback, mtu=args.mtu, timeout=args.timeout,
                  retries=args.retries, window=args.window, check=args.check,
                  token=args.token, tls=client_tls(args))


def client_tls(args):
    """What a client does with TLS: False, True, or a context with the given authorities."""
    if args.ca is None:
        return args.tls
    if not args.tls:
        raise ValueError("Give --ca only with --tls")
    return ssl.create_default_context(cafile=args.ca)


def server_tls(args):
    """Context of a server's certificate, None without one."""
    if args.cert is None and args.key is None:
        return None
    if args.cert is None or args.key is None:
        raise ValueError("Give --cert and --key, or neither")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(args.cert, args.key)
    except ssl.SSLError as error:
        raise ValueError(f"Certificate must be PEM and fit its key, not {args.cert} and "
                         f"{args.key}: {error}") from None
    return context


@contextlib.contextmanager
def progress(card, total):
    """A progress bar on a terminal; yields a function to call with items done."""
    with tqdm(total=total, unit="file", disable=None, leave=False) as bar:
        if not isinstance(card, Client):
            yield bar.update
            return
        card.on_done = bar.update
        try:
            yield lambda count: None
        finally:
            card.on_done = lambda: None


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
    size = NETWORK_BATCH if isinstance(prep.card, Client) else BATCH
    with progress(prep.card, len(paths)) as update:
        for start in range(0, len(paths), size):
            done = prep(paths[start:start + size], errors="return")
            results += done
            update(len(done))
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
    """Say what happened on the way, how many items the CPU did, and why."""
    if "unanswered" in counters:
        seconds = max(counters["seconds"], 1e-9)
        print(f"{counters['received']} answers in {seconds:.2f} s: "
              f"{counters['received'] / seconds:.1f} a second, "
              f"{counters['bytes_sent'] / seconds / 1e6:.2f} MB/s sent, "
              f"{counters['bytes_received'] / seconds / 1e6:.2f} MB/s received; "
              f"{counters['lost']} lost, {counters['retried']} sent again, "
              f"{counters['unanswered']} unanswered")
    elif "asked" in counters:
        print(f"{counters['asked']} messages, {counters['retried']} sent again; "
              f"{counters['bytes_sent']} bytes sent, {counters['bytes_received']} received")
    if counters["fallbacks"]:
        print(f"{counters['fallbacks']} of them done again on the CPU: "
              + ", ".join(f"{count} {name}" for name, count in counters["statuses"].items()))


def check_output(path, suffix, inputs):
    """Raise ValueError or OSError unless results can be written to a file of that name, if there is
    one."""
    if path is not None and path.suffix != suffix:
        raise ValueError(f"Output must end in {suffix}, not {path.name!r}")
    check_file(path, inputs)


def check_picture(path, inputs):
    """Raise ValueError or OSError unless Pillow can write a picture of that name, if there is one.
    """
    if path is None:
        return
    kind = Image.registered_extensions().get(path.suffix.lower())
    try:
        Image.new("RGB", (1, 1)).save(io.BytesIO(), kind)
    except (KeyError, OSError, ValueError):  # no such format, one to read only, or not of RGB
        raise ValueError(f"Picture must end in a suffix that Pillow can write, such as .png, "
                         f"not {path.name!r}") from None
    check_file(path, inputs)


def report_unkept(path, suffix):
    """Say it if results go to no file, before the work for them."""
    if path is None:
        print(f"headrace: results are not kept: give -o FILE{suffix} to keep them",
              file=sys.stderr)


def save_picture(path, picture):
    """Write a Pillow image in the format of the name, which :func:`check_picture` has seen."""
    encoded = io.BytesIO()  # onto a full disk, Pillow's encoder of JPEG 2000 writes for ever
    encoded.name = path.name  # says which of its two kinds it is
    picture.save(encoded, Image.registered_extensions()[path.suffix.lower()])
    with whole_file(path) as file:
        file.write(encoded.getbuffer())


def save_rows(path, results, **arrays):
    """Write arrays of the results that there are, and of which files these are."""
    encoded = io.BytesIO()  # on a full disk, older numpy leaves behind what complains later
    np.savez(encoded, **arrays, index=good_rows(results))
    with whole_file(path) as file:
        file.write(encoded.getbuffer())


def good_rows(results):
    """Positions of the results that are no exceptions."""
    return np.array([n for n, result in enumerate(results) if not isinstance(result, Exception)],
                    np.int64)


def spans(numbers):
    """Ascending numbers for a reader: ``0-3, 5``."""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def report_rows(path, results):
    """Say which files the rows are of, if some have none."""
    rows = good_rows(results)
    if len(rows) == len(results):
        return
    what = (f"rows are of files {spans(rows)}, counted from 0: those that failed have none"
            if len(rows) else "no rows: all files failed")
    print(f"{path}: {what}", file=sys.stderr)


def report_failures(paths, results):
    """Name each failed file with its reason; return the exit code."""
    for path, result in zip(paths, results):
        if isinstance(result, Exception):
            # Of which item of the batch it is speaks the path.
            text = re.sub(r"^item \d+: ", "", str(result))
            print(f"{path}: {type(result).__name__}: {text}", file=sys.stderr)
    return int(any(isinstance(result, Exception) for result in results))


def image_recipe(args):
    """Recipe of the options of images."""
    mean, std = args.mean, args.std
    if args.imagenet:
        mean, std = headrace.IMAGENET_MEAN, headrace.IMAGENET_STD
    dtype = args.dtype or ("uint8" if mean is None else "float32")
    return Recipe(args.resize, args.crop, args.filter, mean, std, dtype, args.layout)


def run(args):
    recipe = image_recipe(args)
    check_output(args.output, ".npy", args.files)
    check_picture(args.preview, args.files)
    report_unkept(args.output, ".npy")
    with open_card(args) as card:
        prep = headrace.ImagePrep(card, recipe)
        results = prepare(prep, args.files)
        counters = card.counters()
    code = report_failures(args.files, results)
    good = [result for result in results if not isinstance(result, Exception)]
    if args.output:
        if prep.shape is None and len({tensor.shape for tensor in good}) > 1:
            print("Results differ in shape: give --crop, or one file at a time", file=sys.stderr)
            return 1
        save_array(args.output, np.stack(good) if good else np.empty((0, *(prep.shape or ())),
                                                                     prep.dtype))
        report_rows(args.output, results)
    if args.preview and good:
        save_picture(args.preview, tensor_picture(prep, good))
    shapes = ", ".join(sorted({"x".join(map(str, tensor.shape)) for tensor in good}))
    print(f"{len(good)} of {len(results)} images on card {card.name}"
          + (f": {recipe.dtype} {shapes}" if good else ""))
    report_fallbacks(counters)
    return code


def decode(args):
    if args.output.suffix == ".npy":
        check_file(args.output, [args.file])
    else:
        check_picture(args.output, [args.file])
    with headrace.open(args.card, fallback=args.fallback) as card:
        try:
            pixels = card.decode_jpeg(args.file)
        except Exception as error:  # whatever Pillow raises
            return report_failures([args.file], [error])
    if args.output.suffix == ".npy":
        save_array(args.output, pixels)
    else:
        save_picture(args.output, Image.fromarray(pixels))
    return 0


def texts_of(paths):
    """Contents of the files that can be read, and the exceptions of the others, in order."""
    data = list(read(paths))
    return data, [item for item in data if not isinstance(item, Exception)]


def tokenize(args):
    check_output(args.output, ".npz", [args.tokenizer, *args.files])
    data, texts = texts_of(args.files)
    with open_card(args) as card:
        tokenizer = card.tokenizer(args.tokenizer)
        report_unkept(args.output, ".npz")
        with progress(card, len(texts)):
            rows = iter(tokenizer.each(texts, add_special_tokens=args.special))
        results = [item if isinstance(item, Exception) else next(rows) for item in data]
        counters = card.counters()
    code = report_failures(args.files, results)
    good = [row for row in results if not isinstance(row, Exception)]
    if args.output:
        save_rows(args.output, results, ids=np.concatenate([np.zeros(0, np.uint32), *good]),
                  offsets=np.cumsum([0, *map(len, good)]))
    print(f"{len(good)} of {len(results)} texts on card {card.name}: "
          f"{sum(map(len, good))} tokens")
    report_fallbacks(counters)
    return code


def hash_texts(args):
    check_output(args.output, ".npz", args.files)
    data, texts = texts_of(args.files)
    with open_card(args) as card:
        vectorizer = card.hashing_vectorizer(
            n_features=args.features, ngram_range=args.ngrams, decode_error=args.decode_error)
        report_unkept(args.output, ".npz")
        with progress(card, len(texts)):
            found = iter(vectorizer.each(texts))
        results = [item if isinstance(item, Exception) else next(found) for item in data]
        counters = card.counters()
    code = report_failures(args.files, results)
    rows = [row for row in results if not isinstance(row, Exception)]
    if args.output:
        from scipy import sparse
        matrix = sparse.vstack(rows, "csr") if rows else sparse.csr_matrix((0, args.features))
        save_rows(args.output, results, data=matrix.data, indices=matrix.indices,
                  indptr=matrix.indptr, shape=matrix.shape, format="csr")
    print(f"{len(rows)} of {len(results)} texts on card {card.name}: "
          f"{sum(row.nnz for row in rows)} features in {args.features} columns")
    report_fallbacks(counters)
    return code


def send(args):
    args.hash = args.hash or args.features is not None
    if args.features is None:
        args.features = HashingRecipe.features
    if args.tokenizer and args.hash:
        raise ValueError("Give --tokenizer or --features, not both")
    if args.preview and (args.tokenizer or args.hash):
        raise ValueError("Give --preview only for images")
    if args.keep or args.forward:
        return send_away(args)
    if args.tokenizer:
        return tokenize(args)
    return hash_texts(args) if args.hash else run(args)


def send_away(args):
    """Send files whose results do not come back."""
    if args.output or args.preview:
        raise ValueError("Give -o and --preview only if results come back")
    if args.tokenizer:
        work = TokenRecipe.read(args.tokenizer)
    elif args.hash:
        work = HashingRecipe(args.features, args.ngrams)
    else:
        work = image_recipe(args)
    data, payloads = texts_of(args.files)
    with open_card(args) as card:
        if args.forward:
            begun = time.monotonic()
            answers = iter(card.forward(work, payloads, args.forward))
            print(f"{len(payloads)} messages sent in {time.monotonic() - begun:.2f} s; nobody "
                  f"says whether they arrived")
        else:
            with progress(card, len(payloads)):
                answers = iter(card.keep(work, payloads))
        results = []
        for path, item in zip(args.files, data):
            answer = item if isinstance(item, Exception) else next(answers)
            if isinstance(answer, dict) and answer["status"] != Status.OK:
                answer = headrace.ItemError(Status(answer["status"]), Detail(answer["detail"]))
            elif isinstance(answer, dict):
                print(f"{path}: {answer.get('dtype', '')} "
                      f"{'x'.join(map(str, answer.get('shape', [])))} {answer.get('file', '')}")
            results.append(answer)
        if not args.forward:
            report_fallbacks(card.counters())
    return report_failures(args.files, results)


def run_server(args):
    from headrace import links, serve  # not on every system

    options = {name: value for name, value in (
        ("mac", args.mac), ("ip", args.ip and args.ip.partition("/")[0])) if value}
    tls, limits = server_tls(args), Limits.of(args.limit)
    if args.output:
        check_folder(args.output)
        args.output.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(nic.open_nic(args.card, **options)) as card:
        how = dict(output=args.output, rate=args.rate * 1e6, allow_forward=args.allow_forward,
                   log=serve.say, token=args.token, tls=tls, limits=limits)
        if args.udp:
            server = serve.Server.udp(card, *args.udp, **how)
        else:
            prefix = args.ip.partition("/")[2] if args.ip else ""
            host = args.host_ip or str(links.neighbour(card.ip))
            link = links.TapLink(args.tap, f"{host}/{prefix or 24}", mtu=args.mtu)
            server = serve.Server.tap(card, link, args.control, **how)
        host, port = server.address
        serve.say(f"card {card.mac} {card.ip}, {server.link.through}; control at {host}:{port}")
        serve.until_signal(server)
    return 0


def list_cards(args):
    for name, text in headrace.cards().items():
        print(f"{name:8} {text}")
    return 0


#: Options that not all measurements have, and those that do.
BENCHES = {"card": ("jpeg",), "copies": ("card", "wire"), "tokenizer": ("text",),
           "board": ("boards",), "seeds": ("boards",), "output": ("boards",)}


def check_bench(args):
    """Raise ValueError or OSError if the arguments do not belong together, or files are not there.
    """
    if not args.files and args.what not in ("wire", "host"):
        raise ValueError(f"Give files to bench {args.what}")
    if args.files and args.what == "host":
        raise ValueError("Give no files to bench host")
    if len(args.files) != 1 and args.what == "boards":
        raise ValueError("Give one file to bench boards")
    for name, benches in BENCHES.items():
        if getattr(args, name) and args.what not in benches:
            raise ValueError(f"Give --{name} only to bench {' and '.join(benches)}")
    for path in args.files:
        with open(path, "rb"):
            pass
    if args.output:
        check_folder(args.output)


def run_bench(args):
    check_bench(args)
    if args.what == "jpeg":
        figures, table = bench.jpeg(args.files, card=args.card or "sim"), bench.table
    elif args.what == "text":
        figures, table = bench_text.text(args.files, args.tokenizer), bench_text.table
    elif args.what == "card":
        figures, table = bench_card.scaling(args.files, copies=args.copies or 16), bench_card.table
    elif args.what == "host":
        figures, table = bench_host.host(), bench_host.table
    elif args.what == "boards":
        figures = bench_boards.boards(args.files[0], args.board, folder=args.output,
                                      seeds=args.seeds)
        table = bench_boards.table
        if args.output:
            args.output.mkdir(parents=True, exist_ok=True)
            with whole_file(args.output / "boards.svg", "w", encoding="utf-8") as file:
                file.write(bench_boards.picture(figures))
    else:
        figures = bench_wire.ports(args.files, copies=args.copies or 8)
        table = bench_wire.table
    print(json.dumps(figures, indent=2) if args.json else table(figures))
    return 0


def write_overlay(args):
    for path in overlay.write(args.output, args.kind):
        print(path)
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

    sub = verb("run", run, "Prepare images for a network.")
    files_argument(sub)
    image_options(sub)
    output_option(sub, "FILE.npy")
    card_options(sub)

    sub = verb("decode", decode, "Decode a JPEG file.")
    sub.add_argument("file", type=Path, metavar="FILE")
    sub.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.png|FILE.npy")
    card_options(sub)

    sub = verb("tokenize", tokenize, "Turn texts into tokens, one text a file.")
    files_argument(sub)
    token_options(sub, required=True)
    output_option(sub, "FILE.npz", "arrays ids, offsets and index (of each row's file)")
    card_options(sub)

    sub = verb("hash", hash_texts, "Count hashed words, one text a file, as scikit-learn does.")
    files_argument(sub)
    hash_options(sub)
    output_option(sub, "FILE.npz",
                  "a matrix for scipy.sparse.load_npz; and index (of each row's file)")
    card_options(sub)

    sub = verb("send", send, "Do what run, tokenize (with --tokenizer) and hash (with --hash or "
                             "--features) do, on a card in the network.")
    files_argument(sub)
    send_options(sub)

    sub = verb("serve", run_server, "Connect a card to a TAP device (root) or to a UDP port.")
    serve_options(sub)

    verb("cards", list_cards, "List the cards that can be opened.")

    sub = verb("bench", run_bench, "Measure the simulated card, in cycles, or the driver.")
    bench_options(sub)

    sub = verb("overlay", write_overlay,
               "Write an overlay of the simulated card for PYNQ: no bitstream, only metadata.")
    sub.add_argument("-o", "--output", type=Path, default=Path(), metavar="FOLDER|FILE",
                     help="a folder, or a file that ends in .xclbin, .bit or .hwh (default: the "
                          "current folder)")
    sub.add_argument("--kind", choices=tuple(overlay.KINDS),
                     help="headrace.xclbin, or headrace.bit and headrace.hwh (default: that of "
                          "the file, or alveo)")

    sub = verb("demo", run_demo, "Show one photo's way from JPEG to tensor.")
    sub.add_argument("file", type=Path, metavar="FILE")
    sub.add_argument("-o", "--output", type=Path, default=Path("build/demo"), metavar="FOLDER")
    sub.add_argument("--card", metavar="sim|cpu|xrt:N|udp://HOST",
                     help="of headrace cards, or a board in the network (default: the simulated "
                          "card)")
    return top


@command("headrace", headrace.HeadraceError)
def main(argv=None):
    """Run the command; return its exit code."""
    args = parser().parse_args(argv)
    return args.function(args)


if __name__ == "__main__":
    sys.exit(main())
