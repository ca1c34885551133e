"""Models by name: fetched and uploaded through a stand-in, for no test touches the network."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import unboxed
from unboxed.errors import RunError
from unboxed.inference import hub


class _Hub:
    """Keeps one repository in a folder."""

    def __init__(self, kept: Path) -> None:
        self.kept = kept

    def HfApi(self, token: str | None = None) -> SimpleNamespace:
        def upload_folder(repo_id: str, folder_path: str, commit_message: str) -> str:
            shutil.copytree(folder_path, self.kept)
            return f"hub/{repo_id}"

        return SimpleNamespace(create_repo=lambda repo, private, exist_ok: None, upload_folder=upload_folder)

    def snapshot_download(self, name: str, **options: Any) -> str:
        if not self.kept.is_dir():
            raise OSError("no such model:\nsee the address")
        return str(self.kept)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_a_model_goes_to_the_hub_and_comes_back_the_same(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "_library", lambda: _Hub(tmp_path / "kept"))
    grounder, image = unboxed.load(tiny_run), tiny_dataset.parent / "photos" / "3.png"
    assert grounder.push_to_hub("someone/boxes") == "hub/someone/boxes"
    names = {path.name for path in (tmp_path / "kept").iterdir()}
    assert {"config.json", "model.safetensors", "README.md", "vocab.json"} <= names
    assert str(tiny_dataset.parent) not in (tmp_path / "kept" / "config.json").read_text()
    facts = json.loads((tmp_path / "kept" / "config.json").read_text())["facts"]
    assert "store" not in facts and facts["train"] == {"photos": 32, "captions": 64, "without_regions": 0}
    back = unboxed.Grounder.from_pretrained("someone/boxes").ground(image, "a red box")
    assert back.to_dict() == grounder.ground(image, "a red box").to_dict()


def test_a_folder_needs_no_hub(tiny_run: Path) -> None:
    assert unboxed.Grounder.from_pretrained(tiny_run).config.recipe == "infoground"


def test_a_model_that_is_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_library", lambda: _Hub(tmp_path / "kept"))
    with pytest.raises(RunError, match=r"no folder here, and cannot be downloaded from the Hub \(no such model\)"):
        unboxed.Grounder.from_pretrained("someone/nothing")


def test_the_card_says_what_the_run_was_made_from(tiny_run: Path, tmp_path: Path) -> None:
    unboxed.load(tiny_run).save(tmp_path / "copy")
    card = (tmp_path / "copy" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlibrary_name: unboxed\n")
    assert "32 images, 64 captions" in card
    assert "segments and a grid, without weights" in card
    assert "{" not in card and "\n\n\n" not in card
    bare = unboxed.load(tiny_run)
    bare = unboxed.Grounder(replace(bare.config, presence=None, facts={}), bare.model, bare.vocabulary)
    bare.save(tmp_path / "bare")
    card = (tmp_path / "bare" / "README.md").read_text(encoding="utf-8")
    assert "infoground on an unnamed dataset" in card and "not calibrated" in card.replace("\n", " ")
    assert "| chosen" not in card and "| taught by" not in card and "\n\nMeasure it" in card


def test_the_card_names_every_model_that_regions_come_from_and_the_teacher(tiny_run: Path) -> None:
    run = unboxed.load(tiny_run).config
    regions = replace(
        run.regions, detectors=(Path("a.onnx"), Path("b.onnx")), labeler=Path("c.onnx"), backbone_hf="o/d"
    )
    card = hub.model_card(replace(run, regions=regions, facts={**run.facts, "teacher": "12ab"}))
    assert "| regions | found and described by a.onnx, b.onnx, c.onnx, d |\n" in card
    assert "| taught by | another run, whose weights have the digest `12ab` |\n" in card
