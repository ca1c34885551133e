"""Sources that find nothing in 20 images are named, with the likely cause."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unboxed.regions.extraction import extract
from unboxed.regions.settings import RegionSettings
from unboxed.types import Caption, Example


@pytest.fixture
def twenty(tmp_path: Path) -> list[Example]:
    made = []
    for i in range(20):
        path = tmp_path / f"{i}.png"
        Image.new("RGB", (32, 32), (i, i, i)).save(path)
        made.append(Example(str(i), path, (Caption("nothing"),), 32, 32))
    return made


def _detector(graphs: Any, path: Path, score: float) -> Path:
    outputs = {"boxes": np.array([[[0, 0, 20, 20]]]), "scores": np.array([[[score]]])}
    found: Path = graphs.constant(path, outputs, metadata={"classes": "cat"})
    return found


def test_a_detector_that_finds_nothing_is_named(tmp_path: Path, graphs: Any, twenty: list[Example]) -> None:
    faint, sure = (_detector(graphs, tmp_path / f"{score}.onnx", score) for score in (0.01, 0.9))
    settings = RegionSettings(detectors=(faint,), evidence_sizes=(), detector_size=64)
    (warning,) = extract(twenty, settings, tmp_path / "a", progress=False).warnings
    assert warning.startswith(f"The detector {faint} found nothing in the first 20 images. Likely causes: an input in")
    assert extract(twenty[:19], settings, tmp_path / "b", progress=False).warnings == ()
    found = extract(twenty, replace(settings, detectors=(sure,)), tmp_path / "c", progress=False)
    assert found.warnings == ()


def test_a_proposer_is_watched_by_its_boxes(
    tmp_path: Path, graphs: Any, twenty: list[Example], capsys: pytest.CaptureFixture[str]
) -> None:
    proposer = graphs.constant(
        tmp_path / "p.onnx",
        {"boxes": np.zeros((1, 1, 4)), "scores": np.full((1, 1, 1), 0.5)},
        metadata={"classes": "thing"},
    )
    summary = extract(twenty, RegionSettings(proposer=proposer), tmp_path / "store")
    assert f"The proposer {proposer} found nothing" in str(summary)
    assert f"The proposer {proposer} found nothing" in capsys.readouterr().err
