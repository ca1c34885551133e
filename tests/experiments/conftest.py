"""A comparison of two recipes with two seeds each on a small dataset of drawn images."""

from __future__ import annotations

from pathlib import Path

import pytest

from unboxed.data.dataset import load_dataset
from unboxed.experiments.comparison import compare
from unboxed.experiments.options import CompareSettings
from unboxed.experiments.results import Comparison
from unboxed.regions.extraction import extract
from unboxed.regions.settings import RegionSettings
from unboxed.scenes import write_scenes

OPTIONS = "--epochs 2 --images-per-batch 8 --joint-width 16 --hidden-width 16 --checkpoint-steps 1"
RECIPES = ("infoground --negatives none", "ckd --distillation 0")


@pytest.fixture(scope="session")
def compared_world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The dataset file, and a store of regions of its images without weights."""
    folder = tmp_path_factory.mktemp("compared")
    write_scenes(folder / "scenes", train=16, val=6, test=2)
    dataset = load_dataset(folder / "scenes" / "data.toml")
    examples = [example for name in ("train", "val") for example in dataset.split(name).examples]
    extract(examples, RegionSettings.weight_free(), folder / "store", progress=False)
    return dataset.path, folder / "store"


@pytest.fixture(scope="session")
def settings(compared_world: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> CompareSettings:
    data, store = compared_world
    return CompareSettings((data,), tmp_path_factory.mktemp("comparison"), RECIPES, (store,), (OPTIONS,), seeds=2)


@pytest.fixture(scope="session")
def comparison(settings: CompareSettings) -> Comparison:
    return compare(settings, is_drawn=lambda dataset: True)
