"""What a folder holds beside the files of a command that replaces it."""

from __future__ import annotations

from pathlib import Path

from unboxed.runtime.replaceable import first_line, foreign_entries


def test_entries_that_a_command_has_not_written_are_named(tmp_path: Path) -> None:
    for name in ("a.txt", ".hidden", ".DS_Store"):
        (tmp_path / name).touch()
    assert foreign_entries(tmp_path, ["a.txt"]) == [".hidden"]
    assert foreign_entries(tmp_path, []) == [".hidden", "a.txt"]
    assert foreign_entries(tmp_path / "missing", []) == []


def test_the_first_line_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("file,image\n1,2\n")
    assert first_line(tmp_path / "a.csv") == "file,image" and first_line(tmp_path) is None
