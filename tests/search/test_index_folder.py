"""The folder of an index: which part is in use, what may be replaced, and that a run keeps its fingerprint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from unboxed.errors import SearchError
from unboxed.inference.grounder import Grounder
from unboxed.scenes.writing import DETECTOR
from unboxed.search import index_images
from unboxed.search.index_folder import IndexFolder, run_fingerprint

ASSET = Path(__file__).resolve().parents[1] / "assets" / "run_41071e2"


def test_the_run_of_an_index_of_the_first_version_keeps_its_fingerprint(tmp_path: Path) -> None:
    """Otherwise every index would have to be encoded again."""
    shutil.copytree(ASSET / "run", tmp_path / "run")
    (tmp_path / "run" / "regions").mkdir(exist_ok=True)
    shutil.copy(DETECTOR, tmp_path / "run" / "regions" / "detector.onnx")
    (part,) = (entry.name for entry in (ASSET / "index").iterdir() if entry.is_dir())
    assert run_fingerprint(tmp_path / "run", Grounder.load(tmp_path / "run"))[:12] == part


@pytest.fixture
def grounder(tiny_run: Path) -> Grounder:
    """The model of the tiny run."""
    return Grounder.load(tiny_run)


def test_a_part_is_created_once_and_counts_when_it_is_finished(
    tiny_run: Path, grounder: Grounder, tmp_path: Path
) -> None:
    out = tmp_path / "index"
    part = IndexFolder.begin(out, tiny_run, grounder)
    assert IndexFolder.of(out) is None and len(part.anchor_captions()) == 512
    (part.shards / "kept").write_text("a shard")
    assert IndexFolder.begin(out, tiny_run, grounder) == part and (part.shards / "kept").is_file()
    assert len(list(out.iterdir())) == 1  # no temporary folder is left
    part.finish(tiny_run)
    assert IndexFolder.of(out) == part


def test_what_killed_processes_left_is_no_obstacle_and_is_deleted(
    tiny_run: Path, grounder: Grounder, tmp_path: Path
) -> None:
    out = tmp_path / "index"
    for name in (".0123456789ab.12-0", "0123456789ab.12", "0123456789ab"):
        (out / name / "run").mkdir(parents=True)
    for name in (".index.12-3.json", ".index.json.12"):
        (out / name).write_text("{")
    part = IndexFolder.begin(out, tiny_run, grounder)
    part.finish(tiny_run)
    assert sorted(entry.name for entry in out.iterdir() if entry.is_dir()) == [part.name]


def test_a_part_of_which_only_the_folder_was_made_is_made_again(
    tiny_run: Path, grounder: Grounder, tmp_path: Path
) -> None:
    name = IndexFolder.begin(tmp_path / "first", tiny_run, grounder).name
    (tmp_path / "index" / name / "shards").mkdir(parents=True)
    part = IndexFolder.begin(tmp_path / "index", tiny_run, grounder)
    assert len(part.anchor_captions()) == 512 and (part.run / "model.safetensors").is_file()


@pytest.mark.parametrize("kind", ["a file", "a folder of other things"])
def test_something_else_in_the_place_of_the_index_is_left_alone(
    kind: str, tiny_run: Path, grounder: Grounder, tmp_path: Path
) -> None:
    out = tmp_path / "index"
    if kind == "a file":
        out.write_text("mine")
    else:
        (out / "0123456789abc").mkdir(parents=True)
    with pytest.raises(SearchError, match="exists and is no index; name a new folder"):
        IndexFolder.begin(out, tiny_run, grounder)
    assert len(list(tmp_path.rglob("*"))) == (1 if kind == "a file" else 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"index\.json is damaged"),
        ("[]", r"index\.json is damaged"),
        ('{"format": "unboxed-index"}', r"index\.json is damaged \(there is no 'version'"),
        ('{"format": "else", "version": 1, "made_by": "0123456789ab"}', "does not describe an index of unboxed"),
        ('{"format": "unboxed-index", "version": 2, "made_by": "0123456789ab"}', "Update unboxed"),
        ('{"format": "unboxed-index", "version": "1", "made_by": "0123456789ab"}', "has version '1'"),
        ('{"format": "unboxed-index", "version": 1, "made_by": "../elsewhere"}', r"made_by is '\.\./elsewhere'"),
        ('{"format": "unboxed-index", "version": 1, "made_by": 7}', "made_by is 7"),
    ],
)
def test_a_damaged_index_is_named_with_what_to_do(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(SearchError, match=message):
        IndexFolder.of(tmp_path)


def test_damaged_anchor_captions_are_named(
    tiny_run: Path, tiny_index_folder: Path, tmp_path: Path, own_images: Path
) -> None:
    shutil.copytree(tiny_index_folder, tmp_path / "index")
    (anchors,) = (tmp_path / "index").glob("*/probes.json")
    assert all(isinstance(text, str) for text in json.loads(anchors.read_text()))
    anchors.write_text("{")
    with pytest.raises(SearchError, match=r"probes\.json is damaged"):
        index_images(tiny_run, own_images, tmp_path / "index", progress=False)
