# SPDX-License-Identifier: Apache-2.0
"""Options of the command, in groups."""

import argparse
import functools
import math
from pathlib import Path

from headrace import control, wire
from headrace.hashing import HashingRecipe
from headrace.limits import Limits
from headrace.recipe import DTYPES, FILTERS, LAYOUTS


__all__ = ["card_options", "files_argument", "image_options", "token_options", "hash_options",
           "output_option", "send_options", "serve_options", "bench_options"]


def size(text):
    """``256`` or ``HEIGHTxWIDTH``."""
    sides = [int(side) for side in text.split("x")]
    if len(sides) > 2:
        raise ValueError
    return sides[0] if len(sides) == 1 else tuple(sides)


def whole(text, least, most=None):
    """A whole number from ``least`` on, or to ``most``."""
    try:
        number = int(text)
    except ValueError:
        number = None
    if number is None or number < least or most is not None and number > most:
        span = f"from {least} on" if most is None else f"from {least} to {most}"
        raise argparse.ArgumentTypeError(f"must be a whole number {span}, not {text!r}")
    return number


positive = functools.partial(whole, least=1)


def above_zero(text):
    """A finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a finite number above 0, not {text!r}")
    return number


def numbers(text):
    """``a,b,c``."""
    return tuple(float(number) for number in text.split(","))


def ngrams(text):
    """``low,high``."""
    low, high = map(int, text.split(","))
    return low, high


def place(text, port=control.PORT, least=1):
    """``HOST`` or ``HOST:PORT``, with ports from ``least`` on."""
    host, colon, number = text.partition(":")
    if not host:
        raise argparse.ArgumentTypeError(f"must be HOST or HOST:PORT, not {text!r}")
    try:
        return host, whole(number, least, 65535) if colon else port
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"port {error}") from None


def station(text):
    """``IP`` or ``IP:PORT``."""
    host, port = place(text, wire.ROCE_PORT)
    try:
        return wire.Station(None, host, port)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be IP or IP:PORT, not {text!r}") from None


def token_file(text):
    """Token in the first line of a file."""
    try:
        with open(text, encoding="ascii") as file:
            return control.check_token(file.readline().strip())
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"cannot be taken from {text}: {error}") from None


def card_options(sub):
    """Which card, and what it does with what it cannot."""
    sub.add_argument("--card", metavar="sim|cpu|xrt:N|udp://HOST",
                     help="see headrace cards (default: the simulated card)")
    fallback_option(sub)


def fallback_option(sub):
    """What is done with what a card cannot."""
    sub.add_argument("--fallback", choices=("cpu", "raise"), default="cpu",
                     help="what to do with items that the card hands back (default: cpu)")


def files_argument(sub):
    """Files, at least one."""
    sub.add_argument("files", nargs="+", type=Path, metavar="FILE")


def image_options(sub):
    """What becomes of an image."""
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
    """What becomes of a text by WordPiece."""
    sub.add_argument("--tokenizer", type=Path, required=required, metavar="tokenizer.json")
    sub.add_argument("--special", action="store_true",
                     help="put the post-processor's tokens around each text")


def hash_options(sub):
    """What becomes of a text by hashing."""
    sub.add_argument("--features", type=int, default=HashingRecipe.features, metavar="N")
    sub.add_argument("--ngrams", type=ngrams, default=(1, 1), metavar="LOW,HIGH")
    sub.add_argument("--decode-error", choices=("strict", "ignore", "replace"),
                     default="strict")


def output_option(sub, metavar, help=None):
    """Where results go."""
    sub.add_argument("-o", "--output", type=Path, metavar=metavar, help=help)


def send_options(sub):
    """What a client in the network does."""
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
    sub.add_argument("--timeout", type=above_zero, default=10.0, metavar="SECONDS",
                     help="without any answer, until requests are sent again (default: 10)")
    sub.add_argument("--retries", type=functools.partial(whole, least=0), default=5, metavar="N",
                     help="times that a request is sent again (default: 5)")
    sub.add_argument("--window", type=positive, default=32, metavar="N",
                     help="requests under way at most (default: 32)")
    sub.add_argument("--token", type=token_file, metavar="FILE",
                     help="with the server's token in its first line")
    sub.add_argument("--tls", action="store_true", help="control connection by TLS")
    sub.add_argument("--ca", type=Path, metavar="FILE",
                     help="certificates that a server's is signed with, for --tls (default: the "
                          "system's)")
    sub.add_argument("--no-check", dest="check", action="store_false",
                     help="nobody looks at the CRC of packets")
    fallback_option(sub)


def serve_options(sub):
    """How a card is connected."""
    link = sub.add_mutually_exclusive_group(required=True)
    link.add_argument("--tap", metavar="NAME", help="name of the device to make")
    link.add_argument("--udp", type=functools.partial(place, least=0), metavar="HOST:PORT",
                      help="UDP port for datagrams, TCP port for control; 0: any that is free")
    sub.add_argument("--ip", metavar="IP[/PREFIX]", help="the card's address (prefix: 24)")
    sub.add_argument("--mac", help="the card's address")
    sub.add_argument("--host-ip", metavar="IP",
                     help="address of the host's side of the TAP device (default: the card's "
                          "neighbour)")
    sub.add_argument("--control", type=functools.partial(whole, least=0, most=65535),
                     default=control.PORT, metavar="PORT",
                     help=f"TCP port on the host's side, with --tap (default: {control.PORT})")
    sub.add_argument("--mtu", type=functools.partial(whole, least=68, most=65535), default=1500,
                     metavar="BYTES", help="of the TAP device")
    sub.add_argument("--rate", type=above_zero, default=64.0, metavar="MB/S",
                     help="what is sent to clients at most (default: %(default)s)")
    sub.add_argument("-o", "--output", type=Path, metavar="FOLDER",
                     help="for results in host memory, as .npy; no file is overwritten")
    sub.add_argument("--allow-forward", action="store_true",
                     help="clients may have results sent to others than themselves")
    sub.add_argument("--token", type=token_file, metavar="FILE",
                     help="clients must know the token in its first line")
    sub.add_argument("--cert", type=Path, metavar="FILE",
                     help="certificates for TLS on control connections")
    sub.add_argument("--key", type=Path, metavar="FILE", help="private key of --cert")
    sub.add_argument("--limit", action="append", default=[], metavar="NAME=NUMBER",
                     help=f"one of {', '.join(vars(Limits()))}: see docs/security.md")
    sub.add_argument("--card", default="sim", metavar="sim|MODULE:CALLABLE",
                     help="what to serve (default: the simulated card)")


def bench_options(sub):
    """What is measured, and how."""
    sub.add_argument("what", choices=("jpeg", "text", "card", "wire", "host", "boards"),
                     help="an image lane, a text lane, cards with 1, 2 and 4 image lanes, the "
                          "network port, the driver itself (these two need no files), or what "
                          "the boards' cards take and do (needs headrace's extra hw, an hour)")
    # With "*" they could not stand behind options in all versions of Python.
    sub.add_argument("files", nargs="+", default=[], type=Path, metavar="FILE").required = False
    sub.add_argument("--copies", type=positive, metavar="N",
                     help="of each file: for each lane (card, default: 16), or in all (wire, "
                          "default: 8)")
    sub.add_argument("--card", metavar="NAME",
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
