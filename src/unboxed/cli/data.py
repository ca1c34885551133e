"""Commands that prepare data: `unboxed init`, `scenes`, `regions`, `merge` and `import`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import OmitArgPrefixes, Positional

from unboxed.cli.output import print_json
from unboxed.cli.region_options import ExtractionOptions, ImportOptions, RegionOptions
from unboxed.regions.settings import RegionSettings
from unboxed.runtime.progress import counted, show

if TYPE_CHECKING:
    from unboxed.regions.extraction import ExtractionSummary, Workers
    from unboxed.types import Example

__all__ = ["import_command", "import_features", "init", "merge", "regions", "scenes"]


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
    survey = survey_folder(data)
    write_dataset_file(survey, file)
    for line in survey.lines():
        show(line)
    if measure:
        from unboxed.training.auto import default_regions
        from unboxed.training.estimate import estimate

        settings, description = default_regions(load_dataset(file), detector)
        show(description)
        training_images = survey.split_counts.get("train", 0)
        found = estimate(survey.examples, training_images, settings) if training_images else None
        if found is not None:
            show(
                f"Estimated: regions {_duration(found.regions)} ({found.image:.2f} s an image), training "
                f"{_duration(found.training)} ({found.recipe}, {counted(found.epochs, 'epoch')})"
            )
    option = f" --detector {' '.join(map(str, detector))}" if detector else ""
    show(f"Wrote {file}. Next: unboxed fit --data {file} --out run{option}")
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


def scenes(
    out: Positional[Path], /, seed: int = 0, train: int = 2000, val: int = 300, test: int = 300, json: bool = False
) -> None:
    """Draw Scenes, a dataset of simple images in the Flickr30K Entities format, with its dataset file OUT/data.toml.

    Args:
        out: folder to write; it must not exist yet.
        seed: random seed; the same seed writes the same bytes.
        train: images of the train split.
        val: images of the val split.
        test: images of the test split.
        json: print one JSON object on standard output at the end.
    """
    from unboxed.scenes import write_scenes

    file = write_scenes(out, seed=seed, train=train, val=val, test=test)
    show(f"Wrote {file}")
    if json:
        print_json({"data": str(file), "splits": {"train": train, "val": val, "test": test}})


def regions(
    data: Positional[Path],
    /,
    out: Path,
    settings: OmitArgPrefixes[RegionOptions] = RegionOptions(),  # noqa: B008, a frozen value
    extraction: OmitArgPrefixes[ExtractionOptions] = ExtractionOptions(),  # noqa: B008, a frozen value
    json: bool = False,
    wait: bool = False,
) -> None:
    """Find regions in every image of a dataset and write them to a store.

    Without any option of the sources, the models that the dataset names under `[regions]` are used; without these,
    segments, a 3 x 3 grid and the whole image.

    Args:
        data: images with captions: a table (CSV, JSONL, JSON), a folder, a dataset's TOML file, or tar or Parquet
            files, also at URLs.
        out: folder of the store; an interrupted extraction continues where it stopped.
        settings: sources of regions and their features.
        extraction: how they are extracted.
        json: print one JSON object on standard output at the end.
        wait: wait while another process writes the store, instead of ending with an error.
    """
    from unboxed.data.dataset import load_dataset
    from unboxed.data.image_files import skipped_lines
    from unboxed.regions.queries import with_queries
    from unboxed.runtime.locks import waiting

    dataset = load_dataset(data)
    dataset.require_images()
    chosen = settings.given()
    if chosen is None:
        chosen, description = RegionSettings.default_for(dataset)
        show(description)
    splits = [dataset.split(name) for name in dataset.split_names]
    for line in dataset.notes:
        show(line)
    for split in splits:
        show(split.describe())
        if extraction.strict:
            split.require_readable()
    examples = {example.image_id: example for split in splits for example in split.examples}
    asked = [split for split in splits if split.name == "train"] or splits
    chosen = with_queries(chosen, [example for split in asked for example in split.examples])
    with waiting(wait):
        summary = _extract(list(examples.values()), chosen, out, extraction)
    skipped = dict(summary.skipped) | {name: reason for split in splits for name, reason in split.unreadable.items()}
    if summary.repairs:
        show(summary.repairs)
    for line in skipped_lines(skipped):
        show(line)
    show(
        f"{out}: {summary.done:,} images in {summary.seconds:.0f} s, {summary.reused:,} already in the store, "
        f"{len(skipped)} skipped"
    )
    if json:
        print_json({"store": str(out), "photos": summary.done, "reused": summary.reused, "skipped": skipped})


def _extract(
    examples: list[Example], settings: RegionSettings, out: Path, options: ExtractionOptions
) -> ExtractionSummary:
    from unboxed.regions.extraction import RegionExtractor, extract
    from unboxed.regions.store import RegionStore
    from unboxed.runtime.parts import Part

    part = None if options.part is None else Part.parse(options.part)
    workers = _workers(options)
    if options.int8:
        RegionExtractor(settings)  # a model that cannot be used is reported before anything is written
        with RegionStore.create_or_resume(out, settings, int8=True):
            pass
    return extract(examples, settings, out, workers=workers, strict=options.strict, part=part)


def _workers(options: ExtractionOptions) -> int | Workers | None:
    """The workers of the chosen engine."""
    from unboxed.regions.ray_workers import chosen_workers

    return chosen_workers(options.engine, options.workers, options.ray_address) or options.workers


def merge(parts: Positional[tuple[Path, ...]], /, out: Path, json: bool = False) -> None:
    """Merge all parts of a dataset, made with `--part K/N` of `unboxed regions`, `label` or `ground`, into one.

    A store is the one that a single `unboxed regions` writes, byte for byte. Lines of `ground` come in the order of the
    folder. Merged NAME.groundings.jsonl files of `label` are read by an `unboxed label --out NAME.json` of the whole
    dataset, which then looks at no image again.

    Args:
        parts: folders of stores, or files of JSON lines, in any order.
        out: folder of the store, or the file of all lines; it must not exist yet.
        json: print one JSON object on standard output at the end.
    """
    from unboxed.regions.parts import merge_parts
    from unboxed.runtime.part_lines import merge_lines

    if any(path.is_file() or path.suffix == ".jsonl" for path in parts):
        lines = merge_lines(parts, out)
        show(f"{out}: {lines:,} images of {len(parts)} parts")
        if json:
            print_json({"out": str(out), "images": lines, "parts": len(parts)})
        return
    count = len(merge_parts(parts, out))
    show(f"{out}: {count:,} images of {len(parts)} parts")
    if json:
        print_json({"store": str(out), "photos": count, "parts": len(parts)})


def import_features(
    data: Positional[Path],
    /,
    features: Path,
    format: str,  # noqa: A002, the name of the option
    out: Path,
    importing: OmitArgPrefixes[ImportOptions] = ImportOptions(),  # noqa: B008, a frozen value
    json: bool = False,
    wait: bool = False,
) -> None:
    """Import precomputed region features into a store, such as those of SCAN or bottom-up attention.

    Args:
        data: the dataset's TOML file, CSV or JSONL.
        features: the file or folder of the features.
        format: format of the features; docs/regions.md describes the formats.
        out: folder of the store; an interrupted import continues where it stopped.
        importing: what is imported.
        json: print one JSON object on standard output at the end.
        wait: wait while another process writes the store, instead of ending with an error.
    """
    from unboxed.data.dataset import load_dataset
    from unboxed.regions.importing import import_regions, open_features
    from unboxed.runtime.locks import waiting

    source = open_features(features, format)
    with waiting(wait):
        summary = import_regions(
            load_dataset(data),
            source,
            out,
            class_names=importing.classes,
            first=importing.first,
            int8=importing.int8,
        )
    show(f"{out}: {summary}")
    if json:
        print_json({"store": str(out), **asdict(summary)})


def import_command() -> Callable[..., None]:
    """`import_features` whose `--format` accepts the formats of all importers. Imports the importers."""
    from unboxed.regions.importers import IMPORTERS

    import_features.__annotations__["format"] = Literal[tuple(importer.format for importer in IMPORTERS)]
    return import_features
