"""Verbs that make or read data: a drawn world, regions of images, features that others computed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tyro.conf import OmitArgPrefixes, Positional

from unboxed.regions.settings import RegionSettings
from unboxed.runtime.progress import show

__all__ = ["import_features", "regions", "scenes"]


def scenes(out: Positional[Path], /, seed: int = 0, train: int = 2000, val: int = 300, test: int = 300) -> None:
    """Draw Scenes, a world in the Flickr30K Entities format, and name it in OUT/data.toml.

    Args:
        out: folder to write; it must not exist yet.
        seed: the same seed draws the same world, byte by byte.
        train: images of the train split.
        val: images of the val split.
        test: images of the test split.
    """
    from unboxed.scenes import write_scenes

    show(f"Wrote {write_scenes(out, seed=seed, train=train, val=val, test=test)}")


def regions(
    data: Positional[Path],
    /,
    out: Path,
    detector: tuple[Path, ...] = (),
    settings: OmitArgPrefixes[RegionSettings] = RegionSettings(),  # noqa: B008, a frozen value
    workers: int | None = None,
    strict: bool = False,
) -> None:
    """Find regions in every image of a dataset and keep them in a store.

    Args:
        data: the dataset's TOML file, CSV, JSONL or folder.
        out: folder of the store; an interrupted extraction goes on where it stopped.
        detector: ONNX object detectors, the same as --detectors.
        settings: what proposes and describes regions.
        workers: images worked on at a time; as many as there are cores by default.
        strict: stop at the first image that cannot be read instead of skipping it.
    """
    from dataclasses import replace

    from unboxed.data.dataset import load_dataset
    from unboxed.regions.extraction import extract

    dataset = load_dataset(data)
    dataset.require_images()
    chosen = replace(settings, detectors=(*settings.detectors, *detector))
    splits = [dataset.split(name) for name in dataset.split_names]
    for split in splits:
        show(split.describe())
        if strict:
            split.require_readable()
    examples = {example.image_id: example for split in splits for example in split.examples}
    summary = extract(list(examples.values()), chosen, out, workers=workers, strict=strict)
    skipped = dict(summary.skipped)
    for split in splits:
        skipped.update(split.unreadable)
    for image_id, reason in skipped.items():
        show(f"Skipped {image_id}: {reason}")
    show(
        f"{out}: {summary.done:,} images in {summary.seconds:.0f} s, {summary.reused:,} were there already, "
        f"{len(skipped)} skipped"
    )


def import_features(
    data: Positional[Path],
    /,
    features: Path,
    format: Literal["scan", "tsv", "hdf5"],  # noqa: A002, the name of the option
    out: Path,
    classes: Path | None = None,
) -> None:
    """Keep region features that others have computed in a store: SCAN's, bottom-up attention's, InfoGround's.

    Args:
        data: the dataset's TOML file, CSV or JSONL.
        features: SCAN directory, TSV file or folder of them, or folder of HDF5 files.
        format: which of them.
        out: folder of the store; an interrupted import goes on where it stopped.
        classes: text file with the names of the features' class labels, one a line from number 0.
    """
    from unboxed.data.dataset import load_dataset
    from unboxed.regions.importers.precomputed import import_regions, open_features

    show(f"{out}: {import_regions(load_dataset(data), open_features(features, format), out, class_names=classes)}")
