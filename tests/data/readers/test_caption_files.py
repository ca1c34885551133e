"""A folder of images is a dataset, whichever form its captions have."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from unboxed.data import load_dataset
from unboxed.data.dataset import Dataset
from unboxed.data.readers.caption_files import table_rows
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
        ("mine.jsonl", '{"image": "1.jpg", "caption": "a dog"}\n{"image": "2", "captions": ["a cat", "two cats"]}\n'),
        (
            "mine.json",
            json.dumps([{"file_name": "1.jpg", "caption": "a dog"}, {"image": "2", "captions": ["a cat", "two cats"]}]),
        ),
        (
            "mine.json",
            json.dumps(
                {
                    "images": [
                        {"file_name": "1.jpg", "captions": ["a dog"]},
                        {"file_name": "2.jpg", "captions": ["a cat", "two cats"]},
                    ]
                }
            ),
        ),
        ("mine.json", json.dumps({"1.jpg": "a dog", "2.jpg": ["a cat", "two cats"]})),
        ("mine.json", json.dumps([["1.jpg", "a dog"], ["2.jpg", "a cat"], ["2.jpg", "two cats"]])),
        ("mine.json", '{"image": "1.jpg", "caption": "a dog"}\n{"image": "2.jpg", "caption": ["a cat", "two cats"]}\n'),
        ("mine.jsonl", '[{"image": "1.jpg", "caption": "a dog"}, {"image": "2", "captions": ["a cat", "two cats"]}]'),
        (
            "mine.json",
            json.dumps(
                {
                    "image": {"0": "1.jpg", "1": "2.jpg", "2": "2.jpg"},
                    "caption": {"0": "a dog", "1": "a cat", "2": "two cats"},
                }
            ),
        ),
        ("captions.txt", "image,caption\n1.jpg,a dog\n2.jpg,a cat\n2.jpg,two cats\n"),
        ("Flickr8k.token.txt", "1.jpg#0\ta dog\n2.jpg#0\ta cat\n2.jpg#1\ttwo cats\n"),
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
    assert _captions(load_dataset(folder)) == WANTED
    assert load_dataset(folder).notes == (f"Left out: 1 row without a caption ({folder / '3.txt'})",)


def test_only_the_end_of_a_line_ends_a_caption_beside_an_image(tmp_path: Path) -> None:
    folder = _images(tmp_path, "1.jpg")
    (folder / "1.txt").write_bytes("a dog\r\ntwo\u2028dogs\u0085here\n".encode())
    (captions,) = _captions(load_dataset(folder)).values()
    assert captions == ["a dog", "two\u2028dogs\u0085here"]


@pytest.mark.parametrize("text", ["{}.caption", "{}.jpg.txt", "../texts/{}.txt"])
def test_text_files_of_other_tools(text: str, tmp_path: Path) -> None:
    folder = _images(tmp_path, "images/1.jpg", "images/2.jpg", "images/3.jpg")
    for name, content in {"1": "a dog", "2": "a cat\ntwo cats", "3": "0 0.5 0.5 0.1 0.1"}.items():
        file = folder / "images" / text.format(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    assert _captions(load_dataset(folder)) == WANTED  # and not the numbers of a label file
    assert len(load_dataset(folder).notes) == 1


def test_the_output_of_img2dataset(tmp_path: Path) -> None:
    folder = _images(tmp_path, "00000/1.jpg", "00000/2.jpg")
    (folder / "00000" / "1.txt").write_text("a dog")
    (folder / "00000" / "1.json").write_text('{"caption": "not this", "url": "x", "width": 40}')
    (folder / "00000" / "2.json").write_text('{"caption": ["a cat", "two cats"], "url": "x", "width": 40}')
    (folder / "00000_stats.json").write_text('{"count": 2}')
    for start in (folder, folder / "00000"):
        assert _captions(load_dataset(start)) == WANTED


def _splits(dataset: Dataset) -> dict[str, dict[str, list[str]]]:
    examples = {name: dataset.split(name).examples for name in dataset.split_names}
    return {
        name: {example.image_id: [caption.text for caption in example.captions] for example in of_split}
        for name, of_split in examples.items()
    }


@pytest.mark.parametrize(
    "files",
    [
        {
            "train/metadata.csv": "file_name,text\n1.jpg,a dog\n",
            "validation/metadata.csv": "file_name,text\n1.jpg,a cat\n",
        },
        {"train/1.txt": "a dog", "validation/1.txt": "a cat"},
        {"texts/train/1.txt": "a dog", "texts/validation/1.txt": "a cat"},
        {"list.csv": "image,caption,subset\ntrain/1.jpg,a dog,Training\nvalidation/1.jpg,a cat,eval\n"},
        {
            "list.json": json.dumps(
                {
                    "train": [{"image": "train/1.jpg", "caption": "a dog"}],
                    "validation": [{"image": "validation/1.jpg", "caption": "a cat"}],
                }
            )
        },
        {"train.csv": "image,caption\ntrain/1.jpg,a dog\n", "valid.csv": "image,caption\nvalidation/1.jpg,a cat\n"},
        {
            "captions.json": json.dumps(
                [
                    {"image": "train/1.jpg", "caption": "a dog", "split": "Training"},
                    {"image": "validation/1.jpg", "caption": "a cat", "split": "dev"},
                ]
            )
        },
    ],
)
def test_the_splits_of_folders_and_tables(files: dict[str, str], tmp_path: Path) -> None:
    folder = _images(tmp_path, "train/1.jpg", "validation/1.jpg")
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    assert _splits(load_dataset(folder)) == {
        "train": {"train/1.jpg": ["a dog"]},
        "val": {"validation/1.jpg": ["a cat"]},
    }


def test_a_table_may_lie_beside_the_folder_of_images_or_name_files_elsewhere(tmp_path: Path) -> None:
    images = _images(tmp_path / "project" / "images", "1.jpg", "2.jpg")
    table = "image,caption\n{0}1.jpg,a dog\n{0}2.jpg,a cat\n{0}2.jpg,two cats\n"
    for where, prefix in (("project/lists", ""), ("project/lists", "images/"), ("elsewhere", f"{images}/")):
        (tmp_path / where).mkdir(parents=True, exist_ok=True)
        (tmp_path / where / "captions.csv").write_text(table.format(prefix))
        assert _captions(load_dataset(tmp_path / where)) == WANTED
        assert _captions(load_dataset(tmp_path / where / "captions.csv")) == WANTED


def test_other_files_beside_a_table_are_not_taken_for_tables(tmp_path: Path) -> None:
    folder = _images(tmp_path, "1.jpg", "2.jpg")
    (folder / "list.csv").write_text("image,caption\n1.jpg,a dog\n2.jpg,a cat\n2.jpg,two cats\n")
    for name, content in {
        "README.txt": "My photos, taken in summer",
        "classes.txt": "dog\ncat\n",
        "data.json": '{"version": 1}',
        "sizes.csv": "image,width\n1.jpg,40\n",
        "boxes.csv": "image,label,x1,y1,x2,y2,caption\n1.jpg,dog,1,2,3,4,a dog\n",
        "._list.csv": "\0\5",
    }.items():
        (folder / name).write_text(content)
    assert _captions(load_dataset(folder)) == WANTED


def test_what_is_not_read_is_named_with_the_fix(tmp_path: Path) -> None:
    folder = _images(tmp_path, "1.jpg", "2.jpg")
    for name, message in {
        "a.csv": r"a\.csv:1: expected one column 'image', found: bild, wort\. Name it in the first line",
        "b.xlsx": r"b\.xlsx is not read; save the sheet as CSV",
        "c.zip": r"c\.zip is not read; unpack it",
        "d.jsonl": r"d\.jsonl:1: not JSON",
        "e.pkl": r"e\.pkl is not read; save it as JSON, because reading a pickle can run any code",
        "captions.txt": r"captions\.txt:1: expected one column 'image'",
    }.items():
        (folder / name).write_text("bild,wort\n1.jpg,dog\n")
        with pytest.raises(DatasetError, match=rf"holds 2 images and no captions; .*{message}"):
            load_dataset(folder)
        (folder / name).unlink()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("0 0.5 0.5 0.1 0.1\n", "hold no captions, such as .*1.txt; write one a line. Numbers"),
        ("Car 0.00 0 -1.57 614.2 181.8\n", "hold no captions"),
        ("[/EN#1/people A man] sits .\n", "is of Flickr30K Entities; name a TOML file"),
    ],
)
def test_annotations_of_other_tools_are_not_taken_for_captions(content: str, message: str, tmp_path: Path) -> None:
    folder = _images(tmp_path, "1.jpg", "2.jpg")
    for name in ("1.txt", "2.txt"):
        (folder / name).write_text(content)
    with pytest.raises(DatasetError, match=message):
        load_dataset(folder).split("train")


@pytest.mark.parametrize("key", ["conversations", "data", "regions"])
def test_json_of_other_tools_is_refused_with_what_it_has(key: str, tmp_path: Path) -> None:
    folder = _images(tmp_path, "1.jpg")
    (folder / "a.json").write_text(json.dumps([{"image": "1.jpg", key: [{"value": "a dog"}]}]))
    with pytest.raises(DatasetError, match=f"its objects have 'image, {key}'; expected such as"):
        load_dataset(folder / "a.json")
    for number in range(3):  # the folder is refused with what one file has, and the number of the others
        content = {"version": "5.0", "shapes": [{"label": key}], "imagePath": "1.jpg", "imageHeight": 9}
        (folder / f"{number}.json").write_text(json.dumps(content))
    (folder / "a.json").unlink()
    with pytest.raises(
        DatasetError, match=r"its object has 'version, shapes, .* \(2 more \.json files lie beside it\.\)$"
    ):
        load_dataset(folder)


def test_a_table_that_pandas_wrote_as_split(tmp_path: Path) -> None:
    folder = _images(tmp_path, "1.jpg", "2.jpg")
    content = {"columns": ["image", "caption"], "index": [0, 1], "data": [["1.jpg", "a dog"], ["2.jpg", "a cat"]]}
    (folder / "a.json").write_text(json.dumps(content))
    assert [row.captions for row in table_rows(folder / "a.json")] == [("a dog",), ("a cat",)]


def test_ids_are_whole_numbers_however_they_are_written(tmp_path: Path) -> None:
    folder = _images(tmp_path, "000000000009.jpg", "000000000010.jpg")
    (folder / "a.csv").write_text("image_id,caption\n9.0,a dog\n10,a cat\n")
    images = [{"id": 9.0, "file_name": "000000000009.jpg"}, {"id": "10", "file_name": "000000000010.jpg"}]
    texts = [
        {"image_id": 9, "caption": "a dog"},
        {"image_id": 10, "caption": "a cat"},
        {"image_id": 11, "caption": "x"},
    ]
    (folder / "b.json").write_text(json.dumps({"images": images, "annotations": texts}))
    for name in ("a.csv", "b.json"):
        found = _captions(load_dataset(folder / name))
        assert sorted(found.values()) == [["a cat"], ["a dog"]]
    assert load_dataset(folder / "b.json").notes == (f"Left out: 1 row without an image ({folder / 'b.json'}, row 3)",)


@pytest.mark.parametrize(
    ("name", "form", "kind"),
    [
        ("config.json", "unboxed-run", "a run"),
        ("store.json", "unboxed-regions", "a store of regions"),
        ("index.json", "unboxed-index", "an index"),
        ("export.json", "unboxed-onnx", "an export"),
    ],
)
def test_a_folder_that_a_command_has_written_is_no_dataset_unless_it_has_images(
    name: str, form: str, kind: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(json.dumps({"format": form, "version": 1}))
    with pytest.raises(DatasetError, match=f"is {kind}, and holds no images with captions; name the folder"):
        load_dataset(tmp_path)
    _images(tmp_path, "a.jpg")
    (tmp_path / "captions.csv").write_text("image,caption\na.jpg,a dog\n")
    assert load_dataset(tmp_path).split("all").examples[0].image_id == "a.jpg"


def test_a_folder_of_images_alone_and_one_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="No images found in"):
        load_dataset(tmp_path)
    with pytest.raises(DatasetError, match=r"holds 2 images and no captions; write .*captions\.csv"):
        load_dataset(_images(tmp_path, "1.jpg", "2.jpg"))


def test_a_name_without_room_for_one_more_suffix_stops_nothing(tmp_path: Path) -> None:
    name = f"{'x' * 251}.jpg"
    Image.new("RGB", (40, 30)).save(tmp_path / name)
    (tmp_path / "captions.csv").write_text(f"image,caption\n{name},a dog\n")
    assert [row.image for row in table_rows(tmp_path)] == [name]


def test_several_tables_are_not_chosen_from_unless_one_has_the_usual_name(tmp_path: Path) -> None:
    folder = _images(tmp_path, "1.jpg", "2.jpg")
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text("image,caption\n1.jpg,a dog\n2.jpg,a cat\n2.jpg,two cats\n")
    with pytest.raises(DatasetError, match=r"several tables \(a\.csv, b\.csv\)"):
        load_dataset(folder)
    shutil.copy(folder / "a.csv", folder / "captions.csv")
    assert _captions(load_dataset(folder)) == WANTED


def test_gold_boxes_are_as_declared(tmp_path: Path, check_gold_boxes: Callable[[Dataset], None]) -> None:
    folder = _images(tmp_path, "1.jpg", "2.jpg")
    (folder / "captions.csv").write_text("image,caption\n1.jpg,a dog\n2.jpg,a cat\n")
    check_gold_boxes(load_dataset(folder))


def test_addresses_that_are_no_urls_stop_nothing(tmp_path: Path) -> None:
    _images(tmp_path, "1.jpg", "2.jpg", "3.jpg")
    (tmp_path / "links.csv").write_text("http://[todo]/x,later\n")
    rows = "1.jpg,A dog.\n2.jpg,A cat.\nhttp://[x]/3.jpg,A cow.\nhttp://[x]/?d=4.jpg,A hen.\n"
    (tmp_path / "mine.csv").write_text(f"image,caption\n{rows}")
    assert set(_captions(load_dataset(tmp_path))) == {"1.jpg", "2.jpg", "3.jpg", "?d=4.jpg"}
