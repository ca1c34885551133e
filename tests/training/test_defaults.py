"""A fit without a recipe: regions and recipe are selected from the data and the available models, and printed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import unboxed
from unboxed.attention.ranking import Ranking
from unboxed.cli import main
from unboxed.data import load_dataset
from unboxed.errors import RegionsError
from unboxed.recipes.infoground import InfoGround
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.training.defaults import default_recipe, default_regions
from unboxed.training.estimate import estimate


def _cache(folder: Path, model_type: str = "yolos", architecture: str = "YolosForObjectDetection") -> Path:
    """A cache of the Hub with one detector, as far as looking for it goes."""
    snapshot = folder / "models--someone--boxes" / "snapshots" / "0a1b"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps({"model_type": model_type, "architectures": [architecture]}))
    for name in ("preprocessor_config.json", "model.safetensors"):
        (snapshot / name).touch()
    return snapshot


def test_one_line_trains_on_a_table_and_says_what_was_chosen(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "empty"))
    table = tiny_dataset.parent / "photos.csv"
    rows = (tiny_dataset.parent / "captions.csv").read_text().splitlines()[1:]
    table.write_text("image,caption,price\n" + "".join(f"{row.rsplit(',', 1)[0]},9\n" for row in rows))
    call = ["fit", "--data", str(table), "--out", str(tmp_path / "run"), "--epochs", "1", "--train-fraction", "0.5"]
    main(call)
    said = capsys.readouterr().err
    assert "Regions: segments from pixels, a 3 x 3 grid and the whole image, without weights" in said
    assert "Recipe: infoground, 1 epoch, because the regions have no class names" in said
    grounder = unboxed.load(tmp_path / "run")
    facts = grounder.config.facts
    held_out = facts["validation"]["photos"]
    assert held_out > 0 and facts["train"]["photos"] == round(0.5 * (40 - held_out))
    # Regions are those of the images that are used, and no others.
    assert len(RegionStore.open(tmp_path / "run" / "store")) == facts["train"]["photos"] + held_out
    main([*call, "--resume"])
    assert "has finished already" in capsys.readouterr().err


def test_regions_with_class_names_are_taught_by_them() -> None:
    name, options = default_recipe(named=True, images=144)
    assert (name, options.prior, options.schedule.epochs) == ("ckd", "semantic", 30)
    assert options.distillation.distillation > 0 and "synonyms" in options.semantic.match
    assert default_recipe(named=False, images=144)[0] == "infoground"
    assert default_recipe(named=True, images=100_000)[1].schedule.epochs == 4


def test_without_a_recipe_the_point_is_the_most_probably_covered_one() -> None:
    with_names, without = (default_recipe(named, images=144)[1].ranking for named in (True, False))
    assert with_names == Ranking(prior_weight=2.5, point="covered")
    assert without == replace(InfoGround().ranking, point="covered")


def test_the_detector_that_is_named_comes_before_the_cached_one_and_that_before_none(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    dataset = load_dataset(tiny_dataset)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    assert default_regions(dataset)[0].segments
    snapshot = _cache(tmp_path / "cache")
    settings, which = default_regions(dataset)
    assert (settings.detector_hf, settings.segments) == (str(snapshot), False)
    assert which == "Regions: the detector someone/boxes of the local Hugging Face cache"
    (tmp_path / "own.onnx").touch()
    assert default_regions(dataset, [tmp_path / "own.onnx"])[0].detectors == (tmp_path / "own.onnx",)
    settings, which = default_regions(dataset, [tmp_path / "own.onnx", snapshot])
    assert (settings.detectors, settings.detector_hf) == ((tmp_path / "own.onnx",), str(snapshot))
    assert which == f"Regions: the detectors {tmp_path / 'own.onnx'}, {snapshot}"
    with pytest.raises(RegionsError, match=r"none\.onnx does not exist; name an ONNX file"):
        default_regions(dataset, [tmp_path / "none.onnx"])
    with pytest.raises(RegionsError, match="are folders or hub names; name at most one detector of transformers"):
        default_regions(dataset, [snapshot, tmp_path])


def test_an_estimate_grows_with_what_is_to_be_done(tiny_dataset: Path) -> None:
    examples = load_dataset(tiny_dataset).split("train").examples
    found = estimate(examples, len(examples), RegionSettings(grid=2))
    assert found is not None and found.recipe == "infoground"
    assert found.regions == pytest.approx(found.image * len(examples))
    # Forty times the images are forty times the steps an epoch, and fewer epochs.
    many = estimate(examples, 40 * len(examples), RegionSettings(grid=2))
    assert many is not None and many.epochs < found.epochs and many.training > 0


def test_the_estimate_of_init_loads_nothing_of_distributed_training() -> None:
    code = (
        "import sys, unboxed.training.estimate; assert not {'lightning_fabric', 'torch._dynamo'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
