"""Commands that write files for other programs: `unboxed label` annotations, `unboxed export` ONNX graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from unboxed.runtime.progress import show

__all__ = ["export", "label"]

_UNCALIBRATED_CUT = 0.3


def label(
    images: Positional[Path],
    /,
    run: Path,
    out: Path,
    format: Literal["coco", "coco-results", "label-studio", "yolo", "csv", "hf"] = "coco",  # noqa: A002, the name of the option
    min_confidence: float = 0.5,
    min_score: float | None = None,
    top: int = 1,
    names: Literal["nouns", "types", "phrases"] = "nouns",
    merge: float = 0.6,
    min_boxes: int = 1,
    review: Path | None = None,
    review_images: int = 300,
    split: str | None = None,
    regions: Path | None = None,
    workers: int | None = None,
    strict: bool = False,
) -> None:
    """Find boxes for the phrases of a dataset's captions and write them as annotations, to train a detector on.

    The groundings are kept in NAME.groundings.jsonl beside the output. An interrupted call continues where it stopped,
    and a call with other limits or another format takes no time.

    Args:
        images: images with captions: the dataset's TOML file, CSV, JSONL or folder.
        run: folder of the run.
        out: file to write; for yolo a folder.
        format: coco (a dataset to train on), coco-results, label-studio (predictions to correct), yolo, csv, or hf
            (the output of the zero-shot detection pipeline of transformers).
        min_confidence: lowest calibrated probability that a phrase is in the image; other phrases get no box. The
            review page shows what other values keep.
        min_score: lowest score of a box among the boxes of its phrase; by default 0 for a calibrated run, else 0.3.
        top: boxes for each phrase, at most.
        names: the class name of a box: the head noun of its phrase, the type of the phrase where the captions have
            types, or the whole phrase.
        merge: boxes of the same name in an image with a higher IoU are merged; 1 keeps all.
        min_boxes: leave out names with fewer boxes.
        review: also write an HTML page with all boxes in thumbnails, the least certain first.
        review_images: images on that page, at most.
        split: label only the images of this split; by default all images.
        regions: store with regions of the images; by default they are extracted with the settings of the run.
        workers: threads that extract regions; by default one for each core.
        strict: stop at the first image that cannot be read instead of skipping it.
    """
    from unboxed.export.labelling import label_dataset
    from unboxed.export.selection import BoxChoice
    from unboxed.inference.run_config import RunConfig

    if min_score is None:
        min_score = _UNCALIBRATED_CUT if RunConfig.load(run).presence is None else 0.0
    choice = BoxChoice(min_score, min_confidence, top, names, merge, min_boxes)
    labelled = label_dataset(
        images,
        run,
        out,
        form=format,
        choice=choice,
        split=split,
        regions=regions,
        workers=workers,
        strict=strict,
        show=show,
    )
    if review is not None:
        from unboxed.export.review import write_review

        facts = {"Images": str(images), "Run": str(run), "Written": f"{out} ({format})"}
        shown = write_review(review, labelled, choice, facts=facts, limit=review_images)
        show(f"Review: {review}, {shown:,} of {len(labelled.chosen.images):,} images, the least certain first")


def export(run: Positional[Path], /, out: Path) -> None:
    """Export a run as ONNX graphs that need no PyTorch. Each graph is checked against the model.

    Args:
        run: folder of a run of infoground, ckd, sprm, scan, bfan, pfan or vse.
        out: folder for the graphs, their vocabulary and the models that find regions; an earlier export is replaced.
    """
    from unboxed.export.onnx import export_onnx
    from unboxed.inference.grounder import Grounder

    export_onnx(Grounder.load(run), out, show)
    show(f"{out}: see docs/onnx.md for a program of 30 lines that uses it")
