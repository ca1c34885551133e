"""The examples of the documentation run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_the_python_guide_runs_from_top_to_bottom(tiny_run: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 4
    names = {"RUN": tiny_run, "PHOTO": tiny_dataset.parent / "photos" / "2.png", "OUT": tmp_path / "picture.png"}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert (tmp_path / "picture.png").is_file()
