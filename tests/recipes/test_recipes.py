"""Every recipe trains, is saved and grounds; parts combine; and what a paper says of test time is so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

import unboxed
from unboxed.attention.ranking import Ranking
from unboxed.data.dataset import load_dataset
from unboxed.errors import RegionsError, RunError, UnboxedError
from unboxed.evaluation import pair_scores as score_pairs_module
from unboxed.evaluation.options import BoxRuleOptions
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.grounder import Grounder
from unboxed.negatives.base import Negatives
from unboxed.priors.settings import PriorSettings
from unboxed.recipes import RECIPES, REMOVED_OPTIONS, RecipeConfig, preset, recipe_from_dict, recipe_to_dict
from unboxed.recipes.ckd import CKD
from unboxed.recipes.config import DistillationConfig
from unboxed.recipes.cross_attention import ScoringConfig
from unboxed.recipes.infoground import InfoGround
from unboxed.recipes.matching import ConstraintConfig, MatchingConfig
from unboxed.recipes.scan import SCAN
from unboxed.recipes.schedule import Schedule
from unboxed.recipes.sprm import SPRM
from unboxed.recipes.vse import VSE
from unboxed.regions.store import RegionStore
from unboxed.runtime.json_values import UnknownFieldError
from unboxed.text.settings import TextConfig
from unboxed.training.fitting import fit
from unboxed.training.options import FitSettings
from unboxed.training.splits import sample_images

World = tuple[Path, Path]
SMALL = {"joint_width": 16, "embedding_width": 12, "hidden_width": 8}
BRIEF = Schedule(epochs=1, images_per_batch=8, captions_per_image=5)
ON_REGIONS = [name for name in RECIPES if name != "npair"]


def _small(name: str, **more: object) -> RecipeConfig:
    return RECIPES[name](**{**SMALL, "schedule": BRIEF, "negatives": "none", **more})  # type: ignore[arg-type]


def _fit(name: str, options: RecipeConfig, world: World, run: Path) -> Grounder:
    return fit(name, options, FitSettings(world[0], run, world[1]))


@pytest.fixture(scope="module", params=ON_REGIONS)
def trained(request: pytest.FixtureRequest, tiny_world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a recipe, trained for a moment."""
    run = tmp_path_factory.mktemp("recipes") / request.param
    _fit(request.param, _small(request.param), tiny_world, run)
    return run


def test_a_recipe_trains_is_saved_and_grounds_the_same_again(trained: Path, tiny_world: World, tmp_path: Path) -> None:
    grounder = unboxed.load(trained)
    entries = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert all(np.isfinite(entry["val_loss"]) for entry in entries if "val_loss" in entry)
    example = load_dataset(tiny_world[0]).split("test").examples[0]
    regions = RegionStore.open(tiny_world[1])[example.image_id]
    first = grounder.ground_regions(regions, example.captions)
    (hit,) = grounder.retrieve(example.captions[0], [regions])
    images, captions = grounder.encode_images([regions]), grounder.encode_captions(example.captions)
    score_1C = grounder.model.score(images, captions)  # with gradients, as in code of one's own
    np.testing.assert_allclose(hit.score, float(score_1C[0, 0].detach()), rtol=1e-4)
    grounder.save(tmp_path / "copy")
    again = unboxed.load(tmp_path / "copy").ground_regions(regions, example.captions)
    for one, other, caption in zip(first, again, example.captions, strict=True):
        assert one.to_dict() == other.to_dict()
        assert [phrase.text for phrase in one.phrases] == [phrase.text for phrase in caption.phrases]
        np.testing.assert_allclose(one.attention_WR.sum(axis=1), 1, rtol=1e-4)
        for phrase in one.phrases:
            assert sorted(phrase.boxes.tolist()) == sorted(regions.boxes.tolist())
            assert (np.diff(phrase.scores) <= 0).all()


