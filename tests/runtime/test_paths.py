"""Paths may be given as strings in Python."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unboxed.attention.heatmaps import BoxReadOut
from unboxed.convert import ConvertSettings
from unboxed.errors import UnboxedError
from unboxed.evaluation import EvaluationOptions, evaluate_run
from unboxed.experiments import CompareSettings
from unboxed.export import LabelOptions, SelectionOptions, label_dataset
from unboxed.priors import PriorSettings
from unboxed.regions import RegionSettings, RegionStore
from unboxed.search.options import IndexOptions
from unboxed.studio.options import StudioAddress, StudioSources
from unboxed.text.settings import TextConfig
from unboxed.training import FitSettings


def test_options_take_strings() -> None:
    settings = FitSettings("photos", "run", regions="store")  # type: ignore[arg-type]
    assert (settings.data, settings.out, settings.regions) == (Path("photos"), Path("run"), Path("store"))
    regions = RegionSettings(detectors=["a.onnx"], detector_hf="hustvl/yolos-tiny")  # type: ignore[arg-type]
    assert (regions.detectors, regions.detector_hf) == ((Path("a.onnx"),), "hustvl/yolos-tiny")
    compared = CompareSettings(("data.toml",), "out", write=["page.html"])  # type: ignore[arg-type]
    assert (compared.data, compared.out, compared.write) == ((Path("data.toml"),), Path("out"), (Path("page.html"),))
    assert ConvertSettings("run", vocab="vocab.json").vocab == Path("vocab.json")  # type: ignore[arg-type]
    assert StudioSources(index="index").index == Path("index")  # type: ignore[arg-type]
    assert PriorSettings(word_vectors="vectors.npz").word_vectors == Path("vectors.npz")  # type: ignore[arg-type]


def test_one_value_stands_for_several() -> None:
    regions = RegionSettings(detectors="a.onnx", queries="red hat", evidence_sizes=[320])  # type: ignore[arg-type]
    assert (regions.detectors, regions.queries, regions.evidence_sizes) == ((Path("a.onnx"),), ("red hat",), (320,))
    compared = CompareSettings(Path("data.toml"), Path("out"), "scan", split="test")  # type: ignore[arg-type]
    assert (compared.data, compared.recipes, compared.split) == ((Path("data.toml"),), ("scan",), ("test",))
    assert EvaluationOptions(ensemble="run").ensemble == (Path("run"),)  # type: ignore[arg-type]
    assert PriorSettings(match="names").match == ("names",)  # type: ignore[arg-type]
    assert RegionSettings(evidence_sizes=320).evidence_sizes == (320,)  # type: ignore[arg-type]
    assert BoxReadOut(thresholds=0.5).thresholds == (0.5,)  # type: ignore[arg-type]
    assert BoxReadOut(np.linspace(0.2, 0.8, 3)).thresholds == (0.2, 0.5, 0.8)  # type: ignore[arg-type]
    assert StudioAddress(allow_host="photos.example").allow_host == ("photos.example",)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "given"),
    [
        (RegionSettings, {"detectors": (None,)}),
        (RegionSettings, {"detectors": None}),
        (EvaluationOptions, {"ensemble": ["run", None]}),
        (StudioAddress, {"allow_host": [None]}),
        (FitSettings, {"data": None, "out": "run"}),
    ],
)
def test_none_is_an_error_where_a_value_is_needed(settings: Any, given: dict[str, Any]) -> None:
    with pytest.raises(UnboxedError, match=f"{settings.__name__} has None for {next(iter(given))}; leave it out"):
        settings(**given)


SETTINGS = (
    CompareSettings, ConvertSettings, EvaluationOptions, FitSettings, IndexOptions, LabelOptions, PriorSettings,
    RegionSettings, SelectionOptions, StudioSources, TextConfig,
)  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS)
def test_each_path_may_be_a_string(settings: Any) -> None:
    needed = {field.name: "x" for field in fields(settings) if field.default is field.default_factory is MISSING}
    for field in fields(settings):
        if "Path" in str(field.type):
            found = getattr(settings(**{**needed, field.name: "x"}), field.name)
            assert found in (Path("x"), (Path("x"),)), field.name


def test_functions_take_strings(tiny_run: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    assert len(RegionStore.open(str(tiny_run / "store"))) > 0  # type: ignore[arg-type]
    label_dataset(str(tiny_dataset), str(tiny_run), str(tmp_path / "a.json"), LabelOptions(workers=1), show=[].append)  # type: ignore[arg-type]
    assert (tmp_path / "a.json").is_file()
    evaluate_run(str(tiny_run), str(tiny_dataset), EvaluationOptions(report=False))  # type: ignore[arg-type]
