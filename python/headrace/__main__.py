# SPDX-License-Identifier: Apache-2.0
"""The command `headrace`: ``python -m headrace``."""

import sys

from headrace.cli import main


__all__ = ["main"]


if __name__ == "__main__":
    sys.exit(main())
