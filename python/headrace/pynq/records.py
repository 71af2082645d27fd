# SPDX-License-Identifier: Apache-2.0
"""Jobs and completions as numpy has them: ``pynq.allocate(count, JOB)``."""

import numpy as np

from headrace.hw.card import jobs
from headrace.hw.card.config import BUS


__all__ = ["JOB", "COMPLETION"]


def dtype_of(record):
    """Structured type of a :class:`headrace.hw.card.jobs.Record`."""
    return np.dtype({"names": list(record.fields),
                     "formats": [f"V{size}" if size not in (1, 2, 4, 8) else f"<u{size}"
                                 for _, size in record.fields.values()],
                     "offsets": [offset for offset, _ in record.fields.values()],
                     "itemsize": BUS})


#: See :data:`headrace.hw.card.jobs.JOB` and :data:`headrace.hw.card.jobs.COMPLETION`.
JOB, COMPLETION = dtype_of(jobs.JOB), dtype_of(jobs.COMPLETION)
