"""Zero-shot detectors, small and untrained: scores, frames and prompts as in transformers, as a source, and errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.regions.zero_shot_models import save_grounding_dino, save_owl

from unboxed.errors import RegionsError
from unboxed.regions.extraction import RegionExtractor
from unboxed.regions.image_view import View
from unboxed.regions.queries import caption_nouns, model_type, with_queries
from unboxed.regions.settings import RegionSettings
from unboxed.regions.sources.zero_shot import GroundingDino, Owl, open_zero_shot
from unboxed.text.phrases import noun_phrases
from unboxed.types import Caption, Example


@pytest.fixture(scope="module")
def models(library: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("zero_shot")
    return {
        "OwlViT": save_owl(library, folder / "owlvit", "OwlViT"),
        "Owlv2": save_owl(library, folder / "owlv2", "Owlv2"),
        "GroundingDino": save_grounding_dino(library, folder / "dino"),
    }


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def examples(*captions: str) -> list[Example]:
    return [Example(text, Path("none.png"), (Caption(text, noun_phrases(text)),), 8, 8) for text in captions]


@pytest.mark.parametrize("version", ["OwlViT", "Owlv2"])
def test_owl_finds_the_boxes_and_scores_of_transformers(version: str, models: dict[str, Path], library: Any) -> None:
    import torch

    image = noise(60, 40)
    opened = open_zero_shot(str(models[version]))
    assert isinstance(opened, Owl)
    found = opened.detect(View(image, image.size), ("dog", "red hat"))
    again = opened.detect(View(image, image.size), ("red hat", "dog"))  # now from embeddings that are known

    plain = getattr(library, f"{version}ForObjectDetection").from_pretrained(models[version]).eval()
    processor = getattr(library, f"{version}Processor").from_pretrained(models[version])
    texts = ["a photo of a dog", "a photo of a red hat"]
    with torch.no_grad():
        output = plain(**processor(text=texts, images=image, return_tensors="pt", padding="max_length", max_length=8))
    (expected,) = processor.post_process_grounded_object_detection(output, threshold=0, target_sizes=[(40, 60)])
    np.testing.assert_allclose(found.boxes, expected["boxes"], atol=1e-3)
    np.testing.assert_allclose(found.class_scores, output.logits[0].sigmoid(), atol=1e-5)
    np.testing.assert_array_equal(again.class_scores, found.class_scores[:, ::-1])
    assert np.ptp(found.class_scores, axis=1).max() > 0  # two texts have two scores


def test_grounding_dino_finds_the_boxes_and_scores_of_transformers(models: dict[str, Path], library: Any) -> None:
    import torch

    image = noise(60, 40)
    opened = open_zero_shot(str(models["GroundingDino"]))
    assert isinstance(opened, GroundingDino)
    found = opened.detect(View(image, image.size), ("dog", "red hat"))

    plain = library.GroundingDinoForObjectDetection.from_pretrained(models["GroundingDino"]).eval()
    processor = library.GroundingDinoProcessor.from_pretrained(models["GroundingDino"])
    with torch.no_grad():
        output = plain(**processor(text="dog. red hat.", images=image, return_tensors="pt"))
    probability_NT = output.logits[0].sigmoid()  # [CLS] dog . red hat . [SEP]
    expected = torch.stack([probability_NT[:, 1], probability_NT[:, 3:5].max(dim=1).values], dim=1)
    order = np.argsort(-expected.max(dim=1).values.numpy(), kind="stable")
    (boxes,) = processor.image_processor.post_process_object_detection(output, threshold=0, target_sizes=[(40, 60)])
    np.testing.assert_allclose(found.class_scores, expected.numpy()[order], atol=1e-5)
    np.testing.assert_allclose(found.boxes, boxes["boxes"].numpy()[order], atol=1e-3)


def test_many_texts_are_asked_for_in_several_prompts(models: dict[str, Path]) -> None:
    image = noise(60, 40)
    opened = open_zero_shot(str(models["GroundingDino"]))  # 16 tokens: [CLS], seven times two, [SEP]
    texts = ("dog", "cat", "hat", "red", "frisbee", "man", "ball", "red hat")
    found, first = (opened.detect(View(image, image.size), asked) for asked in (texts, texts[:7]))
    assert found.boxes.shape == (12, 4)  # six of each prompt
    np.testing.assert_allclose(found.class_scores[:6, :7], first.class_scores, atol=1e-5)
    assert (found.class_scores[:6, 7] == 0).all()
    assert (found.class_scores[6:, 7] > 0).all()


@pytest.mark.parametrize("version", ["Owlv2", "GroundingDino"])
def test_the_queries_are_the_classes_of_the_regions(version: str, models: dict[str, Path], tmp_path: Path) -> None:
    asked = examples("a dog and a red hat", "two dogs", "the man with a ball")
    settings = RegionSettings(detectors=(models[version],), query_limit=3, colour=False, texture=False).with_folders()
    settings = with_queries(settings, asked)
    assert settings.queries == ("dog", "ball", "hat")
    kept = RegionSettings.from_dict(settings.copied_to(tmp_path).to_dict(tmp_path), tmp_path)  # as in a run
    regions = RegionExtractor(kept)(noise(60, 40))
    assert regions.class_names == ("dog", "ball", "hat")
    detected = [source == "detector" for source in regions.sources]
    assert any(detected)
    assert regions.class_probs[detected].max() > 0


def test_captions_give_nouns_by_frequency_in_their_usual_form() -> None:
    asked = examples("two dogs and a man", "dogs chase a ball", "a dog with glasses", "he looks at something")
    assert caption_nouns(asked, 10) == ("dogs", "ball", "glasses", "man")
    assert caption_nouns(asked, 2) == ("dogs", "ball")


def test_queries_that_are_given_stay(models: dict[str, Path]) -> None:
    settings = RegionSettings(detector_hf=str(models["Owlv2"]), queries=("cat",))
    assert with_queries(settings, examples("a dog")) is settings
    assert with_queries(RegionSettings(), examples("a dog")).queries == ()
    with pytest.raises(RegionsError, match="--queries is for a zero-shot"):
        with_queries(RegionSettings(queries=("dog",)), examples("a dog"))


def test_default_settings_have_the_fingerprint_of_old_stores() -> None:
    assert not {"queries", "query_limit"} & RegionSettings().to_dict().keys()


def test_a_hub_name_is_recognized_among_the_detectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = RegionSettings(detectors=(Path("google/owlv2-base-patch16"), Path("a.onnx"))).with_folders()
    assert (settings.detector_hf, settings.detectors) == ("google/owlv2-base-patch16", (Path("a.onnx"),))
    (tmp_path / "models").mkdir()  # a file of a folder that is here is a file
    assert RegionSettings(detectors=(Path("models/detector"),)).with_folders().detector_hf is None


def test_models_that_cannot_be_used(models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    owl = str(models["Owlv2"])
    with pytest.raises(RegionsError, match="no queries are given; name them"):
        RegionExtractor(RegionSettings(detector_hf=owl))
    with pytest.raises(RegionsError, match="these have none; name what to look for: --queries"):
        with_queries(RegionSettings(detector_hf=owl), [])
    with pytest.raises(RegionsError, match="queries holds ' '; expected words"):
        RegionSettings(queries=("dog", " "))
    (tmp_path / "config.json").write_text('{"model_type": "omdet-turbo"}', encoding="utf-8")
    with pytest.raises(RegionsError, match=r"type omdet-turbo .* not a zero-shot detector known here"):
        RegionExtractor(RegionSettings(detector_hf=str(tmp_path), queries=("dog",)))
    (tmp_path / "config.json").write_text('{"model_type": "owlv2"}', encoding="utf-8")
    with pytest.raises(RegionsError, match="cannot be loaded by transformers"):
        open_zero_shot(str(tmp_path))
    (tmp_path / "config.json").write_text("[", encoding="utf-8")
    assert model_type(str(tmp_path)) == ""
    with pytest.raises(RegionsError, match="type unknown"):
        open_zero_shot("somebody/owlv2-that-is-not-cached")
