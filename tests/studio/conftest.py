"""A studio of the tiny run with a folder of images, a small index and a dataset of Scenes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unboxed.data.dataset import Dataset, load_dataset
from unboxed.errors import CaptionError
from unboxed.export.labels import LabelledBox, LabelledImage, Mention
from unboxed.export.labels_file import Labels, companion, write_labels
from unboxed.inference.grounder import Grounder
from unboxed.inference.results import GroundedPhrase
from unboxed.scenes import write_scenes
from unboxed.studio.browse import DatasetBrowser
from unboxed.studio.corrector import Corrector
from unboxed.studio.grounding_cache import GroundingCache
from unboxed.studio.image_library import ImageLibrary
from unboxed.studio.middleware import Token
from unboxed.studio.options import Limits
from unboxed.studio.service import Studio, create_app


@dataclass(frozen=True)
class FoundImage:
    """A hit of `SmallIndex`."""

    image: Path
    score: float
    phrases: tuple[GroundedPhrase, ...]


@dataclass(frozen=True)
class SmallIndex:
    """An index that finds images in the order of their names, with one box for the whole query."""

    images: Sequence[Path]
    words: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.images)

    def search(self, text: str, k: int) -> list[FoundImage]:
        if text == "???":
            raise CaptionError("The caption has no words; give it at least one.")
        box = np.array([[8, 16, 40, 48]], np.float32)
        phrase = GroundedPhrase(text, 0, len(text), box, np.ones(1, np.float32))
        return [FoundImage(path, 1 / (1 + n), (phrase,)) for n, path in enumerate(self.images[:k])]


@pytest.fixture(scope="session")
def images(tiny_dataset: Path) -> Path:
    """A folder of 40 images, 96 x 64 pixels."""
    return tiny_dataset.parent / "photos"


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Six drawn images with gold boxes."""
    folder = tmp_path_factory.mktemp("drawn") / "scenes"
    write_scenes(folder, train=1, val=6, test=1)
    return load_dataset(folder / "data.toml")


@pytest.fixture(scope="session")
def grounder(tiny_run: Path) -> Grounder:
    return Grounder.load(tiny_run)


@pytest.fixture(scope="session")
def make_studio(grounder: Grounder, tiny_run: Path, images: Path) -> Callable[..., Any]:
    """Makes a service: `make_studio(limits=…, token=…, dataset=…, hosts=…)`."""

    def make(
        limits: Limits | None = None,
        token: str | None = None,
        dataset: Dataset | None = None,
        hosts: Sequence[str] = (),
        index: bool = True,
        labels: Path | None = None,
        change: Callable[[GroundingCache], None] = lambda cache: None,
    ) -> Any:
        limits = limits or Limits(seconds=300)  # no test is timed: a busy machine may take long
        cache = GroundingCache(grounder, limits, ImageLibrary(limits, images))
        change(cache)
        browser = DatasetBrowser(cache, dataset, "val", tiny_run, limits) if dataset else None
        small_index = SmallIndex(sorted(images.iterdir())) if index else None
        secret = Token(token) if token else None
        corrector = Corrector(cache.library, labels) if labels else None
        return create_app(Studio(cache, "tiny", limits, browser, small_index, secret, hosts, corrector))

    return make


@pytest.fixture
def out(tmp_path: Path, images: Path) -> Path:
    """The output of `label` for three images with a box each; beside it are the labels."""
    caption = "<b>A box</b>"
    out = tmp_path / "boxes.json"
    box = LabelledBox("box", (8.0, 8.0, 40.0, 40.0), 0.5, Mention("A box", 3, 8, caption), confidence=0.7)
    labelled = [LabelledImage(f"{n}.png", 96, 64, (caption,), (box,)) for n in range(3)]
    files = {f"{n}.png": images / f"{n}.png" for n in range(3)}
    write_labels(companion(out, "labels"), Labels(tuple(labelled), files, ("box", "rest")))
    return out
