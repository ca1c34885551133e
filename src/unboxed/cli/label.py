"""Verbs that take boxes and models elsewhere: annotations of a whole dataset, and a run as ONNX graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from unboxed.runtime.progress import show

__all__ = ["export", "label"]

_UNCALIBRATED_CUT = 0.3


def label(
    photos: Positional[Path],
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
    review_photos: int = 300,
    split: str | None = None,
    regions: Path | None = None,
    workers: int | None = None,
    strict: bool = False,
) -> None:
    """Box the phrases of all captions of a dataset and write annotations, ready to train a detector on.

    What is found is kept in NAME.groundings.jsonl beside the output: an interrupted call goes on where it stopped, and
    a call with another cut or format takes no time.

    Args:
        photos: images with captions: the dataset's TOML file, CSV, JSONL or folder.
        run: folder of the run.
        out: the file to write; for yolo a folder.
        format: coco (a dataset to train on), coco-results, label-studio (predictions to correct), yolo, csv, or hf (as
            the zero-shot detection pipeline of transformers answers).
        min_confidence: leave out phrases that are in the image with less confidence, a calibrated probability;
            the review shows what other cuts would keep.
        min_score: leave out boxes that score less than this among the boxes of their phrase; by default none where the
            run is calibrated, and below 0.3 where it is not.
        top: boxes a phrase at most.
        names: what boxes are called: the phrases' head nouns, their types where the captions have them, or the whole
            phrases.
        merge: boxes of one name in one image that overlap more (IoU) become one; 1 keeps all.
        min_boxes: leave out names with fewer boxes.
        review: also write a page here (.html) with all boxes in thumbnails, the doubtful first.
        review_photos: images on that page at most.
        split: only the images of this split; all of them by default.
        regions: store of the photographs' regions; without one they are found the run's way.
        workers: threads that look at images; one for each core by default.
        strict: stop at the first image that cannot be read instead of skipping it.
    """
    from unboxed.export.labelling import label_dataset
    from unboxed.export.selection import BoxChoice
    from unboxed.inference.run_config import RunConfig

    if min_score is None:
        min_score = _UNCALIBRATED_CUT if RunConfig.load(run).presence is None else 0.0
    choice = BoxChoice(min_score, min_confidence, top, names, merge, min_boxes)
    labelled = label_dataset(
        photos,
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

        facts = {"Photos": str(photos), "Run": str(run), "Written": f"{out} ({format})"}
        shown = write_review(review, labelled, choice, facts=facts, limit=review_photos)
        show(f"Review: {review}, {shown:,} of {len(labelled.chosen.images):,} images, the doubtful first")


def export(run: Positional[Path], /, out: Path) -> None:
    """Write a run as ONNX graphs that ground without PyTorch, each checked against it.

    Args:
        run: folder of the run, of infoground, ckd, sprm, scan, bfan, pfan or vse.
        out: folder of the graphs, their vocabulary and the models that find regions; an older export is replaced.
    """
    from unboxed.export.onnx import export_onnx
    from unboxed.inference.grounder import Grounder

    export_onnx(Grounder.load(run), out, show)
    show(f"{out}: docs/onnx.md has a program of 30 lines that grounds with it")
