"""Compares a coverage report with the floors of the project: `python tests/coverage_floors.py coverage.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

FLOORS = {
    "": 95,
    "boxes.py": 98,
    "attention/": 98,
    "objectives/": 98,
    "evaluation/": 98,
    "training/checkpoint.py": 98,
    "regions/store.py": 98,
    "regions/shards.py": 98,
}
"""The least percentage of lines and branches that the tests run, by the beginning of a file's path in the package."""


def covered(report: Path, part: str) -> float:
    """The percentage of lines and branches that were run of the files whose path in the package starts with `part`."""
    ran = total = 0
    for path, file in json.loads(report.read_text(encoding="utf-8"))["files"].items():
        if path.partition("unboxed/")[2].startswith(part):
            counts = file["summary"]
            ran += counts["covered_lines"] + counts["covered_branches"]
            total += counts["num_statements"] + counts["num_branches"]
    return 100 * ran / max(total, 1)


def main(report: Path) -> int:
    """Print every part with its floor; 1 if one is below it."""
    below = False
    for part, floor in FLOORS.items():
        found = covered(report, part)
        below |= found < floor
        print(f"{part or 'all':<24} {found:6.2f} %, floor {floor} %{'  BELOW' if found < floor else ''}")
    return int(below)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
