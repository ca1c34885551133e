"""The command `unboxed audit`."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from unboxed.cli.output import print_json
from unboxed.runtime.counts import require_count
from unboxed.runtime.progress import one_line, show

__all__ = ["audit"]


def audit(
    data: Positional[Path],
    /,
    run: Path,
    out: Path | None = None,
    review: Path | None = None,
    split: str = "all",
    top: int = 20,
    swapped: float = 0.05,
    json: bool = False,
) -> None:
    """Rank captions by how probably they are not about their image: swapped, wrong or outdated ones.

    The data comes first, the run after an option: `unboxed audit photos.csv --run RUN`. How far to trust the ranking is
    measured by swapping some captions on purpose.

    Args:
        data: images with captions: a table (CSV, JSONL, JSON), a folder, a dataset's TOML file, or tar or Parquet
            files, also at URLs.
        run: folder of the run.
        out: write all captions to this file, JSON lines, the most suspicious first.
        review: write an HTML page with the 200 most suspicious captions and their images.
        split: of the dataset; by default every image.
        top: captions that are printed.
        swapped: share of captions that are swapped to measure the precision.
        json: print one JSON object with the precision and the captions that are printed.
    """
    import json as json_module

    from unboxed.data.dataset import load_dataset
    from unboxed.evaluation.audit import audit_dataset
    from unboxed.evaluation.audit_page import write_audit_page
    from unboxed.runtime.atomic import PAGES, require_other, require_output
    from unboxed.runtime.locks import write_locked

    require_count("top", top, least=0)
    require_output(out, *load_dataset(data).files)
    require_output(review, suffixes=PAGES)
    found = audit_dataset(data, run, split, swapped, show=show)
    if out is not None:
        require_other(out, *{caption.path for caption in found.captions})
        lines = (json_module.dumps(caption.to_dict(), ensure_ascii=False) for caption in found.captions)
        write_locked(out, "".join(f"{line}\n" for line in lines))
    if json:
        facts = {"images": found.images, "captions": len(found.captions), "swapped": found.swapped}
        measured = {"precision_at_half": round(found.precision, 4), "precision_at_swapped": round(found.at_swapped, 4)}
        print_json({**facts, **measured, "first": [caption.to_dict() for caption in found.captions[:top]]})
    else:
        for rank, caption in enumerate(found.captions[:top], start=1):
            absent = f"  (not in it: {', '.join(caption.absent)})" if caption.absent else ""
            wrong = f"wrong with a probability of {100 * caption.wrong:.0f} %"
            print(one_line(f"{rank}. {caption.path.name}, {wrong}: {caption.caption}{absent}"))
    show(f"{found}.")
    if out is not None:
        show(f"Captions: {out}")
    if review is not None:
        show(f"Review: {review}, {write_audit_page(review, found):,} captions")
