"""What ranks the boxes of a run: a hand-made model that training harmed, and the rule by which it is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from unboxed.attention.ranking import RegionTerms, region_probabilities
from unboxed.boxes import area, iou
from unboxed.data.dataset import load_dataset
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.grounder import Grounder
from unboxed.inference.run_config import RunConfig
from unboxed.recipes.ckd import CKD
from unboxed.recipes.embeddings import caption_prior
from unboxed.recipes.schedule import Schedule
from unboxed.recipes.sprm import SPRM
from unboxed.regions.store import RegionStore
from unboxed.training import box_ranker
from unboxed.training.box_ranker import (
    FEWEST_SURE,
    NEEDED_AGREEMENT,
    BoxRankerChoice,
    choose_box_ranker,
    sure_regions,
    with_box_ranker,
)
from unboxed.training.fitting import FitSettings, fit

BOXES = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10], [20, 20, 30, 30]], dtype=np.float32)


def test_the_prior_is_sure_of_one_place_and_the_attention_may_take_any_box_of_it() -> None:
    prior_PR = np.array([[0.9, 0.8, 0.1, 0.0], [0.9, 0.0, 0.5, 0.0], [0.4, 0, 0, 0], [0, 0, 0, 0.6], [0, 0, 0, 0]])
    attention_PR = np.array([[0.1, 0.7, 0.1, 0.1], [1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]])
    # Sure: the first phrase, which is found by the box beside it, and the fourth, which is not found. The second has
    # another region with more than half of the prior, the third less than one half, the last none.
    assert sure_regions(attention_PR, prior_PR, BOXES) == (2, 1)


@pytest.fixture(scope="module")
def harmed(tiny_world: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch on 24 images: it has learned next to nothing."""
    place = tmp_path_factory.mktemp("harmed") / "run"
    options = CKD(prior="semantic", schedule=Schedule(epochs=1, images_per_batch=8))
    fit("ckd", options, FitSettings(tiny_world[0], place, regions=tiny_world[1], boxes="trained"))
    return place


def test_members_are_measured_by_their_mean_attention(tiny_world: tuple[Path, Path], tmp_path: Path) -> None:
    options = SPRM(members=2, schedule=Schedule(epochs=1, images_per_batch=8))
    run = fit("sprm", options, FitSettings(tiny_world[0], tmp_path / "run", tiny_world[1]))
    assert run.config.facts["kept"]["images"] == 8
    assert run.model.prior_share == run.config.prior_share == Grounder.load(tmp_path / "run").model.prior_share


def test_the_prior_alone_ranks_with_the_confidence_of_the_recipe(harmed: Path) -> None:
    config = RunConfig.load(harmed)
    asked = replace(config.options.ranking, confidence_weight=0.7, consensus=1)
    ranking = replace(config, options=replace(config.options, ranking=asked), boxes_from="prior").ranking
    assert (ranking.confidence_weight, ranking.consensus, ranking.learned_weight) == (0.7, 1, 0)
    assert ranking.prior_weight == asked.prior_weight and not ranking.expected_overlap


def test_of_regions_that_the_prior_ranks_alike_the_surer_and_the_larger_one_is_the_answer(harmed: Path) -> None:
    """Of a noun that the prior does not know, all regions have the same score."""
    ranking = replace(RunConfig.load(harmed), boxes_from="prior").ranking
    boxes = np.array([[0, 0, 20, 20], [30, 30, 80, 80], [50, 0, 70, 20]], np.float32)  # the second is larger
    confidence_R = torch.tensor([0.5, 0.5, 0.9])  # the third is surer
    terms = RegionTerms(torch.from_numpy(iou(boxes, boxes)), confidence_R, torch.from_numpy(area(boxes)))

    def probabilities(*prior_R: float) -> list[float]:
        attention_PR, prior_PR = torch.rand(1, 3), torch.tensor([prior_R])
        found: list[float] = region_probabilities(attention_PR, terms, ranking, prior_PR)[0].tolist()
        return found

    first, larger, surer = probabilities(0, 0, 0)
    assert larger > first and surer > first
    better, larger, surer = probabilities(0.6, 0.5, 0.5)
    assert better > larger and better > surer


