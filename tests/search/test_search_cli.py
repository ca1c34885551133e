"""The verbs `index` and `search`: what they print for programs, and the contact sheet."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from unboxed.cli import main


def _fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert ended.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_index_tells_what_it_did_and_search_prints_each_hit_with_a_box_for_each_phrase(
    tiny_run: Path, own_images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own_images / "broken.png").write_bytes(b"no photograph")
    index, sheet = tmp_path / "index", tmp_path / "sheets" / "hits.png"
    main(["index", str(tiny_run), str(own_images), "--out", str(index), "--json"])
    done = json.loads(capsys.readouterr().out)
    assert (done["photos"], done["added"], done["kept"]) == (12, 12, 0)
    assert done["skipped"][0]["name"] == "broken.png" and "not an image" in done["skipped"][0]["reason"]

    main(["search", str(index), "a red box beside a blue box", "-k", "5", "--save", str(sheet), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["query"] == "a red box beside a blue box" and found["photos"] == 12 and len(found["hits"]) == 5
    for hit in found["hits"]:
        assert Path(hit["photo"]) == own_images / hit["name"] and (hit["width"], hit["height"]) == (96, 64)
        assert [phrase["text"] for phrase in hit["phrases"]] == ["a red box", "a blue box"]
        for phrase in hit["phrases"]:
            ((x1, y1, x2, y2),) = phrase["boxes"]
            assert 0 <= x1 < x2 <= 96 and 0 <= y1 < y2 <= 64 and len(phrase["scores"]) == 1
    with Image.open(sheet) as picture:
        assert picture.width > 900 and len(set(picture.resize((64, 64)).get_flattened_data())) > 50

    (own_images / found["hits"][0]["name"]).unlink()  # moved since: the sheet has an empty place
    main(["search", str(index), "a", "red", "box", "-k", "3", "--save", str(sheet)])
    assert capsys.readouterr().out.startswith("1. ")


def test_a_image_finds_captions(
    tiny_index_folder: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tiny_dataset.parent / "photos" / "0.png"
    main(["search", str(tiny_index_folder), "--image", str(image), "-k", "2", "--save", f"{tmp_path}/a.png", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["captions"] == 80 and len(found["hits"]) == 2
    for hit in found["hits"]:
        assert Path(hit["photo"]).is_file()
        assert all(phrase["text"] in hit["caption"] and len(phrase["boxes"]) == 1 for phrase in hit["phrases"])
    assert (tmp_path / "a.png").is_file()


def test_search_says_what_is_missing(
    tiny_index_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "a sentence" in _fails(capsys, "search", tiny_index_folder)
    assert "unboxed index RUN IMAGES --out" in _fails(capsys, "search", tmp_path, "a box")
    assert "-k is 0" in _fails(capsys, "search", tiny_index_folder, "a box", "-k", "0")
    assert "gone.jpg does not exist" in _fails(capsys, "search", tiny_index_folder, "--image", tmp_path / "gone.jpg")
