# SPDX-License-Identifier: Apache-2.0
"""What a control queue pair is told, little-endian: messages of blocks of 64 bytes.

A message is a ``TAG`` or a ``TAKE``, and commands behind it. Its result has a block for each beat
of memory, and for each register, that was read. See ``docs/network.md``.
"""

import enum

from .jobs import Record


__all__ = ["Command", "COMMAND", "REPEATS", "QUEUE_PAIR", "NO_KEY", "key_of", "key_words"]


class Command(enum.IntEnum):
    """What a block says."""

    TAG = 1             # the first one: `value` is the number of the message, `address` the session
    WRITE_REGISTER = 2  # `value` to register `address`
    READ_REGISTER = 3   # register `address`: a block of the result, of which it is the first word
    WRITE_MEMORY = 4    # the `value` blocks behind this one to memory from `address` on
    READ_MEMORY = 5     # `value` beats of memory from `address` on: as many blocks of the result
    TAKE = 6            # the first one: with the key the queue pair is that of session `address`
    RELEASE = 7         # the queue pair is nobody's


#: A command. A key is two numbers.
COMMAND = Record(command=1, _0=3, value=4, address=8, key_0=8, key_1=8)

#: Of a board that was built without a key.
NO_KEY = bytes(16)


def key_of(key):
    """The 16 bytes of a key: bytes, or their hexadecimal digits; None is :data:`NO_KEY`.

    Raises
    ------
    ValueError
        If it is none. What was given is not said, for it may be nearly a key.
    """
    if key is None:
        return NO_KEY
    if isinstance(key, str):
        try:
            key = bytes.fromhex(key)
        except ValueError:
            key = None
    if not isinstance(key, bytes | bytearray) or len(key) != len(NO_KEY):
        raise ValueError(f"Key must be {len(NO_KEY)} bytes, or {2 * len(NO_KEY)} hexadecimal "
                         "digits")
    return bytes(key)


def key_words(key):
    """Fields of :data:`COMMAND` for a key, see :func:`key_of`."""
    key = key_of(key)
    return {f"key_{n}": int.from_bytes(key[8 * n:8 * n + 8], "little") for n in range(2)}


#: Numbers of messages that count as repeated: that of the latest message, and those before it.
REPEATS = 256

#: Number of the control queue pair of boards, unless they say otherwise.
QUEUE_PAIR = 0x100
