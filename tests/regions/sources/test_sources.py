"""What a new region source costs: the source, its test, and one line in `SOURCES`. The rest derives from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unboxed.evaluation.baselines import untrained_baselines
from unboxed.priors.semantic import SemanticPrior
from unboxed.priors.settings import PriorSettings
from unboxed.regions import features, sources
from unboxed.regions.base import Detected, Proposals, RegionSource, distinct_class_names
from unboxed.regions.extraction import RegionExtractor, extract
from unboxed.regions.image_view import View
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.types import Array, Caption, Example, Phrase

ROOT = Path(__file__).parents[3]


class Halves(RegionSource):
    """The left and the right half of the image, scored by their brightness, with one class: `light`."""

    names = ("left", "right")
    settings = ("whole_image",)
    finds = "what is on one side"
    ranked = True
    class_names = ("light",)

    def propose(self, view: View, outputs: Sequence[Any], detected: Detected) -> Proposals:
        width, height = view.size
        boxes = np.array([[0, 0, width / 2, height], [width / 2, 0, width, height]], np.float32)
        return Proposals(boxes, _brightness(view, boxes), self.names)

    def class_scores(self, view: View, outputs: Sequence[Any], proposals: Proposals) -> Array:
        return _brightness(view, proposals.boxes)[:, None]


def _brightness(view: View, boxes: Array) -> Array:
    pixels = np.asarray(view.image.convert("L"), np.float32) / 255
    return np.array([pixels[int(y1) : int(y2), int(x1) : int(x2)].mean() for x1, y1, x2, y2 in boxes], np.float32)


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Example:
    """An image that is light on its right, and the one line that makes the new source known."""
    monkeypatch.setattr(sources, "SOURCES", (*sources.SOURCES, Halves))
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, 20:] = 255
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    gold = np.array([[20, 0, 40, 20]], np.float32)
    phrase = Phrase("a light wall", 0, 12, ("other",), boxes=gold)
    return Example("photo", tmp_path / "photo.png", (Caption("a light wall", (phrase,)),), 40, 20)


def test_a_new_source_proposes_and_scores_regions(example: Example, tmp_path: Path) -> None:
    settings = RegionSettings(grid=2)
    extract([example], settings, tmp_path / "store", progress=False)
    store = RegionStore.open(tmp_path / "store")
    regions = store["photo"]
    assert store.source_names[-2:] == ("left", "right") and store.class_names == ("light",)
    assert regions.sources == ("image", *["grid"] * 4, "left", "right")
    np.testing.assert_allclose(regions.class_probs[:, 0], [0.5, 0, 1, 0, 1, 0, 1], atol=1e-3)
    np.testing.assert_allclose(regions.scores[-2:], [0, 1], atol=1e-3)
    # With the whole image turned off, so is the new source; a store of other settings stays as it is.
    assert set(RegionExtractor(RegionSettings(whole_image=False, grid=2))(Image.open(example.path)).sources) == {"grid"}


def test_baselines_and_the_prior_know_a_new_source(example: Example) -> None:
    regions = RegionExtractor(RegionSettings())(Image.open(example.path))
    scores = untrained_baselines([example], lambda _: regions, resamples=2)
    assert scores["top-scoring region"]["recall_any@1"] == 100  # its regions are ranked by their scores

    def columns(source: str) -> Array:
        """What the prior reads of one light region of this source, without the columns of places and unions."""
        prior = SemanticPrior.build(PriorSettings(), ("light",))
        light = {"class_probs": np.ones((1, 1), np.float32), "sources": (source,)}
        return prior.class_scores(SimpleNamespace(boxes=regions.boxes[:1], **light, width=40, height=20))[0, :4]

    np.testing.assert_array_equal(columns("left"), columns("grid"))


def test_the_table_of_the_guide_has_a_line_for_a_new_source(example: Example) -> None:
    assert sources.source_table().splitlines()[-1] == (
        "| `left`, `right` | `whole_image` | nothing | what is on one side |"
    )


def test_the_guide_has_the_tables_of_sources_and_features() -> None:
    guide = (ROOT / "docs" / "regions.md").read_text("utf-8")
    assert sources.source_table() in guide
    assert features.feature_table() in guide


def test_sources_and_features_name_settings_that_exist() -> None:
    known = {field.name for field in fields(RegionSettings)}
    proposing = {field.name for field in fields(RegionSettings) if field.metadata.get("proposes")}
    named = {name for source in sources.SOURCES for name in source.settings}
    assert proposing < named <= known
    assert named - proposing == {"parts", "unions", "labeler"}, "they need detections, or boxes of other sources"
    assert {name for feature in features.FEATURES for name in feature.settings} <= known
    names = [name for source in sources.SOURCES for name in source.names]
    assert len(set(names)) == len(names)


def test_no_other_module_lists_the_sources() -> None:
    """Names that mean nothing else in the package stand in the file of their source alone."""
    package = ROOT / "src" / "unboxed"
    for name, places in {"union": {"regions/sources/geometry.py"}, "segments": {"regions/sources/segments.py"}}.items():
        found = {
            file.relative_to(package).as_posix()
            for file in package.rglob("*.py")
            if f'"{name}"' in file.read_text("utf-8")
        }
        assert found - {"evaluation/attention_protocol.py", "evaluation/grounding.py"} == places


def test_class_names_of_several_sources_stay_apart() -> None:
    lists = [("detector", ("cat", "dog")), ("detector2", ("dog", "cow")), ("segmenter", ("cow", "grass"))]
    assert distinct_class_names(lists) == ("cat", "dog", "detector2:dog", "cow", "segmenter:cow", "grass")
    assert distinct_class_names([]) == ()
