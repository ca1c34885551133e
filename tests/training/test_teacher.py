"""A run that teaches another one: its answers, what they train, and what cannot teach."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unboxed.attention.ranking import Ranking
from unboxed.data.dataset import load_dataset
from unboxed.errors import RegionsError, RunError
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.grounder import Grounder
from unboxed.inference.hub import model_card
from unboxed.inference.run_config import RunConfig
from unboxed.recipes import RecipeConfig
from unboxed.recipes.ckd import CKD
from unboxed.recipes.config import DistillationConfig
from unboxed.recipes.infoground import InfoGround
from unboxed.recipes.npair import NPair
from unboxed.recipes.schedule import Schedule
from unboxed.recipes.sprm import SPRM
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.training.corrected_boxes import PhraseBox, all_corrections
from unboxed.training.fitting import FitSettings, fit
from unboxed.training.teacher import Teacher
from unboxed.types import Array, Example

SCHEDULE = Schedule(epochs=8, images_per_batch=8)


@pytest.fixture(scope="module")
def teacher(tiny_world: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two members, whose scores of boxes are the probabilities of regions."""
    out = tmp_path_factory.mktemp("teacher") / "run"
    options = CKD(members=2, joint_width=32, schedule=SCHEDULE, ranking=Ranking(expected_overlap=False, consensus=1.0))
    fit("ckd", options, FitSettings(tiny_world[0], out, regions=tiny_world[1]))
    return out


def _examples(data: Path) -> tuple[Example, ...]:
    return tuple(load_dataset(data).split("train").examples)


def _scores(run: Grounder, store: RegionStore, example: Example) -> list[list[Array]]:
    """The score of every region, in the order of the store, for the phrases of each caption."""
    found = next(iter(EmbeddedSplit(run, store).ground([(example.image_id, example.captions)])))
    place = {tuple(box.tolist()): number for number, box in enumerate(store[example.image_id].boxes)}
    return [[_by_place(phrase.boxes, phrase.scores, place) for phrase in one.phrases] for one in found]


def _by_place(boxes: Array, scores: Array, place: dict[tuple[float, ...], int]) -> Array:
    score_R = np.zeros(len(place), np.float32)
    for box, score in zip(boxes, scores, strict=True):
        score_R[place[tuple(box.tolist())]] = score
    return score_R


def test_the_answers_are_the_probabilities_by_which_the_run_ranks_regions(
    teacher: Path, tiny_world: tuple[Path, Path]
) -> None:
    store, examples = RegionStore.open(tiny_world[1]), _examples(tiny_world[0])[:4]
    answers = Teacher.of(Grounder.load(teacher), store, examples, progress=False)
    batch = [(image, [1, 0]) for image in range(len(examples))]
    phrases = max(len(caption.phrases) for example in examples for caption in example.captions)
    regions = max(len(store[example.image_id]) for example in examples) + 3  # padded
    probability_CPR = answers.probabilities(batch, phrases, regions).numpy()
    run, row = Grounder.load(teacher), 0
    for example in examples:
        expected = _scores(run, store, example)
        for number in (1, 0):
            for phrase, score_R in enumerate(expected[number]):
                likeliest = np.sort(score_R)[::-1][:16]
                kept_R = probability_CPR[row, phrase, : len(score_R)]
                np.testing.assert_allclose(kept_R, np.where(score_R >= likeliest[-1], score_R, 0), atol=1e-3)
            assert not probability_CPR[row, len(expected[number]) :].any()
            row += 1
    assert not probability_CPR[:, :, regions - 3 :].any()


def test_a_student_answers_as_its_teacher_does(teacher: Path, tiny_world: tuple[Path, Path], tmp_path: Path) -> None:
    """A student that nothing else trains finds the teacher's regions; an untaught model does not."""
    data, files = tiny_world
    store, examples = RegionStore.open(files), _examples(data)
    options = CKD(
        distillation=DistillationConfig(distillation=1.0, teacher=str(teacher)),
        sentence_weight=0,
        phrase_weight=0,
        joint_width=32,
        ranking=Ranking(expected_overlap=False),
        schedule=replace(SCHEDULE, epochs=40),
    )
    student = fit("ckd", options, FitSettings(data, tmp_path / "student", regions=files))
    assert not options.needs_prior and student.prior is None  # only the teacher knew it
    untaught = replace(
        options,
        distillation=DistillationConfig(distillation=0.0),
        phrase_weight=1,
        schedule=replace(SCHEDULE, epochs=1),
    )
    other = fit("ckd", untaught, FitSettings(data, tmp_path / "other", regions=files))
    agreed = [_agreement(run, Grounder.load(teacher), store, examples[:8]) for run in (student, other)]
    assert agreed[0] > 0.5 and agreed[0] > agreed[1] + 0.2, agreed


