"""The audit of captions: swapped ones come first, and the figures follow their definitions."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from unboxed.cli import main
from unboxed.data.dataset import Dataset, Split, load_dataset
from unboxed.errors import EvaluationError
from unboxed.evaluation.audit import AuditedCaption, CaptionRanking, _grounded, audit_dataset, swapped_captions
from unboxed.evaluation.audit_page import _parts
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.grounder import Grounder
from unboxed.inference.results import GroundedPhrase, Grounding
from unboxed.inference.run_config import RunConfig
from unboxed.recipes.ckd import CKD
from unboxed.recipes.schedule import Schedule
from unboxed.regions.store import RegionStore
from unboxed.training.fitting import FitSettings, fit
from unboxed.types import Caption


@pytest.fixture(scope="module")
def run(tiny_world: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("audit") / "run"
    options = CKD(prior="semantic", schedule=Schedule(epochs=2, images_per_batch=8))
    fit("ckd", options, FitSettings(tiny_world[0], place, regions=tiny_world[1]))
    return place


def test_captions_are_moved_to_other_images(tiny_world: tuple[Path, Path]) -> None:
    examples = load_dataset(tiny_world[0]).split("train").examples
    mixed, moved = swapped_captions(examples, 0.1)
    changed = [
        (new.image_id, caption.text)
        for old, new in zip(examples, mixed, strict=True)
        for before, caption in zip(old.captions, new.captions, strict=True)
        if caption is not before
    ]
    assert set(changed) == moved and len(changed) == round(0.1 * sum(len(e.captions) for e in examples))
    assert swapped_captions(examples, 0.1)[1] == moved


def test_a_caption_that_the_image_has_as_well_is_not_swapped(tiny_world: tuple[Path, Path]) -> None:
    """Captions that are names of classes: half of the moved ones are right at their new image."""
    examples = load_dataset(tiny_world[0]).split("train").examples
    of_class = [replace(e, captions=(Caption(f"class {i % 2}"),)) for i, e in enumerate(examples)]
    mixed, moved = swapped_captions(of_class, 1)
    wrong = {
        (new.image_id, new.captions[0].text)
        for old, new in zip(of_class, mixed, strict=True)
        if new.captions[0].text != old.captions[0].text
    }
    assert moved == wrong and 0 < len(wrong) < len(of_class)


def test_captions_that_are_all_the_same_are_refused(
    run: Path, tiny_world: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def alike(self: Dataset, name: str) -> Split:
        found = split(self, name)
        return replace(found, examples=tuple(replace(e, captions=(Caption("A dog."),)) for e in found.examples))

    split = Dataset.split
    monkeypatch.setattr(Dataset, "split", alike)
    with pytest.raises(EvaluationError, match="too much alike"):
        audit_dataset(tiny_world[0], run, "train")


def _naive_precision(world: tuple[Path, Path], run: Path) -> float:
    """Swap captions, rank all, and walk down the ranking until half of the swapped ones are found."""
    examples = load_dataset(world[0]).split("train").examples
    mixed, moved = swapped_captions(examples, 0.05)
    embedded = EmbeddedSplit(Grounder.load(run), RegionStore.open(world[1]))
    found = 0
    for rank, caption in enumerate(CaptionRanking(embedded, examples, 0.05)(mixed), start=1):
        found += (caption.image_id, caption.caption) in moved
        if 2 * found >= len(moved):
            return found / rank
    raise AssertionError("fewer than half of the swapped captions are in the ranking")


def test_captions_whose_phrases_are_absent_come_first(
    run: Path, tiny_world: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = load_dataset(tiny_world[0]).split("train").examples
    truth = {example.image_id: {caption.text for caption in example.captions} for example in examples}
    embedded = EmbeddedSplit(Grounder.load(run), RegionStore.open(tiny_world[1]))
    ground = embedded.ground

    def knowing(asked: Iterable[tuple[str, Sequence[Caption]]]) -> Iterator[list[Grounding]]:
        """Groundings whose phrases are present where the caption is the image's own."""
        listed = list(asked)
        for (image_id, _), groundings in zip(listed, ground(listed), strict=True):
            yield [_with_confidence(g, 0.9 if g.caption in truth[image_id] else 0.1) for g in groundings]

    monkeypatch.setattr(embedded, "ground", knowing)
    mixed, moved = swapped_captions(examples, 0.1)
    ranked = sorted(_grounded(embedded, mixed), key=lambda caption: caption.log_odds)
    first = ranked[: len(moved)]
    assert {(caption.image_id, caption.caption) for caption in first} == moved
    assert all(caption.absent and caption.log_odds < 0 for caption in first)
    assert not any(caption.absent for caption in ranked[len(moved) :])


def _with_confidence(grounding: Grounding, confidence: float) -> Grounding:
    return replace(grounding, phrases=tuple(replace(phrase, confidence=confidence) for phrase in grounding.phrases))


def test_the_figures_follow_their_definition_and_everything_is_written(
    run: Path, tiny_world: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, page = tmp_path / "audit.jsonl", tmp_path / "audit.html"
    command = ["audit", str(tiny_world[0]), "--run", str(run), "--split", "train", "--top", "3"]
    main([*command, "--out", str(out), "--review", str(page), "--json"])
    printed = json.loads(capsys.readouterr().out)
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert printed["first"] == lines[:3] and len(lines) == printed["captions"] == 5 * printed["images"]
    odds = [line["log_odds"] for line in lines]
    assert odds == sorted(odds)
    assert all(line["wrong"] == pytest.approx(1 / (1 + math.exp(line["log_odds"])), abs=1e-4) for line in lines)
    for line in lines:
        below = {phrase["text"] for phrase in line["phrases"] if phrase["probability"] < 0.5}
        assert set(line["absent"]) == below
    assert printed["precision_at_half"] == pytest.approx(_naive_precision(tiny_world, run), abs=1e-4)
    content = page.read_text(encoding="utf-8")
    assert "default-src 'none'" in content and content.count("<figure>") == min(len(lines), 200)
    main(command)
    told = capsys.readouterr()
    assert told.out.startswith("1. ") and "swapped on purpose" in told.err


def test_a_share_outside_of_its_range_and_an_uncalibrated_run_are_refused_before_any_work(
    run: Path, tmp_path: Path
) -> None:
    with pytest.raises(EvaluationError, match="such as"):
        audit_dataset(tmp_path / "nowhere.toml", run, swapped=0)
    copy = shutil.copytree(run, tmp_path / "run")
    replace(RunConfig.load(copy), presence=None).save(copy)
    with pytest.raises(EvaluationError, match="was not calibrated"):
        audit_dataset(tmp_path / "nowhere.toml", copy)


def test_a_caption_is_shown_once_where_a_phrase_is_within_another() -> None:
    text = "a man with a dog runs"
    spans = ((0, 5), (0, 16), (11, 16))
    phrases = tuple((GroundedPhrase(text[a:b], a, b, [[0, 0, 1, 1]], [1]), 0.5) for a, b in spans)
    parts = _parts(AuditedCaption("7", Path("7.jpg"), text, phrases, 0.0))
    assert "".join(part for part, _ in parts) == text
    assert [part for part, probability in parts if probability] == ["a man", "a dog"]
