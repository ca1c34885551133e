"""Files of a Hugging Face dataset are unpacked once into images and a table."""

from __future__ import annotations

import os
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from unboxed.data import load_dataset
from unboxed.data.readers.huggingface import dataset_files
from unboxed.data.readers.parquet import column_names
from unboxed.data.readers.tables import read_table
from unboxed.errors import DatasetError

pyarrow = pytest.importorskip("pyarrow")


def _png(colour: str) -> bytes:
    content = BytesIO()
    Image.new("RGB", (40, 30), colour).save(content, "PNG")
    return content.getvalue()


def _image(colour: str) -> dict[str, object]:
    return {"bytes": _png(colour), "path": None}


def _write(file: Path, rows: list[dict[str, Any]], kind: str = "parquet") -> Path:
    from pyarrow import parquet

    file = file.with_suffix(f".{kind}")
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.Table.from_pylist(rows)
    if kind == "parquet":
        parquet.write_table(table, file)
    else:
        with pyarrow.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table)
    return file


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_a_dataset_is_unpacked_once(kind: str, tmp_path: Path) -> None:
    _write(tmp_path / "train" / "data-0", [{"image": _image("red"), "caption": ["a dog", "one dog"], "id": 1}], kind)
    _write(tmp_path / "validation" / "data-0", [{"image": _image("blue"), "caption": ["a cat"], "id": 2}], kind)
    dataset = load_dataset(tmp_path)
    assert dataset.split_names == ("train", "val")
    (example,) = dataset.split("train").examples
    assert [caption.text for caption in example.captions] == ["a dog", "one dog"]
    with Image.open(example.path) as stored:
        assert stored.convert("RGB").getpixel((0, 0)) == (255, 0, 0)
    before = example.path.stat().st_mtime_ns
    assert load_dataset(tmp_path).split("train").examples[0].path.stat().st_mtime_ns == before
    _write(tmp_path / "train" / "data-0", [{"image": _image("lime"), "caption": ["a frog"], "id": 3}], kind)
    assert load_dataset(tmp_path).split("train").examples[0].captions[0].text == "a frog"
    _write(tmp_path / "train" / "data-0", [{"picture": _image("lime"), "label": 3}], kind)
    with pytest.raises(DatasetError, match="has the columns picture, label; expected `image` and one of caption"):
        load_dataset(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train", "unboxed", "validation"]


def test_images_may_be_bytes_or_files_and_captions_texts_or_objects(tmp_path: Path) -> None:
    (tmp_path / "a.PNG").write_bytes(_png("red"))
    rows = [
        {"image": {"bytes": None, "path": "a.PNG"}, "sentences": [{"raw": "a dog", "id": 1}, {"raw": "?", "id": 2}]},
        {"image": {"bytes": _png("blue"), "path": "b.unknown"}, "sentences": [{"raw": "a cat", "id": 3}]},
        {"image": {"bytes": _png("lime"), "path": None}, "sentences": []},
    ]
    _write(tmp_path / "data", rows)
    dataset = load_dataset(tmp_path)
    examples = [example for name in dataset.split_names for example in dataset.split(name).examples]
    found = {example.path.name: [caption.text for caption in example.captions] for example in examples}
    assert found == {"00000000.png": ["a dog"], "00000001.jpg": ["a cat"]}
    _write(tmp_path / "data", [{"image": _png("red"), "text": "a dog"}, {"image": "a.PNG", "text": "a cat"}][:1])
    (example,) = load_dataset(tmp_path).split("train").examples
    assert example.captions[0].text == "a dog"
    _write(tmp_path / "data", [{"image": "a.PNG", "text": "a cat"}])
    (example,) = load_dataset(tmp_path).split("train").examples
    assert example.path == tmp_path / "a.PNG"  # a column of names makes it a table


def test_captions_in_lists_of_objects_and_objects_of_lists_and_splits_of_partitions(tmp_path: Path) -> None:
    _write(tmp_path / "split=train", [{"image": _png("red"), "captions": [{"text": "a dog"}, {"text": "one dog"}]}])
    _write(
        tmp_path / "split=test", [{"image": _png("blue"), "sentences": {"raw": ["a cat", "two cats"], "id": [1, 2]}}]
    )
    dataset = load_dataset(tmp_path)
    found = {name: [c.text for c in dataset.split(name).examples[0].captions] for name in dataset.split_names}
    assert found == {"train": ["a dog", "one dog"], "test": ["a cat", "two cats"]}


def test_columns_of_captions_and_splits_and_rows_without_an_image(tmp_path: Path) -> None:
    rows = [
        {"image": _image("red"), "caption_0": "a dog", "caption_1": "one dog", "split": "train"},
        {"image": _image("blue"), "caption_0": "a cat", "caption_1": None, "split": "validation"},
        {"image": None, "caption_0": "a cow", "caption_1": None, "split": "test"},
        {"image": _image("lime"), "caption_0": None, "caption_1": " ", "split": "test"},
        {"image": _image("navy"), "caption_0": "a frog", "caption_1": "", "split": "test"},
        {"image": _image("navy"), "caption_0": "a toad", "caption_1": "", "split": "test"},
    ]
    _write(tmp_path / "crash-test", rows)
    dataset = load_dataset(tmp_path)
    splits = {name: dataset.split(name).examples for name in dataset.split_names}
    captions = {name: [[c.text for c in example.captions] for example in examples] for name, examples in splits.items()}
    assert captions == {"train": [["a dog", "one dog"]], "val": [["a cat"]], "test": [["a frog", "a toad"]]}
    assert [note.split(" (")[0] for note in dataset.notes] == [
        "Left out: 1 row without a caption",
        "Left out: 1 row without an image",
    ]


def test_parquet_files_without_images_are_tables(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(_png("red"))
    file = _write(tmp_path / "metadata", [{"file_name": "1.jpg", "text": "a dog"}])
    for path in (tmp_path, file):
        (example,) = load_dataset(path).split("train").examples
        assert example.captions[0].text == "a dog"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.jpg", "metadata.parquet"]
    _write(tmp_path / "metadata", [{"image": _image("red"), "text": "a dog"}])
    (example,) = load_dataset(file).split("train").examples  # one with images is read as it is, like a tar file
    assert example.captions[0].text == "a dog"
    _write(tmp_path / "metadata", [{"image": {"bytes": None, "path": "/photos/1.jpg"}, "text": "a dog"}])
    with pytest.raises(DatasetError, match=r"holds the paths of its images, such as '/photos/1\.jpg', instead of"):
        load_dataset(file).split("train")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"caption": ["a dog", "a man " * 20_000]}, r"row 2: the caption .* has 120,000 characters, the limit is"),
        ({"caption": ["a dog", "a man " * 2_000_000]}, r"row 2: 'caption' has 12,000,\d+ bytes, the limit is"),
        ({"captions": [["a dog"], ["a man"] * 2_000_000]}, r"row 2: 'captions' has 18,000,\d+ bytes"),
        ({"caption": [None] * 3_000_000}, "has 3,000,000 rows, more than so small a file can have"),
    ],
)
def test_rows_that_would_fill_the_memory_are_refused(columns: dict[str, Any], message: str, tmp_path: Path) -> None:
    from pyarrow import parquet

    count = len(next(iter(columns.values())))
    table = pyarrow.table({"image": ["1.jpg"] * count, **columns})
    parquet.write_table(table, tmp_path / "captions.parquet", compression="zstd")
    with pytest.raises(DatasetError, match=message):
        read_table(tmp_path / "captions.parquet")


