"""Import of precomputed region features into a store, resumable."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from unboxed.data.dataset import Dataset
from unboxed.data.images import UNKNOWN_SIZE
from unboxed.errors import RegionsError, StoreError, plain_reason
from unboxed.regions import importers
from unboxed.regions.base import FeatureImporter, PrecomputedImage, join_id
from unboxed.regions.settings import ImportedRegions
from unboxed.regions.store import RegionStore
from unboxed.runtime.progress import counted, track
from unboxed.types import Array, Example, Regions

__all__ = ["ImportSummary", "import_regions", "open_features"]

_SOURCE = "imported"
_SAME_SHAPE = 0.03  # relative difference of aspect ratios: sizes are rounded, and features come from resized images
_BEYOND = 0.02  # share of an image by which boxes may reach beyond it, because detectors round
_SMALLEST = 1e-3  # pixels: the least side of an image whose size is that of its boxes


@dataclass(frozen=True)
class ImportSummary:
    """The counts of an import.

    Attributes:
        done: images imported.
        reused: images that the store had already, with the same features.
        missing: ids of images of the dataset without features.
        has_boxes: whether the features have boxes, so that groundings can be scored.
        seconds: duration.
        removed: names of damaged shards, whose images were imported again.
    """

    done: int
    reused: int
    missing: tuple[str, ...]
    has_boxes: bool
    seconds: float
    removed: tuple[str, ...] = ()

    def __str__(self) -> str:
        done = f"{counted(self.done, 'image')} imported in {self.seconds:.0f} s"
        lines = [f"{done}, {self.reused:,} were there already."]
        if self.removed:
            lines.append(f"Imported again, because they were damaged: the images of {', '.join(self.removed)}.")
        if self.missing:
            some = ", ".join(self.missing[:3])
            lines.append(f"Without features: {counted(len(self.missing), 'image')} of the dataset, such as {some}.")
        if not self.has_boxes:
            lines.append("There are no boxes: retrieval can be trained and scored, grounding cannot be scored.")
        return "\n".join(lines)


def open_features(path: Path, form: str) -> FeatureImporter:
    """The importer of the features in `path`.

    Args:
        path: a file or folder, see `importer_table`.
        form: the `format` of an importer.

    Raises:
        RegionsError: no such path, an unknown format, or nothing of that format in `path`.
    """
    if not path.exists():
        raise RegionsError(f"{path} does not exist; --features names the file or folder of precomputed features.")
    by_format = {importer.format: importer for importer in importers.IMPORTERS}
    if form not in by_format:
        raise RegionsError(f"unknown format {form!r}; expected one of: {', '.join(by_format)}.")
    return by_format[form](path)


def import_regions(
    dataset: Dataset,
    source: FeatureImporter,
    out: Path,
    *,
    class_names: Path | None = None,
    first: int | None = None,
    int8: bool = False,
    progress: bool = True,
) -> ImportSummary:
    """Writes the features of a dataset's images into the store `out`, which is created or continued.

    Images are joined by their ids (`join_id`). Boxes are scaled to the images of the dataset; if their sizes are not
    known, boxes are stored as shares of an image of 1 x 1 pixels.

    Args:
        dataset: all its splits are imported.
        source: what `open_features` returned.
        out: folder of the store.
        class_names: a text file with the names of the classes, one a line in the order of their numbers; without it
            the labels of features are ignored whose files do not have the names.
        first: the number of regions of each image that are imported, at most; None: all.
        int8: store features in 8 bits, with a scale for each region; a store that is continued keeps its bits.
        progress: show rate and time left.

    Raises:
        BusyError: another process writes the store.
        StoreError: `out` is a store of other regions, a damaged one, or another folder; features of several widths.
        RegionsError: the features are malformed, or belong to no image of the dataset, or to two.
    """
    if first is not None and first < 1:
        raise RegionsError(f"first is {first}; import at least one region of an image.")
    start = time.monotonic()
    examples = _by_join_id(dataset)
    names = _read_class_names(class_names) if class_names else source.class_names
    settings = ImportedRegions(imported=source.format, boxes=source.has_boxes, class_names=class_names)
    found = track(source.images(examples.keys()), "Features", len(examples), progress)
    cut = found if first is None else (image.first(first) for image in found)
    images = (image for image in cut if len(image.features))
    start_image = next(images, None)
    if start_image is None:
        raise RegionsError(
            f"The {source.format} features have none of the {len(examples):,} images of {dataset.path}, which are "
            f"named such as {next(iter(examples.values())).image_id!r}. Images are joined by these names; for a "
            "dataset of format 'karpathy', `ids` chooses among its names."
        )
    with RegionStore.create_or_resume(out, settings, int8=int8 or None) as store:
        width = start_image.features.shape[1] - sum(extra for _, extra in source.extra_columns)
        store.define_columns(names, (_SOURCE,), ((_SOURCE, width), *source.extra_columns))
        seen, done = _write(store, chain([start_image], images), examples)
    missing = tuple(example.image_id for example in examples.values() if example.image_id not in seen)
    return ImportSummary(done, len(seen) - done, missing, source.has_boxes, time.monotonic() - start, store.removed)


def _by_join_id(dataset: Dataset) -> dict[str, Example]:
    """The images of all splits, by what they are joined by."""
    examples: dict[str, Example] = {}
    for example in (example for name in dataset.split_names for example in dataset.split(name).examples):
        other = examples.get(key := join_id(example.image_id), example)
        if other.image_id != example.image_id:
            raise RegionsError(
                f"{other.image_id} and {example.image_id} of {dataset.path} differ only in their suffix or leading "
                "zeros, without which images are joined with features; rename one of them, or leave it out with "
                "`exclude`."
            )
        examples[key] = example
    return examples


def _write(
    store: RegionStore, images: Iterable[PrecomputedImage], examples: Mapping[str, Example]
) -> tuple[set[str], int]:
    """Adds new and changed images to the store; the ids of all of them, and how many were added."""
    seen: set[str] = set()
    done = 0
    for image in images:
        example = examples[join_id(image.image_id)]
        if example.image_id in seen:
            continue
        seen.add(example.image_id)
        key = _image_key(image, example)
        if store.image_key(example.image_id) == key:
            continue
        if image.features.shape[1] != store.feature_width:
            raise StoreError(
                f"{image.image_id} has {image.features.shape[1]} features a region, those before "
                f"{store.feature_width}; import features of one network into one store."
            )
        store.append(example.image_id, key, _regions(image, example, store.class_names))
        done += 1
    return seen, done


def _image_key(image: PrecomputedImage, example: Example) -> str:
    """Identifies the regions of an image and the frame of their boxes."""
    digest = hashlib.sha256(f"{example.width} x {example.height} {image.size}".encode())
    for values in (image.features, image.boxes, image.scores, image.labels):
        digest.update(b"none" if values is None else np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _regions(image: PrecomputedImage, example: Example, names: tuple[str, ...]) -> Regions:
    count = len(image.features)
    scores = np.ones(count, np.float32) if image.scores is None else image.scores
    if not ((scores >= 0) & (scores <= 1)).all():
        raise RegionsError(f"{image.image_id} has scores outside 0..1; expected probabilities.")
    try:
        return Regions(
            boxes=_stored_boxes(image, example),
            scores=scores,
            features=image.features,
            class_probs=_class_probs(image, scores, names),
            class_names=names,
            sources=(_SOURCE,) * count,
            width=example.width,
            height=example.height,
        )
    except RegionsError as error:
        raise RegionsError(
            f"The features of {image.image_id} are not usable: {error} Fix them, or leave the image out."
        ) from None


def _stored_boxes(image: PrecomputedImage, example: Example) -> Array:
    """The boxes in pixels of the example; without boxes the whole image for each region."""
    stored = (example.width, example.height)
    if image.boxes is None:
        return np.tile(np.array([0, 0, *stored], np.float32), (len(image.features), 1))
    if not np.isfinite(image.boxes).all():
        raise RegionsError("their boxes hold NaN or infinite values.")
    width, height = _frame(image, image.boxes, None if stored == UNKNOWN_SIZE else example.original_size or stored)
    if min(width, height) < _SMALLEST:
        raise RegionsError("their boxes are empty; none has any pixels.")
    shares = image.boxes / np.array([width, height] * 2, np.float32)
    if shares.min(initial=0) < -_BEYOND or shares.max(initial=0) > 1 + _BEYOND:
        raise RegionsError(
            f"their boxes reach beyond the image of {width:g} x {height:g} pixels. They were computed from "
            "another copy of it: let `images` name the originals, or leave `images` out."
        )
    boxes: Array = shares.clip(0, 1) * np.array([*stored, *stored], np.float32)
    return boxes


def _frame(image: PrecomputedImage, boxes: Array, known: tuple[int, int] | None) -> tuple[float, float]:
    """(width, height) of the image that the boxes refer to; `known` is the size of the dataset's image."""
    if boxes.max(initial=0) <= 1:
        return 1.0, 1.0
    if image.size is None and known is None:  # the regions of an image nearly always reach its edges
        return float(boxes[:, 2].max()), float(boxes[:, 3].max())
    width, height = frame = image.size or known or UNKNOWN_SIZE
    if known is not None and abs(width * known[1] / (height * known[0]) - 1) > _SAME_SHAPE:
        raise RegionsError(
            f"they are of an image of {width} x {height} pixels, the dataset's has {known[0]} x {known[1]}; let "
            "`images` name the originals."
        )
    return frame


def _class_probs(image: PrecomputedImage, scores: Array, names: tuple[str, ...]) -> Array:
    """`[R, K]`: the score of each region in the column of its label, else 0."""
    probs = np.zeros((len(image.features), len(names)), np.float32)
    if names and image.labels is not None:
        if image.labels.min(initial=0) < 0 or image.labels.max(initial=0) >= len(names):
            raise RegionsError(f"they have the class {image.labels.max()}, but {len(names)} are named.")
        probs[np.arange(len(probs)), image.labels] = scores
    return probs


def _read_class_names(path: Path) -> tuple[str, ...]:
    try:
        names = tuple(line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise RegionsError(
            f"{path} cannot be read ({plain_reason(error)}); expected a text file, one class a line."
        ) from None
    if not names:
        raise RegionsError(f"{path} is empty; write one class a line.")
    return names
