"""One's own images, however their captions lie beside them; and what `unboxed init` says of a folder."""

from __future__ import annotations

import json
import shutil
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from unboxed.cli import main
from unboxed.data import load_dataset
from unboxed.data.dataset import Dataset
from unboxed.errors import DatasetError


def _images(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (20 * number, 9, 90)).save(folder / name)
    return folder


def _captions(dataset: Dataset) -> dict[str, list[str]]:
    examples = [example for name in dataset.split_names for example in dataset.split(name).examples]
    return {example.path.name: [caption.text for caption in example.captions] for example in examples}


WANTED = {"1.jpg": ["a dog"], "2.jpg": ["a cat", "two cats"]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("photos.csv", "image,caption,licence\n1.jpg,a dog,4\n2.jpg,a cat,4\n2.jpg,two cats,4\n"),
        ("metadata.csv", "file_name,text\n1.jpg,a dog\n2.jpg,a cat\n2.jpg,two cats\n"),
        ("own.jsonl", '{"image": "1.jpg", "caption": "a dog"}\n{"image": "2", "captions": ["a cat", "two cats"]}\n'),
        (
            "own.json",
            json.dumps([{"file_name": "1.jpg", "caption": "a dog"}, {"image": "2", "captions": ["a cat", "two cats"]}]),
        ),
        (
            "own.json",
            json.dumps(
                {
                    "images": [
                        {"file_name": "1.jpg", "captions": ["a dog"]},
                        {"file_name": "2.jpg", "captions": ["a cat", "two cats"]},
                    ]
                }
            ),
        ),
        ("own.json", json.dumps({"1.jpg": "a dog", "2.jpg": ["a cat", "two cats"]})),
        (
            "captions_val.json",
            json.dumps(
                {
                    "images": [{"id": 7, "file_name": "1.jpg"}, {"id": 8, "file_name": "2.jpg"}],
                    "annotations": [
                        {"image_id": 7, "caption": "a dog"},
                        {"image_id": 8, "caption": "a cat"},
                        {"image_id": 8, "caption": "two cats"},
                    ],
                }
            ),
        ),
    ],
)
@pytest.mark.parametrize("images", ["", "images/"])
def test_a_table_of_any_kind_finds_its_images_beside_it_or_one_folder_below(
    name: str, content: str, images: str, tmp_path: Path
) -> None:
    folder = _images(tmp_path, f"{images}1.jpg", f"{images}2.jpg")
    (folder / name).write_text(content, encoding="utf-8")
    assert _captions(load_dataset(folder / name)) == WANTED
    assert _captions(load_dataset(folder)) == WANTED


def test_text_files_beside_the_images(tmp_path: Path) -> None:
    folder = _images(tmp_path, "1.jpg", "sub/2.jpg", "3.jpg")
    (folder / "1.txt").write_text("a dog\n")
    (folder / "sub" / "2.txt").write_text("a cat\n\n two cats \n")
    assert _captions(load_dataset(folder)) == WANTED
    (folder / "3.txt").write_text("\n")
    with pytest.raises(DatasetError, match=r"3\.txt is empty; write one caption a line, or remove it"):
        load_dataset(folder).split("train")


def test_a_folder_of_images_alone_and_one_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="No images found in"):
        load_dataset(tmp_path)
    with pytest.raises(DatasetError, match=r"holds 2 images and no captions; write .*captions\.csv"):
        load_dataset(_images(tmp_path, "1.jpg", "2.jpg"))


