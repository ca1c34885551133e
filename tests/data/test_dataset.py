"""A dataset file describes everything; an error in it is reported with its key and the fix."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from unboxed.data import load_dataset
from unboxed.errors import DatasetError, ImageError

TOML = """
format = "flickr30k-entities"
images = "photos"
annotations = "annotations"
exclude = ["3"]

[splits]
train = "train.txt"
val = "val.txt"
"""
XML = "<annotation><size><width>40</width><height>20</height></size></annotation>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images 1, 2, 3 and 4 with captions; 5 is listed and not stored."""
    for name in ("photos", "annotations/Sentences", "annotations/Annotations"):
        (tmp_path / name).mkdir(parents=True)
    for image_id in "1234":
        suffix = "png" if image_id == "2" else "JPG" if image_id == "4" else "jpg"
        Image.new("RGB", (40, 20)).save(tmp_path / "photos" / f"{image_id}.{suffix}")
        (tmp_path / "annotations/Sentences" / f"{image_id}.txt").write_text("[/EN#1/people A man] sits .\n")
        (tmp_path / "annotations/Annotations" / f"{image_id}.xml").write_text(XML)
    (tmp_path / "train.txt").write_text("1\n2.jpg\n\n3\n5\n")
    (tmp_path / "val.txt").write_text("4\n")
    (tmp_path / "data.toml").write_text(TOML)
    return tmp_path


def _load_error(folder: Path, old: str, new: str) -> str:
    (folder / "data.toml").write_text(TOML.replace(old, new))
    with pytest.raises(DatasetError) as caught:
        load_dataset(folder / "data.toml")
    return str(caught.value)


def test_a_split_holds_what_is_stored_and_names_what_is_missing(folder: Path) -> None:
    dataset = load_dataset(folder / "data.toml")
    assert (dataset.name, dataset.split_names, dataset.regions) == (folder.name, ("train", "val"), None)
    train = dataset.split("train")
    assert [example.image_id for example in train.examples] == ["1", "2"]
    assert train.missing == ("5",)
    assert train.examples[1].path == folder / "photos" / "2.png"
    assert [example.image_id for example in dataset.split("val").examples] == ["4"]


def test_a_file_that_is_no_image_is_counted_not_fatal(folder: Path) -> None:
    (folder / "photos" / "2.png").write_text("not an image")
    train = load_dataset(folder / "data.toml").split("train")
    assert [example.image_id for example in train.examples] == ["1"]
    assert "is not an image" in train.unreadable["2"]


def test_none_stored_is_an_error(folder: Path) -> None:
    (folder / "val.txt").write_text("8\n9\n")
    with pytest.raises(DatasetError, match=r"'val' lists 2 images, and none of them .* such as 8, 9; `images`"):
        load_dataset(folder / "data.toml").split("val")


def test_an_unknown_split_is_named_with_those_that_exist(folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"no split 'vla'; did you mean 'val'\? Expected one of: train, val"):
        load_dataset(folder / "data.toml").split("vla")


def test_a_split_is_described_in_one_line_and_strict_refuses_unreadable_images(folder: Path) -> None:
    (folder / "photos" / "2.png").write_text("not an image")
    train = load_dataset(folder / "data.toml").split("train")
    assert train.describe() == "train: 1 image, 1 caption, 1 listed but not stored, 1 unreadable"
    with pytest.raises(ImageError, match=r"2\.png .*is not an image.* Without --strict it is skipped\."):
        train.require_readable()
    val = load_dataset(folder / "data.toml").split("val")
    val.require_readable()
    assert val.describe() == "val: 1 image, 1 caption"


