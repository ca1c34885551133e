"""The verb that looks at a folder of one's own and writes its dataset file."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from unboxed.runtime.progress import show

__all__ = ["init"]


def init(
    folder: Positional[Path],
    /,
    out: Path | None = None,
    detector: Path | None = None,
    measure: bool = True,
) -> None:
    """Look at a folder of images and captions, write its dataset file, and estimate the time to train.

    Args:
        folder: images with a table of captions (CSV, JSONL, JSON), with text files of the same names, or a
            Hugging Face dataset.
        out: the dataset file; FOLDER/data.toml by default.
        detector: what will find regions, for the estimate: an ONNX file, or the folder of a detector of transformers.
        measure: estimate how long regions and training take, from a few images.
    """
    from unboxed.data.dataset import load_dataset
    from unboxed.data.survey import survey_folder, write_dataset_file

    file = out or folder / "data.toml"
    survey = survey_folder(folder)
    write_dataset_file(survey, file)
    for line in survey.lines():
        show(line)
    option = f" --detector {detector}" if detector else ""
    if measure:
        from unboxed.training.auto import default_regions
        from unboxed.training.estimate import estimate

        settings, which = default_regions(load_dataset(file), detector)
        show(which)
        training = survey.split_counts.get("train", 0)
        found = estimate(survey.examples, training, settings) if training else None
        if found is not None:
            show(
                f"Estimated: regions {_duration(found.regions)} ({found.image:.2f} s an image), training "
                f"{_duration(found.training)} ({found.recipe}, {found.epochs} epochs)"
            )
    show(f"Wrote {file}. Next: unboxed fit --data {file} --out run{option}")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
