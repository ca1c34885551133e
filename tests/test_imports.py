"""The structure holds: imports point one way, without a circle, and are delayed only where that saves time.

The tests read the source files; nothing of the package is imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "unboxed"

ORDER = [
    {"errors"},
    {"types"},
    {"boxes"},
    {"runtime"},
    {"text"},
    {"data", "scenes"},
    {"regions"},
    {"attention"},
    {"objectives", "priors", "negatives"},
    {"recipes"},
    {"visualization"},
    {"inference"},
    {"training"},
    {"evaluation"},
    {"experiments", "search", "export", "convert"},
    {"studio"},
    {"cli"},
    {"__main__"},
]
"""The folders and files of the package from the lowest to the highest. A folder imports itself and what stands before
it; those of one line do not import each other."""

SLOW = {
    "PIL", "faiss", "fastapi", "h5py", "huggingface_hub", "jinja2", "lancedb", "onnx", "onnxruntime", "onnxscript",
    "pillow_heif", "pyarrow", "pycocotools", "ray", "scipy", "skimage", "supervision", "tensorboard", "torch",
    "transformers", "triton", "tyro", "uvicorn", "wandb",
}  # fmt: skip
"""Packages that take long to load or are extras: what may be imported inside a function, and why."""

SLOWER_THAN_THE_STANDARD_LIBRARY = {"cattrs", "defusedxml", "filelock", "fsspec", "rich", "safetensors"}
"""Packages that take less time, but are not needed by most commands: these may be imported inside a function too."""


class Import(NamedTuple):
    """One imported module: who imports it, where, and whether inside a function or for type checkers alone."""

    module: str
    line: int
    target: str
    delayed: bool
    typing: bool

    def __str__(self) -> str:
        return f"{self.module}, line {self.line}, imports {self.target}"


def _name(path: Path) -> str:
    parts = ["unboxed", *path.relative_to(SOURCE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


@cache
def _imports(module: str) -> tuple[Import, ...]:
    return tuple(_found(module, ast.parse(MODULES[module].read_text(encoding="utf-8")), False, False))


def _found(module: str, node: ast.AST, delayed: bool, typing: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        inside = delayed or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for_types = typing or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
        if isinstance(child, ast.ImportFrom) and child.module is not None:
            for alias in child.names:
                whole = f"{child.module}.{alias.name}"
                yield Import(module, child.lineno, whole if whole in MODULES else child.module, inside, for_types)
        elif isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(module, child.lineno, alias.name, inside, for_types)
        yield from _found(module, child, inside, for_types)


ALL = [found for module in MODULES for found in _imports(module)]
OURS = [found for found in ALL if found.target in MODULES and found.target != "unboxed"]


def _rank(module: str) -> int:
    top = module.split(".")[1]
    return next(place for place, folders in enumerate(ORDER) if top in folders)


def test_every_folder_has_its_place() -> None:
    tops = {module.split(".")[1] for module in MODULES if module != "unboxed"}
    assert tops == set().union(*ORDER)


def test_no_import_points_upward() -> None:
    upward = [
        str(found)
        for found in OURS
        if found.module != "unboxed"
        and _rank(found.target) >= _rank(found.module)
        and found.target.split(".")[1] != found.module.split(".")[1]
    ]
    assert upward == []


def test_only_the_command_line_uses_scenes() -> None:
    users = {found.module.split(".")[1] for found in OURS if found.target.startswith("unboxed.scenes")}
    assert users <= {"cli", "scenes"}


def test_no_circle() -> None:
    """Of modules, over imports of every kind except those for type checkers."""
    waiting = {module: {i.target for i in OURS if i.module == module and not i.typing} - {module} for module in MODULES}
    packages = [module for module, path in MODULES.items() if path.name == "__init__.py"]
    for package in packages:  # a package's own exports import its parts; that is no circle
        waiting[package] = {target for target in waiting[package] if not target.startswith(f"{package}.")}
    while free := [module for module, targets in waiting.items() if not targets]:
        for module in free:
            del waiting[module]
        waiting = {module: targets - set(free) for module, targets in waiting.items()}
    assert waiting == {}


@cache
def _slow(module: str) -> frozenset[str]:
    """The slow packages that are loaded together with a module."""
    loaded = {found.target.split(".")[0] for found in _imports(module) if not found.delayed and not found.typing}
    slow = loaded & SLOW
    for found in _imports(module):
        if found.target in MODULES and found.target != module and not found.delayed and not found.typing:
            slow |= _slow(found.target)
    return frozenset(slow)


@pytest.mark.parametrize("found", [f for f in OURS if f.delayed and not f.module.startswith("unboxed.cli")], ids=str)
def test_an_import_inside_a_function_saves_a_slow_package(found: Import) -> None:
    """Outside the command line, which starts without loading anything that a verb does not need."""
    saved = _slow(found.target) - _slow(found.module)
    assert saved, f"{found}; it saves nothing, so it belongs to the head of the module"


def test_other_packages_are_imported_inside_a_function_only_if_that_saves_time() -> None:
    allowed = SLOW | SLOWER_THAN_THE_STANDARD_LIBRARY | {"unboxed"}
    needless = [str(found) for found in ALL if found.delayed and found.target.split(".")[0] not in allowed]
    assert [found for found in needless if not found.startswith("unboxed.cli")] == []


def test_no_import_is_relative() -> None:
    """The tests of this file read the whole names of modules; they would not see where `from ..cli import …` points."""
    relative = [
        f"{module}, line {node.lineno}"
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level > 0
    ]
    assert relative == []


@pytest.mark.parametrize("stub", sorted(SOURCE.rglob("__init__.pyi")), ids=lambda path: path.parent.name)
def test_no_function_is_exported_under_the_name_of_a_module(stub: Path) -> None:
    """Once such a module is imported, the package's attribute would be the module."""
    modules = {path.stem for path in stub.parent.glob("*.py")}
    exported = {
        alias.name
        for node in ast.walk(ast.parse(stub.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module  # `from . import coco` exports the module itself
        for alias in node.names
    }
    assert exported & modules == set()
