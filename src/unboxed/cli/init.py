"""`unboxed init`: a survey of images and captions, and their dataset file."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from unboxed.cli.output import print_json
from unboxed.runtime.progress import counted, show, to_call

__all__ = ["init"]


def init(
    data: Positional[Path],
    /,
    out: Path | None = None,
    detector: tuple[Path, ...] = (),
    measure: bool = True,
    json: bool = False,
) -> None:
    """Survey images and captions, write their dataset file, and estimate the time to train.

    Args:
        data: a table of captions (CSV, JSONL, JSON), or a folder of images with one, with a text file of the same name
            beside each image, or with a Hugging Face dataset.
        out: the dataset file; by default FOLDER/data.toml, or TABLE.toml beside the table.
        detector: the detectors to use in the estimate: ONNX files, or the folder of a detector of transformers.
        measure: estimate the time for regions and training from a few images.
        json: print one JSON object on standard output at the end.
    """
    from unboxed.data.dataset import load_dataset
    from unboxed.data.survey import survey_folder, write_dataset_file

    file = out or (data / "data.toml" if data.is_dir() else data.with_suffix(".toml"))
    survey = survey_folder(data, file, progress=True)
    write_dataset_file(survey, file)
    for line in survey.lines():
        show(line)
    if measure:
        from unboxed.training.defaults import default_regions
        from unboxed.training.estimate import estimate

        settings, description = default_regions(load_dataset(file), detector)
        show(description)
        training_images = survey.split_counts.get("train", 0)
        if training_images < 2:
            show(f"{counted(training_images, 'image')} for training: `unboxed fit` needs two, and two for validation.")
        found = estimate(survey.examples, training_images, settings)
        if found is not None:
            show(
                f"Estimated: regions {_duration(found.regions)} ({found.image:.2f} s an image), training "
                f"{_duration(found.training)} ({found.recipe}, {counted(found.epochs, 'epoch')})"
            )
    detectors = ("--detector", *detector) if detector else ()
    show(f"Wrote {file}. Next: {to_call('fit', '--data', file, '--out', 'run', *detectors)}")
    if json:
        counts = {
            "photos": sum(survey.split_counts.values()),
            "splits": dict(survey.split_counts),
            "phrases": survey.phrases,
        }
        print_json(
            {"data": str(file), **counts, "unreadable": dict(survey.unreadable), "missing": list(survey.missing)}
        )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
