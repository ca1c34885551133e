"""A run, a store and an index that an earlier version wrote load and give the answers that it gave.

`assets/run_41071e2` was written by commit 41071e2, its JSON answers by the same commit, but for one caption whose
phrases are read better since ("the left wears boots" in `search_photo.json`). Its four copies of the detector of Scenes
are left out and put back here.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from unboxed.cli import main
from unboxed.scenes.writing import DETECTOR

ASSET = Path(__file__).with_name("assets") / "run_41071e2"
_WORDS = ("run", "data", "photo", "protocol")
_ADDED = ("set", "sets", "unknown")  # keys that later versions added to answers
CAPTION = "A boy in a red shirt sits on a bed with a white dog."


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the asset with its detectors."""
    folder = tmp_path_factory.mktemp("saved") / "asset"
    shutil.copytree(ASSET, folder)
    (index,) = (path.parent for path in (folder / "index").glob("*/table.safetensors"))
    for place in (
        folder / "world",
        folder / "run" / "regions",
        folder / "run" / "store" / "models",
        index / "run" / "regions",
    ):
        place.mkdir(exist_ok=True)
        shutil.copy(DETECTOR, place / "detector.onnx")
    return folder


def _answer(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    main([str(argument) for argument in arguments])
    return json.loads(capsys.readouterr().out)


def _without_paths(answer: Any) -> Any:
    """The answer without the folders that it was given in, the wording of its protocol, and keys that are new."""
    if isinstance(answer, dict):
        return {name: _without_paths(value) for name, value in answer.items() if name not in (*_WORDS, *_ADDED)}
    return [_without_paths(value) for value in answer] if isinstance(answer, list) else answer


def _approximately(answer: Any) -> Any:
    if isinstance(answer, dict):
        return {name: _approximately(value) for name, value in answer.items()}
    if isinstance(answer, list):
        return [_approximately(value) for value in answer]
    return pytest.approx(answer, rel=1e-4, abs=1e-4) if isinstance(answer, float) else answer


def _recorded(name: str) -> Any:
    return _approximately(_without_paths(json.loads((ASSET / name).read_text(encoding="utf-8"))))


def test_a_run_and_a_store_are_evaluated_as_before(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, store = saved / "world" / "data.toml", saved / "run" / "store"
    answer = _answer(
        capsys, "evaluate", saved / "run", "--data", data, "--split", "val", "--regions", store, "--no-report", "--json"
    )
    assert _without_paths(answer) == _recorded("evaluate.json")


@pytest.mark.parametrize("image", [path.stem.removeprefix("ground_") for path in sorted(ASSET.glob("ground_*.json"))])
def test_a_run_grounds_as_before(saved: Path, capsys: pytest.CaptureFixture[str], image: str) -> None:
    path = saved / "world" / "images" / f"{image}.jpg"
    answer = _answer(capsys, "ground", saved / "run", path, CAPTION, "--json", "--top", 3)
    assert _without_paths(answer) == _recorded(f"ground_{image}.json")


def test_an_index_is_searched_as_before(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = _answer(capsys, "search", saved / "index", "a boy with a dog", "--json", "-k", 5)
    assert _without_paths(answer) == _recorded("search.json")


def test_captions_are_found_for_an_image_as_before(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = saved / "world" / "images" / f"{(ASSET / 'world' / 'test.txt').read_text().split()[0]}.jpg"
    answer = _answer(capsys, "search", saved / "index", "--photo", image, "--json", "-k", 5)
    assert _without_paths(answer) == _recorded("search_photo.json")
