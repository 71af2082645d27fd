# SPDX-License-Identifier: Apache-2.0
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "sim" / "cocotb"))
# Until the package can be installed: `headrace.hw` is the folder `hw`.
package = types.ModuleType("headrace")
package.__path__ = [str(ROOT)]
sys.modules.setdefault("headrace", package)
