"""Parts that combine across recipes, and combinations without meaning, which are refused before any work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import unboxed
from unboxed.attention.base import Aligner
from unboxed.attention.npair import PixelCells
from unboxed.data.dataset import load_dataset
from unboxed.errors import RegionsError, RunError
from unboxed.recipes import RECIPES, RecipeConfig, Schedule, recipe_from_dict, recipe_to_dict
from unboxed.recipes.config import DistillationConfig
from unboxed.recipes.matching import ConstraintConfig
from unboxed.recipes.members import members_of
from unboxed.recipes.npair import NPair
from unboxed.regions.settings import RegionSettings
from unboxed.training.fitting import fit, fit_given
from unboxed.training.options import FitSettings

World = tuple[Path, Path]
BRIEF = Schedule(epochs=1, images_per_batch=8, batches_per_epoch=1)
SMALL: dict[str, Any] = {"joint_width": 8, "embedding_width": 8, "hidden_width": 8, "schedule": BRIEF}


def _small(name: str, **more: Any) -> RecipeConfig:
    return RECIPES[name](**{**SMALL, "negatives": "none", **more})


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.has_cosines])
def test_the_bare_cosine_can_be_taught_wherever_there_is_one(name: str) -> None:
    torch.manual_seed(0)
    options = _small(name, distillation=DistillationConfig(distillation=1.0, student="cosine"))
    aligner: Aligner = options.aligner(6, 5).eval()
    mask_BR, mask_CQ = torch.ones(2, 4, dtype=torch.bool), torch.ones(2, 3, dtype=torch.bool)
    regions = aligner.embed_regions(torch.randn(2, 4, 6), torch.rand(2, 4, 4), mask_BR)
    queries = aligner.embed_queries(torch.randn(2, 3, 5), mask_CQ)
    found_1CQR, _ = aligner.cosines(regions, queries, paired=True)
    for row in range(2):
        for q in range(3):
            for r in range(4):
                one, other = regions.tensors[0][row, r], queries.tensors[0][row, q]
                expected = torch.cosine_similarity(one, other, dim=0)
                torch.testing.assert_close(found_1CQR[0, row, q, r], expected, atol=1e-5, rtol=1e-4)


def test_members_keep_the_better_boxes_of_prior_and_model(tiny_world: World, tmp_path: Path) -> None:
    grounder = fit("sprm", _small("sprm", members=2), FitSettings(tiny_world[0], tmp_path / "run", tiny_world[1]))
    assert grounder.config.facts["kept"] is not None


def test_members_share_a_pretrained_encoder_and_answer_with_the_mean_of_their_maps(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    pytest.importorskip("transformers", reason='transformers is not installed: pip install "unboxed[hf]"')
    from ..text.test_pretrained import tiny_bert

    small = {name: value for name, value in SMALL.items() if name != "hidden_width"}
    options = NPair(cells=6, channels=8, members=2, text=str(tiny_bert(tmp_path / "bert")), **small)
    fit("npair", options, FitSettings(tiny_dataset, tmp_path / "run"))
    grounder = unboxed.load(tmp_path / "run")
    one, other = members_of(grounder.model)
    assert one.text is other.text
    photo = load_dataset(tiny_dataset).split("val").examples[0].path
    assert grounder.ground(photo, "a red box").heat_PYX is not None
    together, alone = grounder.similarity([photo], ["a red box"]), []
    for member in (one, other):
        grounder.model = member
        alone.append(grounder.similarity([photo], ["a red box"]))
    torch.testing.assert_close(together, (alone[0] + alone[1]) / 2)
    assert not torch.allclose(alone[0], alone[1])


@pytest.mark.parametrize(
    ("name", "options", "settings", "message"),
    [
        ("sgr", {"region_channels": 3}, {}, "--region-channels 0"),
        ("npair", {}, {}, "leave out --regions"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_written(
    name: str, options: dict[str, Any], settings: dict[str, Any], message: str, tiny_world: World, tmp_path: Path
) -> None:
    data, store = tiny_world
    with pytest.raises((RunError, RegionsError), match=message) as found:
        fit_given(name, _small(name, **options), FitSettings(data, tmp_path / "run", store, **settings))
    assert "\n" not in str(found.value)
    assert not list((tmp_path / "run").glob("*.*"))


def test_another_number_of_regions_is_refused_after_one_image(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unboxed.training.fit_data.extract", lambda *_, **__: pytest.fail("all images were read"))
    settings = FitSettings(tiny_dataset, tmp_path / "run")
    with pytest.raises(RegionsError, match=r"With 3 channels every image has 3 regions, not \[\d+\]"):
        fit_given("sgr", _small("sgr", region_channels=3), settings)
    assert not list((tmp_path / "run").glob("*.*"))


def test_regions_without_class_names_are_not_searched_for_a_prior(tiny_dataset: Path, tmp_path: Path) -> None:
    settings = FitSettings(tiny_dataset, tmp_path / "run")
    with pytest.raises(RegionsError, match="--detector"):
        fit("vse", _small("vse", prior="semantic"), settings, sources=RegionSettings.weight_free())
    assert not (tmp_path / "run" / "store").exists()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("npair", {"channels": 0}),
        ("npair", {"cells": 0}),
        ("npair", {"patch": 3}),
        ("npair", {"hidden": 1.0}),
        ("sprm", {"omega": 1.5}),
        ("ckd", {"scale": 0.0}),
        ("infoground", {"layers": 0}),
        ("vse", {"constraint": ConstraintConfig(constraint_weight=2.0)}),
    ],
)
def test_values_without_meaning_are_refused_by_the_recipe(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(RunError) as found:
        RECIPES[name](**options)
    assert next(iter(options)) in str(found.value)


@pytest.mark.parametrize("name", ["scan", "vse", "npair"])
def test_runs_with_options_that_are_refused_now_and_had_no_effect_are_read(name: str) -> None:
    saved = recipe_to_dict(RECIPES[name]())
    saved["text_encoder"] |= {"phrase_pooling": "last", "phrase_reads": "phrase"}
    if name == "vse":
        saved["constraint"] |= {"constraint_weight": 2.0, "ccr_variant": "topk"}
    assert recipe_from_dict(name, saved) == RECIPES[name]()


@pytest.mark.parametrize(("patch", "channels"), [(2, 4), (4, 4), (4, 12), (4, 64)])
def test_a_map_of_pixels_has_any_number_of_channels(patch: int, channels: int) -> None:
    cells = PixelCells(patch, joint_width=5, channels=channels)
    cells_BRV, mask_BR = torch.rand(2, 9, 3 * patch**2), torch.ones(2, 9, dtype=torch.bool)
    assert cells(cells_BRV, mask_BR).shape == (2, 9, 5)


def test_a_layer_over_features_is_not_for_pixels() -> None:
    with pytest.raises(RunError, match="--map features"):
        NPair(region_hidden=8)
    assert replace(NPair(map="features"), region_hidden=8).region_hidden == 8
