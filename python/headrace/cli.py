# SPDX-License-Identifier: Apache-2.0
"""The command `headrace`."""

import argparse
import contextlib
import functools
import json
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

import headrace
from headrace import (
    bench, bench_boards, bench_card, bench_host, bench_text, bench_wire, control, demo, nic,
    overlay, wire)
from headrace.client import Client
from headrace.hashing import HashingRecipe
from headrace.hw.status import Detail, Status
from headrace.recipe import DTYPES, FILTERS, LAYOUTS, Recipe
from headrace.token_recipe import TokenRecipe


__all__ = ["main"]


#: Items given to the card at once; to one in the network, which should not run dry.
BATCH, NETWORK_BATCH = 16, 256


def size(text):
    """``256`` or ``HEIGHTxWIDTH``."""
    sides = [int(side) for side in text.split("x")]
    if len(sides) > 2:
        raise ValueError
    return sides[0] if len(sides) == 1 else tuple(sides)


def positive(text):
    """A number from 1 on."""
    if int(text) < 1:
        raise ValueError
    return int(text)


def numbers(text):
    """``a,b,c``."""
    return tuple(float(number) for number in text.split(","))


def ngrams(text):
    """``low,high``."""
    low, high = map(int, text.split(","))
    return low, high


def place(text, port=control.PORT):
    """``HOST`` or ``HOST:PORT``."""
    host, colon, number = text.partition(":")
    if not host:
        raise ValueError
    return host, int(number) if colon else port


def station(text):
    """``IP`` or ``IP:PORT``."""
    return wire.Station(None, *place(text, wire.ROCE_PORT))


def open_card(args):
    """The card that the arguments name: in this machine, or in the network."""
    if "to" not in args:
        return headrace.open(args.card, fallback=args.fallback)
    return Client(*args.to, fallback=args.fallback, mtu=args.mtu, timeout=args.timeout,
                  retries=args.retries, window=args.window, check=args.check)


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
            data = list(read(paths[start:start + size]))
            done = iter(prep([item for item in data if not isinstance(item, Exception)],
                             errors="return"))
            results += [item if isinstance(item, Exception) else next(done) for item in data]
            update(len(data))
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


def report_failures(paths, results):
    """Name each failed file with its reason; return the exit code."""
    for path, result in zip(paths, results):
        if isinstance(result, Exception):
            print(f"{path}: {type(result).__name__}: {result}", file=sys.stderr)
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
    with open_card(args) as card:
        prep = headrace.ImagePrep(card, recipe)
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
          + (f": {recipe.dtype} {shapes}" if good else ""))
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
    with open_card(args) as card:
        tokenizer = card.tokenizer(args.tokenizer)
        with progress(card, len(texts)):
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
    with open_card(args) as card:
        vectorizer = card.hashing_vectorizer(
            n_features=args.features, ngram_range=args.ngrams, decode_error=args.decode_error)
        with progress(card, len(texts)):
            found = iter(vectorizer.each(texts))
        results = [item if isinstance(item, Exception) else next(found) for item in data]
        counters = card.counters()
    rows = [row for row in results if not isinstance(row, Exception)]
    if args.output:
        from scipy import sparse
        matrix = sparse.vstack(rows, "csr") if rows else sparse.csr_matrix((0, args.features))
        np.savez(args.output, data=matrix.data, indices=matrix.indices, indptr=matrix.indptr,
                 shape=matrix.shape, format="csr")
    print(f"{len(rows)} of {len(results)} texts on card {card.name}: "
          f"{sum(row.nnz for row in rows)} features in {args.features} columns")
    report_fallbacks(counters)
    return report_failures(args.files, results)


def send(args):
    args.hash = args.hash or args.features is not None
    if args.features is None:
        args.features = HashingRecipe.features
    if args.tokenizer and args.hash:
        raise ValueError("Give --tokenizer or --features, not both")
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
    if args.output:
        args.output.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(nic.open_nic(args.card, **options)) as card:
        how = dict(output=args.output, rate=args.rate * 1e6, log=functools.partial(
            print, flush=True))
        if args.udp:
            server = serve.Server.udp(card, *args.udp, **how)
        else:
            prefix = args.ip.partition("/")[2] if args.ip else ""
            host = args.host_ip or str(links.neighbour(card.ip))
            link = links.TapLink(args.tap, f"{host}/{prefix or 24}", mtu=args.mtu)
            server = serve.Server.tap(card, link, args.control, **how)
        host, port = server.address
        print(f"card {card.mac} {card.ip}, {server.link.through}; control at {host}:{port}",
              flush=True)
        serve.until_signal(server)
    return 0


