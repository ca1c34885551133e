"""Digests of copied files: a flipped bit of any binary file of a run is an error, or gives the same answer."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from unboxed.cli import main
from unboxed.errors import RegionsError, UnboxedError
from unboxed.inference.grounder import Grounder
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.runtime.digests import check_digest, record_digest, verified
from unboxed.scenes.writing import DETECTOR

OLD_RUN = Path(__file__).resolve().parents[1] / "assets" / "run_41071e2" / "run"
FLIPS = int(os.environ.get("UNBOXED_FLIPS", "3"))
"""Flipped bits of each file; `UNBOXED_FLIPS=200` takes more."""


def test_a_changed_file_of_a_list_is_found_and_others_are_not_checked(tmp_path: Path) -> None:
    (tmp_path / "models" / "deep" / "er").mkdir(parents=True)
    for name in ("a.onnx", "deep/b.onnx", "deep/er/c.bin", "other.txt"):
        (tmp_path / "models" / name).write_bytes(b"content")
    record_digest(tmp_path / "models", tmp_path / "models" / "a.onnx")
    record_digest(tmp_path / "models", tmp_path / "models" / "deep")
    assert {path.name for path, _ in verified(tmp_path)} == {"a.onnx", "b.onnx", "c.bin", "digests.json"}
    for name in ("a.onnx", "deep/b.onnx", "deep/er/c.bin"):
        file = tmp_path / "models" / name
        check_digest(file)
        file.write_bytes(b"contenu")
        with pytest.raises(ValueError, match="changed after it was written"):
            check_digest(file)
        file.write_bytes(b"content")
    (tmp_path / "models" / "deep" / "er" / "c.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"c\.bin changed"):
        check_digest(tmp_path / "models" / "deep")
    (tmp_path / "models" / "other.txt").write_bytes(b"new")
    check_digest(tmp_path / "models" / "other.txt")


def test_a_list_of_something_else_is_no_list(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"content")
    for content in ("[]", "{", '{"a.onnx": "77"}', '{"format": "other", "sha256": {"a.onnx": "77"}}'):
        (tmp_path / "digests.json").write_text(content)
        check_digest(tmp_path / "a.onnx")


def test_a_damaged_model_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("dog\ncat\n")
    copied = RegionSettings(class_names=tmp_path / "names.txt").copied_to(tmp_path / "store")
    (tmp_path / "store" / "names.txt").write_text("dog\nbat\n")
    with pytest.raises(RegionsError, match=r"names\.txt is damaged .*put the original model file in its place"):
        copied.copied_to(tmp_path / "run")


def _answer(run: Path) -> str:
    """A digest of all that the run's files decide: weights, detections, affinities and stored regions."""
    torch.manual_seed(0)
    grounder = Grounder.load(run)
    digest = hashlib.sha256()
    for value in grounder.model.state_dict().values():
        digest.update(value.numpy().tobytes())
    regions = grounder.regions_of(np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8))
    for array in (regions.boxes, regions.scores, regions.features, regions.class_probs):
        digest.update(array.tobytes())
    if grounder.prior is not None:
        digest.update(grounder.prior.affinity("a dog").tobytes())
    store = RegionStore.open(run / "store") if (run / "store").is_dir() else None
    for image_id in store or ():
        assert store is not None
        digest.update(image_id.encode() + b"".join(array.tobytes() for array in store.arrays(image_id)))
    return digest.hexdigest()


@pytest.fixture(params=["store", "detector and prior"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A run with its store; or one of an earlier version with a detector and a prior, written anew."""
    if request.param == "store":
        return Path(shutil.copytree(request.getfixturevalue("tiny_run"), tmp_path / "run"))
    old = Path(shutil.copytree(OLD_RUN, tmp_path / "old"))
    shutil.copytree(DETECTOR.parent, old / "regions", ignore=lambda _, names: set(names) - {DETECTOR.name})
    Grounder.load(old).save(tmp_path / "run")
    return tmp_path / "run"


def test_flipped_bits_of_a_run_are_never_silent(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = _answer(run)
    files = [path for path in run.rglob("*") if path.suffix in (".safetensors", ".onnx", ".npz", ".json", ".txt")]
    assert {path.name for path in files} >= (
        {"000000.safetensors"} if (run / "store").is_dir() else {"detector.onnx", "word_vectors.npz"}
    )
    rng = np.random.default_rng(0)
    silent = []
    for file in files:
        content = file.read_bytes()
        for position in rng.integers(len(content), size=FLIPS).tolist():
            damaged = bytearray(content)
            damaged[position] ^= 1 << int(rng.integers(8))
            file.write_bytes(damaged)
            try:
                changed = _answer(run) != expected
            except UnboxedError:
                continue
            if changed and "changed after it was written" not in capsys.readouterr().err:
                silent.append((file.name, position))
        file.write_bytes(content)
    assert silent == []


def test_doctor_verifies_a_folder(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    main(["doctor", "--verify", str(run)])
    assert "No problems" in capsys.readouterr().out
    shard = next((run / "store" / "shards").glob("*.safetensors"))
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--json", "--verify", str(run)])
    assert ended.value.code == 1
    wrong = [finding for finding in json.loads(capsys.readouterr().out)["findings"] if finding["verdict"] == "wrong"]
    assert [finding["name"] for finding in wrong] == [f"store/shards/{shard.name}"]
    assert "only the images of this file are made again" in wrong[0]["mend"]


def test_damaged_edited_and_missing_files_are_found(tiny_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    (run / "notes.json").write_text("[1]")  # without a digest
    changed = {
        "config.json": lambda text: text.replace('"joint_width": ', '"joint_width": 1'),
        "vocab.json": lambda _: '{"a":' * 100_000,
        "store/store.json": lambda text: text[:-20],
        "store/models/digests.json": lambda _: "{}",
    }
    changed = {name: change for name, change in changed.items() if (run / name).is_file()}
    for name, change in changed.items():
        (run / name).write_text(change((run / name).read_text()))
    assert {file.relative_to(run).as_posix() for file, wrong in verified(run) if wrong is not None} == {*changed}
    (run / "gone.txt").write_text("a")
    record_digest(run, run / "gone.txt")
    (run / "gone.txt").unlink()
    assert (run / "digests.json", "gone.txt is missing") in verified(run)


def test_a_folder_that_may_not_be_read_is_not_called_intact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scandir(path: str | Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", scandir)
    assert list(verified(tmp_path)) == [(tmp_path, "Permission denied")]
