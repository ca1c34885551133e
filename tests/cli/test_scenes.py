"""`unboxed scenes`: what it writes and prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from unboxed.cli import main
from unboxed.data.dataset import load_dataset


def test_scenes_are_written_with_their_dataset_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["scenes", str(tmp_path / "scenes"), "--train", "2", "--val", "1", "--test", "1", "--seed", "7"])
    assert capsys.readouterr().err.endswith(f"Wrote {tmp_path / 'scenes' / 'data.toml'}\n")
    dataset = load_dataset(tmp_path / "scenes" / "data.toml")
    assert [len(dataset.split(name).examples) for name in ("train", "val", "test")] == [2, 1, 1]
