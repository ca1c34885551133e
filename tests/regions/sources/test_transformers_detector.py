"""Detectors of transformers that are found in the local Hugging Face cache."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from unboxed.regions.sources.transformers_detector import cached_detector

pytest.importorskip("transformers", reason="the hf extra is not installed")


def _cached(
    cache: Path, name: str = "boxes", model_type: str = "yolos", architecture: str = "YolosForObjectDetection"
) -> Path:
    """The files of a model as the Hugging Face cache has them, without content."""
    snapshot = cache / f"models--someone--{name}" / "snapshots" / "0a1b"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps({"model_type": model_type, "architectures": [architecture]}))
    for file in ("preprocessor_config.json", "model.safetensors"):
        (snapshot / file).touch()
    return snapshot


def test_the_detector_that_was_downloaded_last_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert cached_detector() is None
    snapshots = [_cached(tmp_path, name) for name in ("first", "last", "second")]
    for snapshot, time in zip(snapshots, (1, 3, 2), strict=True):
        os.utime(snapshot / "config.json", (time, time))
    assert cached_detector() == snapshots[1]
    (snapshots[1] / "model.safetensors").unlink()
    assert cached_detector() == snapshots[2]


def test_the_cache_is_where_the_hub_library_puts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    snapshot = _cached(tmp_path / "hub")
    assert cached_detector() == snapshot
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert cached_detector() is None


@pytest.mark.parametrize(
    ("kind", "architecture"),
    [("grounding-dino", "GroundingDinoForObjectDetection"), ("yolos", "YolosModel"), ("bert", "BertForMaskedLM")],
)
def test_models_that_are_no_detectors_of_fixed_classes_are_ignored(
    kind: str, architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    snapshot = _cached(tmp_path, model_type=kind, architecture=architecture)
    assert cached_detector() is None
    for text in ("{", "[]"):
        (snapshot / "config.json").write_text(text)
        assert cached_detector() is None


def test_without_transformers_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    _cached(tmp_path)
    monkeypatch.setattr("unboxed.regions.sources.transformers_detector.find_spec", lambda name: None)
    assert cached_detector() is None
