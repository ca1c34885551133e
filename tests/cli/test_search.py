"""`unboxed index` and `unboxed search`: their output as JSON and as text, and their pictures."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from unboxed.cli import main
from unboxed.cli.output import phrase_line
from unboxed.inference.results import GroundedPhrase
from unboxed.search import Index

QUERY = "a red box beside a blue box"


@pytest.fixture
def folder(tiny_dataset: Path, tmp_path: Path) -> Path:
    """A folder of twelve different images without captions."""
    folder = tmp_path / "photos"
    folder.mkdir()
    files = {file.read_bytes(): file for file in sorted((tiny_dataset.parent / "photos").iterdir())}
    for number, file in enumerate(list(files.values())[:12]):
        shutil.copyfile(file, folder / f"{number}.png")
    return folder


def test_a_folder_is_indexed_and_searched(
    tiny_run: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.png").write_bytes(b"not an image")
    index, sheet = tmp_path / "index", tmp_path / "sheets" / "hits.png"
    main(["index", str(tiny_run), str(folder), "--out", str(index), "--json"])
    printed = capsys.readouterr()
    assert printed.err.splitlines()[-1] == f"Next: unboxed search {index} 'a dog' --save found.png"
    summary = json.loads(printed.out)
    assert (summary["photos"], summary["added"], summary["kept"]) == (12, 12, 0)
    assert (summary["recall_at_10"], summary["recall_at_10_faiss"]) == (None, None)  # all images are ranked exactly
    assert summary["skipped"][0]["name"] == "broken.png"
    assert "not an image" in summary["skipped"][0]["reason"]

    main(["search", str(index), QUERY, "-k", "5", "--save", str(sheet), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["query"], found["photos"], len(found["hits"])) == (QUERY, 12, 5)
    for hit in found["hits"]:
        assert Path(hit["photo"]) == folder / hit["name"]
        assert (hit["width"], hit["height"]) == (96, 64)
        assert [phrase["text"] for phrase in hit["phrases"]] == ["a red box", "a blue box"]
        for phrase in hit["phrases"]:
            ((x1, y1, x2, y2),) = phrase["boxes"]
            assert 0 <= x1 < x2 <= 96
            assert 0 <= y1 < y2 <= 64
            assert len(phrase["scores"]) == 1
    with Image.open(sheet) as picture:
        assert picture.width > 900
        assert len(picture.resize((64, 64)).getcolors(64 * 64)) > 50

    (folder / found["hits"][0]["name"]).unlink()  # the contact sheet leaves its place empty
    main(["search", str(index), *QUERY.split(), "-k", "3", "--save", str(sheet)])
    printed = capsys.readouterr()
    assert printed.err.endswith(f"Picture: {sheet}\n")
    titles = [line for line in printed.out.splitlines() if not line.startswith(" ")]
    scores = [f"{hit['score']:.3f}" for hit in found["hits"][:3]]
    assert titles == [f"{n + 1}. {hit['photo']}  match {scores[n]}" for n, hit in enumerate(found["hits"][:3])]


def test_the_recall_of_a_large_index_is_printed(
    tiny_index_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tiny_dataset: Path,
    tmp_path: Path,
) -> None:
    queries: list[int] = []

    def estimated_recall(index: Index, count: int) -> float:
        queries.append(count)
        return 0.951 if len(queries) == 1 else 0.9

    monkeypatch.setattr(Index, "estimated_recall", estimated_recall)
    shutil.copytree(tiny_index_folder, tmp_path / "index")  # cells are added to it
    run = next((tmp_path / "index").glob("*/run"))
    command = ["index", str(run), str(tiny_dataset), "--out", str(tmp_path / "index"), "--recall", "7"]
    main([*command, "--faiss", "--json"])
    printed = capsys.readouterr()
    assert printed.err.splitlines()[-3:-1] == [
        "Recall of the search: 95.1% of the 10 best images of an exact ranking (7 queries)",
        "With --faiss: 90.0%",
    ]
    summary = json.loads(printed.out)
    assert (summary["recall_at_10"], summary["recall_at_10_faiss"], queries) == (0.951, 0.9, [7, 7])
    main([*command[:-1], "0"])
    assert "Recall" not in capsys.readouterr().err


def test_captions_are_found_for_an_image(
    tiny_index_folder: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tiny_dataset.parent / "photos" / "0.png"
    command = ["search", str(tiny_index_folder), "--image", str(image), "-k", "2"]
    main([*command, "--save", str(tmp_path / "a.png"), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["photo"], found["captions"], len(found["hits"])) == (str(image), 80, 2)
    for hit in found["hits"]:
        assert Path(hit["photo"]).is_file()
        assert all(phrase["text"] in hit["caption"] and len(phrase["boxes"]) == 1 for phrase in hit["phrases"])
    assert (tmp_path / "a.png").is_file()
    main(command)
    assert re.match(rf"1\. {found['hits'][0]['caption']}  match -?\d+\.\d{{3}}\n     a ", capsys.readouterr().out)


def test_a_phrase_is_printed_with_its_box_or_as_absent() -> None:
    box = [[1.4, 2, 3, 4]]
    assert phrase_line(GroundedPhrase("a dog", 0, 5, box, [0.5])) == "a dog: [1, 2, 3, 4]  match 0.50"
    present = GroundedPhrase("a dog", 0, 5, box, [0.5], confidence=0.75)
    assert phrase_line(present) == "a dog: [1, 2, 3, 4]  probability 0.75"
    several = GroundedPhrase("two dogs", 0, 8, [[0, 0, 9, 9], [0, 0, 5, 9], [5, 0, 9, 9]], [3, 2, 1], set_ranks=(1, 2))
    assert phrase_line(several) == "two dogs: [0, 0, 5, 9]  [5, 0, 9, 9]  match 3.00"
    absent = GroundedPhrase("a dog", 0, 5, box, [0.5], confidence=0.25)
    assert phrase_line(absent) == "a dog: probably not in the image (probability 0.25 that it is)"


def test_errors_name_what_is_missing(tiny_index_folder: Path, tmp_path: Path, error_line: Callable[..., str]) -> None:
    assert "give a sentence" in error_line("search", tiny_index_folder)
    assert "leave out --image, or 'a box'" in error_line("search", tiny_index_folder, "a box", "--image", "a.png")
    assert "unboxed index RUN IMAGES --out" in error_line("search", tmp_path, "a box")
    assert "-k is 0" in error_line("search", tiny_index_folder, "a box", "-k", "0")
    assert "gone.jpg does not exist" in error_line("search", tiny_index_folder, "--image", tmp_path / "gone.jpg")
