"""Boxes from a file are scored as those of a run are, whatever form the file has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unboxed.errors import EvaluationError
from unboxed.evaluation.predictions import read_predictions, score_predictions
from unboxed.types import Caption, Example, Phrase

TEXT = "Two men walk a dog."
MAN, DOG = (10.0, 20.0, 60.0, 90.0), (100.0, 50.0, 150.0, 100.0)


def _example(image_id: str = "0007", original: tuple[int, int] | None = None) -> Example:
    """An image of 200 x 100 pixels with a caption of two phrases, and one that says the dog again."""
    phrases = (
        Phrase("Two men", 0, 7, ("people",), None, np.array([MAN])),
        Phrase("a dog", 13, 18, (), None, np.array([DOG])),
    )
    again = Caption("A dog barks.", (Phrase("A dog", 0, 5, (), None, np.array([DOG])),))
    return Example(image_id, Path(f"photos/{image_id}.jpg"), (Caption(TEXT, phrases), again), 200, 100, original)


def _lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _recall(path: Path, *examples: Example) -> float:
    return score_predictions(path, examples or (_example(),)).scores["recall_any@1"]


ROW = {"image": "0007.jpg", "caption": TEXT, "start": 13, "end": 18, "boxes": [DOG]}


@pytest.mark.parametrize("image", ["0007.jpg", "0007", "7", 7])
def test_an_image_is_named_by_its_id_file_or_number(tmp_path: Path, image: str | int) -> None:
    assert _recall(_lines(tmp_path / "p.jsonl", ROW | {"image": image})) == pytest.approx(100 / 3)


def test_a_phrase_without_a_caption_is_every_phrase_of_these_words(tmp_path: Path) -> None:
    path = _lines(tmp_path / "p.jsonl", {"image": "7", "phrase": "A  DOG", "boxes": [DOG]})
    scored = score_predictions(path, [_example()])
    assert scored.scores["recall_any@1"] == pytest.approx(200 / 3)
    assert (scored.scores.phrases, scored.scores.without_answer, scored.unused) == (3, 1, {})


def test_scores_order_the_boxes_and_the_order_counts_without_them(tmp_path: Path) -> None:
    two = ROW | {"boxes": [MAN, DOG]}
    assert _recall(_lines(tmp_path / "a.jsonl", two)) == 0
    assert _recall(_lines(tmp_path / "b.jsonl", two | {"scores": [0.2, 0.7]})) == pytest.approx(100 / 3)


def test_sets_are_scored_where_they_are_given_and_the_best_box_elsewhere(tmp_path: Path) -> None:
    men = Phrase("Two men", 0, 7, (), None, np.array([MAN, DOG]))
    dogs = Phrase("dogs", 13, 17, (), None, np.array([MAN, DOG]))
    example = Example("7", Path("7.jpg"), (Caption("Two men walk dogs.", (men, dogs)),), 200, 100, (400, 200))
    doubled = [[2 * edge for edge in box] for box in (DOG, MAN)]
    given = {"image": "7", "phrase": "Two men", "boxes": doubled[:1], "set": doubled}
    path = _lines(tmp_path / "p.jsonl", given, {"image": "7", "phrase": "dogs", "boxes": doubled[:1]})
    scored = score_predictions(path, [example])
    assert scored.sets is not None and scored.sets["recall_all"] == 75
    assert scored.sets.best["recall_all"].value == 50
    assert scored.lines == [f"Sets of boxes: {scored.sets}"]
    assert scored.to_dict()["sets"] == scored.sets.to_dict()
    alone = score_predictions(
        _lines(tmp_path / "p.jsonl", {"image": "7", "phrase": "dogs", "boxes": doubled}), [example]
    )
    assert (alone.sets, alone.lines, "sets" in alone.to_dict()) == (None, [], False)


def test_boxes_are_in_pixels_of_the_original_image(tmp_path: Path) -> None:
    doubled = ROW | {"boxes": [[2 * DOG[0], 4 * DOG[1], 2 * DOG[2], 4 * DOG[3]]]}
    path = _lines(tmp_path / "p.jsonl", doubled)
    assert _recall(path) == 0
    assert _recall(path, _example(original=(400, 400))) == pytest.approx(100 / 3)
    with_size = _lines(tmp_path / "p.jsonl", doubled | {"width": 400, "height": 400})
    assert _recall(with_size) == _recall(with_size, _example(original=(1000, 500))) == pytest.approx(100 / 3)


def test_coco_results_and_rows_of_hugging_face_are_read(tmp_path: Path) -> None:
    x1, y1, x2, y2 = DOG
    results = [
        {"image_id": 7, "bbox": [0, 0, 5, 5], "score": 0.1, "sentence": TEXT, "start": 13, "end": 18},
        {"image_id": 7, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": 0.9, "sentence": TEXT, "start": 13, "end": 18,
         "mentions": [{"phrase": "A dog", "start": 0, "end": 5, "sentence": "A dog barks."}]},
    ]  # fmt: skip
    (tmp_path / "coco.json").write_text(json.dumps(results))
    assert _recall(tmp_path / "coco.json") == pytest.approx(200 / 3)
    assert [len(prediction.boxes) for prediction in read_predictions(tmp_path / "coco.json")] == [1, 1, 1]
    box = dict(zip(("xmin", "ymin", "xmax", "ymax"), DOG, strict=True))
    entry = {"score": 0.4, "label": "a dog", "box": box, "start": 13, "end": 18, "caption": TEXT}
    row = {"images": "0007.jpg", "width": 200, "height": 100, "objects": [entry]}
    path = _lines(tmp_path / "hf.jsonl", row)
    assert _recall(path) == _recall(path, _example(original=(400, 400))) == pytest.approx(100 / 3)


def test_predictions_that_belong_to_nothing_are_counted(tmp_path: Path) -> None:
    path = _lines(tmp_path / "p.jsonl", ROW, ROW | {"image": "8.jpg"}, ROW | {"start": 0, "end": 3})
    assert score_predictions(path, [_example()]).unused == {
        "of images that are not in the split": 1,
        "of phrases that are not in the captions": 1,
    }


def test_a_caption_differs_in_blanks_and_case_only(tmp_path: Path) -> None:
    assert _recall(_lines(tmp_path / "p.jsonl", ROW | {"caption": TEXT.upper()})) == pytest.approx(100 / 3)


def test_a_byte_order_mark_is_no_part_of_the_predictions(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(json.dumps(ROW), encoding="utf-8-sig")
    assert len(read_predictions(tmp_path / "p.jsonl")) == 1


def test_a_line_ends_where_json_lines_end_and_not_at_other_breaks(tmp_path: Path) -> None:
    row = {"image": "7", "phrase": "a\u2028dog", "boxes": [DOG]}
    (tmp_path / "p.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\r\n", encoding="utf-8")
    assert _recall(tmp_path / "p.jsonl") == pytest.approx(200 / 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("\n{", r"line 2 is not JSON"),
        (json.dumps({"image": "7", "phrase": "a", "boxes": [[1, 2, 3, 4]], "caption": [7]}), r"the caption is \[7\]"),
        ('{"image": "7"}', r"jsonl, line 1: 'boxes' is missing; expected"),
        ('{"image": "7", "boxes": [[0, 0, 1, 1]]}', r"a caption with start and end, or a phrase. is missing"),
        ('{"image": "7", "phrase": "a dog", "boxes": [[0, 0, 1]]}', r"cannot reshape"),
        ('{"image": "7", "phrase": "a dog", "boxes": [[0, 0, 1, NaN]]}', r"not finite"),
        ('{"image": "7", "phrase": "a dog", "boxes": [[0, 0, 1, 1e300]]}', r"not finite"),
        ('[{"image_id": 7, "phrase": "a dog"}]', r"'bbox' is missing"),
        (
            '{"image": "99", "phrase": "a dog", "boxes": [[0, 0, 1, 1]]}',
            r"None of the 1 predictions.*'99': 'a dog'.*'0007'",
        ),
        ("", r"None of the 0 predictions"),
    ],
)
def test_other_files_are_refused_with_what_is_expected(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "p.jsonl").write_text(content)
    with pytest.raises(EvaluationError, match=message):
        score_predictions(tmp_path / "p.jsonl", [_example()])
    with pytest.raises(EvaluationError, match="cannot be read as predictions"):
        read_predictions(tmp_path / "nothing.jsonl")


@pytest.mark.parametrize("scores", [[0.2], [0.2, 0.7, 0.1], [0.2, float("nan")], 0.5])
def test_each_box_has_one_finite_score(tmp_path: Path, scores: object) -> None:
    path = _lines(tmp_path / "p.jsonl", ROW | {"boxes": [MAN, DOG], "scores": scores})
    with pytest.raises(EvaluationError, match="scores are 2 finite numbers, one for each box"):
        score_predictions(path, [_example()])
