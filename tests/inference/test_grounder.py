"""The Python API of a trained model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import unboxed
from unboxed.errors import CaptionError, RegionsError, RunError
from unboxed.inference.results import Grounding
from unboxed.types import Caption, Phrase


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
    caption = Caption("red box, blue box", (Phrase("blue box", 9, 17, types=("toys",)),))
    grounding = unboxed.load(tiny_run).ground(tiny_dataset.parent / "photos" / "3.png", caption)
    assert [(phrase.start, phrase.end, phrase.types) for phrase in grounding.phrases] == [(9, 17, ("toys",))]


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


def test_a_run_of_a_named_text_encoder_is_not_downloaded(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_run, tmp_path / "run")
    content = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    content["choices"]["text"] = "someone/encoder"
    (tmp_path / "run" / "config.json").write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: pytest.fail("it asks the network"))
    with pytest.raises(RunError, match=r"has no folder `text`.* Loading a run downloads nothing"):
        unboxed.load(tmp_path / "run")


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


def test_a_batch_of_images_and_captions_is_grounded_as_one_by_one(tiny_run: Path, tiny_dataset: Path) -> None:
    grounder = unboxed.load(tiny_run)
    images = [tiny_dataset.parent / "photos" / f"{number}.png" for number in (3, 5)]
    captions = [["a red box", "a box beside a blue box"], "a white box"]
    answers = grounder.ground_batch(images, captions)
    assert [len(own) for own in answers] == [2, 1]
    for photo, texts, own in zip(images, (captions[0], [captions[1]]), answers, strict=True):
        for text, answer in zip(texts, own, strict=True):
            alone = grounder.ground(photo, text)
            assert [phrase.text for phrase in answer.phrases] == [phrase.text for phrase in alone.phrases]
            np.testing.assert_allclose(answer.attention_WR, alone.attention_WR, atol=1e-5)
    with pytest.raises(ValueError, match="2 images with the captions of 1"):
        grounder.ground_batch(images, ["a box"])


def test_scores_are_the_same_one_by_one_and_from_regions(tiny_run: Path, tiny_dataset: Path) -> None:
    grounder = unboxed.load(tiny_run)
    images = [tiny_dataset.parent / "photos" / f"{number}.png" for number in (1, 2, 3)]
    texts = ["a red box beside a green box", "a blue box"]
    score_BC = grounder.score(images, texts)
    assert score_BC.shape == (3, 2)
    regions = [grounder.regions_of(photo) for photo in images]
    alone = [[float(grounder.score([own], [text])[0, 0]) for text in texts] for own in regions]
    np.testing.assert_allclose(score_BC, alone, atol=1e-4)
    assert grounder.score(images, []).shape == (3, 0)


def test_a_grounding_shows_the_image_that_it_was_made_from(tiny_run: Path, tiny_dataset: Path) -> None:
    grounder = unboxed.load(tiny_run)
    path = tiny_dataset.parent / "photos" / "3.png"
    regions = grounder.regions_of(path)
    one = grounder.ground(path, "a red box")
    (of_path,), (of_regions,) = grounder.ground_batch([path, regions], ["a red box", "a red box"])
    (hit,) = grounder.retrieve("a red box", [path], k=1)
    assert [grounding.image for grounding in (one, of_path, hit.grounding)] == [path] * 3
    assert of_regions.image is None  # its picture has white paper
    assert one._repr_png_() == of_path._repr_png_() != of_regions._repr_png_()


def test_a_text_retrieves_the_images_that_score_best(
    tiny_run: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unboxed.inference.grounder._RETRIEVED", 2)  # several blocks
    grounder = unboxed.load(tiny_run)
    images = [grounder.regions_of(tiny_dataset.parent / "photos" / f"{number}.png") for number in range(7)]
    score_B = grounder.score(images, ["a red box"])[:, 0]
    found = grounder.retrieve("a red box", images, k=3)
    assert [hit.index for hit in found] == np.argsort(-score_B, kind="stable")[:3].tolist()
    np.testing.assert_allclose([hit.score for hit in found], np.sort(score_B)[::-1][:3], rtol=1e-4)
    assert all(hit.grounding.phrases[0].text == "a red box" for hit in found)
    assert grounder.retrieve("a red box", [], k=3) == []


def test_heat_is_the_attention_of_the_words_of_a_span(tiny_run: Path, tiny_dataset: Path) -> None:
    grounder = unboxed.load(tiny_run)
    photo = tiny_dataset.parent / "photos" / "3.png"
    grounding = grounder.ground(photo, "a red box and a blue box")
    heat_HW = grounder.heatmap(photo, "a red box and a blue box", (0, 9))
    assert heat_HW.shape == (64, 96)
    weight_R = grounding.attention_WR[1:3].mean(axis=0)  # “red” and “box”; the article does not count
    y, x = 20, 30
    inside_R = [bool(x1 <= x + 0.5 <= x2 and y1 <= y + 0.5 <= y2) for x1, y1, x2, y2 in grounding.regions.boxes]
    unscaled = float(weight_R[inside_R].sum())
    total = [
        float(weight_R[[bool(a <= u + 0.5 <= c and b <= v + 0.5 <= d) for a, b, c, d in grounding.regions.boxes]].sum())
        for v in range(0, 64, 2)
        for u in range(0, 96, 2)
    ]
    assert heat_HW[y, x] == pytest.approx(unscaled / max(total), abs=0.02)
    assert heat_HW.max() == 1 and heat_HW.min() >= 0
    with pytest.raises(CaptionError, match=r"lies in characters 50\.\.60"):
        grounder.heatmap(photo, "a red box", (50, 60))


def test_embeddings_are_scored_and_aligned_as_the_images_and_captions_are(tiny_run: Path, tiny_dataset: Path) -> None:
    grounder = unboxed.load(tiny_run)
    images = [tiny_dataset.parent / "photos" / f"{number}.png" for number in range(3)]
    captions = ["a red box", "a blue box beside a green box"]
    score_BC = grounder.score(images, captions)
    image_embeddings, caption_embeddings = grounder.encode_images(images), grounder.encode_captions(captions)
    whole = grounder.align(image_embeddings, caption_embeddings)
    np.testing.assert_array_equal(grounder.similarity(images, captions), whole.similarity_BCQR)
    np.testing.assert_array_equal(grounder.attention(images, captions), whole.attention_BCQR)
    np.testing.assert_allclose(grounder.score_embeddings(image_embeddings, caption_embeddings), score_BC, rtol=1e-4)
    alignment = grounder.align(image_embeddings, caption_embeddings)
    np.testing.assert_allclose(alignment.score_BC, score_BC, rtol=1e-4)
    real_CQ = caption_embeddings.queries.mask_CQ
    np.testing.assert_allclose(alignment.attention_BCQR.sum(dim=-1)[:, real_CQ], 1, rtol=1e-4)


def test_a_grounding_is_shown_in_one_line(tiny_run: Path, tiny_dataset: Path) -> None:
    grounding = unboxed.load(tiny_run).ground(tiny_dataset.parent / "photos" / "0.png", "a red box")
    assert repr(grounding) == "Grounding('a red box', phrases ['a red box'], image 96 x 64)"
    assert repr(grounding.phrases[0]).startswith("GroundedPhrase('a red box', best box [")