def test_a_dataset_of_features_has_no_images_to_find_regions_in(folder: Path) -> None:
    load_dataset(folder / "data.toml").require_images()
    (folder / "data.toml").write_text(TOML.replace('"photos"', "false").replace('["3"]', '["4"]'))
    dataset = load_dataset(folder / "data.toml")
    with pytest.raises(DatasetError, match=r"has no images to find regions in; .* `unboxed import`"):
        dataset.require_images()
    with pytest.raises(DatasetError, match=r"Split 'val' of .* has no images; check its list, and `exclude`"):
        dataset.split("val")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("exclude", "exlcude", "unknown key `exlcude`; did you mean 'exclude'?"),
        ('"flickr30k-entities"', '"flickr30k_entities"', "unknown format .* did you mean 'flickr30k-entities'"),
        ('"photos"', '"fotos"', "`images` points at .*/fotos, which does not exist; correct `images`"),
        ('"train.txt"', '"trian.txt"', r"`splits.train` points at .*/trian.txt, which does not exist"),
        ('images = "photos"', "", "has no `images`; add images = .* or images = false when you have features only"),
        ('images = "photos"', "images = 3", "`images` is 3; expected text in quotes"),
        ('images = "photos"', 'images = "train.txt"', "which is not a folder"),
        ('["3"]', "[3]", "`exclude` is .* in quotes"),
        ('"photos"', '"photos', "not valid TOML: .*line 3"),
        ('images = "photos"', f"images = {'9' * 5000}", r"not valid TOML: Exceeds the limit \(4300 digits\)"),
        ('images = "photos"', f"images = 0x{'f' * 5000}", r"not valid TOML: Exceeds the limit \(4300 digits\)"),
        ('images = "photos"', f"images = {'[' * 5000}", "not valid TOML: it is nested too deeply"),
        ('[splits]\ntrain = "train.txt"\nval = "val.txt"', "", "needs a table .splits."),
        ("[splits]", '[regions]\ndetectr = "x"\n[splits]', "unknown key `regions.detectr`; did you mean 'detector'"),
        ("exclude", "regions = 3\nexclude", r"`regions` is 3; expected a table \[regions\]"),
        ("[splits]", '[regions]\ndetector = "x"\n[splits]', "`regions.detector` points at .*/x, which does not exist"),
        ("exclude", 'unrelated = "U"\nexclude', "`unrelated` points at .*/U, which does not exist"),
    ],
)
def test_a_bad_key_is_named_with_its_fix(folder: Path, old: str, new: str, message: str) -> None:
    assert re.search(message, _load_error(folder, old, new))


def test_a_file_that_is_no_dataset_file_is_an_error(folder: Path) -> None:
    (folder / "binary.toml").write_bytes(b"\xff\xfe\x00")
    for name, message in {"absent.toml": "does not exist", "binary.toml": "not a text file"}.items():
        with pytest.raises(DatasetError, match=message):
            load_dataset(folder / name)


def test_a_byte_order_mark_is_no_part_of_a_dataset_file(folder: Path) -> None:
    (folder / "data.toml").write_text(TOML, encoding="utf-8-sig")
    assert "train" in load_dataset(folder / "data.toml").split_names


def test_a_name_cannot_lead_out_of_the_folder(folder: Path) -> None:
    (folder / "train.txt").write_text("../../1\n")
    with pytest.raises(DatasetError, match="lies outside"):
        load_dataset(folder / "data.toml").split("train")


def test_an_empty_list_is_an_error(folder: Path) -> None:
    for content, message in {b"\n\n": "is empty; write one image id per line", b"\xff": "cannot be read"}.items():
        (folder / "train.txt").write_bytes(content)
        with pytest.raises(DatasetError, match=rf"train\.txt {message}"):
            load_dataset(folder / "data.toml").split("train")


def test_the_models_that_a_dataset_brings(folder: Path) -> None:
    (folder / "detector.onnx").touch()
    (folder / "data.toml").write_text(TOML + '\n[regions]\ndetector = "detector.onnx"\n')
    regions = load_dataset(folder / "data.toml").regions
    assert regions is not None
    assert (regions.detector, regions.segmenter) == (folder / "detector.onnx", None)


