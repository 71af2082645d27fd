# SPDX-License-Identifier: Apache-2.0
"""The control connection: a client says what it wants of a card, the server names a queue pair.

Lines of JSON over TCP. ``docs/network.md`` describes them byte by byte.
"""

import dataclasses
import json

from headrace import wire
from headrace.errors import HeadraceError
from headrace.hashing import HashingRecipe
from headrace.hw.wire.headers import ROCE_PORT
from headrace.recipe import Recipe
from headrace.token_recipe import TokenRecipe


__all__ = ["PORT", "VERSION", "ANY", "MOST_LINE", "MOST_ATTACHMENT", "ControlError", "Setup",
           "Answer", "Lines", "line"]


#: TCP port unless another is given.
PORT = 4790
#: Of the protocol.
VERSION = 1
#: A client's UDP port that may be any: it is known by its address alone.
ANY = "any"
#: Bytes of a line, and of a tokenizer.json.
MOST_LINE = 1 << 16
MOST_ATTACHMENT = 1 << 26

IMAGE = {"resize", "crop", "filter", "mean", "std", "dtype", "layout"}
HASHING = {"features", "ngram_range", "lowercase", "alternate_sign"}


class ControlError(HeadraceError, ValueError):
    """What one side of a control connection does not accept of the other."""


def line(fields):
    """A dict as a line."""
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def _fields(fields, required, optional=()):
    missing = required - fields.keys()
    unknown = fields.keys() - required - set(optional)
    if missing:
        raise ControlError(f"Field must be given: {', '.join(sorted(missing))}")
    if unknown:
        raise ControlError(f"Field must be one of {', '.join(sorted({*required, *optional}))}, "
                           f"not {', '.join(sorted(unknown))}")


def _number(name, value, below):
    if type(value) is not int or not 0 <= value < below:
        raise ControlError(f"{name} must be an int within range({below}), not {value!r}")
    return value


def _lists_are_tuples(options):
    return {name: tuple(value) if isinstance(value, list) else value
            for name, value in options.items()}


def _station(reply):
    """Station of ``{"ip", "port", "mac"}``; its MAC address is None if not given."""
    _fields(reply, {"ip"}, {"port", "mac"})
    port = _number("Port", reply.get("port", ROCE_PORT), 1 << 16)
    try:
        return wire.Station(reply.get("mac"), reply["ip"], port)
    except ValueError as error:
        raise ControlError(str(error)) from None


