"""Groundings kept between calls: read back as written, without a line that was cut short, and by the same run only."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unboxed.errors import ImageError
from unboxed.export import groundings_file
from unboxed.export.groundings_file import GroundingsFile, run_key
from unboxed.inference.results import Grounding
from unboxed.regions.cache import image_key
from unboxed.types import Caption, Example, Phrase

Ground = Callable[..., Grounding]
CAPTION = Caption("A dog.", (Phrase("A dog", 0, 5, types=("animals",)),))


@pytest.fixture
def example(tmp_path: Path) -> Example:
    """An image of 200 x 100 pixels with one caption."""
    Image.new("RGB", (200, 100)).save(tmp_path / "7.png")
    return Example("7", tmp_path / "7.png", (CAPTION,), 200, 100)


@pytest.fixture
def grounding(ground: Ground) -> Grounding:
    """The grounding of a caption."""
    found = ground("A dog.", ("A dog", [100.004, 50, 150, 100], 0.123456789))
    return replace(found, phrases=(replace(found.phrases[0], types=("animals",)),))


def test_groundings_are_read_back_as_add_returned_them(grounding: Grounding, tmp_path: Path) -> None:
    with GroundingsFile(tmp_path / "g.jsonl", "run", 2) as file:
        (added,) = file.add("key", [grounding])
        assert file.get("key") is None  # known from the next call on
    (read,) = GroundingsFile(tmp_path / "g.jsonl", "run", 2).get("key")
    for found in (added, read):
        assert (found.caption, found.width, found.height) == ("A dog.", 200, 100)
        (phrase,) = found.phrases
        assert (phrase.text, phrase.start, phrase.end, phrase.types) == ("A dog", 0, 5, ("animals",))
        assert phrase.confidence == 0.9
        np.testing.assert_array_equal(phrase.boxes, np.array([[100, 50, 150, 100], [0, 0, 200, 100]], np.float32))
        assert phrase.scores.tolist() == pytest.approx([0.123457, 0.012346], abs=1e-7)


def test_only_the_best_boxes_are_kept(grounding: Grounding, tmp_path: Path) -> None:
    with GroundingsFile(tmp_path / "g.jsonl", "run", 1) as file:
        (added,) = file.add("key", [grounding])
    assert len(added.phrases[0].boxes) == 1


def test_the_boxes_of_a_plural_are_kept_wherever_they_rank(grounding: Grounding, tmp_path: Path) -> None:
    boxes = [[0, 0, 200, 100], [0, 0, 50, 50], [5, 5, 9, 9], [60, 0, 100, 50]]
    plural = replace(grounding.phrases[0], boxes=boxes, scores=[4, 3, 2, 1], set_ranks=(1, 3))
    with GroundingsFile(tmp_path / "g.jsonl", "run", 1) as file:
        file.add("key", [replace(grounding, phrases=(plural,))])
    (read,) = GroundingsFile(tmp_path / "g.jsonl", "run", 1).get("key")
    assert read.phrases[0].boxes.tolist() == [boxes[0], boxes[1], boxes[3]]
    assert read.phrases[0].set_boxes.tolist() == [boxes[1], boxes[3]]


@pytest.mark.parametrize(("run", "top"), [("other", 2), ("run", 3)])
def test_what_another_run_or_another_number_of_boxes_found_is_dropped(
    run: str, top: int, grounding: Grounding, tmp_path: Path
) -> None:
    with GroundingsFile(tmp_path / "g.jsonl", "run", 2) as file:
        file.add("key", [grounding])
    with GroundingsFile(tmp_path / "g.jsonl", run, top) as file:
        assert file.get("key") is None
    assert len((tmp_path / "g.jsonl").read_text().splitlines()) == 1


def test_a_file_with_more_boxes_stays_as_it_is(grounding: Grounding, tmp_path: Path) -> None:
    path = tmp_path / "g.jsonl"
    with GroundingsFile(path, "run", 2) as file:
        file.add("key", [grounding])
    with GroundingsFile(path, "run", 1) as file:
        assert file.get("key") is not None
        (added,) = file.add("other", [grounding])
    assert len(added.phrases[0].boxes) == 2
    assert GroundingsFile(path, "run", 2).get("other") is not None
    assert GroundingsFile(path, "run", 1, exact=True).get("key") is None  # a part is merged with others of one box


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_that_was_cut_short_is_dropped_and_the_others_stay(
    cut: int, grounding: Grounding, tmp_path: Path
) -> None:
    path = tmp_path / "g.jsonl"
    with GroundingsFile(path, "run", 2) as file:
        for key in ("one", "two", "three"):
            file.add(key, [grounding])
    path.write_bytes(path.read_bytes()[:-cut])
    with GroundingsFile(path, "run", 2) as file:
        assert file.get("one") is not None and file.get("two") is not None
        assert (file.get("three") is None) == (cut > 1)  # of one byte less, only the line's end is missing
        file.add("four", [grounding])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line.get("key") for line in lines] == [None, "one", "two", *(["three"] if cut == 1 else []), "four"]


def test_a_file_of_something_else_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "g.jsonl").write_text('[1, 2]\n"text"\n{"format": "another"}\n')
    with GroundingsFile(tmp_path / "g.jsonl", "run", 2) as file:
        assert file.get("key") is None
    assert len((tmp_path / "g.jsonl").read_text().splitlines()) == 1


def test_the_key_of_an_image_changes_with_its_content_its_captions_and_its_phrases(example: Example) -> None:
    def content_key(example: Example) -> str:
        return groundings_file.content_key(example, image_key(example.path, example.original_size))

    keys = [content_key(example)]
    keys.append(content_key(replace(example, captions=(Caption("A dog.", ()),))))
    keys.append(content_key(replace(example, captions=(CAPTION, CAPTION))))
    keys.append(content_key(replace(example, captions=(Caption("A dog.", (Phrase("A dog", 0, 5),)),))))
    keys.append(content_key(replace(example, annotated_size=(400, 100))))
    Image.new("RGB", (200, 100), "red").save(example.path)
    keys.append(content_key(example))
    assert len(set(keys)) == 6
    assert content_key(replace(example, image_id="another")) == keys[-1]
    example.path.unlink()
    with pytest.raises(ImageError, match=r"7\.png"):
        content_key(example)


def test_the_key_of_a_run_changes_with_its_files_and_its_store(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    keys = [run_key(tmp_path, None), run_key(tmp_path, tmp_path / "store")]
    (tmp_path / "model.safetensors").write_bytes(b"others")
    keys.append(run_key(tmp_path, None))
    assert len(set(keys)) == 3


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"width": 200', '"wibth": 200'),
        ('"width": 200', '"width": "x"'),
        ('"key": "key"', '"key": 3'),
        ("0.9", '"high"'),
        ("0.9", "NaN"),
        ("0.9", "1e300"),
    ],
)
def test_a_damaged_line_is_dropped_and_the_others_stay(
    old: str, new: str, grounding: Grounding, tmp_path: Path
) -> None:
    path = tmp_path / "g.jsonl"
    with GroundingsFile(path, "run", 2) as file:
        file.add("key", [grounding])
        file.add("other", [grounding])
    head, first, *rest = path.read_text(encoding="utf-8").splitlines(keepends=True)
    assert old in first
    changed = json.loads(first.replace(old, new, 1))
    changed.pop("sha256")  # as earlier versions wrote it
    path.write_text(f"{head}{json.dumps(changed)}\n{''.join(rest)}", encoding="utf-8")
    file = GroundingsFile(path, "run", 2)
    assert file.get("key") is None
    assert file.get("other") is not None
