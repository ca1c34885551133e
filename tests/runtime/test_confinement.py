"""What a folder from someone else names or links to must lie inside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from unboxed.data.dataset import load_dataset
from unboxed.errors import DatasetError, ExportError, ModelError, RunError, StoreError
from unboxed.export.exported_model import Exported
from unboxed.inference.run_config import RunConfig
from unboxed.priors.semantic import SemanticPrior
from unboxed.regions import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.runtime.confinement import is_file_name, is_inside, outside_links
from unboxed.runtime.hub import load_cached_first, local_only
from unboxed.scenes.writing import DETECTOR

RUN = Path(__file__).resolve().parents[1] / "assets" / "run_41071e2" / "run"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret.txt"
    file.write_text("dog\ncat\n")
    return file


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that an earlier version wrote, with its detector."""
    run = Path(shutil.copytree(RUN, tmp_path / "run"))
    (run / "regions").mkdir(exist_ok=True)
    shutil.copy(DETECTOR, run / "regions" / "detector.onnx")
    RunConfig.load(run)
    return run


def test_paths_and_links(tmp_path: Path, secret: Path) -> None:
    folder = tmp_path / "run"
    (folder / "part").mkdir(parents=True)
    (folder / "part" / "own.txt").write_text("x")
    (folder / "part" / "link").symlink_to("own.txt")
    (folder / "part" / "out").symlink_to(secret)
    (folder / "part" / "loop").symlink_to("loop")
    (folder / "up").symlink_to("..", target_is_directory=True)
    inside = {name: is_inside(folder / name, folder) for name in ("part/own.txt", "part/link", "absent")}
    outside = {name: is_inside(folder / name, folder) for name in ("part/out", "up/secret.txt", "../secret.txt", "up")}
    assert all(inside.values()) and not any(outside.values()) and not is_inside(secret, folder)
    assert not is_inside(folder / "a\0b", folder)
    assert {path.name for path in outside_links(folder, ["part", "up", "absent"])} == {"out", "loop", "up"}


def test_links_of_the_cache_of_the_hub_are_inside(tmp_path: Path, secret: Path) -> None:
    """Its snapshots are folders of links to the blobs of the same model."""
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0f3c"
    blobs = tmp_path / "models--a--b" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "77").write_text("{}")
    (snapshot / "config.json").symlink_to("../../blobs/77")
    (snapshot / "vocab.json").symlink_to(secret)
    assert [path.name for path in outside_links(snapshot, ["config.json", "vocab.json"])] == ["vocab.json"]


@pytest.mark.parametrize("name", ["vocab.json", "model.safetensors", "prior/more.txt", "text"])
def test_a_run_with_a_link_out_of_it_is_refused(run: Path, secret: Path, name: str) -> None:
    (run / name).unlink(missing_ok=True)
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).symlink_to(secret)
    with pytest.raises(RunError, match="is a link to a file outside the run; put a copy"):
        RunConfig.load(run)


def test_the_models_of_a_run_are_not_read_through_a_linked_folder(run: Path, tmp_path: Path) -> None:
    shutil.move(run / "regions", tmp_path / "elsewhere")
    (run / "regions").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="outside the run"):
        RunConfig.load(run)


@pytest.mark.parametrize("foreign", ["../secret.txt", "models/../../secret.txt", "models/link"])
def test_a_store_names_no_file_outside(tmp_path: Path, secret: Path, foreign: str) -> None:
    store = tmp_path / "store"
    RegionStore.create_or_resume(store, RegionSettings(grid=2, class_names=secret))
    (store / "models" / "link").symlink_to(secret)
    content = json.loads((store / "store.json").read_text())
    assert content["settings"]["class_names"] == "models/secret.txt"
    content["settings"]["class_names"] = foreign
    (store / "store.json").write_text(json.dumps(content))
    with pytest.raises(StoreError, match="as class_names, which is outside the store"):
        RegionStore.open(store)


@pytest.mark.parametrize("foreign", ["../secret.txt", "/etc/hostname"])
def test_a_prior_names_no_file_outside(run: Path, secret: Path, foreign: str) -> None:
    content = json.loads((run / "prior" / "prior.json").read_text())
    content["settings"]["class_map"] = foreign
    (run / "prior" / "prior.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match="as class_map, which is outside the prior"):
        SemanticPrior.load(run / "prior")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"regions": {"version": 1, "grid": 2, "class_names": "../secret.txt"}}, "is outside the export"),
        ({"graphs": {"../../run": {}}}, "is damaged .the name of a graph is not a file name"),
        ({"graphs": 7}, "is damaged"),
        ({"regions": []}, "is damaged"),
        ({"prior": None, "queries": None, "regions": None}, "is damaged"),
    ],
)
def test_an_export_names_no_file_outside(tmp_path: Path, secret: Path, change: dict[str, object], message: str) -> None:
    content = {
        "format": "unboxed-onnx",
        "version": 1,
        "graphs": {},
        "queries": "words",
        "prior": False,
        "regions": {"version": 1, "grid": 2},
    }
    folder = tmp_path / "export"
    folder.mkdir()
    shutil.copy(RUN / "vocab.json", folder)
    (folder / "export.json").write_text(json.dumps(content))
    assert not Exported.open(folder).graphs
    (folder / "export.json").write_text(json.dumps(content | change))
    with pytest.raises(ExportError, match=message):
        Exported.open(folder)
    (folder / "export.json").write_text(json.dumps(content | {"graphs": {"text": {}}}))
    (folder / "text.onnx").symlink_to(secret)
    with pytest.raises(ExportError, match="or a link out of it"):
        Exported.open(folder)


@pytest.mark.parametrize("name", ["../../report", "a/b", "a\\b", ".hidden", "a\nb", "x" * 300, "c:d", ""])
def test_a_split_is_no_path(tmp_path: Path, name: str) -> None:
    assert not is_file_name(name)
    images = [{"filename": "a.jpg", "split": name, "imgid": 0, "sentences": [{"raw": "a dog"}]}]
    (tmp_path / "captions.json").write_text(json.dumps({"images": images}))
    (tmp_path / "data.toml").write_text('format = "karpathy"\nimages = false\nannotations = "captions.json"\n')
    with pytest.raises(DatasetError, match="has a split"):
        _ = load_dataset(tmp_path / "data.toml").split_names


def test_a_model_that_a_file_names_is_taken_from_the_cache_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    asked = []
    with local_only(), pytest.raises(ConnectionError, match="downloads nothing; fetch it with `hf download a/b`"):
        load_cached_first("a/b", asked.append)
    (tmp_path / "models--a--b" / "snapshots" / "0f3c").mkdir(parents=True)
    (tmp_path / "models--a--b" / "snapshots" / "0f3c" / "config.json").write_text("{}")
    with local_only():
        load_cached_first("a/b", asked.append)
    assert asked == [True]