def _split(run: Path, world: tuple[Path, Path]) -> EmbeddedSplit:
    return EmbeddedSplit(Grounder.load(run), RegionStore.open(world[1]))


def test_the_prior_is_kept_where_training_harms(
    harmed: Path, tiny_world: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = load_dataset(tiny_world[0]).split("test").examples
    split = _split(harmed, tiny_world)
    assert split.grounder.config.boxes_from == "trained" and "kept" not in split.grounder.config.facts
    monkeypatch.setattr(box_ranker, "sure_regions", lambda *given: (5, 1))
    said: list[str] = []
    config = with_box_ranker(split, examples, "better", said.append)
    assert config.boxes_from == "prior" and "the prior alone" in said[0] and "20 %" in said[0]
    assert config.facts["kept"]["agreement"] == 0.2 and set(config.facts["kept"]["rsum"]) == {
        "prior", "trained", "combined",
    }  # fmt: skip
    # The run answers by the prior's best region, also after it was saved.
    split.grounder.config = config
    split.grounder.save(tmp_path / "copy")
    assert RunConfig.load(tmp_path / "copy").ranking.learned_weight == 0
    chosen = _split(tmp_path / "copy", tiny_world)
    for example, groundings in zip(
        examples, chosen.ground((e.image_id, e.captions[:1]) for e in examples), strict=True
    ):
        regions = chosen.store[example.image_id]
        for phrase in groundings[0].phrases:
            prior = chosen.grounder.prior
            assert prior is not None and phrase.prior is not None
            assert 0 <= phrase.prior <= 1 and len(phrase.boxes) == len(regions)
    rsum = config.facts["kept"]["rsum"]
    assert (config.prior_share > 0) == (rsum["combined"] >= rsum["trained"])
    monkeypatch.setattr(box_ranker, "sure_regions", lambda *given: (5, 4))
    assert with_box_ranker(split, examples, "better", said.append).boxes_from == "trained"


def test_what_is_asked_for_is_kept(harmed: Path, tiny_world: tuple[Path, Path]) -> None:
    examples = load_dataset(tiny_world[0]).split("test").examples
    split = _split(harmed, tiny_world)
    assert with_box_ranker(split, examples, "trained", print) is split.grounder.config
    kept = choose_box_ranker(split, examples, "prior")
    assert kept is not None and kept.boxes_from == "prior" and "as asked" in str(kept)
    assert choose_box_ranker(split, examples[:1]) is None


def test_the_prior_has_its_share_in_the_scores_of_retrieval(
    harmed: Path, tiny_world: tuple[Path, Path], tmp_path: Path
) -> None:
    examples = load_dataset(tiny_world[0]).split("test").examples[:4]
    split = _split(harmed, tiny_world)
    grounder = split.grounder
    captions = [caption for example in examples for caption in example.captions[:2]]
    encoded, images = grounder.encode_captions(captions), split.embeddings([example.image_id for example in examples])
    found_BC = caption_prior(images, encoded)
    assert torch.equal(found_BC, caption_prior(images, encoded, budget_bytes=1)), "one caption at a time"
    for image, grounded in enumerate(split.ground((example.image_id, captions) for example in examples)):
        for number, grounding in enumerate(grounded):
            best = [phrase.prior for phrase in grounding.phrases]
            assert found_BC[image, number] == pytest.approx(np.mean(best), abs=1e-4)
    trained_BC = grounder.score_embeddings(images, encoded)
    grounder.config = replace(grounder.config, boxes_from="prior", prior_share=2.5)
    grounder.save(tmp_path / "run")
    again = Grounder.load(tmp_path / "run")
    assert torch.allclose(again.score_embeddings(images, encoded), trained_BC + 2.5 * found_BC, atol=1e-5)


def test_with_few_sure_phrases_retrieval_and_separation_decide() -> None:
    few = BoxRankerChoice("prior", False, 2, FEWEST_SURE - 1, NEEDED_AGREEMENT, {"prior": 300.0}, {"prior": 80.0})
    assert "trained part alone retrieves or separates worse than the prior" in str(few) and "rsum" in str(few)
