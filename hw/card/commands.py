# SPDX-License-Identifier: Apache-2.0
"""What a control queue pair is told, little-endian: messages of blocks of 64 bytes.

A message is a ``TAG`` and commands behind it. Its result has a block for each beat of memory, and
for each register, that was read. See ``docs/network.md``.
"""

import enum

from .jobs import Record


__all__ = ["Command", "COMMAND", "REPEATS", "QUEUE_PAIR"]


class Command(enum.IntEnum):
    """What a block says."""

    TAG = 1             # the first one: `value` is the number of the message
    WRITE_REGISTER = 2  # `value` to register `address`
    READ_REGISTER = 3   # register `address`: a block of the result, of which it is the first word
    WRITE_MEMORY = 4    # the `value` blocks behind this one to memory from `address` on
    READ_MEMORY = 5     # `value` beats of memory from `address` on: as many blocks of the result


#: A command.
COMMAND = Record(command=1, _0=3, value=4, address=8)

#: Numbers of messages that count as repeated: that of the latest message, and those before it.
REPEATS = 256

#: Number of the control queue pair of boards, unless they say otherwise.
QUEUE_PAIR = 0x100