def _agreement(run: Grounder, teacher: Grounder, store: RegionStore, examples: tuple[Example, ...]) -> float:
    """The share of phrases for which two runs choose one region."""
    pairs = [
        (mine.argmax(), theirs.argmax())
        for example in examples
        for of_mine, of_theirs in zip(*(_scores(one, store, example) for one in (run, teacher)), strict=True)
        for mine, theirs in zip(of_mine, of_theirs, strict=True)
    ]
    return float(np.mean([mine == theirs for mine, theirs in pairs]))


def test_a_run_is_resumed_with_the_teacher_that_it_was_started_with(
    teacher: Path, tiny_world: tuple[Path, Path], tmp_path: Path
) -> None:
    data, store = tiny_world
    copy = tmp_path / "teacher"
    shutil.copytree(teacher, copy)
    teaching = DistillationConfig(distillation=1.0, teacher=str(copy))
    options = InfoGround(negatives="none", joint_width=32, distillation=teaching, schedule=replace(SCHEDULE, epochs=1))
    settings = FitSettings(data, tmp_path / "run", regions=store)
    run = fit("infoground", options, settings)
    assert run.config.without_paths().options.distillation.teacher == "teacher"
    more = replace(options, schedule=replace(SCHEDULE, epochs=2))
    shutil.copy(tmp_path / "run" / "model.safetensors", tmp_path / "kept")
    other = fit(
        "ckd",
        CKD(joint_width=32, schedule=replace(SCHEDULE, epochs=1)),
        FitSettings(data, tmp_path / "another", regions=store),
    )
    shutil.rmtree(copy)
    with pytest.raises(RunError, match=r"There is no folder .*teacher; name that of a run"):
        fit("infoground", more, replace(settings, resume=True))
    other.save(copy)
    with pytest.raises(RunError, match=r"The weights of .*teacher are not those that began to teach this run"):
        fit("infoground", more, replace(settings, resume=True))
    shutil.rmtree(copy)
    shutil.copytree(teacher, copy)
    assert fit("infoground", more, replace(settings, resume=True)).config.options.schedule.epochs == 2


TAUGHT = InfoGround(negatives="none", joint_width=32, schedule=replace(SCHEDULE, epochs=1))


def _taught_by(teacher: Path, options: RecipeConfig = TAUGHT) -> RecipeConfig:
    return replace(options, distillation=DistillationConfig(distillation=1.0, teacher=str(teacher)))


def _with_facts(teacher: Path, copy: Path, **facts: object) -> Path:
    """A copy of a run that states other facts about itself."""
    shutil.copytree(teacher, copy)
    config = RunConfig.load(copy)
    replace(config, facts={**config.facts, **facts}).save(copy)
    return copy


def test_corrected_boxes_that_trained_a_teacher_are_stated_by_what_it_teaches(
    teacher: Path, tiny_world: tuple[Path, Path], tmp_path: Path
) -> None:
    data, store = tiny_world
    seen = {"boxes": 1200, "photos": 30, "digest": "of the teacher"}
    corrected = _with_facts(teacher, tmp_path / "corrected", corrections=seen)
    said: list[str] = []
    student = fit(
        "infoground", _taught_by(corrected), FitSettings(data, tmp_path / "one", regions=store), show=said.append
    )
    assert any("so the results are not those of captions alone" in line for line in said)
    assert "1,200 boxes that people corrected were used too" in model_card(student.config)
    example = _examples(data)[0]
    caption = example.captions[0]
    phrase = caption.phrases[0]
    own = {example.path.name: [PhraseBox(caption.text, phrase.start, phrase.end, (0.1, 0.1, 0.9, 0.9))]}
    settings = FitSettings(data, tmp_path / "two", regions=store)
    both = fit("infoground", _taught_by(tmp_path / "one"), settings, corrections=own)
    assert both.config.facts["corrections"]["boxes"] == 1201


def test_corrections_of_the_same_file_are_counted_once() -> None:
    facts = {"boxes": 3, "photos": 2, "digest": "a"}
    assert all_corrections(facts, None) == all_corrections(facts, facts) == facts
    both = all_corrections(facts, {"boxes": 1, "photos": 1, "digest": "b"})
    assert (both["boxes"], both["photos"]) == (4, 3) and both["digest"] not in "ab"


