"""Messages, help and written files name guides by their titles: an installed package has no folder docs/."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "unboxed"
FILES = sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.json"), *PACKAGE.rglob("*.toml"), *PACKAGE.rglob("*.html")])
WRITES_THE_GUIDES = "training/preset_tables.py"  # run in a checkout only
TITLES = {
    page.read_text("utf-8").splitlines()[0].removeprefix("# ").strip() for page in sorted((ROOT / "docs").glob("*.md"))
}
_QUOTED = re.compile(r"\bguide\s+“([^”]+)”")


def _texts(path: Path) -> Iterator[str]:
    """The strings of a file, without the docstring of a module, which only developers read."""
    if path.suffix != ".py":
        yield path.read_text("utf-8")
        return
    tree = ast.parse(path.read_text("utf-8"))
    docstring = tree.body[0].value if ast.get_docstring(tree) and isinstance(tree.body[0], ast.Expr) else None
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node is not docstring:
            yield node.value


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_guides_are_named_by_their_titles(path: Path) -> None:
    if path.relative_to(PACKAGE).as_posix() == WRITES_THE_GUIDES:
        return
    known = TITLES | {title.split(":")[0] for title in TITLES}
    for text in _texts(path):
        assert not re.search(r"docs/[\w-]+\.md", text), text
        assert not re.search(r"\]\((?!\w+://)[^)]*\.md\b", text), text  # no file stands beside what is written
        assert {" ".join(title.split()) for title in _QUOTED.findall(text)} <= known, text