def test_a_table_in_its_own_folder_is_a_dataset(folder: Path) -> None:
    (folder / "photos" / "mine.csv").write_text("image,caption,split\n1.jpg,A man sits.,train\n2,A dog.,val\n")
    dataset = load_dataset(folder / "photos" / "mine.csv")
    assert (dataset.name, dataset.split_names) == ("mine", ("train", "val"))
    (example,) = dataset.split("train").examples
    assert (example.image_id, example.width, example.captions[0].phrases[0].text) == ("1.jpg", 40, "A man")
    assert dataset.split("val").examples[0].path.name == "2.png"


def test_a_table_by_its_dataset_file(folder: Path) -> None:
    rows = ({"image": image, "caption": "A man."} for image in "123")
    (folder / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    table = TOML.replace('"flickr30k-entities"', '"table"').replace('"annotations"', '"mine.jsonl"')
    (folder / "data.toml").write_text(table.partition("[splits]")[0])
    assert set(load_dataset(folder / "data.toml").split_names) == {"train", "val"}
    (folder / "train.txt").write_text("1\n3\n")
    (folder / "data.toml").write_text(table)
    train = load_dataset(folder / "data.toml").split("train")
    assert [example.image_id for example in train.examples] == ["1"], "3 is excluded"
    with pytest.raises(DatasetError, match=r"val\.txt lists '4', which .*mine\.jsonl has no caption for"):
        load_dataset(folder / "data.toml").split("val")


def test_without_images_every_listed_image_is_there(folder: Path) -> None:
    (folder / "data.toml").write_text(TOML.replace('"photos"', "false"))
    (folder / "train.txt").write_text("1\n2\n3\n")
    (folder / "annotations/Sentences/1.txt").write_text("[/EN#1/people A man] sits .\n")
    thing = (
        "<object><name>1</name><bndbox><xmin>11</xmin><ymin>6</ymin><xmax>20</xmax><ymax>10</ymax></bndbox></object>"
    )
    (folder / "annotations/Annotations/1.xml").write_text(XML.replace("</annotation>", thing + "</annotation>"))
    train = load_dataset(folder / "data.toml").split("train")
    assert [example.image_id for example in train.examples] == ["1", "2"] and train.missing == ()
    first = train.examples[0]
    assert (first.width, first.height, first.original_size, first.path.exists()) == (40, 20, None, False)
    assert first.captions[0].phrases[0].boxes.tolist() == [[10, 5, 20, 10]]
    (folder / "mine.csv").write_text("image,caption,split\n1,A man.,train\n")
    (folder / "data.toml").write_text('format = "table"\nimages = false\nannotations = "mine.csv"\n')
    (example,) = load_dataset(folder / "data.toml").split("train").examples
    assert (example.image_id, example.width, example.height) == ("1", 1, 1)


def test_the_real_images(shared_data: Path) -> None:
    dataset = load_dataset(shared_data / "data" / "flickr.toml")
    assert dataset.split_names == ("train", "val")
    val = dataset.split("val")
    captions = [caption for example in val.examples for caption in example.captions]
    phrases = [phrase for caption in captions for phrase in caption.phrases]
    assert (len(val.examples), len(val.missing), len(captions)) == (247, 753, 1235)
    assert (len(phrases), sum(len(phrase.boxes) > 0 for phrase in phrases)) == (3833, 3239)
    # Squashed to 224 x 224; every gold box still lies in its image.
    assert all((example.width, example.height) == (224, 224) for example in val.examples)
    assert all(phrase.boxes.min() >= 0 and phrase.boxes.max() <= 224 for phrase in phrases if len(phrase.boxes))


def test_the_examples_of_the_guide_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each example prints what the comment below its `print` says."""
    guide = (Path(__file__).parents[2] / "docs" / "data.md").read_text("utf-8")
    monkeypatch.chdir(tmp_path)
    for example in re.findall(r"```python\n(.*?)```", guide, re.DOTALL):
        exec(example, {})
        assert capsys.readouterr().out.splitlines() == re.findall(r"^# (.*)$", example, re.MULTILINE)
