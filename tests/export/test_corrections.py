"""Corrections of labels: what each does, that a file of them replays, and what is exported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unboxed.cli import main
from unboxed.errors import ExportError, UnboxedError
from unboxed.export.corrected_phrases import read_phrase_boxes
from unboxed.export.corrections import ACTIONS, CorrectedImage, Correction, apply, corrected, undo
from unboxed.export.corrections_file import CorrectionsFile, read_corrections
from unboxed.export.label_format import LabelFormat
from unboxed.export.labeller import Labeller
from unboxed.export.labelling import label_dataset
from unboxed.export.labels import LabelledBox, LabelledImage, Mention, Selection
from unboxed.export.labels_file import Labels, companion, image_from_json, image_to_json, read_labels, write_labels
from unboxed.export.options import FORMATS, LabelOptions

CAPTION = "A man walks a dog."
MAN = LabelledBox("man", (10.0, 20.0, 60.0, 90.0), 0.9, Mention("A man", 0, 5, CAPTION), confidence=0.8)
DOG = LabelledBox("dog", (100.0, 50.0, 150.0, 100.0), 0.4, Mention("a dog", 12, 17, CAPTION), confidence=0.6)
IMAGE = LabelledImage("7.jpg", 200, 100, (CAPTION,), (MAN, DOG))
START = CorrectedImage.start(IMAGE)


def _after(*corrections: Correction) -> LabelledImage:
    state = START
    for correction in corrections:
        state = apply(state, correction)
    return state.image


def test_without_corrections_an_image_is_as_it_was_labelled() -> None:
    assert START.image == IMAGE
    assert _after(Correction("accept", 0), Correction("check")) == IMAGE


def test_a_rejected_or_deleted_box_is_not_exported_and_a_rejected_one_can_be_accepted_again() -> None:
    assert _after(Correction("reject", 0)).boxes == (DOG,) == _after(Correction("delete", 0)).boxes
    assert _after(Correction("reject", 0), Correction("accept", 0)) == IMAGE
    with pytest.raises(ExportError, match="no box 0"):
        _after(Correction("delete", 0), Correction("accept", 0))


def test_a_box_is_moved_within_the_image_and_renamed() -> None:
    moved = _after(Correction("move", 1, (-5, 40, 1000, 90.123)), Correction("rename", 1, text=" big  cat ")).boxes[1]
    assert moved.box == (0, 40, 200, 90.12)
    assert (moved.category, moved.mention, moved.confidence) == ("big cat", DOG.mention, 0.6)


def test_an_edited_phrase_keeps_its_place_in_the_caption_or_stands_alone() -> None:
    inside, outside = (_after(Correction("phrase", 1, text=text)).boxes[1] for text in ("dog", "a poodle"))
    assert inside.mention == Mention("dog", 14, 17, CAPTION)
    assert outside.mention == Mention("a poodle", 0, 8, "a poodle")


def test_boxes_that_people_accepted_drew_or_moved_may_train_a_fit(tmp_path: Path) -> None:
    file = CorrectionsFile(tmp_path / "coco.corrections.jsonl")
    other, checked = (replace(IMAGE, name=name) for name in ("8.jpg", "9.jpg"))
    file.correct(IMAGE, Correction("move", 1, (100, 50, 200, 100)))
    file.correct(IMAGE, Correction("add", edges=(0, 0, 20, 10), text="A man"))
    file.correct(other, Correction("rename", 0, text="cat"))  # its phrase is still "A man"
    file.correct(other, Correction("reject", 1))
    file.correct(checked, Correction("reject", 0))
    file.correct(checked, Correction("check"))
    man, dog = (0, 5), (12, 17)
    assert read_phrase_boxes(file.path) == {
        "7.jpg": [(CAPTION, *dog, (0.5, 0.5, 1, 1)), (CAPTION, *man, (0, 0, 0.1, 0.1))],
        "9.jpg": [(CAPTION, *dog, (0.5, 0.5, 0.75, 1))],
    }
    with pytest.raises(ExportError, match=r"There is no file .*none\.jsonl"):
        read_phrase_boxes(tmp_path / "none.jsonl")
    nothing = CorrectionsFile(tmp_path / "nothing.corrections.jsonl")
    nothing.correct(IMAGE, Correction("reject", 0))
    with pytest.raises(ExportError, match="no box that was accepted, drawn or moved; leave out --use-corrections"):
        read_phrase_boxes(nothing.path)


def test_an_added_box_has_a_number_of_its_own() -> None:
    state = apply(apply(START, Correction("add", edges=(0, 0, 9, 9), text="hat")), Correction("delete", 2))
    state = apply(state, Correction("add", edges=(1, 1, 9, 9), text="dog"))
    assert [box.number for box in state.boxes] == [0, 1, 3]
    assert state.boxes[-1].found is None
    assert state.image.boxes[-1].mention == Mention("dog", 14, 17, CAPTION)
    renamed = apply(state, Correction("rename", 3, text="cap")).image.boxes[-1]
    assert renamed.mention == Mention("cap", 0, 3, "cap")


@pytest.mark.parametrize(
    "correction",
    [
        Correction("move", 0),
        Correction("move", 0, (5, 5, 5.5, 50)),
        Correction("move", 0, (300, 0, 400, 50)),
        Correction("move", 0, (float("nan"), 0, 9, 9)),
        Correction("move", 9, (0, 0, 9, 9)),
        Correction("rename", 0),
        Correction("rename", 0, text="  "),
        Correction("rename", 0, text="x" * 501),
        Correction("rename", 0, text="a\x00b"),
        Correction("phrase", 0, text=""),
        Correction("add", edges=(0, 0, 9, 9)),
        Correction("add", text="dog"),
        Correction("accept"),
    ],
)
def test_what_is_not_possible_changes_nothing(correction: Correction, tmp_path: Path) -> None:
    file = CorrectionsFile(tmp_path / "c.jsonl")
    with pytest.raises(ExportError):
        file.correct(IMAGE, correction)
    assert not file.path.exists() and file.state(IMAGE).image == IMAGE


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"action": "explode"},
        {"action": "move", "box": "0"},
        {"action": "move", "box": True},
        {"action": "move", "edges": 3},
        {"action": "move", "edges": [1, 2, 3]},
        {"action": "move", "edges": [1, 2, 3, "4"]},
        {"action": "rename", "text": 4},
    ],
)
def test_other_json_is_no_correction(row: dict[str, object]) -> None:
    with pytest.raises(ExportError, match="no correction"):
        Correction.from_json(row)


EDGE = st.floats(-50, 300, allow_nan=False)
CORRECTIONS = st.builds(
    Correction,
    st.sampled_from(ACTIONS),
    st.integers(0, 4),
    st.tuples(EDGE, EDGE, EDGE, EDGE),
    st.sampled_from(["dog", "a man", "", "né"]),
)


@given(changes=st.lists(st.none() | CORRECTIONS, max_size=12))
def test_the_file_replays_to_the_same_images_and_every_box_is_inside(
    changes: list[Correction | None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("corrections") / "c.jsonl"
    file = CorrectionsFile(path)
    for change in changes:
        before = file.state(IMAGE)
        try:
            after = file.correct(IMAGE, change)
        except ExportError:
            assert file.state(IMAGE) == before
            continue
        if change is not None:
            assert undo(after) == before
            assert Correction.from_json(json.loads(json.dumps(change.to_json()))) == change
    assert read_corrections(path) == file.states
    state = file.state(IMAGE)
    assert len({box.number for box in state.boxes}) == len(state.boxes)
    for box in state.image.boxes:
        x1, y1, x2, y2 = box.box
        assert 0 <= x1 < x2 <= 200 and 0 <= y1 < y2 <= 100 and box.category


def test_a_line_that_was_cut_short_is_dropped_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    CorrectionsFile(path).correct(IMAGE, Correction("reject", 0))
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"image": "7.jpg", "act')
    file = CorrectionsFile(path)
    assert file.state(IMAGE).image.boxes == (DOG,)
    file.correct(IMAGE, Correction("reject", 1))
    assert path.read_bytes() == whole + b'{"image": "7.jpg", "action": "reject", "box": 1}\n'
    path.write_bytes(whole.replace(b'"reject"', b'"eject"'))
    with pytest.raises(ExportError, match="line 3, cannot be replayed"):
        read_corrections(path)
    path.write_bytes(b"{}\n")
    with pytest.raises(ExportError, match="line 1"):
        read_corrections(path)


def test_numbers_beyond_floats_and_phrases_of_other_kinds_are_no_labels(tmp_path: Path) -> None:
    path = tmp_path / "coco.labels.jsonl"
    write_labels(path, Labels((IMAGE,), {"7.jpg": Path("/photos/7.jpg")}, ("man", "dog")))
    text = path.read_text()
    assert len(read_labels(path).images) == 1
    for old, new in (
        ("[10.0,", f"[{'9' * 400},"),
        ('"start": 0', '"start": "0"'),
        ('"A man"', "[]"),
        ("/photos", "a\\u0000b"),
        ('"width": 200', '"width": true'),
        *(('"confidence": 0.8', f'"confidence": {wrong}') for wrong in ('""', "[]", "{}", "true", "1.5", "NaN")),
    ):
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(ExportError, match="holds no labels"):
            read_labels(path)
    with pytest.raises(ExportError, match="is no correction"):
        Correction.from_json({"action": "move", "box": 0, "edges": [0, 0, 10**400, 9]})


def test_an_image_whose_corrections_were_all_taken_back_is_labelled_anew(tmp_path: Path) -> None:
    file = CorrectionsFile(tmp_path / "c.jsonl")
    file.correct(IMAGE, Correction("reject", 0))
    file.correct(IMAGE, None)
    fresh = LabelledImage("7.jpg", 200, 100, (CAPTION,), (DOG,))
    assert file.state(fresh).image == fresh
    file.correct(fresh, Correction("rename", 0, text="cat"))
    assert read_corrections(file.path) == file.states
    assert [box.category for box in file.states["7.jpg"].image.boxes] == ["cat"]


def _corrected(selection: Selection, *corrections: Correction) -> Selection:
    state = CorrectedImage.start(selection.images[0])
    for correction in corrections:
        state = apply(state, correction)
    return corrected(selection, [state])


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.key)
def test_every_format_has_the_corrected_boxes(form: LabelFormat, tmp_path: Path) -> None:
    selection = _corrected(
        Selection((IMAGE,), ("dog", "man")), Correction("reject", 0), Correction("rename", 1, text="zebra")
    )
    (tmp_path / "7.jpg").write_bytes(b"")
    out = tmp_path / "out"
    form.write(out, selection, {"7.jpg": tmp_path / "7.jpg"}, LabelOptions())
    files = [file for file in out.rglob("*") if file.is_file()] if out.is_dir() else [out]
    text = "".join(file.read_text() for file in files)
    assert "zebra" in text and "A man" not in text.replace(CAPTION, "")


def test_corrections_keep_the_order_of_given_classes_and_follow_the_size_of_the_image() -> None:
    selection = Selection((IMAGE,), ("man", "dog"))
    renamed = _corrected(selection, Correction("rename", 0, text="ape"))
    assert renamed.categories == ("man", "dog", "ape")  # the numbers of the names that were there stay
    larger = Selection((LabelledImage("7.jpg", 400, 200, (), ()), LabelledImage("8.jpg", 9, 9, (), ())), ())
    state = apply(START, Correction("reject", 1))
    assert corrected(larger, [state]).images[0].boxes[0].box == (20, 40, 120, 180)
    assert corrected(larger, [START]) == larger  # an image without corrections is not touched


def test_labels_are_read_back(tmp_path: Path) -> None:
    assert image_from_json(json.loads(json.dumps(image_to_json(IMAGE)))) == IMAGE
    path = companion(tmp_path / "coco.json", "labels")
    assert path.name == "coco.labels.jsonl" == companion(path, "labels").name
    assert (
        companion(path, "corrections").name
        == "coco.corrections.jsonl"
        == companion(tmp_path / "coco", "corrections").name
    )
    write_labels(path, Labels((IMAGE,), {"7.jpg": tmp_path / "7.jpg"}, ("dog", "man", "zebra")))
    read = read_labels(path)
    assert (read.images, read.files, read.names) == ((IMAGE,), {"7.jpg": tmp_path / "7.jpg"}, ("dog", "man", "zebra"))
    path.write_text(path.read_text().replace('"width": 200', '"width": 0'))
    for broken in (path, tmp_path / "none.labels.jsonl"):
        with pytest.raises(ExportError, match="no labels"):
            read_labels(broken)
    for nothing in ("", ".."):
        with pytest.raises(UnboxedError, match="name a file"):
            companion(Path(nothing), "corrections")


def test_a_correction_that_is_made_while_labels_are_written_is_in_them(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, lines = tmp_path / "boxes.csv", list[str]()
    options = LabelOptions("csv", split="val")
    label_dataset(tiny_dataset, tiny_run, out, options, progress=False, show=lines.append)
    image, *_ = read_labels(companion(out, "labels")).images
    grounded = Labeller.grounded

    def corrected_meanwhile(*given: Any) -> Any:
        yield from grounded(*given)
        CorrectionsFile(companion(out, "corrections")).correct(
            image, Correction("add", None, (0, 0, 9, 9), "meanwhile")
        )

    monkeypatch.setattr(Labeller, "grounded", corrected_meanwhile)
    label_dataset(tiny_dataset, tiny_run, out, options, progress=False, show=lines.append)
    assert "meanwhile" in out.read_text()
    assert any(line.startswith("Corrected images: 1, from") for line in lines)


def test_corrections_of_other_images_are_not_reported_as_left_out_by_an_option(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    out, lines = tmp_path / "boxes.csv", list[str]()
    CorrectionsFile(companion(out, "corrections")).correct(IMAGE, Correction("reject", 0))
    label_dataset(tiny_dataset, tiny_run, out, LabelOptions("csv", split="val"), progress=False, show=lines.append)
    assert f"{tmp_path / 'boxes.corrections.jsonl'} corrects none of these images." in lines


@pytest.mark.parametrize("kind", ["labels", "corrections", "groundings"])
def test_an_output_does_not_replace_what_is_kept_beside_another(
    kind: str, tiny_run: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"boxes.{kind}.jsonl"
    out.write_text("mine")
    (tmp_path / "boxes.labels.jsonl").touch()
    kept = out.read_text()
    with pytest.raises(ExportError, match=rf"boxes\.{kind}\.jsonl is called as the files that are kept beside"):
        label_dataset(tiny_dataset, tiny_run, out, LabelOptions("hf"))
    assert out.read_text() == kept


def test_a_correction_survives_another_call(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["label", str(tiny_dataset), "--run", str(tiny_run), "--split", "val", "--min-score", "0.04"]
    out = tmp_path / "boxes.csv"
    main([*call, "--format", "csv", "--out", str(out)])
    first = out.read_text()
    image, *_ = read_labels(companion(out, "labels")).images
    CorrectionsFile(companion(out, "corrections")).correct(image, Correction("rename", 0, text="corrected"))
    main([*call, "--format", "csv", "--out", str(out), "--no-resume-corrections"])
    assert out.read_text() == first and "--no-resume-corrections" in capsys.readouterr().err
    main([*call, "--format", "csv", "--out", str(out), "--min-score", "0.9"])
    assert "Corrected images: 1, from" in capsys.readouterr().err
    assert out.read_text().splitlines()[1].split(",")[3] == "corrected"
