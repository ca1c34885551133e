"""Commands that write files for other programs: `unboxed label` annotations, `unboxed export` ONNX graphs."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import OmitArgPrefixes, Positional

from unboxed.export.options import LabelOptions
from unboxed.runtime.progress import show

__all__ = ["export", "label"]


def label(images: Positional[Path], /, labelling: OmitArgPrefixes[LabelOptions]) -> None:
    """Find boxes for the phrases of a dataset's captions and write them as annotations, to train a detector on.

    The groundings are kept in NAME.groundings.jsonl beside the output. An interrupted call continues where it stopped,
    and a call with other limits or another format takes no time.

    Args:
        images: images with captions: the dataset's TOML file, CSV, JSONL or folder.
        labelling: the run, the output and its format, and which boxes.
    """
    from unboxed.export.labelling import label_dataset

    labelled = label_dataset(images, labelling, show=show)
    if labelling.review is not None:
        from unboxed.export.review import write_review

        facts = {"Images": str(images), "Run": str(labelling.run), "Written": f"{labelling.out} ({labelling.format})"}
        shown = write_review(labelling.review, labelled, facts=facts, limit=labelling.review_images)
        total = len(labelled.selection.images)
        show(f"Review: {labelling.review}, {shown:,} of {total:,} images, the least certain first")


def export(run: Positional[Path], /, out: Path) -> None:
    """Export a run as ONNX graphs that need no PyTorch. Each graph is checked against the model.

    Args:
        run: folder of a run; docs/onnx.md lists the recipes that can be exported.
        out: folder for the graphs, their vocabulary and the models that find regions; an earlier export is replaced.
    """
    from unboxed.export.onnx import export_onnx
    from unboxed.inference.grounder import Grounder

    export_onnx(Grounder.load(run), out, show)
    show(f"{out}: see docs/onnx.md for a program of 30 lines that uses it")
