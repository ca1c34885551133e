"""The command `unboxed calibrate`."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from unboxed.cli.output import print_json
from unboxed.runtime.progress import show

__all__ = ["calibrate"]


def calibrate(run: Positional[Path], /, data: Path, split: str | None = None, json: bool = False) -> None:
    """Calibrate a run for images of another collection, with captions and without training.

    The run comes first, the data after an option: `unboxed calibrate RUN --data photos.csv`. `fit` calibrates a run on
    its own collection. On other images its probabilities may be off: then phrases that are there are refused. The new
    calibration is written into the run where it is better. The same command with the data of `fit`
    calibrates on its held-out images again.

    Args:
        run: folder of the run.
        data: images with captions: a table (CSV, JSONL, JSON), a folder, a dataset's TOML file, or tar or Parquet
            files, also at URLs.
        split: of the dataset; by default every image, or of the data that the run was trained on the held-out images.
        json: print one JSON object on standard output at the end.
    """
    from unboxed.evaluation.recalibration import recalibrate

    result = recalibrate(run, data, split, show=show)
    show(str(result))
    if json:
        print_json(result.to_dict())
