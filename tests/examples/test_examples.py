"""Every file of `examples/` runs as a user starts it, on a smaller drawn dataset."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

from unboxed.data import load_dataset
from unboxed.scenes import write_scenes

ROOT = Path(__file__).resolve().parents[2]
IMAGES = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where the examples keep the drawn dataset and the run that they share."""
    return tmp_path_factory.mktemp("examples")


def run_example(name: str, *options: object) -> str:
    """What `python examples/NAME` prints."""
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, options)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_example_is_tested() -> None:
    tested = set(re.findall(r"\w+\.(?:py|ipynb)", Path(__file__).read_text(encoding="utf-8")))
    assert {file.name for file in (ROOT / "examples").iterdir() if file.is_file()} <= tested


def test_the_loss_of_the_training_loop_falls_and_captions_are_ranked(folder: Path) -> None:
    printed = run_example("train_without_fit.py", "--folder", folder, "--images", IMAGES, "--epochs", 4)
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", printed)]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    assert "(full, 20 images and 100 captions)" in printed


def test_a_caption_is_grounded_and_the_picture_saved(folder: Path) -> None:
    out = folder / "grounded.png"
    printed = run_example("ground.py", "--folder", folder, "--images", IMAGES, "--out", out)
    assert re.search(r"a bench: box \[[\d., ]+\], score [\d.]+", printed)
    with Image.open(out) as picture:
        assert picture.format == "PNG"


def test_embeddings_have_the_axes_that_are_printed(folder: Path) -> None:
    printed = run_example("embeddings.py", "--folder", folder, "--images", IMAGES)
    shapes = re.findall(r"\[([A-Z, ]+)\] +\[([\d, ]+)\]", printed)
    sizes: dict[str, set[str]] = {}
    for axes, shape in shapes:
        for axis, size in zip(axes.split(", "), shape.split(", "), strict=True):
            sizes.setdefault(axis, set()).add(size)
    assert sizes["B"] == {"20"}
    assert sizes["C"] == {"100"}
    assert all(len(size) == 1 for size in sizes.values())  # an axis has one size everywhere
    assert "rsum" in printed


def test_boxes_of_ones_own_are_scored(folder: Path) -> None:
    printed = run_example("your_own_boxes.py", "--folder", folder)
    (recall,) = re.findall(r"recall_any@5 +([\d.]+)", printed)
    (bound,) = re.findall(r"upper_bound_any +([\d.]+)", printed)
    assert recall == bound  # there are two boxes, and both are among the first five
    assert "0 had no answer" in printed


def test_boxes_of_ones_own_may_be_in_pixels_of_a_larger_image(folder: Path) -> None:
    """The gold boxes themselves, twice as large, in an image twice as large, are all right."""
    dataset = load_dataset(write_scenes(folder / "scenes-20", train=20, val=20, test=20))
    lines = []
    for example in dataset.split("val").examples:
        for number, caption in enumerate(example.captions):
            for phrase in caption.phrases:
                size = [2 * example.width, 2 * example.height]
                place = {"image": example.image_id, "caption": number, "start": phrase.start, "end": phrase.end}
                lines.append(json.dumps({**place, "size": size, "boxes": (2 * phrase.boxes).tolist()}))
    answers = folder / "answers.jsonl"
    answers.write_text("\n".join(lines), encoding="utf-8")
    printed = run_example("your_own_boxes.py", "--folder", folder, "--split", "val", "--boxes", answers)
    assert re.search(r"recall_any@1 +100\.0", printed)
    assert "0 had no answer" in printed


def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    notebook = nbformat.read(ROOT / "examples" / "notebook.ipynb", as_version=4)
    (sizes,) = [cell for cell in notebook.cells if "IMAGES, EPOCHS = " in cell.source]
    sizes.source = re.sub(r"IMAGES, EPOCHS = .*", f"IMAGES, EPOCHS = {IMAGES}, 2", sizes.source)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    (shown,) = [output["data"] for output in outputs if "text/html" in output.get("data", {})]
    assert "<figure" in shown["text/html"]
    assert shown["image/png"]
    printed = "".join(output["text"] for output in outputs if output.get("name") == "stdout")
    assert "epoch 2: validation loss" in printed
    assert "recall_any@1" in printed
    assert (tmp_path / "example" / "run-sigmoid" / "model.safetensors").is_file()
