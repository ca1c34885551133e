"""Models of transformers from a local folder, small and untrained: shapes, frames, and errors without them."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.regions.zero_shot_models import image_processor

from unboxed.errors import RegionsError
from unboxed.regions.extraction import RegionExtractor
from unboxed.regions.features.backbones import TransformersBackbone
from unboxed.regions.image_view import View
from unboxed.regions.networks import load_transformers
from unboxed.regions.settings import RegionSettings
from unboxed.regions.sources.detector_models import TransformersDetector

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


@pytest.fixture(scope="module")
def detector(library: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detector")
    config = library.YolosConfig(**SMALL, image_size=[32, 64], patch_size=16, num_detection_tokens=5)
    config.id2label = {0: "cat", 1: "dog"}
    library.YolosForObjectDetection(config).save_pretrained(folder)
    image_processor(library, "Yolos", size={"height": 32, "width": 64}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def convolutional(library: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("convolutional")
    config = library.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic")
    library.ResNetModel(config).save_pretrained(folder)
    image_processor(library, "ConvNext", size={"shortest_edge": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def vision_transformer(library: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vit")
    library.ViTModel(library.ViTConfig(**SMALL, image_size=64, patch_size=16)).save_pretrained(folder)
    image_processor(library, "ViT", size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def test_a_detector(detector: Path) -> None:
    opened = TransformersDetector(str(detector))
    found = opened.detect(View(Image.new("RGB", (50, 50), (255, 0, 0)), (100, 50)))
    assert opened.class_names == ("cat", "dog")
    assert found.boxes.shape == (5, 4)
    assert found.class_scores.shape == (5, 2)
    assert (found.class_scores.sum(axis=1) < 1).all()  # the rest is “no object”


def test_a_convolutional_backbone_sees_the_whole_image(convolutional: Path) -> None:
    view = View(Image.new("RGB", (50, 50)), (100, 50))
    (plane,) = TransformersBackbone(str(convolutional), longest=64).maps(view)
    assert plane.values.shape == (12, 4, 8)  # 64 x 32 pixels at stride 8
    assert plane.window == (0, 0, 50, 50)


def test_patches_of_a_transformer_lie_as_in_the_image(vision_transformer: Path) -> None:
    opened = TransformersBackbone(str(vision_transformer), longest=999)
    dark, lit = Image.new("RGB", (64, 64)), Image.new("RGB", (64, 64))
    lit.paste((255, 255, 255), (32, 0, 48, 16))
    (before,), (after,) = (opened.maps(View(image, image.size)) for image in (dark, lit))
    assert after.values.shape == (16, 4, 4)
    change = np.abs(after.values - before.values).sum(axis=0)
    assert np.unravel_index(change.argmax(), change.shape) == (0, 2)


def test_they_work_as_sources(detector: Path, convolutional: Path) -> None:
    settings = RegionSettings(detector_hf=str(detector), backbone_hf=str(convolutional), backbone_size=64)
    extractor = RegionExtractor(settings)
    assert extractor.class_names == ("cat", "dog")
    assert extractor.feature_blocks == (("backbone/hidden", 12), ("colour", 36))
    assert "detector" in extractor(Image.new("RGB", (60, 40), (0, 200, 0))).sources


def test_a_local_model_is_copied_with_the_settings(detector: Path, tmp_path: Path) -> None:
    settings = RegionSettings(detector_hf=str(detector))
    copied = settings.copied_to(tmp_path / "models")
    assert copied.detector_hf == str(tmp_path / "models" / detector.name)
    assert copied.fingerprint() == settings.fingerprint()
    assert RegionSettings.from_dict(copied.to_dict(tmp_path), tmp_path) == copied


def test_a_missing_model_and_a_missing_library_are_told_apart(
    library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RegionsError, match="cannot be loaded by transformers"):
        TransformersDetector(str(tmp_path))
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(RegionsError, match=r'pip install "unboxed\[hf\]"'):
        TransformersBackbone("anything", 64)


@pytest.mark.parametrize("kind", ["AutoModel", "AutoModelForObjectDetection"])
def test_no_code_of_a_model_is_run_whatever_the_terminal_answers(
    kind: str, library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = {"AutoConfig": "code.C", kind: "code.M"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "unheard-of", "auto_map": named}), encoding="utf-8")
    (tmp_path / "code.py").write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')", encoding="utf-8")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(RegionsError, match="cannot be loaded by transformers"):
        load_transformers(kind, str(tmp_path))
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation", "_experts_implementation"])
@pytest.mark.parametrize("named", ["kernels-community/flash-attn2", "stranger/code", "flash_attention_2"])
def test_no_code_that_a_configuration_names_on_the_hub_is_loaded(
    key: str, named: str, vision_transformer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(vision_transformer, tmp_path / "vit")
    config = json.loads((folder / "config.json").read_bytes())
    (folder / "config.json").write_text(json.dumps({**config, key: named}), encoding="utf-8")
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was asked"))
    model, _ = load_transformers("AutoModel", str(folder))
    assert model.config._attn_implementation in ("sdpa", "eager")


def test_no_backbone_that_a_configuration_names_on_the_hub_is_downloaded(
    library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"model_type": "detr", "use_timm_backbone": False, "use_pretrained_backbone": True, "num_channels": 3}
    config |= {"backbone": "stranger/backbone", "backbone_config": None}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was asked"))
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: pytest.fail("the network was asked"))
    with pytest.raises(RegionsError, match="cannot be loaded by transformers"):
        load_transformers("AutoModelForObjectDetection", str(tmp_path))


def test_a_damaged_configuration_is_an_error(vision_transformer: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(vision_transformer, tmp_path / "vit")
    config = json.loads((folder / "config.json").read_bytes())
    wrong = (None, "x", [], {}, -1, 0, 1e99, True)
    for key, value in itertools.product(config, wrong):
        (folder / "config.json").write_text(json.dumps({**config, key: value}), encoding="utf-8")
        with contextlib.suppress(RegionsError):
            load_transformers("AutoModel", str(folder))
