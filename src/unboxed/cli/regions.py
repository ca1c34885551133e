"""`unboxed regions`: the candidate regions of every image, in a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import OmitArgPrefixes, Positional

from unboxed.cli.output import print_json
from unboxed.cli.region_options import ExtractionOptions, RegionOptions
from unboxed.regions.settings import RegionSettings
from unboxed.runtime.progress import counted, show

if TYPE_CHECKING:
    from unboxed.regions.extraction import ExtractionSummary, Workers
    from unboxed.types import Example

__all__ = ["regions"]


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
    asked = [split for split in splits if split.name == dataset.find_split("train")] or splits
    chosen = with_queries(chosen, [example for split in asked for example in split.examples])
    with waiting(wait):
        summary = _extract(list(examples.values()), chosen, out, extraction)
    skipped = dict(summary.skipped) | {name: reason for split in splits for name, reason in split.unreadable.items()}
    if summary.repairs:
        show(summary.repairs)
    for line in skipped_lines(skipped):
        show(line)
    show(
        f"{out}: {counted(summary.done, 'image')} in {summary.seconds:.0f} s, {summary.reused:,} already in the store, "
        f"{len(skipped)} skipped"
    )
    if json:
        print_json({"store": str(out), "photos": summary.done, "reused": summary.reused, "skipped": skipped})


def _extract(
    examples: list[Example], settings: RegionSettings, out: Path, options: ExtractionOptions
) -> ExtractionSummary:
    from unboxed.regions.extraction import extract
    from unboxed.regions.extractor import RegionExtractor
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
