"""What is not Python in the package goes into the wheel: pages, templates, models, word lists."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
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


def test_every_dependency_has_a_row_with_its_oldest_version_and_a_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| ([\w.-]+) \| ([\w.]+) \| [^|]+ \| ([^|]+) \|$", page, flags=re.MULTILINE))
    listed = {(name, oldest) for name, oldest, _ in rows}
    lines = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    for line in lines:
        parts = re.match(r"([\w.-]+)(?:\[\w+\])?>=([\w.]+)", line)
        assert parts, f"{line} has no oldest version"
        assert (parts[1].lower(), parts[2]) in listed, f"{line}: run `make dependencies`"
    copyleft = [name for name, _, licence in rows if "GPL" in licence or licence == "not read"]
    assert not copyleft


def test_every_test_that_the_table_of_threats_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "SECURITY.md").read_text(encoding="utf-8"))
    assert len(named) >= 12
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{test}"