@pytest.mark.parametrize(
    ("folder", "published"), [("../of a person/teacher", "teacher"), ("/runs/t", "t"), ("of/prior", "./prior")]
)
def test_a_published_student_names_its_teacher_without_folders(
    teacher: Path, tmp_path: Path, folder: str, published: str
) -> None:
    options = _taught_by(Path(folder), CKD())
    student = replace(RunConfig.load(teacher), options=options, regions=RegionSettings(), boxes_from="trained")
    student.without_paths().save(tmp_path)
    found = RunConfig.load(tmp_path).options
    assert found.distillation.teacher == published and not found.needs_prior


def test_a_path_names_a_teacher_or_a_text_encoder() -> None:
    assert DistillationConfig(distillation=1.0, teacher=Path("a b")).teacher == "a b"  # type: ignore[arg-type]
    assert CKD(text=Path("bert")).text == "bert"  # type: ignore[arg-type]


def test_regions_are_found_as_those_of_the_teacher(
    teacher: Path, tiny_world: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a store: the defaults of the dataset may be other ones, with which the teacher cannot answer."""
    data = tiny_world[0]
    grid = FitSettings(data, tmp_path / "grid")
    fit("infoground", TAUGHT, grid, sources=RegionSettings(grid=2))
    student = fit("infoground", _taught_by(tmp_path / "grid"), FitSettings(data, tmp_path / "student"))
    assert student.config.regions.fingerprint() == RunConfig.load(tmp_path / "grid").regions.fingerprint()
    settings = FitSettings(data, tmp_path / "other", regions=tmp_path / "grid" / "store")
    with pytest.raises(RegionsError, match=r"regions of other settings \(detectors: .*needs the same; add --regions"):
        fit("infoground", _taught_by(teacher), settings)
    monkeypatch.setattr("unboxed.training.fit_data.extract", lambda *_, **__: pytest.fail("all images were read"))
    with pytest.raises(RegionsError, match="regions of other settings"):
        fit("infoground", _taught_by(teacher), replace(settings, regions=None), sources=RegionSettings(grid=2))
    assert not (tmp_path / "other").exists()


def test_an_image_in_two_splits_is_taught_with_the_captions_of_each(
    teacher: Path, tiny_world: tuple[Path, Path], tmp_path: Path
) -> None:
    """COCO's format has a file of captions for each split, which may name one image."""
    examples = _examples(tiny_world[0])
    for split, some, count in (("train", examples[:8], 3), ("val", examples[:4], 1)):
        named = [(number, one) for number, one in enumerate(some)]
        images = [{"id": n, "file_name": one.path.name, "width": one.width, "height": one.height} for n, one in named]
        captions = [
            {"id": 9 * n + place, "image_id": n, "caption": caption.text}
            for n, one in named
            for place, caption in enumerate(one.captions[-count:])
        ]
        (tmp_path / f"{split}.json").write_text(json.dumps({"images": images, "annotations": captions}), "utf-8")
    data = tmp_path / "data.toml"
    folder = json.dumps(str(examples[0].path.parent))
    data.write_text(f'format = "coco"\nimages = {folder}\n[splits]\ntrain = "train.json"\nval = "val.json"\n', "utf-8")
    student = fit("infoground", _taught_by(teacher), FitSettings(data, tmp_path / "run"))
    assert student.config.facts["train"]["captions"] == 24 and student.config.facts["validation"]["captions"] == 4


def test_a_run_that_cannot_teach_is_refused_before_data_is_read(teacher: Path, tmp_path: Path) -> None:
    unfinished = _with_facts(teacher, tmp_path / "unfinished", finished=False)
    shutil.copytree(teacher, damaged := tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"half")
    for run, reason in (
        (unfinished, "is not trained to its end yet; finish it first"),
        (damaged, "model.safetensors is damaged"),
        (tmp_path, "is not a run"),
    ):
        with pytest.raises(RunError, match=reason):
            fit("infoground", _taught_by(run), FitSettings(tmp_path / "unread.toml", tmp_path / "run"))


@pytest.mark.parametrize(
    ("recipe", "options", "devices", "reason"),
    [
        ("npair", NPair(), 1, "npair has a match map; choose another recipe"),
        ("ckd", CKD(), 2, "A run teaches in one process; leave out --devices"),
        ("sprm", SPRM(untrained=True), 1, "--distillation has no effect with --untrained"),
    ],
)
def test_what_cannot_be_taught_is_refused(
    teacher: Path, tmp_path: Path, recipe: str, options: RecipeConfig, devices: int, reason: str
) -> None:
    taught = replace(options, distillation=DistillationConfig(distillation=1.0, teacher=str(teacher)))
    with pytest.raises(RunError, match=reason):
        fit(recipe, taught, FitSettings(tmp_path / "unread.toml", tmp_path / "run", devices=devices))