def list_cards(args):
    for name, text in headrace.cards().items():
        print(f"{name:8} {text}")
    return 0


def run_bench(args):
    if not args.files and args.what not in ("wire", "host"):
        raise ValueError(f"Give files to bench {args.what}")
    if args.what == "jpeg":
        figures, table = bench.jpeg(args.files, card=args.card), bench.table
    elif args.what == "text":
        figures, table = bench_text.text(args.files, args.tokenizer), bench_text.table
    elif args.what == "card":
        figures, table = bench_card.scaling(args.files, copies=args.copies or 16), bench_card.table
    elif args.what == "host":
        figures, table = bench_host.host(), bench_host.table
    elif args.what == "boards":
        if len(args.files) != 1:
            raise ValueError("Give one file to bench boards")
        figures = bench_boards.boards(args.files[0], args.board, folder=args.output,
                                      seeds=args.seeds)
        table = bench_boards.table
        if args.output:
            args.output.mkdir(parents=True, exist_ok=True)
            (args.output / "boards.svg").write_text(bench_boards.picture(figures))
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

    def card_options(sub):
        sub.add_argument("--card", metavar="sim|cpu|xrt:N|udp://HOST",
                         help="see headrace cards (default: the simulated card)")
        fallback_option(sub)

    def fallback_option(sub):
        sub.add_argument("--fallback", choices=("cpu", "raise"), default="cpu",
                         help="what to do with items that the card hands back (default: cpu)")

    def files_argument(sub):
        sub.add_argument("files", nargs="+", type=Path, metavar="FILE")

    def image_options(sub):
        sub.add_argument("--resize", type=size, metavar="N|HxW",
                         help="shorter side, or exact size")
        sub.add_argument("--crop", type=size, metavar="N|HxW", help="cut from the centre")
        sub.add_argument("--filter", choices=FILTERS, default="bilinear")
        sub.add_argument("--imagenet", action="store_true", help="ImageNet's mean and std")
        sub.add_argument("--mean", type=numbers, metavar="R,G,B")
        sub.add_argument("--std", type=numbers, metavar="R,G,B")
        sub.add_argument("--dtype", choices=tuple(DTYPES),
                         help="default: float32 with mean and std, else uint8")
        sub.add_argument("--layout", choices=LAYOUTS, default="CHW")
        sub.add_argument("--preview", type=Path, metavar="FILE.png",
                         help="the results as a picture")

    def token_options(sub, required):
        sub.add_argument("--tokenizer", type=Path, required=required, metavar="tokenizer.json")
        sub.add_argument("--special", action="store_true",
                         help="put the post-processor's tokens around each text")

    def hash_options(sub):
        sub.add_argument("--features", type=int, default=HashingRecipe.features, metavar="N")
        sub.add_argument("--ngrams", type=ngrams, default=(1, 1), metavar="LOW,HIGH")
        sub.add_argument("--decode-error", choices=("strict", "ignore", "replace"),
                         default="strict")

    def output_option(sub, metavar, help=None):
        sub.add_argument("-o", "--output", type=Path, metavar=metavar, help=help)

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
    output_option(sub, "FILE.npz", "arrays ids and offsets")
    card_options(sub)

    sub = verb("hash", hash_texts, "Count hashed words, one text a file, as scikit-learn does.")
    files_argument(sub)
    hash_options(sub)
    output_option(sub, "FILE.npz", "a matrix for scipy.sparse.load_npz")
    card_options(sub)

    sub = verb("send", send, "Do what run, tokenize (with --tokenizer) and hash (with --hash or "
                             "--features) do, on a card in the network.")
    files_argument(sub)
    sub.add_argument("--to", type=place, required=True, metavar="HOST[:PORT]",
                     help=f"control address of the server (default port: {control.PORT})")
    image_options(sub)
    token_options(sub, required=False)
    hash_options(sub)
    sub.set_defaults(features=None)
    sub.add_argument("--hash", action="store_true", help="the files are texts to be hashed")
    output_option(sub, "FILE", "as of run, tokenize or hash")
    away = sub.add_mutually_exclusive_group()
    away.add_argument("--keep", action="store_true",
                      help="results stay in the memory of the server's host, see serve --output")
    away.add_argument("--forward", type=station, metavar="IP[:PORT]",
                      help="results go to another station (default port: 4791)")
    sub.add_argument("--mtu", type=int, default=1500, metavar="BYTES",
                     help="longest IPv4 packet that is sent (default: 1500)")
    sub.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS",
                     help="without any answer, until requests are sent again (default: 10)")
    sub.add_argument("--retries", type=int, default=5, metavar="N",
                     help="times that a request is sent again (default: 5)")
    sub.add_argument("--window", type=int, default=32, metavar="N",
                     help="requests under way at most (default: 32)")
    sub.add_argument("--no-check", dest="check", action="store_false",
                     help="nobody looks at the CRC of packets")
    fallback_option(sub)

    sub = verb("serve", run_server, "Connect a card to a TAP device (root) or to a UDP port.")
    link = sub.add_mutually_exclusive_group(required=True)
    link.add_argument("--tap", metavar="NAME", help="name of the device to make")
    link.add_argument("--udp", type=place, metavar="HOST:PORT",
                      help="UDP port for datagrams, TCP port for control")
    sub.add_argument("--ip", metavar="IP[/PREFIX]", help="the card's address (prefix: 24)")
    sub.add_argument("--mac", help="the card's address")
    sub.add_argument("--host-ip", metavar="IP",
                     help="address of the host's side of the TAP device (default: the card's "
                          "neighbour)")
    sub.add_argument("--control", type=int, default=control.PORT, metavar="PORT",
                     help=f"TCP port on the host's side, with --tap (default: {control.PORT})")
    sub.add_argument("--mtu", type=int, default=1500, metavar="BYTES", help="of the TAP device")
    sub.add_argument("--rate", type=float, default=64.0, metavar="MB/S",
                     help="what is sent to clients at most (default: %(default)s)")
    sub.add_argument("-o", "--output", type=Path, metavar="FOLDER",
                     help="for results in host memory, as .npy")
    sub.add_argument("--card", default="sim", metavar="sim|MODULE:CALLABLE",
                     help="what to serve (default: the simulated card)")

    verb("cards", list_cards, "List the cards that can be opened.")

    sub = verb("bench", run_bench, "Measure the simulated card, in cycles, or the driver.")
    sub.add_argument("what", choices=("jpeg", "text", "card", "wire", "host", "boards"),
                     help="an image lane, a text lane, cards with 1, 2 and 4 image lanes, the "
                          "network port, the driver itself (these two need no files), or what "
                          "the boards' cards take and do (needs the extra hw, tens of minutes)")
    # With "*" they could not stand behind options in all versions of Python.
    sub.add_argument("files", nargs="+", default=[], type=Path, metavar="FILE").required = False
    sub.add_argument("--copies", type=positive, metavar="N",
                     help="of each file: for each lane (card, default: 16), or in all (wire, "
                          "default: 8)")
    sub.add_argument("--card", default="sim", metavar="NAME",
                     help="the simulated card whose image lane is measured (jpeg, default: sim)")
    sub.add_argument("--board", action="append", default=[], metavar="NAME",
                     help="one of those to measure (boards, default: all)")
    sub.add_argument("--seeds", type=int, nargs="+", default=[], metavar="N",
                     help="place and route with these, a third of an hour each (boards that the "
                          "extra hw builds; default: read what `make bitstream` found)")
    output_option(sub, "FOLDER", "for a picture, and the tools' files (boards)")
    sub.add_argument("--json", action="store_true")
    sub.add_argument("--tokenizer", type=Path, metavar="tokenizer.json",
                     help="measure WordPiece too (text)")

    sub = verb("overlay", write_overlay,
               "Write an overlay of the simulated card for PYNQ: no bitstream, only metadata.")
    sub.add_argument("-o", "--output", type=Path, default=Path(), metavar="FOLDER",
                     help="default: the current folder")
    sub.add_argument("--kind", choices=tuple(overlay.KINDS), default="alveo",
                     help="headrace.xclbin, or headrace.bit and headrace.hwh (default: alveo)")

    sub = verb("demo", run_demo, "Show one photo's way from JPEG to tensor.")
    sub.add_argument("file", type=Path, metavar="FILE")
    sub.add_argument("-o", "--output", type=Path, default=Path("build/demo"), metavar="FOLDER")
    sub.add_argument("--card", metavar="sim|cpu|xrt:N|udp://HOST")
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
