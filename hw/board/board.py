# SPDX-License-Identifier: Apache-2.0
"""What a board is."""

import dataclasses
from collections.abc import Callable

from ..card.config import CardConfig


__all__ = ["Part", "Board"]


@dataclasses.dataclass(frozen=True)
class Part:
    """An FPGA, and all that it has; a shell takes a share of it.

    ``name`` is that of the tools; ``bram36`` and ``uram`` are blocks of 36 kb and of 288 kb.
    """

    name: str
    lut: int
    ff: int
    dsp: int
    bram36: int
    uram: int


@dataclasses.dataclass(frozen=True)
class Board:
    """A target.

    Parameters
    ----------
    name, title : str
    part : Part
    config : CardConfig
        The card on it.
    top : callable
        Makes the component that is exported of a config.
    module : str
        Name of that component in Verilog, or ``"top"`` in RTLIL.
    sources : str
        The Verilog file, in the board's folder, or one of RTLIL, which ends in ``.il``.
    files : callable
        ``files(board, component)``: all other files but the constraints, text by path in the
        board's folder. One is ``build.sh``, which makes ``result`` wherever the tools are.
    tools : tuple of str
        Programs that it runs.
    folders : dict of str to str
        Variables that name folders which it needs, and what is in these.
    result : str
        What is built, in the board's folder or beginning with one of ``folders``.
    clock : int
        MHz that are asked for.
    family : str
        Of the part, as in :mod:`..report`.
    install : str
        Command that installs ``tools``, if there is one.
    program : tuple of str
        Program and options in front of the file with which ``result`` is loaded, or nothing.
    """

    name: str
    title: str
    part: Part
    config: CardConfig
    top: Callable
    module: str
    sources: str
    files: Callable
    tools: tuple
    folders: dict
    result: str
    clock: int
    family: str = "xcup"
    install: str = ""
    program: tuple = ()
