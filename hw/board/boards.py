# SPDX-License-Identifier: Apache-2.0
"""The boards by name, and the files of one."""

from ..export import convert_component
from ..report import rtlil_text
from . import ecpix5, kv260, opennic, u50, u55c, u280
from .constraints import alone_tcl, constraints
from .platforms import PLATFORMS


__all__ = ["BOARDS", "generate"]


#: By name.
BOARDS = {module.BOARD.name: module.BOARD
          for module in (u55c, u280, u50, kv260, opennic, ecpix5)}


def generate(board, folder, *, config=None, key=None):
    """Write a board's files.

    Parameters
    ----------
    board : Board
    folder : Path
        Made if it is not there.
    config : CardConfig
        Instead of the board's own.
    key : bytes
        Of a board without a host, see :class:`..card.remote_lane.RemoteLane`.

    Returns
    -------
    list of Path
        What was written.
    """
    component = board.top(config or board.config, **({} if key is None else {"key": key}))
    texts = {**board.files(board, component),
             constraints(board).name: constraints(board).read_text(),
             **({"alone.tcl": alone_tcl(board)} if board.family == "xcup" else {}),
             board.sources: rtlil_text(component) if board.sources.endswith(".il")
             else convert_component(component, board.module, platform=PLATFORMS[board.family])}
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if path.suffix == ".sh":
            path.chmod(0o755)
    return [folder / name for name in texts]
