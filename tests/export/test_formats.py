"""Each format by hand-made groundings: an image with two captions, and one of which nothing is named."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from unboxed.errors import ExportError
from unboxed.export import coco, huggingface, label_studio, yolo
from unboxed.export import csv as table
from unboxed.export.selection import BoxChoice, choose
from unboxed.inference.results import GroundedPhrase, Grounding
from unboxed.types import Regions


def _grounding(caption: str, *phrases: tuple[str, list[float], float], present: bool = True) -> Grounding:
    """A grounding of an image of 200 x 100 pixels, each phrase with one box and a worse one."""
    grounded = []
    for text, box, score in phrases:
        start = caption.index(text)
        boxes, scores = [box, [0, 0, 200, 100]], [score, score / 10]
        sure = 0.9 if present else 0.1
        grounded.append(GroundedPhrase(text, start, start + len(text), boxes, scores, confidence=sure))
    regions = Regions(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 0)), np.zeros((0, 0)), (), (), 200, 100)
    return Grounding(caption, tuple(grounded), (), regions, np.zeros((0, 0)), 200, 100)


MAN, DOG = [10, 20, 60, 90], [100, 50, 150, 100]
GROUNDINGS = [
    _grounding("Two men walk a dog.", ("Two men", MAN, 0.9), ("a dog", DOG, 0.4)),
    _grounding("A man with his dog in the background.", ("A man", [11, 20, 60, 90], 0.8), ("the background", MAN, 0.7)),
    _grounding("It sleeps.", ("It", DOG, 0.9)),
]
PHOTOS = ["7.jpg", "7.jpg", "sub/12.jpg"]


def test_boxes_of_one_thing_are_merged_under_its_usual_name_and_what_names_nothing_is_counted() -> None:
    chosen = choose(GROUNDINGS, PHOTOS, BoxChoice(min_score=0.5))
    assert chosen.categories == ("man",)
    assert [image.name for image in chosen.images] == ["7.jpg", "sub/12.jpg"]
    (man,) = chosen.images[0].boxes
    assert (man.category, man.box, man.score) == ("man", (10, 20, 60, 90), pytest.approx(0.9))
    assert (man.mention.phrase, man.mention.start, man.mention.end) == ("Two men", 0, 7)
    assert [(also.phrase, also.caption) for also in man.also] == [("A man", GROUNDINGS[1].caption)]
    assert (chosen.doubtful, chosen.nameless, chosen.merged, chosen.boxes) == (1, 2, 1, 1)
    assert chosen.describe() == (
        "2 images, 1 boxes of 1 names; left out: 1 below the score, 2 of phrases that name no thing, "
        "1 merged with another"
    )


def test_absent_phrases_rare_names_and_other_namings() -> None:
    absent = choose([_grounding("A cat.", ("A cat", DOG, 0.9), present=False)], ["1.jpg"])
    assert (absent.absent, absent.boxes) == (1, 0)
    anyway = BoxChoice(min_confidence=0.1)
    assert choose([_grounding("A cat.", ("A cat", DOG, 0.9), present=False)], ["1.jpg"], anyway).boxes == 1
    assert choose(GROUNDINGS, PHOTOS, BoxChoice(min_confidence=0.95)).absent == 5
    assert choose(GROUNDINGS, PHOTOS, BoxChoice(merge=1, min_boxes=2)).rare == 1
    assert choose(GROUNDINGS, PHOTOS, BoxChoice(names="phrases")).categories == (
        "a dog", "a man", "it", "the background", "two men",
    )  # fmt: skip
    two = choose(GROUNDINGS[:1], PHOTOS[:1], BoxChoice(top=2, merge=1))
    assert [round(box.score, 2) for box in two.images[0].boxes] == [0.9, 0.4, 0.09, 0.04]
    with pytest.raises(ExportError, match=r"0\.\.1, 0 for all"):
        BoxChoice(min_confidence=2)
    with pytest.raises(ExportError, match="at least 1"):
        BoxChoice(top=0)


def test_pycocotools_reads_the_dataset_and_scores_the_results_against_it(tmp_path: Path) -> None:
    coco_tools = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    content = coco.dataset(GROUNDINGS, PHOTOS)
    (tmp_path / "coco.json").write_text(json.dumps(content))
    (tmp_path / "results.json").write_text(json.dumps(coco.results(GROUNDINGS, PHOTOS, reference=content)))
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


def test_results_use_the_ids_of_a_reference_and_leave_out_what_it_does_not_have() -> None:
    reference = {"images": [{"id": 99, "file_name": "7.jpg"}], "categories": [{"id": 18, "name": "dog"}]}
    (found,) = coco.results(GROUNDINGS, PHOTOS, reference=reference)
    assert (found["image_id"], found["category_id"], found["category"]) == (99, 18, "dog")


def test_label_studio_has_rectangles_in_per_cent_and_the_words_as_meta() -> None:
    seven, twelve = label_studio.tasks(GROUNDINGS, PHOTOS)
    assert seven["data"] == {
        "image": "/data/local-files/?d=7.jpg",
        "caption": "\n".join(g.caption for g in GROUNDINGS[:2]),
    }
    man, dog = seven["predictions"][0]["result"]
    assert man["type"] == "rectanglelabels"
    assert (man["original_width"], man["original_height"]) == (200, 100)
    value = {"x": 5, "y": 20, "width": 25, "height": 70, "rotation": 0, "rectanglelabels": ["man"]}
    assert man["value"] == value
    assert dog["meta"] == {"text": ["a dog"], "start": 13, "end": 18, "caption": "Two men walk a dog."}
    assert twelve["predictions"][0]["result"] == []
    config = label_studio.labelling_config(GROUNDINGS, PHOTOS)
    assert f'<RectangleLabels name="{man["from_name"]}" toName="{man["to_name"]}">' in config
    assert [line.strip() for line in config.splitlines() if "<Label " in line] == [
        '<Label value="dog"/>', '<Label value="man"/>',
    ]  # fmt: skip


def test_yolo_lines_are_centres_and_sizes_and_images_without_boxes_are_not_listed() -> None:
    files = yolo.files(GROUNDINGS, PHOTOS)
    assert set(files) == {"data.yaml", "train.txt", "val.txt", "labels/7.txt"}
    assert files["data.yaml"] == 'path: .\ntrain: train.txt\nval: val.txt\nnames:\n  0: "dog"\n  1: "man"\n'
    assert files["train.txt"] + files["val.txt"] == "./images/7.jpg\n"
    number, *shares = files["labels/7.txt"].splitlines()[0].split()
    x, y, width, height = map(float, shares)
    assert number == "1"
    assert [200 * (x - width / 2), 100 * (y - height / 2), 200 * (x + width / 2), 100 * (y + height / 2)] == (
        pytest.approx(MAN, abs=0.01)
    )


def test_a_table_is_read_back_as_it_was_written() -> None:
    rows = list(csv.DictReader(io.StringIO(table.text(GROUNDINGS, PHOTOS))))
    assert list(rows[0]) == list(table.COLUMNS)
    assert rows == [{key: str(value) for key, value in row.items()} for row in table.rows(GROUNDINGS, PHOTOS)]
    dog = rows[1]
    assert [float(dog[edge]) for edge in ("x1", "y1", "x2", "y2")] == DOG
    assert dog["caption"][int(dog["start"]) : int(dog["end"])] == dog["phrase"] == "a dog"


def test_hugging_face_output_is_the_pipelines_with_the_span_beside() -> None:
    found = huggingface.pipeline_output(GROUNDINGS, PHOTOS)
    assert [own["label"] for own in found["7.jpg"]] == ["Two men", "A man", "the background", "a dog"]
    box = {"xmin": 100, "ymin": 50, "xmax": 150, "ymax": 100}
    words = {"start": 13, "end": 18, "caption": "Two men walk a dog."}
    assert found["7.jpg"][-1] == {"score": 0.4, "label": "a dog", "box": box, **words}


def test_supervision_holds_the_boxes_and_the_words() -> None:
    pytest.importorskip("supervision", reason="supervision is not installed: pip install 'unboxed[supervision]'")
    detections = GROUNDINGS[0].to_supervision(min_score=0.05, top=2)
    assert detections.xyxy.tolist() == [MAN, [0, 0, 200, 100], DOG]
    assert detections.confidence == pytest.approx([0.9, 0.09, 0.4])
    assert detections.data["class_name"].tolist() == ["Two men", "Two men", "a dog"]
    assert detections[detections.class_id == 1].data["start"].tolist() == [13]
    assert len(GROUNDINGS[0].to_supervision(min_score=2)) == 0
