# SPDX-License-Identifier: Apache-2.0
"""Ethernet, IPv4, UDP and RoCEv2: messages from frames, and frames from messages.

:mod:`.headers`, :mod:`.outcome` and :mod:`.crc` import no Amaranth: software shares them.
"""

__all__ = []
