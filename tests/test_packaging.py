"""What is not Python in the package goes into the wheel: pages, templates, models, word lists."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_every_file_of_the_package_is_in_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["unboxed"]
    package = ROOT / "src" / "unboxed"
    taken = {file for pattern in patterns for file in package.glob(pattern)}
    files = {file for file in package.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")}
    assert files == taken
    assert {"model_card.md", "index.html", "review.html", "report.html", "py.typed"} <= {file.name for file in files}