@pytest.mark.parametrize("path", [5, ["a"], "a\0b", "x" * 5000])
def test_a_path_of_another_kind_is_no_image(path: object, tmp_path: Path) -> None:
    file = _write(tmp_path / "data", [{"image": {"bytes": None, "path": path}, "text": "a dog"}])
    for read in (load_dataset, lambda folder: load_dataset(folder / file.name).split("train")):
        with pytest.raises(DatasetError, match="instead of images"):
            read(tmp_path)
    file = _write(tmp_path / "data", [{"image": {"bytes": _png("red"), "path": path}, "text": "a dog"}])
    for opened in (load_dataset(tmp_path), load_dataset(file)):
        assert len(opened.split("train").examples) == 1


def test_pipes_are_not_opened(tmp_path: Path) -> None:
    for name in ("captions.parquet", "data.arrow", "data.tar"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "1.jpg").write_bytes(_png("red"))
    (tmp_path / "captions.csv").write_text("image,caption\n1.jpg,a dog\n")
    assert dataset_files(tmp_path) == []
    assert len(load_dataset(tmp_path).split("train").examples) == 1
    for name in ("captions.parquet", "data.arrow"):
        with pytest.raises(DatasetError, match=f"{name} is a pipe, a device or a folder, and no file"):
            column_names(tmp_path / name)


def test_a_path_in_a_downloaded_dataset_stays_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(_png("red"))
    _write(tmp_path / "in" / "data", [{"image": {"bytes": None, "path": "../secret.png"}, "text": "a dog"}])
    with pytest.raises(DatasetError, match=r"holds the path '\.\./secret\.png', which is no file in"):
        load_dataset(tmp_path / "in")


def test_a_folder_in_the_place_of_what_is_unpacked_is_left_alone(tmp_path: Path) -> None:
    _write(tmp_path / "train", [{"image": _image("red"), "text": "a dog"}])
    mine = tmp_path / "unboxed" / "my_run" / "config.json"
    mine.parent.mkdir(parents=True)
    mine.write_text("{}")
    with pytest.raises(DatasetError, match=r"which holds my_run, and would be replaced; rename it, or move"):
        load_dataset(tmp_path)
    mine.parent.rename(tmp_path / "my_run")
    load_dataset(tmp_path)
    (tmp_path / "my_run").rename(mine.parent)
    load_dataset(tmp_path)  # what was unpacked is up to date
    _write(tmp_path / "train", [{"image": _image("blue"), "text": "a cat, another one"}])
    with pytest.raises(DatasetError, match="which holds my_run"):
        load_dataset(tmp_path)
    assert mine.is_file()


def test_what_cannot_be_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _write(tmp_path / "data", [{"image": {"bytes": None, "path": "nowhere.png"}, "text": "a dog"}])
    with pytest.raises(DatasetError, match=r"the path 'nowhere\.png', which is no file in .* instead of images"):
        load_dataset(tmp_path)
    file.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(DatasetError, match=r"data\.parquet cannot be read"):
        load_dataset(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DatasetError, match=r'needs the extra "parquet": pip install "unboxed\[parquet\]"'):
        load_dataset(tmp_path)
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path / "data", [{"image": _image("red"), "text": "a dog"}])

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(DatasetError, match=r"which cannot be written \(Permission denied\); copy the dataset"):
        load_dataset(tmp_path)


def test_columns_whose_names_are_no_text_are_refused(tmp_path: Path) -> None:
    file = _write(tmp_path / "a", [{"caption_": "a dog"}], "arrow")
    file.write_bytes(file.read_bytes().replace(b"caption_", b"caption\xff"))
    with pytest.raises(DatasetError, match=r"a\.arrow cannot be read"):
        column_names(file)
