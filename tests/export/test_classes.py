"""A fixed set of classes: which phrases it takes, and what is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from unboxed.errors import ExportError
from unboxed.export import coco, huggingface
from unboxed.export.classes import ClassSet
from unboxed.export.options import SelectionOptions, format_of
from unboxed.export.selection import select_boxes
from unboxed.inference.results import Grounding

Ground = Callable[..., Grounding]

COCO_LIKE = ClassSet(
    dict.fromkeys(("person", "airplane", "cat", "dog", "hot dog", "wine glass", "cell phone", "tv", "dining table"), ())
    | {"vehicle": ("rickshaw",), "Sofa": ()}
)


@pytest.mark.parametrize(
    ("phrase", "name"),
    [
        ("two small jets", "airplane"),
        ("an aeroplane in the sky", "airplane"),
        ("A black puppy", "dog"),
        ("three hot dogs", "hot dog"),
        ("a group of people", "person"),
        ("the children", "person"),
        ("a fireman", "person"),
        ("wine glasses", "wine glass"),
        ("a smartphone", "cell phone"),
        ("TELEVISION", "tv"),
        ("a round table", "dining table"),
        ("a taxi", "vehicle"),
        ("yellow rickshaws", "vehicle"),
        ("couches", "Sofa"),
        ("a teddy bear", None),
        ("the background", None),
        ("it", None),
        ("", None),
    ],
)
def test_phrases_are_mapped_by_names_then_synonyms_then_kinds(phrase: str, name: str | None) -> None:
    assert COCO_LIKE.find(phrase) == name


def test_a_compound_of_another_kind_is_found_only_under_its_own_name() -> None:
    assert ClassSet({"dog": ()}).find("a hot dog") is None
    assert ClassSet({"dog": ("hot dog",)}).find("a hot dog") == "dog"
    assert ClassSet({"animal": ()}).find("puppies") == "animal"


def test_boxes_have_the_names_of_the_file_in_its_order(ground: Ground, tmp_path: Path) -> None:
    classes = tmp_path / "classes.txt"
    classes.write_text("\ufeff# mine\nzebra\n\nperson: guy\ndog: hound , pooch\n", encoding="utf-8")
    found = [
        ground("A puppy and a guy.", ("A puppy", [0, 0, 50, 50], 0.9), ("a guy", [60, 0, 99, 50], 0.8)),
        ground("A man by a tree.", ("A man", [61, 0, 99, 50], 0.7), ("a tree", [0, 0, 9, 50], 0.6)),
        ground("An overview.", ("An overview", [0, 0, 200, 100], 0.9)),
    ]
    options = SelectionOptions(classes=classes)
    selection = select_boxes(found, ["a", "a", "a"], options)
    assert selection.categories == ("zebra", "person", "dog")
    assert [(box.category, box.mention.phrase) for box in selection.images[0].boxes] == [
        ("dog", "A puppy"),
        ("person", "a guy"),
    ]
    assert (selection.unclassed, selection.unnamed, selection.merged) == (2, 0, 1)
    assert "2 of no class" in selection.describe()
    assert set(selection.mapping) == {
        ("puppy", "dog", 1), ("guy", "person", 1), ("man", "person", 1), ("tree", "", 1), ("overview", "", 1),
    }  # fmt: skip
    assert [category["name"] for category in coco.dataset(selection)["categories"]] == ["zebra", "person", "dog"]
    assert [box["label"] for box in huggingface.rows(selection)[0]["objects"]] == ["dog", "person"]
    assert options.adapted(format_of("hf"), calibrated=True, listed=True).classes == classes


def test_one_place_has_one_class(ground: Ground, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("person\ntable\n")
    found = [ground("A man, a table.", ("A man", [0, 0, 50, 50], 0.5), ("a table", [0, 0, 50, 49], 0.6))]
    selection = select_boxes(found, ["a"], SelectionOptions(classes=tmp_path / "classes.txt"))
    assert [(box.category, len(box.also)) for box in selection.images[0].boxes] == [("table", 1)]
    assert len(select_boxes(found, ["a"]).images[0].boxes) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe\xfa", "UTF-8"),
        (b"# nothing\n", "no class names"),
        (b"dog: cat\ncat\n", "both the class 'dog' and 'cat'"),
        (b"dog\ndog: hound\n", "'dog' twice"),
        (b"person,bear,dog\n", "commas and no colon"),
    ],
)
def test_a_file_that_is_no_set_of_classes_is_an_error(content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "classes.txt").write_bytes(content)
    with pytest.raises(ExportError, match=message):
        ClassSet.open(tmp_path / "classes.txt")


def test_synonyms_have_one_name_unless_they_are_kept_apart(ground: Ground) -> None:
    found = [
        ground("A plane.", ("A plane", [0, 0, 50, 50], 0.9)),
        ground("Two jets.", ("Two jets", [0, 0, 50, 50], 0.8)),
        ground("The plane.", ("The plane", [0, 0, 50, 50], 0.8)),
    ]
    assert select_boxes(found, ["a", "b", "c"]).categories == ("plane",)
    assert select_boxes(found, ["a", "b", "c"], SelectionOptions(synonyms=False)).categories == ("jets", "plane")


@pytest.mark.parametrize(
    "content",
    [
        "person\nbear\n",
        "0 person\n1 bear\n",
        "0: person\n1: bear\n",
        "path: .\ntrain: train.txt\nnc: 2\nnames:\n  0: person\n  1: 'bear'\n",
        "names:\n- person\n- bear\nval: val.txt\n",
        'names: ["person", "bear"]\nnc: 2\n',
        "nc: 2\nnames: {0: person, 1: bear}\n",
    ],
)
def test_lists_of_classes_as_other_programs_write_them(content: str, tmp_path: Path) -> None:
    (tmp_path / "classes").write_text(content)
    assert ClassSet.open(tmp_path / "classes").names == ("person", "bear")
