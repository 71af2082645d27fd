# SPDX-License-Identifier: Apache-2.0
"""Tokenizers of strangers: parsed by a process of its own, with limits, never by the server.

A library that reads what anyone sends may panic, hang, or take all memory. So a child process makes
the tables, and the server takes plain numbers from it, of which nothing is executed or unpickled.
"""

import asyncio
import collections
import contextlib
import dataclasses
import hashlib
import json
import os
import signal
import sys
import types

import numpy as np

from headrace.cached import cached
from headrace.control import ControlError
from headrace.errors import VocabularyError
from headrace.hw.text.tables import TableImage
from headrace.hw.text.vocabulary import Geometry, Tables
from headrace.token_recipe import TokenRecipe


__all__ = ["ForeignTokenizer", "Parsers"]


#: Parsed tokenizers that are remembered, and bytes of the longest of them.
KEPT, MOST_KEPT = 4, 1 << 21
#: Times the seconds of the processor that may pass on the clock.
PATIENCE = 3
#: Bytes of the longest line of a child.
MOST_LINE = 1 << 16
#: Code points.
CODES = 0x110000
#: Characters of an error that are passed on.
MOST_ERROR = 1000

#: What a child runs; its arguments are the limits, and where modules are.
PROGRAM = ("import sys; sys.path[:] = sys.argv[3:]; from headrace.foreign import main; "
           "main(float(sys.argv[1]), int(sys.argv[2]))")
#: Libraries reserve memory for each thread, and need none here.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1",
               "TOKENIZERS_PARALLELISM": "false", "MALLOC_ARENA_MAX": "1"}

#: Arrays of the tables and types of their elements.
ARRAYS = {"entries": "<u4", "sequences": "<u8", "specials": "<u8", "nodes": "<u8"}
#: Numbers of the tables, and what they are below.
NUMBERS = {"unknown": lambda geometry: 1 << geometry.token_bits,
           "start": lambda geometry: 1 << geometry.node_bits,
           "continued": lambda geometry: 1 << geometry.node_bits,
           "longest": lambda geometry: geometry.longest + 1}


@dataclasses.dataclass(frozen=True)
class ForeignTokenizer(TokenRecipe):
    """A tokenizer that another process has checked: its tables, and nothing that was parsed here.

    Parameters
    ----------
    source : str
        As it came; of a long one with tables its digest.
    made : Tables or None
        For the card that was asked for; None if none was.
    """

    made: Tables | None = dataclasses.field(default=None, compare=False)

    def __post_init__(self):
        pass  # done by the other process

    def __reduce__(self):
        return ForeignTokenizer, (self.source, self.made)

    @cached
    def vocabulary(self):
        if self.made is None:
            return self.source
        digest = hashlib.sha256(json.dumps([getattr(self.made, name) for name in NUMBERS]).encode())
        for name in ARRAYS:
            digest.update(getattr(self.made, name))
        return digest.hexdigest()

    def tables(self, geometry=None):
        if self.made is None or self.made.geometry != (geometry or Geometry()):
            raise ValueError("Tokenizer must have been parsed for the tables of this card")
        return self.made

    def fitted(self, config):
        tables = self.tables(config.wordpiece)
        return tables, TableImage.pack(tables.entries, config.pages, config.entry_width)


