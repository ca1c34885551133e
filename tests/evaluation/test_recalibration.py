"""`unboxed calibrate`: probabilities that do not fit a collection are noticed, and calibrated on its captions."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unboxed.cli import main
from unboxed.data.dataset import load_dataset
from unboxed.errors import EvaluationError
from unboxed.evaluation.recalibration import recalibrated
from unboxed.inference.calibration import NO_EVIDENCE
from unboxed.inference.calibration_notes import unknown_images_note
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.grounder import Grounder
from unboxed.inference.run_config import RunConfig
from unboxed.inference.unknown_words import unknown_words_note
from unboxed.recipes.sprm import SPRM
from unboxed.regions.extraction import extract
from unboxed.regions.store import RegionStore
from unboxed.text.tokens import Tokenizer, Vocabulary
from unboxed.training.fitting import FitSettings, fit
from unboxed.types import Caption, Example


@pytest.fixture(scope="module")
def run(tiny_world: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the prior alone, as if of another collection: it takes almost every phrase for absent."""
    place = tmp_path_factory.mktemp("runs") / "run"
    fit("sprm", SPRM(untrained=True, joint_width=32), FitSettings(tiny_world[0], place, regions=tiny_world[1]))
    config = RunConfig.load(place)
    assert config.presence is not None
    facts = {**config.facts, "data": "/elsewhere/photos.csv"}
    replace(config, presence=replace(config.presence, bias=config.presence.bias - 6), facts=facts).save(place)
    return place


def test_a_label_call_notices_and_one_calibration_repairs_it(
    run: Path, tiny_world: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, place = str(tiny_world[0]), tmp_path / "run"
    shutil.copytree(run, place)
    label = ["label", data, "--run", str(place), "--out", str(tmp_path / "coco.json")]
    main([*label, "--review", str(tmp_path / "review.html")])
    line = next(line for line in capsys.readouterr().err.splitlines() if "count as not in their image" in line)
    assert "calibrated on /elsewhere/photos.csv" in line and f"unboxed calibrate {place} --data {data}" in line
    assert "calibrated on /elsewhere/photos.csv" in (tmp_path / "review.html").read_text(encoding="utf-8")

    calibrate = ["calibrate", str(place), "--data", data, "--json"]
    main(calibrate)
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["kept"] and found["photos"] == 40
    assert found["before"]["own"] < 0.3 and found["after"]["own"] > 0.6 > found["after"]["others"]
    assert found["after"]["log_loss"] < found["before"]["log_loss"] and "Written into the run" in printed.err
    assert RunConfig.load(place).facts["calibration"] == {"data": data, "photos": 40}
    main(label)
    assert "count as not in their image" not in capsys.readouterr().err

    before = (place / "config.json").read_bytes()
    shifted = json.loads(before)["presence"]["bias"]
    main(calibrate)  # the same images: each half by the other half is no better than all of them
    assert json.loads(capsys.readouterr().out)["kept"] is False
    assert (place / "config.json").read_bytes() == before and shifted == RunConfig.load(place).presence.bias  # type: ignore[union-attr]


def test_a_phrase_of_no_class_and_no_known_word_is_a_guess(run: Path, tiny_world: tuple[Path, Path]) -> None:
    loaded = Grounder.load(run)
    grounder = Grounder(loaded.config, loaded.model, Vocabulary(), loaded.prior)  # as if it had seen no word
    image = sorted((tiny_world[0].parent / "images").iterdir())[0]
    for name in grounder.prior.class_names:  # type: ignore[union-attr]
        assert grounder.ground(image, f"a {name}").phrases[0].unknown == (), "a class without a known word"
    assert grounder.ground(image, "a zither").phrases[0].unknown == ("a", "zither")
    regions = grounder.regions_of(image)
    blank = replace(regions, class_probs=np.zeros_like(regions.class_probs))
    priors = [grounder.ground(blank, text).phrases[0].prior for text in (f"a {name}", "a zither")]
    assert priors == [pytest.approx(NO_EVIDENCE), 0], "a class that no region shows is another thing than no class"
    note = unknown_words_note(grounder, f"{name}, zither")
    assert note is not None and "run: zither. " in note, "a class of the prior is known"
    treebank = Vocabulary.from_captions(["a man's hat"], tokenizer=Tokenizer("treebank", start_end_words=True))
    read = Grounder(loaded.config, loaded.model, treebank, loaded.prior)
    assert read.unknown_words("A man's hat, a zither!") == ["zither"], "split into words as the captions of training"


def test_images_that_their_table_names_by_absolute_paths_are_known(
    run: Path, tiny_world: tuple[Path, Path], tmp_path: Path
) -> None:
    image = sorted((tiny_world[0].parent / "images").iterdir())[0]
    config = RunConfig.load(run)
    extract([Example(image.as_posix(), image, (Caption("a dog"),), 64, 64)], config.regions, tmp_path / "store")
    for store, known in ((tmp_path / "store", True), (tmp_path / "none", False)):
        there = replace(config, facts={"data": "/elsewhere/photos.csv", "store": str(store)})
        assert (unknown_images_note(tmp_path / "run", there, {image.name: image}) is None) is known


def test_listed_phrases_on_images_that_the_run_does_not_know(
    run: Path, tiny_world: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    known = sorted((tiny_world[0].parent / "images").iterdir())[0]
    shutil.copy(known, folder / "new.jpg")
    call = ["label", str(folder), "--run", str(run), "--out", str(tmp_path / "coco.json"), "--find", "dog"]
    main(call)
    assert "are calibrated on /elsewhere/photos.csv. On images of another kind" in capsys.readouterr().err
    (folder / known.name).write_bytes((folder / "new.jpg").read_bytes() + b"x")  # a name that the store has, too
    main([*call, "--json"])
    assert "of another kind" in json.loads(capsys.readouterr().out)["notes"][-1]
    shutil.copy(known, folder)
    main(call)
    assert "calibrated" not in capsys.readouterr().err
    main([call[0], str(folder / known.name), *call[2:]])  # one image
    assert "1 image, " in capsys.readouterr().err


def test_too_few_images(run: Path, tiny_world: tuple[Path, Path]) -> None:
    split = EmbeddedSplit(Grounder.load(run), RegionStore.open(tiny_world[1]))
    with pytest.raises(EvaluationError, match="3 images can be used"):
        recalibrated(split, load_dataset(tiny_world[0]).split("train").examples[:3])
