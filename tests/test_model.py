"""The Python API of a trained model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import unboxed
from unboxed.errors import RegionsError, RunError
from unboxed.types import Caption, Grounding, Phrase


def _same(first: Grounding, second: Grounding) -> bool:
    return first.to_dict() == second.to_dict() and np.array_equal(first.attention_WR, second.attention_WR)


def test_a_path_an_image_and_an_array_give_the_same_grounding(tiny_run: Path, tiny_dataset: Path) -> None:
    grounder = unboxed.load(tiny_run)
    path = tiny_dataset.parent / "photos" / "3.png"
    with Image.open(path) as image:
        answers = [grounder.ground(given, "a red box") for given in (path, str(path), image, np.asarray(image))]
    assert all(_same(answers[0], other) for other in answers[1:])
    grounding = answers[0]
    assert (grounding.width, grounding.height) == (96, 64)
    assert [phrase.text for phrase in grounding.phrases] == ["a red box"]
    assert grounding.attention_WR.shape == (3, len(grounding.regions))
    np.testing.assert_allclose(grounding.attention_WR.sum(axis=1), 1, rtol=1e-5)


def test_phrases_of_ones_own_are_grounded_as_given(tiny_run: Path, tiny_dataset: Path) -> None:
    caption = Caption("red box, blue box", (Phrase("blue box", 9, 17),))
    grounding = unboxed.load(tiny_run).ground(tiny_dataset.parent / "photos" / "3.png", caption)
    assert [(phrase.start, phrase.end) for phrase in grounding.phrases] == [(9, 17)]


def test_every_region_is_ranked_once_for_every_phrase(tiny_run: Path, tiny_dataset: Path) -> None:
    grounding = unboxed.load(tiny_run).ground(tiny_dataset.parent / "photos" / "3.png", "a red box and a green box")
    for phrase in grounding.phrases:
        assert sorted(phrase.boxes.tolist()) == sorted(grounding.regions.boxes.tolist())
        assert (np.diff(phrase.scores) <= 0).all()


def test_a_saved_model_is_the_same_model(tiny_run: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    grounder = unboxed.load(tiny_run)
    grounder.save(tmp_path / "copy")
    photo = tiny_dataset.parent / "photos" / "5.png"
    copy = unboxed.load(tmp_path / "copy")
    assert _same(grounder.ground(photo, "a white box"), copy.ground(photo, "a white box"))


def test_regions_of_another_kind_are_refused(tiny_run: Path, tiny_dataset: Path) -> None:
    grounder = unboxed.load(tiny_run)
    regions = grounder.extractor(Image.open(tiny_dataset.parent / "photos" / "5.png").convert("RGB"))
    narrow = unboxed.Regions(
        regions.boxes, regions.scores, regions.features[:, :4], regions.class_probs, regions.class_names,
        regions.sources, regions.width, regions.height,
    )  # fmt: skip
    with pytest.raises(RegionsError, match="4 features"):
        grounder.ground_regions(narrow, [Caption("a box", (Phrase("a box", 0, 5),))])


def test_a_damaged_run_says_so(tiny_run: Path, tmp_path: Path) -> None:
    unboxed.load(tiny_run).save(tmp_path / "run")
    weights = tmp_path / "run" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(RunError, match=r"model\.safetensors"):
        unboxed.load(tmp_path / "run")


def test_public_names_exist() -> None:
    for name in unboxed.__all__:
        assert hasattr(unboxed, name)
