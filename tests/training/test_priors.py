"""`fit --prior clip:MODEL` with small, untrained CLIP and SigLIP: a run that works without the model's own folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.regions.zero_shot_models import save_image_text

from unboxed.errors import ExportError, RegionsError, RunError, UnboxedError
from unboxed.export.onnx import export_onnx
from unboxed.inference.grounder import Grounder
from unboxed.inference.run_config import RunConfig
from unboxed.priors import PriorSettings, scores
from unboxed.recipes import CKD, SPRM, RecipeConfig, Schedule
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.search import Index, index_images
from unboxed.training.fitting import FitSettings, fit
from unboxed.training.priors import fitted_prior

SOURCES = RegionSettings(grid=2, colour=False, texture=False)


@pytest.fixture(scope="module")
def library() -> Any:
    return pytest.importorskip("transformers", reason="the hf extra is not installed")


@pytest.mark.parametrize("kind", ["CLIP", "Siglip"])
def test_a_run_compares_phrases_with_crops(kind: str, library: Any, tiny_dataset: Path, tmp_path: Path) -> None:
    folder = save_image_text(library, tmp_path / "model", kind)
    options = CKD(prior=f"clip:{folder}", joint_width=16, schedule=Schedule(epochs=1, images_per_batch=8))
    fit("ckd", options, FitSettings(tiny_dataset, tmp_path / "run"), sources=SOURCES)
    folder.rename(tmp_path / "gone")
    run = Grounder.load(tmp_path / "run")
    photos = tiny_dataset.parent / "photos"
    image = Image.open(photos / "0.png").convert("RGB")
    regions, phrases = run.regions_of(image), ["a red dog", "a hat"]
    found = scores(np.stack([run.prior.affinity(phrase) for phrase in phrases]), run.batcher.class_scores(regions))

    model = getattr(library, f"{kind}Model").from_pretrained(tmp_path / "gone").eval()
    processor = getattr(library, f"{kind}Processor").from_pretrained(tmp_path / "gone")
    tokens = processor.tokenizer(
        [f"a photo of {phrase}" for phrase in phrases], padding="max_length", max_length=8, return_tensors="pt"
    )
    given = {"input_ids": tokens["input_ids"]}
    if kind == "CLIP":
        given["attention_mask"] = tokens["attention_mask"]
    text_PD = getattr(model.get_text_features(**given), "pooler_output", None).detach().numpy()
    text_PD /= np.linalg.norm(text_PD, axis=1, keepdims=True)
    kept = np.load(tmp_path / "run" / "prior" / "crops.npz")
    plain = kept["scale"] * text_PD @ (regions.features - kept["mean"]).T
    np.testing.assert_allclose(found, plain.clip(-1, 1), atol=1e-5)

    index_images(tmp_path / "run", photos, tmp_path / "index")
    best = Index.open(tmp_path / "index").search("a red box", k=1)[0]
    grounded = run.ground(photos / best.name, "a red box").phrases[0]
    np.testing.assert_allclose(best.grounding.phrases[0].boxes[0], grounded.boxes[0])
    with pytest.raises(ExportError, match="train with --prior semantic to export"):
        export_onnx(run, tmp_path / "onnx")


def test_regions_and_options_that_do_not_fit(library: Any, tiny_dataset: Path, tmp_path: Path) -> None:
    clip, siglip = (save_image_text(library, tmp_path / kind, kind) for kind in ("CLIP", "Siglip"))
    options = SPRM(untrained=True, prior=f"clip:{clip}")

    def refused(options: RecipeConfig, sources: RegionSettings | None, error: type[UnboxedError], reason: str) -> None:
        with pytest.raises(error, match=reason):
            fit("sprm", options, replace(settings, out=tmp_path / "refused"), sources=sources)

    settings = FitSettings(tiny_dataset, tmp_path / "run")
    refused(options, replace(SOURCES, labeler=siglip), RegionsError, "leave out --labeler, or name the same model")
    refused(replace(options, prior="clip:nowhere"), SOURCES, RunError, "names no folder; name the folder or hub name")
    unweighted = replace(options, semantic=PriorSettings(label_weight=0, label_beside=0))
    refused(unweighted, SOURCES, RunError, "--prior has no effect with --label-weight 0 and --label-beside 0")
    fit("sprm", options, settings, sources=replace(SOURCES, labeler=clip))
    settings = replace(settings, regions=tmp_path / "run" / "store")
    refused(replace(options, prior=f"clip:{siglip}"), None, RegionsError, "its labeler is another model, CLIP. Find")
    for prior in ("clip", "clip:", "semantics"):
        with pytest.raises(RunError, match=f"--prior is '{prior}'; it is none, semantic, or clip:"):
            CKD(prior=prior)


def test_without_a_training_image_there_is_no_prior(tiny_run: Path) -> None:
    config = replace(RunConfig.load(tiny_run), options=CKD(prior="clip:somewhere"))
    assert fitted_prior(config, RegionStore.open(tiny_run / "store"), [], print) is None
