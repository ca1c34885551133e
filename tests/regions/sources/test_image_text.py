"""CLIP and SigLIP, small and untrained, as labelers of crops: scores as in transformers, and errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.regions.zero_shot_models import save_image_text

from unboxed.errors import RegionsError
from unboxed.regions.extraction import RegionExtractor
from unboxed.regions.image_view import View
from unboxed.regions.queries import with_queries
from unboxed.regions.settings import RegionSettings
from unboxed.regions.sources.image_text import ImageTextEncoder
from unboxed.text.phrases import noun_phrases
from unboxed.types import Caption, Example


@pytest.mark.parametrize("kind", ["CLIP", "SigLIP"])
def test_crops_have_the_scores_of_transformers(kind: str, library: Any, tmp_path: Path) -> None:
    import torch

    name = "Siglip" if kind == "SigLIP" else kind
    folder = save_image_text(library, tmp_path / "model", name)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8))
    boxes = np.array([[0, 0, 60, 40], [10, 5, 42, 37]], np.float32)
    view = View(image, image.size)
    scores, embeddings = ImageTextEncoder(folder, ("dog", "red hat")).run_on_crops(view, boxes)

    plain = getattr(library, f"{name}Model").from_pretrained(folder).eval()
    processor = getattr(library, f"{name}Processor").from_pretrained(folder)
    crops = [Image.fromarray(view.crop(box, 32, 32)) for box in boxes]
    texts = ["a photo of a dog", "a photo of a red hat"]
    given = processor(text=texts, images=crops, return_tensors="pt", padding="max_length", max_length=8)
    given.pop("token_type_ids", None)
    if kind == "SigLIP":
        given.pop("attention_mask", None)
    with torch.no_grad():
        output = plain(**given)
    logit_RK = output.logits_per_image
    np.testing.assert_allclose(scores, logit_RK.softmax(1) if kind == "CLIP" else logit_RK.sigmoid(), atol=1e-5)
    np.testing.assert_allclose(embeddings, output.image_embeds, atol=1e-5)
    assert np.ptp(scores) > 0


def test_the_queries_are_labels_of_the_regions(library: Any, tmp_path: Path) -> None:
    folder = save_image_text(library, tmp_path / "clip", "CLIP")
    text = "a dog and a red hat"
    examples = [Example("1", Path("none.png"), (Caption(text, noun_phrases(text)),), 8, 8)]
    settings = with_queries(RegionSettings(labeler=folder, grid=2, crops=True, colour=False, texture=False), examples)
    kept = RegionSettings.from_dict(settings.copied_to(tmp_path / "run").to_dict(tmp_path), tmp_path)
    extractor = RegionExtractor(kept)
    regions = extractor(Image.new("RGB", (60, 40), (200, 0, 0)))
    assert regions.class_names == ("labeler:dog", "labeler:hat")
    np.testing.assert_allclose(regions.class_probs.sum(axis=1), 1, atol=1e-5)
    assert extractor.feature_blocks[0][0] == "labeler"


def test_a_hub_name_is_the_folder_in_the_local_cache(
    library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = tmp_path / "models--lab--clip"
    folder = save_image_text(library, model / "snapshots" / "abc", "CLIP")
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("abc", encoding="utf-8")
    named = RegionSettings(labeler=Path("lab/clip"), grid=2).with_folders()
    assert named.labeler == folder
    assert named.fingerprint() == RegionSettings(labeler=folder, grid=2).fingerprint()
    with pytest.raises(RegionsError, match=r"The labeler lab/none is no file here, .*HF_HUB_OFFLINE is set"):
        RegionSettings(labeler=Path("lab/none"), grid=2).with_folders()


def test_folders_that_cannot_be_used(library: Any, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    with pytest.raises(RegionsError, match="model of type bert; name an ONNX file, or the folder"):
        ImageTextEncoder(tmp_path, ("dog",))
    (tmp_path / "config.json").write_text('{"model_type": "clip"}', encoding="utf-8")
    with pytest.raises(RegionsError, match="no queries are given; name them"):
        ImageTextEncoder(tmp_path, ())
    with pytest.raises(RegionsError, match="cannot be loaded by transformers"):
        ImageTextEncoder(tmp_path, ("dog",))
