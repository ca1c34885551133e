"""`unboxed label`: annotations for other programs."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import OmitArgPrefixes, Positional

from unboxed.cli.output import print_json
from unboxed.export.options import LabelOptions, SelectionOptions
from unboxed.runtime.atomic import PAGES, require_output
from unboxed.runtime.counts import require_count
from unboxed.runtime.progress import counted, show

__all__ = ["label"]


def label(
    images: Positional[Path],
    /,
    run: Path,
    out: Path,
    labelling: OmitArgPrefixes[LabelOptions] = LabelOptions(),  # noqa: B008, a frozen value
    selection: OmitArgPrefixes[SelectionOptions] = SelectionOptions(),  # noqa: B008, a frozen value
    review: Path | None = None,
    review_images: int = 300,
    json: bool = False,
) -> None:
    """Find boxes for the phrases of captions, or for phrases that you list, and write them as annotations.

    The images come first. With captions: `unboxed label photos.csv --run RUN --out coco.json`. Without: `unboxed label
    FOLDER --run RUN --out coco.json --find "laptop, red car, person with hat"`.

    The groundings are kept in NAME.groundings.jsonl beside the output. An interrupted call continues where it stopped,
    and a call with other limits or another format uses them.

    Args:
        images: images with captions: a table (CSV, JSONL, JSON), a folder, a dataset's TOML file, or tar or Parquet
            files, also at URLs; with --find any folder of images, or one image.
        run: folder of the run.
        out: file to write; for yolo a folder.
        labelling: the format, and which images.
        selection: which boxes.
        review: also write an HTML page with all boxes in thumbnails, the least certain first.
        review_images: images on that page, at most.
        json: print one JSON object on standard output at the end.
    """
    from unboxed.data.image_files import skipped_lines
    from unboxed.export.labelling import label_dataset, label_part

    require_count("review_images", review_images)
    require_output(review, suffixes=PAGES)
    if labelling.part is not None:
        file, count, skipped = label_part(images, run, out, labelling, selection, show=show)
        for line in skipped_lines(skipped):
            show(line)
        show(
            f"{file}: {counted(count, 'image')} of part {labelling.part}; `unboxed merge` joins the files of all parts"
        )
        if json:
            print_json({"out": str(file), "photos": count, "part": labelling.part, "skipped": skipped})
        return
    labelled = label_dataset(images, run, out, labelling, selection, show=show)
    if review is not None:
        from unboxed.export.review import write_review

        facts = {"Images": str(images), "Run": str(run), "Written": f"{out} ({labelling.format})"}
        shown = write_review(review, labelled, facts=facts, limit=review_images, out=out)
        all_images = counted(len(labelled.selection.images), "image")
        show(f"Review: {review}, {shown:,} of {all_images}, the least certain first")
    if json:
        print_json({"out": str(out), "format": labelling.format, **labelled.to_dict()})
