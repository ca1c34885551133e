"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from PIL import Image, ImageDraw

from unboxed.runtime.openmp import limit_spinning


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images and small detectors beside the project; the test skips where there is none."""
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("UNBOXED_SHARED", default))
    if not (folder / "data" / "flickr.toml").is_file():
        pytest.skip(f"no real photographs: {folder} has no data/flickr.toml (set UNBOXED_SHARED to the folder)")
    return folder


limit_spinning()  # as the command line does, before PyTorch is imported

# Tests find regions themselves, and leave the user's cache alone.
os.environ["UNBOXED_CACHE"] = "off"

# No test is timed: on a busy machine an example may take any time.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")

_COLOURS = {"red": "#c22", "blue": "#22c", "green": "#2a2", "yellow": "#dd2", "black": "#111", "white": "#fff"}


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset file of 40 small pictures of two coloured boxes each, with two captions: for what must be quick."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    rows = ["image,caption,split"]
    for number in range(40):
        left, right = rng.choice(list(_COLOURS), 2, replace=False)
        picture = Image.new("RGB", (96, 64), "#888")
        drawing = ImageDraw.Draw(picture)
        drawing.rectangle((8, 16, 40, 48), fill=_COLOURS[left])
        drawing.rectangle((54, 12, 88, 52), fill=_COLOURS[right])
        picture.save(folder / "photos" / f"{number}.png")
        split = "val" if number % 5 == 0 else "train"
        rows += [f"{number}.png,a {left} box beside a {right} box,{split}", f"{number}.png,a {right} box,{split}"]
    (folder / "captions.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "data.toml").write_text(
        'format = "table"\nimages = "photos"\nannotations = "captions.csv"\n', encoding="utf-8"
    )
    return folder / "data.toml"


@pytest.fixture(scope="session")
def tiny_run(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run trained for a moment on the tiny dataset, with regions from pixels alone."""
    from unboxed.recipes.infoground import InfoGround
    from unboxed.recipes.schedule import Schedule
    from unboxed.training.fitting import FitSettings, fit

    run = tmp_path_factory.mktemp("runs") / "tiny"
    options = InfoGround(negatives="none", joint_width=32, schedule=Schedule(epochs=2, images_per_batch=8))
    fit("infoground", options, FitSettings(tiny_dataset, run))
    return run


@pytest.fixture(scope="session")
def tiny_index_folder(tiny_run: Path, tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an index of all images and captions of the tiny dataset."""
    from unboxed.search import index_images

    out = tmp_path_factory.mktemp("index") / "index"
    index_images(tiny_run, tiny_dataset, out, progress=False)
    return out


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A drawn world of 40 pictures: its dataset file, and a store of its regions, with a detector's classes."""
    from unboxed.data.dataset import load_dataset
    from unboxed.regions.extraction import extract
    from unboxed.regions.settings import RegionSettings
    from unboxed.scenes import write_scenes

    folder = tmp_path_factory.mktemp("world")
    write_scenes(folder / "scenes", train=24, val=8, test=8)
    dataset = load_dataset(folder / "scenes" / "data.toml")
    examples = [example for name in dataset.split_names for example in dataset.split(name).examples]
    extract(examples, RegionSettings.default_for(dataset)[0], folder / "store")
    return dataset.path, folder / "store"
