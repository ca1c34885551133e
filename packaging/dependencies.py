"""Writes docs/dependencies.md: every dependency with its versions, its licence and what it is for.

    make dependencies

`--lowest` prints the oldest versions as constraints, for `make test-lowest`.

Licences are read from the metadata of the installed packages; a package that is not installed keeps the row it has.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "dependencies.md"

_HEAD = """# Dependencies

Written by `make dependencies` from `pyproject.toml`, `constraints.txt` and the metadata of the installed packages. All
licences are permissive, except MPL-2.0 of a tool that only the tests use. `pip install unboxed` installs the first
table; `pip install "unboxed[NAME]"` the extra of that name as well.
"""
_COLUMNS = "| package | oldest | tested | licence |\n| --- | --- | --- | --- |\n"
_SHORT = {
    "Apache 2.0 License": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "FreeBSD": "BSD-2-Clause",
    "MIT License": "MIT",
    "Python Software Foundation License": "PSF-2.0",
}


def licence(package: str) -> str | None:
    """The SPDX expression or the name of the licence; None for a package that is not installed."""
    try:
        about = metadata(package)
    except PackageNotFoundError:
        return None
    classifiers = [text.rpartition(" :: ")[2] for text in about.get_all("Classifier") or [] if "License ::" in text]
    stated = about.get("License-Expression") or ""
    named = (about.get("License") or "").strip()
    found = stated or (classifiers[0] if classifiers else named.partition("\n")[0])
    return _SHORT.get(found, found)


def requirements() -> dict[str, list[tuple[str, str]]]:
    """Packages with their oldest versions, by extra; the base under an empty name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    found: dict[str, list[tuple[str, str]]] = {}
    for extra, lines in groups.items():
        parts = [re.match(r"([\w.-]+)(?:\[[^]]*\])?(?:>=([\w.]+))?", line) for line in lines]
        found[extra] = sorted((part[1].lower(), part[2] or "any") for part in parts if part)
    return found


def tested_versions() -> dict[str, str]:
    """The versions of `constraints.txt` by package."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.partition(";")[0].split("==") for line in lines if "==" in line]
    return {name.lower().replace("_", "-"): version.strip() for name, version in pairs}


def page() -> str:
    """The text of the page."""
    tested = tested_versions()
    old = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    known = dict(re.findall(r"^\| ([\w.-]+) \|.*\| ([^|]+) \|$", old, flags=re.MULTILINE))
    text = _HEAD
    for extra, packages in requirements().items():
        text += f"\n## {f'Extra `{extra}`' if extra else 'Always'}\n\n{_COLUMNS}"
        for package, oldest in packages:
            version = tested.get(package.replace("_", "-"), "not tested")
            text += f"| {package} | {oldest} | {version} | {licence(package) or known.get(package, 'not read')} |\n"
    return text


def lowest() -> str:
    """The oldest versions of the base and of what the tests need, as constraints for pip."""
    found = dict(requirements()[""] + requirements()["dev"])
    return "".join(f"{name}=={version}{'.*' * (version.count('.') < 2)}\n" for name, version in sorted(found.items()))


if __name__ == "__main__":
    if "--lowest" in sys.argv:
        print(lowest(), end="")
    else:
        PAGE.write_text(page(), encoding="utf-8")