def test_images_and_captions_encoded_apart_score_as_in_one_batch(
    trained: Path, tiny_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    grounder, store = unboxed.load(trained), RegionStore.open(tiny_world[1])
    examples = load_dataset(tiny_world[0]).split("test").examples[:5]
    captions = [caption for example in examples for caption in example.captions]
    whole_BC = grounder.score([store[example.image_id] for example in examples], captions)
    monkeypatch.setattr(score_pairs_module, "_BATCH", 3)
    for memory in (1, 1 << 30):
        found = score_pairs_module.score_pairs(EmbeddedSplit(grounder, store, memory), examples, memory=memory)
        np.testing.assert_allclose(found.score_BC, whole_BC, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ON_REGIONS)
def test_every_part_combines_with_every_recipe(name: str, tiny_world: World, tmp_path: Path) -> None:
    more: dict[str, object] = {
        "negatives": "random",
        "prior": "none" if name == "sprm" else "semantic",
        "distillation": DistillationConfig(distillation=0.5, neighbours=4, ramp_steps=2),
        "intra_caption": 0.3,
    }
    if issubclass(RECIPES[name], MatchingConfig):
        more["constraint"] = ConstraintConfig() if name == "vse" else ConstraintConfig("both")
    _fit(name, _small(name, **more), tiny_world, tmp_path / "run")
    last = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert np.isfinite(last["val_loss"])


def test_a_score_of_a_pair_does_not_depend_on_the_rest_of_the_batch(trained: Path, tiny_world: World) -> None:
    grounder = unboxed.load(trained)
    examples = load_dataset(tiny_world[0]).split("test").examples[:4]
    store = RegionStore.open(tiny_world[1])
    regions = [store[example.image_id] for example in examples]
    captions = [caption for example in examples for caption in example.captions[:2]]
    score_BC = grounder.score(regions, captions)
    assert score_BC.shape == (4, 8)
    for b, c in ((0, 0), (3, 1), (1, 7)):
        np.testing.assert_allclose(grounder.score([regions[b]], [captions[c]])[0, 0], score_BC[b, c], atol=1e-5)


def test_options_that_leave_no_loss_are_refused_before_anything_is_written(tiny_world: World, tmp_path: Path) -> None:
    options = _small("ckd", sentence_weight=0.0, phrase_weight=0.0, distillation=DistillationConfig())
    with pytest.raises(RunError, match="no loss to train with: all weights are 0"):
        _fit("ckd", options, tiny_world, tmp_path / "run")
    assert not list((tmp_path / "run").glob("*.*"))


def test_the_bare_cosine_is_taught_where_there_is_one(tiny_world: World, tmp_path: Path) -> None:
    teaching = DistillationConfig(distillation=3, student="cosine", ramp="stairs", ramp_steps=1, neighbours=8)
    _fit("ckd", _small("ckd", distillation=teaching), tiny_world, tmp_path / "run")
    for name in ("infoground", "npair"):
        with pytest.raises(RunError, match="which infoground and npair do not"):
            _small(name, distillation=teaching)


@pytest.mark.parametrize("negative", ["vectors", "next", "all"])
def test_regions_have_the_word_vectors_of_their_classes(negative: str, tiny_world: World, tmp_path: Path) -> None:
    reading = TextConfig(
        cell="lstm", bidirectional=False, word_state="mean", phrase_reads="phrase", phrase_pooling="last"
    )
    more = {"text_encoder": reading, "label_vectors": True, "box_inputs": True, "region_inputs": "features"}
    widths = {"joint_width": 12, "embedding_width": 12, "hidden_width": 12}
    _fit("sprm", SPRM(**widths, **more, negative=negative, schedule=BRIEF), tiny_world, tmp_path / "run")
    grounder, store = unboxed.load(tmp_path / "run"), RegionStore.open(tiny_world[1])
    for name in grounder.config.class_names:
        assert name.rpartition(":")[2].lower() in grounder.vocabulary
    regions = store[load_dataset(tiny_world[0]).split("test").examples[0].image_id]
    label_R = grounder.batcher.images([regions]).label_BR[0]
    names = [grounder.vocabulary.words[label] for label in label_R if label]
    classes = np.array(regions.class_names)[regions.class_probs.argmax(axis=1)[label_R.numpy() > 0]]
    assert names == [name.rpartition(":")[2].lower() for name in classes] and names
    assert SPRM(label_vectors=True, joint_width=12).embedding_width == 12  # by default the joint width
    with pytest.raises(RunError, match="--embedding-width 12"):
        SPRM(**{**widths, "embedding_width": 8}, **more)


def test_the_map_beside_word_vectors_begins_with_xaviers_normal_numbers() -> None:
    torch.manual_seed(0)
    aligner, deviation = SPRM(label_vectors=True, joint_width=300).aligner(2048, 300), (2 / (2048 + 300)) ** 0.5
    weight, bias = (aligner.get_parameter(f"region.map.0.{name}").detach() for name in ("weight", "bias"))
    assert float(weight.std()) == pytest.approx(deviation, rel=0.01)
    assert weight.abs().max() > 4 * deviation  # of uniform numbers it is at most √3 deviations
    assert not bias.any()


def test_the_map_of_contents_beside_positions_begins_as_in_pfans_code() -> None:
    """There only the map of regions has Xavier's numbers; a layer of PyTorch begins with uniform ones up to 1 / √V."""
    torch.manual_seed(0)
    aligner = preset("pfan", "paper").config.aligner(2048, 1024)
    largest = {name: aligner.get_parameter(f"region_encoder.{name}.weight").abs().max() for name in ("content", "map")}
    assert largest["content"].item() == pytest.approx(2048**-0.5, rel=0.01)
    assert largest["map"].item() == pytest.approx((6 / (2248 + 1024)) ** 0.5, rel=0.01)


@pytest.mark.parametrize("ramp_steps", [0, -1])
def test_stairs_need_a_length(ramp_steps: int) -> None:
    with pytest.raises(RunError, match="--ramp-steps 500"):
        DistillationConfig(ramp="stairs", ramp_steps=ramp_steps)


@pytest.mark.parametrize("name", RECIPES)
def test_options_go_through_json(name: str) -> None:
    options = RECIPES[name]()
    assert recipe_from_dict(name, json.loads(json.dumps(recipe_to_dict(options)))) == options
    with pytest.raises(UnknownFieldError, match="unknown name 'speed'"):
        recipe_from_dict(name, {"speed": 1})


@pytest.mark.parametrize("name", REMOVED_OPTIONS)
def test_options_without_effect_in_saved_runs_are_ignored(name: str) -> None:
    options = RECIPES[name]()
    assert recipe_from_dict(name, {**recipe_to_dict(options), **REMOVED_OPTIONS[name]}) == options


def test_distilled_grounding_needs_no_class_names_and_no_class_scores(tiny_world: World, tmp_path: Path) -> None:
    options = _small("ckd", class_inputs=False, distillation=DistillationConfig(distillation=1.0))
    grounder = _fit("ckd", options, tiny_world, tmp_path / "run")
    example = load_dataset(tiny_world[0]).split("test").examples[0]
    regions = RegionStore.open(tiny_world[1])[example.image_id]
    nameless = replace(
        regions,
        class_probs=np.zeros_like(regions.class_probs),
        class_names=tuple(f"#{k}" for k in range(len(regions.class_names))),
    )
    grounder.config = replace(grounder.config, class_names=nameless.class_names)
    grounder.prior = None
    known = unboxed.load(tmp_path / "run").ground_regions(regions, example.captions)
    for one, other in zip(known, grounder.ground_regions(nameless, example.captions), strict=True):
        for phrase, nameless_phrase in zip(one.phrases, other.phrases, strict=True):
            np.testing.assert_array_equal(phrase.boxes, nameless_phrase.boxes)
            np.testing.assert_array_equal(phrase.scores, nameless_phrase.scores)
            assert phrase.confidence == nameless_phrase.confidence  # the set of a plural reads detected classes


def test_the_prior_alone_takes_no_step_and_grounds_by_the_prior(tiny_world: World, tmp_path: Path) -> None:
    grounder = _fit("sprm", SPRM(untrained=True, **SMALL), tiny_world, tmp_path / "run")  # type: ignore[arg-type]
    assert not (tmp_path / "run" / "log.jsonl").exists()
    store = RegionStore.open(tiny_world[1])
    checked = 0
    for example in load_dataset(tiny_world[0]).split("test").examples:
        regions = store[example.image_id]
        assert grounder.prior is not None
        captions = grounder.batcher.captions(grounder.batcher.encode(example.captions))
        with torch.no_grad():
            images = grounder.model.encode_images(grounder.batcher.images([regions]))
            paired = images.of(torch.zeros(len(captions), dtype=torch.long))
            alignment, _, prior_CPR = grounder.model.ground(paired, captions)
        assert prior_CPR is not None
        for c, caption in enumerate(example.captions):
            for p in range(len(caption.phrases)):
                if float(prior_CPR[c, p].max()) > 0:
                    assert int(alignment.attention_BCQR[0, c, p].argmax()) == int(prior_CPR[c, p].argmax())
                    checked += 1
    assert checked > 20


def test_there_is_no_attention_to_constrain_in_the_pooled_baseline() -> None:
    with pytest.raises(RunError, match="scan"):
        VSE(constraint=ConstraintConfig("both"))


def test_a_prior_without_class_names_says_what_to_do(tiny_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(RegionsError, match="--detector"):
        fit("ckd", CKD(schedule=BRIEF), FitSettings(tiny_dataset, tmp_path / "run"))


def test_a_share_of_the_images_is_part_of_a_larger_one(tiny_world: World, tmp_path: Path) -> None:
    split = load_dataset(tiny_world[0]).split("train")
    quarter, half = (sample_images(split, fraction, seed=3).examples for fraction in (0.25, 0.5))
    assert (len(quarter), len(half)) == (6, 12)
    assert {e.image_id for e in quarter} < {e.image_id for e in half}


def test_two_recipes_with_the_same_seed_and_words_begin_with_the_same_negatives(
    tiny_world: World, tmp_path: Path
) -> None:
    for name, options in (
        ("infoground", InfoGround(negatives="random", schedule=BRIEF, **SMALL)),  # type: ignore[arg-type]
        ("scan", SCAN(negatives="random", schedule=BRIEF, **SMALL)),  # type: ignore[arg-type]
    ):
        fit(name, options, FitSettings(tiny_world[0], tmp_path / name, tiny_world[1], cache=tmp_path / "cache"))
    assert [path.name for path in sorted((tmp_path / "cache").glob("*.safetensors"))] == [
        "negatives-random-0.safetensors"
    ]


def test_nouns_of_other_captions_are_negatives_where_the_options_say_so(tiny_world: World, tmp_path: Path) -> None:
    fingerprints = set()
    for seen in (False, True):
        options = InfoGround(negatives="random", negative_seen=seen, schedule=BRIEF, **SMALL)  # type: ignore[arg-type]
        _fit("infoground", options, tiny_world, tmp_path / str(seen))
        fingerprints.add(Negatives.load(tmp_path / str(seen) / "negatives.safetensors").fingerprint)
    assert len(fingerprints) == 2


@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [
        ("joint_width", 0, "at least 1"),
        ("dropout", 1, "at least 0 and below 1"),
        ("dropout", float("nan"), "at least 0 and below 1"),
        ("negative_weight", float("inf"), "at least 0"),
        ("embedding_width", 10**30, "at least 1"),
        ("distillation.teacher_temperature", 0, "above 0"),
        ("text_encoder.word_dropout", -0.5, "at least 0 and below 1"),
        ("scoring.lambda_softmax", float("nan"), "at least 0"),
        ("scoring.lambda_lse", 0.0, "above 0"),
    ],
)
def test_numbers_out_of_range_are_named(option: str, value: float, wanted: str) -> None:
    nested, _, name = option.rpartition(".")
    with pytest.raises(RunError, match=f"--{name.replace('_', '-')} is .*; it must be a number {wanted}"):
        if nested == "text_encoder":
            InfoGround(text_encoder=TextConfig(**{name: value}))
        elif nested == "scoring":
            SCAN(scoring=ScoringConfig(**{name: value}))
        elif nested:
            DistillationConfig(**{name: value})
        else:
            InfoGround(**{name: value})


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        (SCAN, "direction", "i2T"), (SCAN, "contrast", "NPair"), (SCAN, "hinge", "Sum"),
        (InfoGround, "negatives", "LM"),
        (CKD, "sentence_score", "avg"), (DistillationConfig, "student", "logits"), (Schedule, "curve", "cosine"),
        (Schedule, "optimizer", "adam-w"), (Schedule, "select_on", "rsum"), (Schedule, "sampling", "image"),
        (Ranking, "point", "center"), (TextConfig, "cell", "LSTM"), (PriorSettings, "places", "x"),
        (BoxRuleOptions, "boxes", "Inclusive"),
    ],
)  # fmt: skip
def test_a_misspelled_name_is_refused(kind: type, option: str, value: str) -> None:
    with pytest.raises(UnboxedError, match=f"--{option.replace('_', '-')} is '{value}'; expected one of "):
        kind(**{option: value})


def test_the_next_caption_of_another_image_is_the_negative_one() -> None:
    """Two captions of image 0, one of image 1, two of image 2: after the last caption comes the first."""
    pairs = SimpleNamespace(image_of_C=torch.tensor([0, 0, 1, 2, 2]), batch=SimpleNamespace(captions=None))
    (negative_C,) = SPRM(negative="next")._negatives(cast(Any, pairs))
    assert negative_C.tolist() == [1, 1, 2, 0, 0]
    assert len(SPRM(negative="all")._negatives(cast(Any, pairs))) == 4
