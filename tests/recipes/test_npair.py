"""N-pair from pixels, end to end: trained, evaluated by its heat maps, grounding without any detector."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from unboxed.attention.heatmaps import hottest_point, upsampled
from unboxed.data.dataset import load_dataset
from unboxed.data.images import open_image
from unboxed.errors import RegionsError
from unboxed.evaluation.evaluate import evaluate_run
from unboxed.evaluation.options import EvaluationOptions
from unboxed.inference.grounder import Grounder
from unboxed.recipes import recipe_from_dict, recipe_to_dict
from unboxed.recipes.model import MatchingModel
from unboxed.recipes.npair import NPair
from unboxed.recipes.pairs import TrainingStep
from unboxed.recipes.schedule import Schedule
from unboxed.training.fitting import fit_given
from unboxed.training.options import FitSettings
from unboxed.types import PairedBatch

World = tuple[Path, Path]
SMALL = NPair(
    cells=6,
    patch=8,
    channels=16,
    joint_width=16,
    embedding_width=12,
    hidden_width=8,
    schedule=Schedule(epochs=2, images_per_batch=8, captions_per_image=2),
)


@pytest.fixture(scope="module")
def run(tiny_world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("npair") / "run"
    fit_given("npair", SMALL, FitSettings(tiny_world[0], folder))
    return folder


def test_an_image_is_grounded_without_a_detector(run: Path, tiny_world: World) -> None:
    example = load_dataset(tiny_world[0]).split("test").examples[0]
    grounder = Grounder.load(run)
    grounding = grounder.ground(example.path, example.captions[0])
    assert grounder.config.regions.model_files == {}
    assert grounding.heat_PYX is not None
    assert grounding.heat_PYX.shape == (len(example.captions[0].phrases), 6, 6)
    for phrase, map_YX in zip(grounding.phrases, grounding.heat_PYX, strict=True):
        x, y = hottest_point(upsampled(map_YX, example.width, example.height))
        x1, y1, x2, y2 = phrase.boxes[0]
        assert (x1 < x < x2, y1 < y < y2) == (True, True)  # the best box lies around the peak


def test_evaluation_reports_the_heat_maps_beside_the_rest(run: Path, tiny_world: World) -> None:
    result = evaluate_run(run, tiny_world[0], EvaluationOptions(split="test"))
    found = json.loads(json.dumps(result.to_dict()))
    assert 0 <= found["heatmap"]["pointing_heatmap"] <= 100
    assert found["heatmap"]["pointing_heatmap"] == pytest.approx(_by_hand(run, tiny_world), abs=1e-3)
    assert found["upper_bound_any"] >= found["recall_any"]["10"]
    assert result.report is not None
    assert "pointing_heatmap" in result.report.read_text(encoding="utf-8")


def test_proposals_of_a_store_are_ranked_by_their_heat(run: Path, tiny_world: World) -> None:
    data, store = tiny_world
    found = evaluate_run(run, data, EvaluationOptions(split="test", report=False, proposals=store))
    plain = evaluate_run(run, data, EvaluationOptions(split="test", report=False))
    assert found.heat == plain.heat  # the maps are the same, the boxes are not
    assert found.scores["upper_bound_any"] > plain.scores["upper_bound_any"]


def _by_hand(run: Path, world: World) -> float:
    """The share of phrases whose hottest pixel lies in a gold box, phrase by phrase and box by box."""
    grounder, hits = Grounder.load(run), []
    for example in load_dataset(world[0]).split("test").examples:
        for caption in example.captions:
            heat = grounder.ground(example.path, caption).heat_PYX
            assert heat is not None
            for phrase, map_YX in zip(caption.phrases, heat, strict=True):
                if len(phrase.boxes):
                    x, y = hottest_point(upsampled(map_YX, example.width, example.height))
                    hits.append(any(x1 < x < x2 and y1 < y < y2 for x1, y1, x2, y2 in phrase.boxes))
    return 100 * float(np.mean(hits))


def test_an_image_alone_has_the_map_that_it_has_in_company(run: Path, tiny_world: World) -> None:
    grounder = Grounder.load(run)
    examples = load_dataset(tiny_world[0]).split("test").examples
    regions = [grounder.extractor(open_image(example.path)) for example in examples[:4]]
    caption = examples[0].captions[0]
    alone, company = grounder.score(regions[:1], [caption]), grounder.score(regions, [caption])
    np.testing.assert_allclose(alone[0], company[0], rtol=1e-4, atol=1e-5)


def test_words_looked_for_once_give_the_loss_of_all_captions(run: Path, tiny_world: World) -> None:
    grounder = Grounder.load(run)
    examples = load_dataset(tiny_world[0]).split("test").examples[:4]
    captions = grounder.batcher.encode([caption for example in examples for caption in example.captions])
    image_of_C = torch.tensor([b for b, example in enumerate(examples) for _ in example.captions])
    regions = [grounder.extractor(open_image(example.path)) for example in examples]
    batch = PairedBatch(grounder.batcher.images(regions), grounder.batcher.captions(captions), image_of_C)
    with torch.no_grad():
        once = grounder.model.loss(batch, TrainingStep(0, 1))
        captions_alone = MatchingModel.loss(grounder.model, batch, TrainingStep(0, 1))
    torch.testing.assert_close(once["npair"], captions_alone["npair"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(once["loss"], once["npair"] + once["words"])


def test_choices_go_through_json() -> None:
    again = recipe_from_dict("npair", json.loads(json.dumps(recipe_to_dict(SMALL))))
    assert again == SMALL


def test_a_store_without_pixels_is_refused(tiny_world: World, tmp_path: Path) -> None:
    with pytest.raises(RegionsError, match="leave out --regions"):
        fit_given("npair", SMALL, FitSettings(tiny_world[0], tmp_path / "run", tiny_world[1]))


def test_features_need_a_backbone(tiny_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(RegionsError, match="names no backbone"):
        fit_given("npair", replace(SMALL, map="features"), FitSettings(tiny_dataset, tmp_path / "run"))


def test_a_detectors_own_map_will_do(tiny_world: World, tmp_path: Path) -> None:
    run = tmp_path / "run"
    grounder = fit_given("npair", replace(SMALL, map="features"), FitSettings(tiny_world[0], run))
    assert grounder.config.regions.top_k == 0
    image = load_dataset(tiny_world[0]).split("test").examples[0]
    cells = grounder.extractor(open_image(image.path))
    assert set(cells.sources) == {"grid"}
    assert len(grounder.ground(image.path, "A red ball.").phrases) == 1
