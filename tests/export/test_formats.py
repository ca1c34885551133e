"""Each format, read back by the tool it is for or by a plain reader written here."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from unboxed.errors import ExportError
from unboxed.export import coco, huggingface, label_studio, yolo
from unboxed.export import csv as table
from unboxed.export.label_format import LabelFormat
from unboxed.export.labels import LabelledBox, LabelledImage, Mention, Selection, resized
from unboxed.export.options import FORMATS, LabelOptions, SelectionOptions, format_of
from unboxed.export.selection import select_boxes
from unboxed.inference.results import Grounding
from unboxed.runtime.csv_text import no_formula

MAN, DOG = [10, 20, 60, 90], [100, 50, 150, 100]
DOCS = Path(__file__).resolve().parents[2] / "docs"

_edges = st.tuples(st.floats(0, 300), st.floats(0, 150), st.floats(1, 300), st.floats(1, 150))
_labels = st.sampled_from(("dog", "a “very” odd; name: 'x'", "größe", "a & b <c>", 'with "quotes"'))


@st.composite
def selections(draw: st.DrawFn) -> Selection:
    """Random boxes with awkward names in images of 640 x 320 pixels."""
    images = []
    for number in range(draw(st.integers(1, 4))):
        boxes = []
        for x, y, width, height in draw(st.lists(_edges, max_size=3)):
            label = draw(_labels)
            box = (x, y, min(x + width, 640), min(y + height, 320))
            mention = Mention(label, 2, 2 + len(label), f"a {label}, at last")
            boxes.append(LabelledBox(label, box, draw(st.floats(0, 1)), mention, confidence=draw(st.none() | _share)))
        boxes.sort(key=lambda box: -box.score)
        images.append(LabelledImage(f"part {number % 2}/{number}.jpg", 640, 320, ("A caption.",), tuple(boxes)))
    categories = {box.category for image in images for box in image.boxes}
    return Selection(tuple(images), tuple(sorted(categories)))


_share = st.floats(0, 1)


def _boxes(selection: Selection) -> list[tuple[str, str, tuple[float, ...]]]:
    """(image, label, box) of every box, in order."""
    return [(image.name, box.category, box.box) for image in selection.images for box in image.boxes]


def _same(found: list[tuple[str, str, Any]], selection: Selection, tolerance: float) -> None:
    expected = _boxes(selection)
    assert [entry[:2] for entry in found] == [entry[:2] for entry in expected]
    for (*_, box), (*_, wanted) in zip(found, expected, strict=True):
        np.testing.assert_allclose(box, wanted, atol=tolerance)


@given(selections())
def test_coco_has_every_box_as_corner_and_size(selection: Selection) -> None:
    content = json.loads(json.dumps(coco.dataset(selection)))
    files = {image["id"]: image["file_name"] for image in content["images"]}
    labels = {category["id"]: category["name"] for category in content["categories"]}
    assert len(files) == len(selection.images) and sorted(labels.values()) == list(selection.categories)
    found = []
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        assert annotation["area"] == pytest.approx(width * height, abs=0.01)
        assert annotation["sentence"][annotation["start"] : annotation["end"]] == annotation["phrase"]
        found.append((files[annotation["image_id"]], labels[annotation["category_id"]], (x, y, x + width, y + height)))
    _same(found, selection, 0.02)
    assert all(annotation["segmentation"] == [] for annotation in content["annotations"]), "a key that readers expect"


def test_pycocotools_reads_the_dataset_and_scores_the_results_against_it(selection: Selection, tmp_path: Path) -> None:
    coco_tools = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    content = coco.dataset(selection)
    (tmp_path / "coco.json").write_text(json.dumps(content))
    (tmp_path / "results.json").write_text(json.dumps(coco.results(selection, reference=content)))
    with contextlib.redirect_stdout(io.StringIO()):
        gold = coco_tools.COCO(tmp_path / "coco.json")
        scores = evaluation.COCOeval(gold, gold.loadRes(str(tmp_path / "results.json")), "bbox")
        scores.evaluate()
        scores.accumulate()
        scores.summarize()
    assert scores.stats[0] == pytest.approx(1)
    assert gold.getImgIds() == [7, 12]  # named by numbers, as COCO's files are
    names = {category["id"]: category["name"] for category in gold.loadCats(gold.getCatIds())}
    man, dog = gold.loadAnns(gold.getAnnIds(imgIds=[7]))
    assert (names[man["category_id"]], man["bbox"], man["area"]) == ("man", [10, 20, 50, 70], 3500)
    assert names[dog["category_id"]] == "dog"
    assert (dog["phrase"], dog["sentence"][dog["start"] : dog["end"]]) == ("a dog", "a dog")
    assert man["mentions"][0]["phrase"] == "A man" and man["confidence"] == 0.9


def test_results_are_in_pixels_of_the_original_images_where_these_have_another_size(selection: Selection) -> None:
    assert coco.RESULTS.original_pixels and not coco.DATASET.original_pixels
    man, dog = coco.results(resized(selection, {"7.jpg": (400, 50)}))
    assert (man["bbox"], dog["bbox"]) == ([20, 10, 100, 35], [200, 25, 100, 25])
    assert resized(selection, {}) == selection


def test_results_use_the_ids_of_a_reference_and_leave_out_what_it_does_not_have(selection: Selection) -> None:
    reference = {"images": [{"id": 99, "file_name": "7.jpg"}], "categories": [{"id": 18, "name": "dog"}]}
    (found,) = coco.results(selection, reference=reference)
    assert (found["image_id"], found["category_id"], found["category"]) == (99, 18, "dog")


@given(selections())
def test_label_studio_has_rectangles_in_per_cent_and_the_words_as_meta(selection: Selection) -> None:
    found = []
    for task in label_studio.tasks(selection, prefix="s3://"):
        (prediction,) = task["predictions"]
        scores = [rectangle["score"] for rectangle in prediction["result"]]
        assert prediction["score"] == min(scores, default=0)
        assert len({rectangle["id"] for rectangle in prediction["result"]}) == len(scores)
        for rectangle in prediction["result"]:
            value, width, height = rectangle["value"], rectangle["original_width"], rectangle["original_height"]
            x, y = value["x"] * width / 100, value["y"] * height / 100
            box = (x, y, x + value["width"] * width / 100, y + value["height"] * height / 100)
            found.append((task["data"]["image"].removeprefix("s3://"), value["rectanglelabels"][0], box))
            meta = rectangle["meta"]
            assert meta["caption"][meta["start"] : meta["end"]] == meta["text"][0]
    _same(found, selection, 0.001)


@given(selections())
def test_the_labelling_interface_of_label_studio_knows_every_label_and_control(selection: Selection) -> None:
    view = ElementTree.fromstring(label_studio.labelling_config(selection))
    assert [label.get("value") for label in view.iter("Label")] == list(selection.categories)
    controls = {(control.get("name"), control.get("toName")) for control in view.iter("RectangleLabels")}
    for task in label_studio.tasks(selection):
        assert {(r["from_name"], r["to_name"]) for r in task["predictions"][0]["result"]} <= controls
        assert {element.get("value") for element in view} >= {f"${name}" for name in task["data"]}


def test_label_studio_gets_escaped_addresses_but_plain_names_in_buckets(tmp_path: Path) -> None:
    names = ["Capture d'écran 1.jpg", "a+b.jpg", "50%.jpg", "no#5.jpg", "part&x=1/a?.jpg"]
    selection = Selection(tuple(LabelledImage(name, 10, 10, (), ()) for name in names), ())
    local = [task["data"]["image"] for task in label_studio.tasks(selection)]
    assert [parse_qs(urlsplit(address).query)["d"] for address in local] == [[name] for name in names]
    web = [task["data"]["image"] for task in label_studio.tasks(selection, prefix="https://host/x/")]
    assert [unquote(urlsplit(address).path) for address in web] == [f"/x/{name}" for name in names]
    options = LabelOptions(label_studio_prefix="s3://bucket/x/")
    label_studio.FORMAT.write(tmp_path / "tasks.json", selection, {}, options)
    bucket = [task["data"]["image"] for task in json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))]
    assert bucket == [f"s3://bucket/x/{name}" for name in names]


def test_a_task_of_label_studio_has_all_captions_of_its_image(selection: Selection) -> None:
    seven, twelve = label_studio.tasks(selection)
    assert seven["data"] == {
        "image": "/data/local-files/?d=7.jpg",
        "caption": "Two men walk a dog.\nA man with his dog in the background.",
    }
    man, dog = seven["predictions"][0]["result"]
    value = {"x": 5, "y": 20, "width": 25, "height": 70, "rotation": 0, "rectanglelabels": ["man"]}
    assert (man["type"], man["value"]) == ("rectanglelabels", value)
    assert dog["meta"] == {"text": ["a dog"], "start": 13, "end": 18, "caption": "Two men walk a dog."}
    assert twelve["predictions"][0]["result"] == []


def _label_file(image: str) -> str:
    """Where Ultralytics looks for the labels of an image: the last `/images/` of its path becomes `/labels/`."""
    head, tail = f"/{image}".rsplit("/images/", 1)
    return os.path.normpath(f"{head}/labels/{tail.rsplit('.', 1)[0]}.txt".lstrip("/"))


def _read_yolo(folder: dict[str, str]) -> list[tuple[str, str, Any]]:
    """(image, label, box) of a YOLO dataset in pixels of an image of 640 x 320, by a plain reader."""
    labels = {}
    stored = {row["file"]: row["image"] for row in csv.DictReader(io.StringIO(folder["images.csv"]))}
    for line in folder["data.yaml"].split("names:\n")[1].splitlines():
        number, name = line.split(":", 1)
        labels[int(number)] = json.loads(name)  # a JSON string is a YAML string
    found = []
    for image in sorted((folder["train.txt"] + folder["val.txt"]).splitlines()):
        name = stored[image.removeprefix("./images/")]
        for line in folder[_label_file(image)].splitlines():
            number, *fractions = line.split()
            x, y, width, height = map(float, fractions)
            corners = ((x - width / 2) * 640, (y - height / 2) * 320, (x + width / 2) * 640, (y + height / 2) * 320)
            found.append((name, labels[int(number)], corners))
    return found


@given(selections())
def test_yolo_is_read_back_with_all_images(selection: Selection) -> None:
    folder = yolo.files(selection)
    stored = yolo.file_names(selection)
    ordered = sorted(selection.images, key=lambda image: stored[image.name])
    _same(_read_yolo(folder), Selection(tuple(ordered), selection.categories), 0.001)
    listed = {split: {line.removeprefix("./images/") for line in folder[split].splitlines()} for split in _LISTS}
    assert listed["val.txt"] == {stored[name] for name in selection.held_out}
    assert listed["train.txt"] | listed["val.txt"] == set(stored.values())


_LISTS = ("train.txt", "val.txt")
_NAMES = [
    "images/a.jpg", "images/a.png", "images/A.jpeg", "images/images/a.jpg", "images/images__a.jpg", "labels/x.jfif",
    "b/images/c.d.webp", "é.jpg", "e\u0301.jpg", "line\nbreak.gif", "/elsewhere/a.jpg", f"{'deep/' * 60}a.jpg",
]  # fmt: skip


def test_every_image_of_yolo_has_labels_of_its_own_where_they_are_looked_for() -> None:
    images = tuple(LabelledImage(name, 10, 10, (), ()) for name in _NAMES)
    folder = yolo.files(Selection(images, ()))
    listed = (folder["train.txt"] + folder["val.txt"]).splitlines()
    labels = [_label_file(line) for line in listed]
    assert len(listed) == len(_NAMES) == len({label.casefold() for label in labels})
    assert set(labels) == {name for name in folder if name.startswith("labels/")}
    assert all(len(Path(line).name.encode()) < 255 and line.count("/") == 2 for line in listed)  # none in a subfolder
    rows = list(csv.DictReader(io.StringIO(folder["images.csv"], newline="")))
    assert [row["image"] for row in rows] == _NAMES


def test_the_folder_that_all_images_share_is_not_part_of_their_names_in_yolo() -> None:
    images = tuple(LabelledImage(f"images/may/{name}", 10, 10, (), ()) for name in ("a.jpg", "b/a.jpg"))
    assert list(yolo.file_names(Selection(images, ())).values()) == ["a.jpg", "b__a.jpg"]


def test_the_names_of_yolo(selection: Selection) -> None:
    files = yolo.files(selection)
    assert set(files) == {"data.yaml", "train.txt", "val.txt", "images.csv", "labels/7.txt", "labels/sub__12.txt"}
    assert files["data.yaml"] == 'train: train.txt\nval: train.txt\nnames:\n  0: "dog"\n  1: "man"\n'
    assert files["labels/sub__12.txt"] == "" and "./images/sub__12.jpg\n" in files["train.txt"]


@given(selections())
def test_a_table_is_read_back_as_it_was_written(selection: Selection) -> None:
    rows = list(csv.DictReader(io.StringIO(table.text(selection))))
    plain = [{key: str(value) for key, value in row.items()} for row in table.rows(selection)]
    assert rows == [{key: no_formula(value) for key, value in row.items()} for row in plain]
    assert all(list(row) == list(table.COLUMNS) for row in rows)
    found = [(row["image"], row["label"], [float(row[edge]) for edge in ("x1", "y1", "x2", "y2")]) for row in plain]
    _same(found, selection, 0.01)
    for row in plain:
        assert row["caption"][int(row["start"]) : int(row["end"])] == row["phrase"]


def test_no_text_of_a_table_is_run_by_a_spreadsheet() -> None:
    formulas = ("=1+cmd", "+cmd", "-cmd|x", "@SUM(A1)", " =cmd", "\t=cmd", "\r=cmd", "＝cmd")
    boxes = [LabelledBox(text, (0, 0, 5, 5), 0.5, Mention(text, 0, len(text), text)) for text in formulas]
    images = tuple(LabelledImage(f"{box.category}.jpg", 9, 9, (), (box,)) for box in boxes)
    selection = Selection(images, formulas)
    for content in (table.text(selection), yolo.files(selection)["images.csv"]):
        cells = [cell for row in csv.reader(io.StringIO(content, newline="")) for cell in row]
        assert {f"'{image.name}" for image in images} <= set(cells)
        assert not any(cell.strip().startswith(("=", "+", "-", "@", "＝")) for cell in cells)


@pytest.mark.parametrize("names", ["phrases", "types"])
def test_names_with_control_characters_are_read_back_from_yaml_and_xml(
    names: Literal["phrases", "types"], groundings: list[Grounding]
) -> None:
    yaml = pytest.importorskip("yaml")
    odd = "".join(map(chr, (*range(0x21), *range(0x7F, 0xA1), 0x2028, 0xD800, 0xFFFE, 0xFEFF))).join('a"')
    phrase = replace(groundings[0].phrases[0], text=odd, types=(odd,))
    grounding = replace(groundings[0], phrases=(phrase,))
    selection = select_boxes([grounding], ["7.jpg"], SelectionOptions(names=names, min_score=-9, min_confidence=0))
    (name,) = selection.categories
    assert name == 'a \ufeff"'
    assert yaml.safe_load(yolo.files(selection)["data.yaml"])["names"] == {0: name}
    interface = ElementTree.fromstring(label_studio.labelling_config(selection))
    assert [label.get("value") for label in interface.iter("Label")] == [name]


def test_hugging_face_rows_have_the_boxes_of_the_pipeline_with_the_span_beside(
    groundings: list[Grounding], names: list[str], tmp_path: Path
) -> None:
    selection = select_boxes(groundings, names, SelectionOptions(names="phrases", merge=1))
    huggingface.FORMAT.write(tmp_path / "boxes.jsonl", selection, {}, LabelOptions())
    seven, twelve = map(json.loads, (tmp_path / "boxes.jsonl").read_text(encoding="utf-8").splitlines())
    assert (seven["images"], twelve["images"], seven["width"], seven["height"]) == ("7.jpg", "sub/12.jpg", 200, 100)
    assert [entry["label"] for entry in seven["objects"]] == ["Two men", "A man", "the background", "a dog"]
    box = {"xmin": 100, "ymin": 50, "xmax": 150, "ymax": 100}
    words = {"start": 13, "end": 18, "caption": "Two men walk a dog."}
    assert seven["objects"][-1] == {"score": 0.4, "label": "a dog", "box": box, **words}


def test_datasets_reads_the_hugging_face_rows(selection: Selection, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    huggingface.FORMAT.write(tmp_path / "boxes.jsonl", selection, {}, LabelOptions())
    table = datasets.load_dataset("json", data_files=str(tmp_path / "boxes.jsonl"), split="train", cache_dir=tmp_path)
    assert table["images"] == [image.name for image in selection.images]
    assert [len(objects) for objects in table["objects"]] == [len(image.boxes) for image in selection.images]


@pytest.fixture
def image_files(selection: Selection, tmp_path: Path) -> dict[str, Path]:
    """A file for each image of the selection."""
    files = {image.name: tmp_path / "photos" / image.name for image in selection.images}
    for file in files.values():
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (200, 100)).save(file)
    return files


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.key)
def test_a_format_writes_what_it_declares_and_replaces_it(
    form: LabelFormat, selection: Selection, image_files: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out" / f"boxes{form.suffix}"
    form.write(out, Selection((), ()), {}, LabelOptions())
    first = _content(out.parent)
    form.write(out, selection, image_files, LabelOptions())
    second = _content(out.parent)
    assert (out.is_file() if form.suffix else out.is_dir()) and not form.foreign(out)
    assert all(path.name.startswith("boxes.") or path == out for path in out.parent.iterdir())  # nothing else is left
    assert second != first and "dog" in "".join(second.values())


def _content(folder: Path) -> dict[str, str]:
    return {str(path): path.read_text("latin-1") for path in sorted(folder.rglob("*")) if path.is_file()}


def test_yolo_links_its_images_or_copies_them(
    selection: Selection, image_files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("links", "copies", "no links"):
        if kind == "no links":
            monkeypatch.setattr(Path, "symlink_to", lambda *_: (_ for _ in ()).throw(OSError("no links")))
        options = LabelOptions(image_files="copies" if kind == "copies" else "links")
        yolo.FORMAT.write(tmp_path / "out", selection, image_files, options)
        image = tmp_path / "out" / "images" / "7.jpg"
        assert image.is_symlink() == (kind == "links") and image.read_bytes() == image_files["7.jpg"].read_bytes()
        assert kind != "links" or not image.readlink().is_absolute()
        rows = list(csv.DictReader((tmp_path / "out" / "phrases.csv").read_text(encoding="utf-8").splitlines()))
        assert [row["phrase"] for row in rows] == ["Two men", "a dog"]


def test_yolo_gets_images_of_kinds_that_it_does_not_read_as_jpeg(tmp_path: Path) -> None:
    written = ("a.gif", "c.jfif", *(["b.avif"] if ".avif" in Image.registered_extensions() else []))  # from Pillow 11.3
    files = {name: tmp_path / name for name in written}
    for name, file in files.items():
        Image.new("RGB", (20, 10), "red").save(file, format="JPEG" if name == "c.jfif" else None)
    selection = Selection(tuple(LabelledImage(name, 20, 10, (), ()) for name in files), ())
    yolo.FORMAT.write(tmp_path / "out", selection, files, LabelOptions())
    for name in files:
        with Image.open(tmp_path / "out" / "images" / f"{name[0]}.jpg") as image:
            assert (image.format, image.size) == ("JPEG", (20, 10))


def test_supervision_reads_coco_and_yolo(selection: Selection, image_files: dict[str, Path], tmp_path: Path) -> None:
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    yolo.FORMAT.write(tmp_path / "yolo", selection, image_files, LabelOptions(image_files="copies"))
    coco.DATASET.write(tmp_path / "coco.json", selection, image_files, LabelOptions())
    read = supervision.DetectionDataset
    folder = {
        "images_directory_path": str(tmp_path / "yolo/images"),
        "data_yaml_path": str(tmp_path / "yolo/data.yaml"),
    }
    photos = str(tmp_path / "photos")
    for found in (
        read.from_yolo(annotations_directory_path=str(tmp_path / "yolo/labels"), **folder),
        read.from_coco(images_directory_path=photos, annotations_path=str(tmp_path / "coco.json")),
    ):
        boxes = {Path(path).name[-6:]: detections.xyxy for path, _, detections in found}
        assert found.classes == list(selection.categories) and len(found) == 2
        assert sorted(map(len, boxes.values())) == [0, 2]


def test_formats_have_different_names_and_are_in_the_guide() -> None:
    keys = [form.key for form in FORMATS]
    assert len(set(keys)) == len(keys)
    page = (DOCS / "export.md").read_text(encoding="utf-8")
    assert all(f"\n| `{key}` |" in page for key in keys)
    assert format_of("yolo") is yolo.FORMAT
    with pytest.raises(ExportError, match=r"There is no format 'voc'; there are coco, coco-results, .*, hf\."):
        format_of("voc")
