"""Images of archives have names of their own, also where the archive gives all of them the same one."""

from __future__ import annotations

from pathlib import Path

import pytest

from unboxed.data.dataset import load_dataset
from unboxed.data.readers import archives


def test_many_images_of_one_name_are_numbered_in_linear_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows, tried, name_of = 200, [], archives._name
    cells = [{"bytes": b"an image", "path": "image.jpg"}] * rows
    table = pyarrow.table({"image": cells, "caption": ["a dog"] * rows})
    parquet.write_table(table, tmp_path / "train.parquet")

    def counted(file: Path, image: str, number: int) -> str:
        tried.append(number)
        return name_of(file, image, number)

    monkeypatch.setattr(archives, "_name", counted)
    dataset = load_dataset(tmp_path / "train.parquet")
    names = [example.image_id for split in dataset.split_names for example in dataset.split(split).examples]
    assert set(names) == {"train/image.jpg"} | {f"train/{number}/image.jpg" for number in range(2, rows + 1)}
    assert len(names) == rows and len(tried) < 2 * rows