class Parsers:
    """Starts processes that parse tokenizers, a few at once.

    Parameters
    ----------
    config : CardConfig or None
        What tables are made for; None makes none.
    limits : Limits
    """

    def __init__(self, config, limits):
        self._config, self._limits = config, limits
        self._free = asyncio.Semaphore(limits.parsers)
        self._known = collections.OrderedDict()

    async def parse(self, source):
        """Tokenizer of the contents of a ``tokenizer.json``, bytes.

        Raises
        ------
        VocabularyError
            If the card's tables do not hold it; the message says which limit.
        ControlError
            If no card can do it, or it takes too much; the message says which.
        """
        async with self._free:
            made = self.known(source)
            if made is None:
                try:
                    made = await self._run(source)
                except VocabularyError as error:
                    self._keep(source, str(error))
                    raise
        self._keep(source, made)
        return made

    def known(self, source):
        """The tokenizer, if it is remembered; else None.

        Raises
        ------
        VocabularyError
            If it is remembered as one that the card's tables do not hold.
        """
        made = self._known.get(hashlib.sha256(source).digest())
        if made is not None:
            self._keep(source, made)
        if isinstance(made, str):
            raise VocabularyError(made)
        return made

    def _keep(self, source, made):
        """Remember a tokenizer, or why it does not fit, as the latest."""
        if len(source) <= MOST_KEPT:
            key = hashlib.sha256(source).digest()
            self._known[key] = made
            self._known.move_to_end(key)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)

    async def _run(self, source):
        limits = self._limits
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, str(limits.parse_seconds), str(limits.parse_memory),
            *sys.path, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL, env={**os.environ, **ENVIRONMENT},
            limit=MOST_LINE, start_new_session=True)  # Ctrl-C is for the server
        try:
            tables = await asyncio.wait_for(
                self._talk(process, source), PATIENCE * limits.parse_seconds)
        except (asyncio.TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            raise ControlError(
                f"Tokenizer.json not accepted: it must be parsed with {limits.parse_seconds:g} s "
                f"of the processor and {limits.parse_memory >> 20} MiB of memory, and without a "
                f"crash") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # and what it may have started
            while process.returncode is None:  # until the loop has noticed, or it would complain
                await asyncio.sleep(0.01)
            # Without this it waits for the end of pipes that nobody reads any more.
            process._transport.close()
            await process.wait()
        if tables is not None and len(source) > MOST_KEPT:
            # The tables are all that a card needs: a long source is not kept for as long.
            return ForeignTokenizer(hashlib.sha256(source).hexdigest(), tables)
        return ForeignTokenizer(str(source, "utf-8"), tables)

    async def _talk(self, process, source):
        """Give a child its work; the tables that it makes, or None if none are wanted."""
        config, tables = self._config, None
        if config is not None:
            tables = {"wordpiece": dataclasses.asdict(config.wordpiece), "pages": config.pages,
                      "entry_width": config.entry_width}
        head = json.dumps({"size": len(source), "tables": tables})
        process.stdin.write(head.encode() + b"\n" + source)
        await process.stdin.drain()
        process.stdin.close()
        try:
            fields = json.loads(await process.stdout.readuntil(b"\n"))
            if "unfit" in fields:
                raise VocabularyError(fields["unfit"][:MOST_ERROR])
            if "error" in fields:
                raise ControlError(f"Tokenizer.json not accepted: {fields['error'][:MOST_ERROR]}")
            if config is None:
                return None
            geometry = config.wordpiece
            numbers = [_number(fields[name], below(geometry)) for name, below in NUMBERS.items()]
            arrays = []
            for name, dtype in ARRAYS.items():
                length = _number(fields[name], _most(name, geometry) + 1)
                data = await process.stdout.readexactly(length * np.dtype(dtype).itemsize)
                arrays.append(np.frombuffer(data, dtype))
                _number(int(arrays[-1].max(initial=0)), 1 << _width(name, geometry))
        except (ControlError, VocabularyError):
            raise
        except (asyncio.LimitOverrunError, KeyError, TypeError, ValueError) as error:
            raise ControlError(f"Tokenizer.json not accepted: {type(error).__name__} while it was "
                               f"parsed") from None
        return Tables(geometry, *arrays, *numbers)


def _number(value, below):
    if type(value) is not int or not 0 <= value < below:
        raise ControlError("Tokenizer.json not accepted: its tables are none of this card")
    return value


def _most(name, geometry):
    """Words of the largest table of a name."""
    bits = {"sequences": geometry.symbol_bits, "specials": geometry.special_bits,
            "nodes": geometry.node_bits}
    return CODES if name == "entries" else 1 << bits[name]


def _width(name, geometry):
    """Bits of a word of a table."""
    if name == "entries":
        return geometry.entry_width
    return sum({"sequences": geometry.element, "specials": geometry.special,
                "nodes": geometry.node}[name].values())


# The child

def main(seconds, memory):
    """Read a tokenizer from standard input, write its tables to standard output."""
    confine(seconds, memory)
    out = sys.stdout.buffer
    try:
        head = json.loads(sys.stdin.buffer.readline())
        source = str(sys.stdin.buffer.read(head["size"]), "utf-8")
        recipe = TokenRecipe(source)
        tables = head["tables"] and _tables(recipe, **head["tables"])
    except VocabularyError as error:
        out.write(json.dumps({"unfit": str(error)[:MOST_ERROR]}).encode() + b"\n")
        out.flush()
        return
    except BaseException as error:  # a panic of the library is no Exception
        text = f"{type(error).__name__}: {error}"[:MOST_ERROR]
        out.write(json.dumps({"error": text}).encode() + b"\n")
        out.flush()
        return
    fields, arrays = {}, []
    if tables:
        arrays = [np.asarray(getattr(tables, name)).astype(dtype)
                  for name, dtype in ARRAYS.items()]
        fields = {name: int(getattr(tables, name)) for name in NUMBERS}
        fields |= {name: len(array) for name, array in zip(ARRAYS, arrays)}
    out.write(json.dumps(fields).encode() + b"\n")
    for array in arrays:
        out.write(array.tobytes())
    out.flush()


def _tables(recipe, wordpiece, **limits):
    """Tables of a tokenizer for a card with such limits."""
    card = types.SimpleNamespace(wordpiece=Geometry(**wordpiece), **limits)
    tables, _ = recipe.fitted(card)
    return tables


def confine(seconds, memory):
    """Limit what this process takes, whoever started it and whether or not that still runs."""
    import resource

    os.nice(10)  # the card's loop goes first
    signal.setitimer(signal.ITIMER_REAL, PATIENCE * seconds)  # ends the process
    whole = max(1, round(seconds))
    for kind, limit in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, whole),
                        (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0),
                        (resource.RLIMIT_NOFILE, 64)):
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        resource.setrlimit(kind, (limit, limit))
