"""`unboxed label` and `unboxed export`: the files they write, and the lines they print."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from unboxed.cli import main


def test_labels_are_written_with_a_review_page(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, review = tmp_path / "coco.json", tmp_path / "review.html"
    command = ["label", str(tiny_dataset), "--run", str(tiny_run), "--out", str(out), "--min-score", "0"]
    main([*command, "--min-confidence", "0", "--review", str(review), "--review-images", "3", "--split", "val"])
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == f"Review: {review}, 3 of 8 images, the least certain first"
    assert len(json.loads(out.read_text(encoding="utf-8"))["images"]) == 8
    assert str(out) in review.read_text(encoding="utf-8")


def test_a_wrong_file_of_classes_is_found_before_any_image_is_read(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path, error_line: Callable[..., str]
) -> None:
    out, none = tmp_path / "coco.json", tmp_path / "none.txt"
    assert "none.txt cannot be read" in error_line(
        "label", tiny_dataset, "--run", tiny_run, "--out", out, "--classes", none
    )
    assert not list(tmp_path.iterdir())


def test_images_without_captions_are_refused_with_the_option_that_needs_none(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path, error_line: Callable[..., str]
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    command = ["--run", tiny_run, "--out", tmp_path / "coco.json"]
    assert "--find" not in error_line("label", folder, *command)
    shutil.copy(tiny_dataset.parent / "photos" / "0.png", folder)
    for images in (folder, folder / "0.png"):
        assert 'list what to find without captions: --find "laptop, red car"' in error_line("label", images, *command)


def test_listed_phrases_are_found_in_a_folder_without_captions(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        shutil.copy(tiny_dataset.parent / "photos" / f"{number}.png", folder)
    (folder / "bad.png").write_bytes(b"no image")
    out = tmp_path / "coco.json"
    command = ["label", str(folder), "--run", str(tiny_run), "--out", str(out), "--min-confidence", "0"]
    main([*command, "--min-score", "0", "--find", "red box, a blue box"])
    assert "Skipped bad.png" in capsys.readouterr().err
    written = json.loads(out.read_text(encoding="utf-8"))
    assert [category["name"] for category in written["categories"]] == ["a blue box", "red box"]
    assert (len(written["images"]), len(written["annotations"])) == (3, 6)
    main(
        [
            *command,
            "--min-score",
            "0",
            "--find",
            "red box",
            "--names",
            "nouns",
            "--format",
            "csv",
            "--out",
            f"{out}.csv",
        ]
    )
    of_dataset = ["label", str(tiny_dataset), *command[2:], "--find", "red guitar", "--split", "val"]  # has more images
    main([*of_dataset, "--json", "--review", str(tmp_path / "review.html")])
    printed = capsys.readouterr()
    assert printed.err.count("not in the vocabulary of the run: guitar. ") == 1
    assert "run: guitar. " in json.loads(printed.out)["notes"][0]
    page = (tmp_path / "review.html").read_text(encoding="utf-8")
    assert "run: guitar. " in page and "(a guess: unknown guitar)" in page
    assert len(json.loads(out.read_text(encoding="utf-8"))["images"]) == 8


def test_a_run_is_exported_as_onnx_graphs(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("torch", "2.8", reason="writing ONNX needs PyTorch 2.8")
    main(["export", str(tiny_run), "--out", str(tmp_path / "graphs")])
    expected = f"{tmp_path / 'graphs'}: the guide “Without PyTorch: ONNX” has a program of 30 lines that uses it"
    assert capsys.readouterr().err.splitlines()[-1] == expected
    assert list((tmp_path / "graphs").glob("*.onnx"))
