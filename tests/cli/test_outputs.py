"""No command writes over what it reads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from unboxed.evaluation.audit import Audit, AuditedCaption

Data = tuple[Path, dict[Path, bytes]]


@pytest.fixture
def data(tiny_dataset: Path, tmp_path: Path) -> Data:
    """A table beside its images, and the content of all files."""
    folder = tmp_path / "data"
    shutil.copytree(tiny_dataset.parent, folder)
    table = folder / "photos" / "captions.csv"
    (folder / "captions.csv").rename(table)
    return table, {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def _refuses(error_line: Callable[..., str], data: Data, *command: object, place: Path | None = None) -> None:
    table, before = data
    line = error_line(*command)
    assert line == f"error: {place or table} is read by this command, which would replace it; choose another name."
    assert {file: file.read_bytes() for file in before} == before


def test_the_table_of_captions_is_not_replaced(tiny_run: Path, data: Data, error_line: Callable[..., str]) -> None:
    table, _ = data
    _refuses(error_line, data, "audit", table, "--run", tiny_run, "--out", table)
    _refuses(error_line, data, "evaluate", tiny_run, "--data", table, "--write-predictions", table)
    compare = ["compare", "--data", table, "--recipes", "infoground", "--out", table.parents[2] / "compare"]
    _refuses(error_line, data, *compare, "--write", table)
    assert not (table.parents[2] / "compare").exists()


def test_labels_replace_neither_table_nor_images_nor_classes(
    tiny_run: Path, data: Data, error_line: Callable[..., str]
) -> None:
    table, before = data
    classes = table.with_name("classes.csv")
    classes.write_text("box\n", encoding="utf-8")
    before[classes] = classes.read_bytes()
    image = table.with_name("7.png")
    for read in (table, image, classes):
        read.with_name(f"{read.stem}.groundings.jsonl").touch()  # as if an earlier call had written the file
        label = ["label", table, "--run", tiny_run, "--out", read, "--format", "csv", "--classes", classes]
        if read == image:
            assert "7.png is no name for the csv format" in error_line(*label)
            assert {file: file.read_bytes() for file in before} == before
        else:
            _refuses(error_line, data, *label, place=read)


def test_a_picture_of_hits_replaces_none_of_them(
    tiny_run: Path, data: Data, error_line: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    from unboxed.cli import main

    table, _ = data
    index = table.parents[2] / "index"
    main(["index", str(tiny_run), str(table), "--out", str(index)])
    main(["search", str(index), "a red box", "-k", "1", "--json"])
    hit = Path(json.loads(capsys.readouterr().out)["hits"][0]["photo"])
    _refuses(error_line, data, "search", index, "a red box", "-k", 1, "--save", hit, place=hit)
    _refuses(error_line, data, "search", index, "--image", hit, "--save", hit, place=hit)


def test_the_lines_of_an_audit_replace_no_image(
    tiny_run: Path, data: Data, error_line: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table, _ = data
    image = table.with_name("7.png")
    found = Audit((AuditedCaption("7.png", image, "a red box", (), 0),), 1, 1, 1, 1)
    monkeypatch.setattr("unboxed.evaluation.audit.audit_dataset", lambda *_, **__: found)
    _refuses(error_line, data, "audit", table, "--run", tiny_run, "--out", image, place=image)


def test_predictions_of_a_split_without_gold_boxes_are_refused(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path, error_line: Callable[..., str]
) -> None:
    file = tmp_path / "p.jsonl"
    line = error_line("evaluate", tiny_run, "--data", tiny_dataset, "--write-predictions", file)
    assert "the split val has none; write boxes of all phrases with `unboxed label" in line and not file.exists()
