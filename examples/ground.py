"""Ground a caption in an image: print each phrase with its best box, and save the picture.

    python examples/ground.py                             # trains a small run first, for a minute or two
    python examples/ground.py --run RUN --image photo.jpg --caption "A man in a red shirt plays a guitar."

Boxes are x1, y1, x2, y2 in pixels of the upright image.
"""

from __future__ import annotations

from pathlib import Path

import tyro

import unboxed
from unboxed.data import load_dataset, open_image
from unboxed.recipes import CKD, DistillationConfig, Schedule
from unboxed.scenes import write_scenes
from unboxed.training import FitSettings, fit
from unboxed.visualization import draw_grounding, save_picture


def small_run(data: Path, run: Path) -> unboxed.Grounder:
    """Train CKD with the semantic prior on a small dataset; a run that has finished is only loaded."""
    options = CKD(
        prior="semantic",
        distillation=DistillationConfig(distillation=0.5),
        intra_caption=0.3,
        schedule=Schedule(epochs=10, images_per_batch=12),
    )
    return fit("ckd", options, FitSettings(data, run, resume=True), show=print)


def main(
    run: Path | None = None,
    image: Path | None = None,
    caption: str | None = None,
    out: Path = Path("example/grounded.png"),
    folder: Path = Path("example"),
    images: int = 200,
) -> None:
    """Ground one caption.

    Args:
        run: the folder of a run; without it, a small run is trained.
        image: the image; without it, one of the drawn test images.
        caption: what is in the image; without it, the caption of that test image.
        out: the picture to write.
        folder: keeps the drawn dataset and the small run.
        images: training images of the small run.
    """
    if (image is None) != (caption is None):
        raise SystemExit("--image and --caption go together.")
    data = folder / f"scenes-{images}"
    if run is None or image is None:
        write_scenes(data, train=images, val=20, test=20)  # a dataset that is there already is left as it is
    grounder = small_run(data, folder / f"run-{images}") if run is None else unboxed.load(run)
    if image is None or caption is None:
        example = load_dataset(data).split("test").examples[3]
        image, caption = example.path, example.captions[2].text

    grounding = grounder.ground(image, caption)
    for phrase in grounding.phrases:
        box, score = phrase.boxes[0].round().tolist(), phrase.scores[0]  # the best of all regions
        absent = "" if phrase.present else f", probably not in the image ({phrase.confidence:.2f})"
        print(f"{phrase.text}: box {box}, score {score:.2f}{absent}")

    picture = draw_grounding(open_image(image), caption, grounding.phrases)
    save_picture(out, picture)
    print(f"Wrote {out}")


if __name__ == "__main__":
    tyro.cli(main)
