# SPDX-License-Identifier: Apache-2.0
"""Jobs and completions as numpy has them: ``pynq.allocate(count, JOB)``."""

from headrace.hw.card import jobs


__all__ = ["JOB", "COMPLETION"]


#: See :data:`headrace.hw.card.jobs.JOB` and :data:`headrace.hw.card.jobs.COMPLETION`.
JOB, COMPLETION = jobs.JOB.dtype, jobs.COMPLETION.dtype