@dataclasses.dataclass(frozen=True)
class Setup:
    """What a client wants.

    Parameters
    ----------
    work : Recipe, HashingRecipe or TokenRecipe
    reply : "sender", Station or None
        As of :meth:`headrace.nic.Nic.listen`. The MAC address of a station may be None: the
        server's own.
    queue_pair : int
        Of the receiver of responses.
    check : bool
        Whether the card looks at the CRC.
    port : int, "any" or None
        UDP port from which requests come, and to which answers go. ``"any"``: requests come from
        any port of the client's address, answers go to port 4791. None: whoever sends the first
        request is the client.
    """

    work: object
    reply: object = "sender"
    queue_pair: int = 0
    check: bool = True
    port: int | str | None = None

    def encode(self):
        """Bytes that the client sends."""
        fields = {"version": VERSION, "queue_pair": self.queue_pair, "check": self.check,
                  "reply": {None: "host", "sender": "sender"}.get(self.reply) or {
                      name: value for name, value in dataclasses.asdict(self.reply).items()
                      if value is not None}}
        if self.port is not None:
            fields["port"] = self.port
        if isinstance(self.work, TokenRecipe):
            source = self.work.source.encode()
            return line({"kind": "tokenizer", **fields, "attachment": len(source)}) + source
        kind = "image" if isinstance(self.work, Recipe) else "hashing"
        return line({"kind": kind, **fields, "options": dataclasses.asdict(self.work)})

    @staticmethod
    def attachment(fields):
        """Bytes that follow the line with these fields."""
        if fields.get("kind") != "tokenizer":
            return 0
        size = fields.get("attachment")
        if type(size) is not int or not 0 < size <= MOST_ATTACHMENT:
            raise ControlError(f"Attachment must be a number of bytes up to {MOST_ATTACHMENT}, "
                               f"not {size!r}")
        return size

    @classmethod
    def decode(cls, fields, attachment=b""):
        """Setup of a line's fields.

        Raises
        ------
        ControlError
            If something is wrong with them; the message names it.
        """
        common = {"version", "kind"}
        if fields.get("version") != VERSION:
            raise ControlError(f"Version must be {VERSION}, not {fields.get('version')!r}")
        kind = fields.get("kind")
        if kind not in ("image", "hashing", "tokenizer"):
            raise ControlError(f"Kind must be one of image, hashing, tokenizer, not {kind!r}")
        _fields(fields, common, {"queue_pair", "check", "reply", "port",
                                 "attachment" if kind == "tokenizer" else "options"})
        queue_pair = _number("Queue_pair", fields.get("queue_pair", 0), 1 << 24)
        check = fields.get("check", True)
        if not isinstance(check, bool):
            raise ControlError(f"Check must be true or false, not {check!r}")
        port = fields.get("port")
        if port not in (None, ANY) and _number("Port", port, 1 << 16) == 0:
            raise ControlError('Port must be from 1 on, or "any", not 0')
        reply = fields.get("reply", "sender")
        if isinstance(reply, dict):
            reply = _station(reply)
        elif reply in ("sender", "host"):
            reply = "sender" if reply == "sender" else None
        else:
            raise ControlError(f"Reply must be sender, host or an object with ip, not {reply!r}")
        return cls(cls._work(kind, fields.get("options", {}), attachment), reply, queue_pair,
                   check, port)

    @staticmethod
    def _work(kind, options, attachment):
        if not isinstance(options, dict):
            raise ControlError(f"Options must be an object, not {options!r}")
        if kind != "tokenizer":
            _fields(options, set(), IMAGE if kind == "image" else HASHING)
        try:
            if kind == "tokenizer":
                return TokenRecipe(str(attachment, "utf-8"))
            return (Recipe if kind == "image" else HashingRecipe)(**_lists_are_tuples(options))
        except Exception as error:  # tokenizers raises plain Exception
            part = "Tokenizer.json" if kind == "tokenizer" else "Options"
            raise ControlError(f"{part} not accepted: {type(error).__name__}: {error}") from error


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the server grants.

    Parameters
    ----------
    queue_pair : int
        Of the card, for requests.
    mac, ip : str
        Of the card.
    port : int
        UDP port of the card; the CRC is computed with ``ip`` and ``port``.
    through : "tap" or "udp"
        Whether datagrams are sent to ``ip`` and ``port``, or to the server's control address, the
        UDP port of the same number.
    segment : int
        Payload bytes of the packets that come from the card.
    most_message, most_result : int
        Bytes of the longest request that is taken, and of the longest result.
    window : int
        Bytes that should be under way at most: what the server's buffers hold.
    first : int or None
        Number of the first packet; None: any.
    """

    queue_pair: int
    mac: str
    ip: str
    port: int
    through: str
    segment: int
    most_message: int
    most_result: int
    window: int
    first: int | None = None

    def encode(self):
        """Bytes that the server sends."""
        return line(dataclasses.asdict(self))

    @classmethod
    def decode(cls, fields):
        """Answer of a line's fields.

        Raises
        ------
        ControlError
            With the server's words, if it refuses.
        """
        if "error" in fields:
            raise ControlError(f"The server refuses: {fields['error']}")
        known = {field.name for field in dataclasses.fields(cls)}
        missing = known - fields.keys() - {"first"}
        if missing:
            raise ControlError(f"Answer must have {', '.join(sorted(known))}, "
                               f"not {', '.join(sorted(fields)) or 'nothing'}: not a headrace "
                               f"server?")
        return cls(**{name: fields[name] for name in known & fields.keys()})


class Lines:
    """Cuts what comes out of a connection into lines and attachments.

    Parameters
    ----------
    attachment
        Function of a line's fields: bytes that follow it.
    """

    def __init__(self, attachment=lambda fields: 0):
        self._attachment = attachment
        self._buffer = bytearray()
        self._fields, self._size = None, 0

    def feed(self, data):
        """Take bytes; yield (fields, attachment) of each line that is complete.

        Raises
        ------
        ControlError
            If a line is too long, or no JSON object.
        """
        self._buffer += data
        while True:
            if self._fields is None:
                end = self._buffer.find(b"\n")
                if max(end, 0 if end >= 0 else len(self._buffer)) > MOST_LINE:
                    raise ControlError(f"Line must be at most {MOST_LINE} bytes")
                if end < 0:
                    return
                text = bytes(self._buffer[:end])
                del self._buffer[:end + 1]
                try:
                    fields = json.loads(text)
                except (ValueError, RecursionError):
                    fields = None
                if not isinstance(fields, dict):
                    raise ControlError(f"Line must be a JSON object, not {text[:80]!r}")
                self._size = self._attachment(fields)
                self._fields = fields
            if len(self._buffer) < self._size:
                return
            fields, attachment = self._fields, bytes(self._buffer[:self._size])
            del self._buffer[:self._size]
            self._fields = None
            yield fields, attachment
