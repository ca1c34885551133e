"""Parts of `label` and `ground`, merged, are what one process writes; parts that do not fit are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from unboxed.cli import main
from unboxed.export import labeller

ErrorLine = Callable[..., str]


def _label(data: Path, run: Path, out: Path, *options: str, split: str = "val") -> None:
    main(
        ["label", str(data), "--run", str(run), "--out", str(out), "--min-confidence", "0", "--split", split, *options]
    )


@pytest.fixture(scope="module")
def parts(tiny_run: Path, tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """The labels of one process, and the groundings of three parts."""
    folder = tmp_path_factory.mktemp("label_parts")
    _label(tiny_dataset, tiny_run, folder / "whole.json")
    for number in (1, 2, 3):
        _label(tiny_dataset, tiny_run, folder / f"{number}.json", "--part", f"{number}/3")
    return folder / "whole.json", [folder / f"{number}.groundings.jsonl" for number in (1, 2, 3)]


def test_labels_of_merged_parts_are_those_of_one_process(
    parts: tuple[Path, list[Path]],
    tiny_run: Path,
    tiny_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, files = parts
    assert not files[0].with_name("1.json").exists()
    main(["merge", *map(str, reversed(files)), "--out", str(tmp_path / "all.groundings.jsonl")])
    expected = whole.with_name("whole.groundings.jsonl").read_bytes()
    assert (tmp_path / "all.groundings.jsonl").read_bytes() == expected

    def looks(*_: object) -> None:
        raise AssertionError("an image was looked at again")

    monkeypatch.setattr(labeller, "_region_source", lambda *_: looks)
    _label(tiny_dataset, tiny_run, tmp_path / "all.json")
    assert (tmp_path / "all.json").read_bytes() == whole.read_bytes()


def test_a_part_that_was_interrupted_goes_on(
    parts: tuple[Path, list[Path]], tiny_run: Path, tiny_dataset: Path, tmp_path: Path, error_line: ErrorLine
) -> None:
    files = parts[1]
    lines = files[1].read_bytes().splitlines(keepends=True)
    cut = tmp_path / "2.groundings.jsonl"
    cut.write_bytes(b"".join(lines[:3]) + lines[3][:40])
    assert "cannot be read" in error_line("merge", files[0], cut, files[2], "--out", tmp_path / "all.jsonl")
    _label(tiny_dataset, tiny_run, tmp_path / "2.json", "--part", "2/3")
    assert cut.read_bytes() == files[1].read_bytes()


def test_parts_that_do_not_fit_are_refused(
    parts: tuple[Path, list[Path]], tiny_run: Path, tiny_dataset: Path, tmp_path: Path, error_line: ErrorLine
) -> None:
    one, two, three = parts[1]
    out = tmp_path / "all.jsonl"
    assert "Parts are missing: 3/3" in error_line("merge", one, two, "--out", out)
    assert "both hold part 1/3" in error_line("merge", one, one, two, "--out", out)
    other = tmp_path / "3.groundings.jsonl"
    other.write_text(three.read_text().replace('"top": 5', '"top": 9'))
    assert "another run or other options" in error_line("merge", one, two, other, "--out", out)
    _label(tiny_dataset, tiny_run, tmp_path / "other.json", "--part", "3/3", split="train")
    assert "another dataset" in error_line("merge", one, two, tmp_path / "other.groundings.jsonl", "--out", out)
    other.write_bytes(b"\xff\xfe")
    assert "cannot be read" in error_line("merge", one, two, other, "--out", out)
    assert "cannot be read" in error_line("merge", one, two, tmp_path / "none.jsonl", "--out", out)
    assert not out.exists()
    out.touch()
    assert "exists already" in error_line("merge", one, two, three, "--out", out)


def test_lines_of_ground_are_merged_in_the_order_of_the_folder(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], error_line: ErrorLine
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        shutil.copy(tiny_dataset.parent / "photos" / f"{number}.png", folder)
    (folder / "2.png").write_bytes(b"no image")
    command = ["ground", str(tiny_run), str(folder), "a red box", "--json"]
    main(command)
    whole = capsys.readouterr().out
    assert [json.loads(line)["image"] for line in whole.splitlines()] == ["0.png", "1.png", "3.png", "4.png"]
    files = [tmp_path / f"{number}.jsonl" for number in range(1, 8)]  # more parts than images
    for number, file in enumerate(files, start=1):
        main([*command, "--part", f"{number}/7"])
        file.write_text(capsys.readouterr().out)
    main(["merge", *map(str, files), "--out", str(tmp_path / "all.jsonl")])
    assert (tmp_path / "all.jsonl").read_text() == whole
    for option in ("--phrases", "red box"), ("--top", "3"):
        main([*command, *option, "--part", "7/7"])
        (tmp_path / "other.jsonl").write_text(capsys.readouterr().out)
        message = error_line("merge", *files[:6], tmp_path / "other.jsonl", "--out", tmp_path / "other_all.jsonl")
        assert "for another caption or run" in message
    assert "top is 0" in error_line(*command, "--top", "0")
    assert "add --json" in error_line("ground", tiny_run, folder, "a red box", "--part", "1/2")
    assert "name a folder" in error_line("ground", tiny_run, folder / "0.png", "a red box", "--json", "--part", "1/2")
    assert "There is no part '3/2'" in error_line("ground", tiny_run, folder, "a red box", "--json", "--part", "3/2")
