# SPDX-License-Identifier: Apache-2.0
"""Every module says what it offers."""

import ast
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(path for folder in ("hw", "python/headrace", "sim")
               for path in (ROOT / folder).rglob("*.py")
               if not path.is_relative_to(ROOT / "python/headrace/hw"))


def bound(statements):
    """Names that the statements of a module define or import."""
    for node in statements:
        if isinstance(node, ast.Try):
            yield from bound(node.body)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                yield from (name.id for name in ast.walk(target) if isinstance(name, ast.Name))


def is_test(tree):
    """It has cocotb tests, which are for the simulator alone."""
    return any(ast.unparse(decorator).startswith("cocotb.test") for node in tree.body
               if isinstance(node, ast.AsyncFunctionDef) for decorator in node.decorator_list)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_all(path):
    tree = ast.parse(path.read_text())
    names = set(bound(tree.body))
    if is_test(tree) or path.name == "__init__.py" and not names:
        assert "__all__" not in names
        return
    (value,) = (node.value for node in tree.body if isinstance(node, ast.Assign)
                and ast.unparse(node.targets[0]) == "__all__")
    listed = ast.literal_eval(value)
    assert all(isinstance(name, str) for name in listed)
    assert listed or path.name == "__init__.py"
    assert len(set(listed)) == len(listed)
    # A missing comma makes one name of two.
    assert set(listed) <= names


def test_files_are_found():
    assert len(FILES) > 50