def test_several_tables_are_not_chosen_from_unless_one_has_the_usual_name(tmp_path: Path) -> None:
    folder = _images(tmp_path, "1.jpg", "2.jpg")
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text("image,caption\n1.jpg,a dog\n2.jpg,a cat\n2.jpg,two cats\n")
    with pytest.raises(DatasetError, match=r"several tables \(a\.csv, b\.csv\)"):
        load_dataset(folder)
    shutil.copy(folder / "a.csv", folder / "captions.csv")
    assert _captions(load_dataset(folder)) == WANTED


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_a_hugging_face_dataset_is_unpacked_once(kind: str, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def image(colour: str) -> dict[str, object]:
        content = BytesIO()
        Image.new("RGB", (40, 30), colour).save(content, "PNG")
        return {"bytes": content.getvalue(), "path": None}

    def write(file: Path, rows: list[dict[str, object]]) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        table = pyarrow.Table.from_pylist(rows)
        if kind == "parquet":
            parquet.write_table(table, file.with_suffix(".parquet"))
        else:
            with pyarrow.ipc.new_stream(file.with_suffix(".arrow"), table.schema) as stream:
                stream.write_table(table)

    write(tmp_path / "train" / "data-00000", [{"image": image("red"), "caption": ["a dog", "one dog"], "id": 1}])
    write(tmp_path / "validation" / "data-00000", [{"image": image("blue"), "caption": ["a cat"], "id": 2}])
    dataset = load_dataset(tmp_path)
    assert dataset.split_names == ("train", "val")
    (example,) = dataset.split("train").examples
    assert [caption.text for caption in example.captions] == ["a dog", "one dog"]
    with Image.open(example.path) as stored:
        assert stored.convert("RGB").getpixel((0, 0)) == (255, 0, 0)
    before = example.path.stat().st_mtime_ns
    assert load_dataset(tmp_path).split("train").examples[0].path.stat().st_mtime_ns == before
    write(tmp_path / "train" / "data-00000", [{"image": image("lime"), "caption": ["a frog"], "id": 3}])
    assert load_dataset(tmp_path).split("train").examples[0].captions[0].text == "a frog"
    write(tmp_path / "train" / "data-00000", [{"picture": image("lime"), "label": 3}])
    with pytest.raises(DatasetError, match="has the columns picture, label; expected `image` and one of caption"):
        load_dataset(tmp_path)


def test_init_writes_a_dataset_file_that_can_be_trained_on_and_says_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _images(tmp_path / "shop", "images/1.jpg", "images/2.jpg", "images/3.jpg", "images/alone.jpg")
    shutil.copy(folder / "images" / "1.jpg", folder / "images" / "again.jpg")
    (folder / "images" / "broken.jpg").write_bytes(b"no photograph")
    names = ("1", "2", "3", "again", "broken", "gone")
    (folder / "captions.csv").write_text("image,caption\n" + "".join(f"{name}.jpg,a red dog\n" for name in names))
    main(["init", str(folder), "--no-measure"])
    said = capsys.readouterr().err
    for line in (
        "Found: the table captions.csv",
        f"Images: 4 with captions in {folder / 'images'}",
        "Captions: 4, 1 an image, 4 noun phrases",
        "Vocabulary: 3 words, 3 of them more than once",
        "Named in the captions, not found: 1: gone.jpg",
        "Without a caption, not used: 1: alone.jpg",
        "Duplicates, left out: 1: again.jpg (as 1.jpg)",
        f"Wrote {folder / 'data.toml'}. Next: unboxed fit --data {folder / 'data.toml'} --out run",
    ):
        assert line in said.splitlines()
    assert "Unreadable: 1: broken.jpg (" in said
    assert set(_captions(load_dataset(folder / "data.toml"))) == {"1.jpg", "2.jpg", "3.jpg"}
    assert set(_captions(load_dataset(folder))) == {"1.jpg", "2.jpg", "3.jpg"}  # the folder stands for its data.toml


def test_init_reads_images_of_coco_with_captions(shared_data: Path, tmp_path: Path) -> None:
    main(["init", str(shared_data / "data" / "coco_small"), "--out", str(tmp_path / "coco.toml"), "--no-measure"])
    dataset = load_dataset(tmp_path / "coco.toml")
    assert sum(len(dataset.split(name).examples) for name in dataset.split_names) == 159
