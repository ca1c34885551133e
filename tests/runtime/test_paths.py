"""Paths may be given as strings in Python."""

from __future__ import annotations

from pathlib import Path

from unboxed.convert import ConvertSettings
from unboxed.evaluation import EvaluationOptions, evaluate_run
from unboxed.experiments import CompareSettings
from unboxed.export import LabelOptions, label_dataset
from unboxed.priors import PriorSettings
from unboxed.regions import RegionSettings, RegionStore
from unboxed.studio.options import StudioSources
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


def test_functions_take_strings(tiny_run: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    assert len(RegionStore.open(str(tiny_run / "store"))) > 0  # type: ignore[arg-type]
    label_dataset(str(tiny_dataset), str(tiny_run), str(tmp_path / "a.json"), LabelOptions(workers=1), show=[].append)  # type: ignore[arg-type]
    assert (tmp_path / "a.json").is_file()
    evaluate_run(str(tiny_run), str(tiny_dataset), EvaluationOptions(report=False))  # type: ignore[arg-type]
