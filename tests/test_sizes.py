"""Files and functions stay small, and every public name is documented.

The tests read the source files; nothing of the package is imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "src" / "unboxed").rglob("*.py"))
KERNELS = ("attention/triton_kernels.py",)
"""Kernels take all their sizes and strides as parameters."""

FILE_LINES, FUNCTION_LINES, PARAMETERS = 400, 60, 8

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _name(path: Path) -> str:
    return path.relative_to(ROOT / "src" / "unboxed").as_posix()


def _functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield node


def _parameters(function: Function) -> int:
    given = function.args
    names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_a_file_and_its_functions_are_small(path: Path) -> None:
    too_large = []
    if (lines := len(path.read_text(encoding="utf-8").splitlines())) > FILE_LINES:
        too_large.append(f"the file has {lines} lines")
    for function in _functions(path) if _name(path) not in KERNELS else ():
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES:
            too_large.append(f"{function.name} has {lines} lines")
        if (count := _parameters(function)) > PARAMETERS:
            too_large.append(f"{function.name} has {count} parameters")
    assert too_large == []


def _public(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.AST]]:
    """The public functions, classes and methods of a body, with their names."""
    for node in body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield f"{prefix}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body, f"{prefix}{node.name}.")


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_every_public_name_is_documented(path: Path) -> None:
    module = ast.parse(path.read_text(encoding="utf-8"))
    undocumented = [name for name, node in _public(module.body, "") if not ast.get_docstring(node)]
    if not ast.get_docstring(module):
        undocumented.insert(0, "the module")
    assert undocumented == []
