# SPDX-License-Identifier: Apache-2.0
"""Small cards on a network: clients are headrace.wire and scapy."""

import pytest
from headrace.hw.card import registers
from headrace.hw.card.card import Card
from headrace.hw.card.config import CardConfig
from runner import simulate


@pytest.mark.parametrize("wire, text_lanes, stall", [(512, 0, 0), (64, 1, 0.3)])
def test_network(wire, text_lanes, stall):
    """The memory port is as wide as the wire."""
    pytest.importorskip("scapy.contrib.roce", reason="scapy builds packets: pip install scapy")
    config = CardConfig(contexts=1, max_width=64, max_side=256, max_taps=64, source_rows=32,
                        intermediate_bits=10, output_bits=8, recipes=2,
                        text_lanes=text_lanes, max_ngram=2, feature_rows=64, wire=wire, port=wire,
                        queues=5, slots=4)
    simulate(Card(config), "card_network", name=f"network_{wire}",
             env={"HEADRACE_STALL": str(stall), "HEADRACE_SLOTS": str(config.slots),
                  "HEADRACE_TEXTS": str(text_lanes), "HEADRACE_PAGES": str(config.pages),
                  "HEADRACE_ROWS": str(config.feature_rows),
                  "HEADRACE_MAX_N": str(config.max_ngram)})


def test_config():
    with pytest.raises(ValueError, match=r"^Wire must be 0, 64 or 512, not 128$"):
        CardConfig(wire=128)
    with pytest.raises(ValueError, match=r"^Queues must be within range\(2, 257\), not 1$"):
        CardConfig(queues=1)
    with pytest.raises(ValueError, match=r"^Slots must be within range\(1, 257\), not 257$"):
        CardConfig(slots=257)


def test_registers():
    words = [registers.CTRL, registers.GIE, registers.IER, registers.ISR, registers.COMMIT,
             registers.COUNT, registers.RECEIVED, registers.POST,
             *registers.CAPABILITIES.values()]
    words += [address + 4 * n for address in registers.COUNTERS.values() for n in range(2)]
    words += [address + n for address, bits in (
        *registers.ARGUMENTS.values(), *registers.NETWORK.values()) for n in range(0, bits // 8, 4)]
    assert len(set(words)) == len(words)
    assert all(word % 4 == 0 and word < 1 << registers.ADDRESS_BITS for word in words)
    assert registers.queue_options(open=1, mode=registers.Mode.FORWARD, kind=3, recipe=5) \
        == 0x00050321
    with pytest.raises(ValueError, match=r"^Mode must be within range\(4\), not 4$"):
        registers.queue_options(mode=4)
