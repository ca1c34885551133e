"""Region features that others have computed and published, streamed into a store.

What is read is one of `scan_features`, `bottom_up_tsv` and `info_ground_hdf5`; each hands over one image at a
time, so that a file of tens of gigabytes needs the memory of a few images.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from unboxed.data.dataset import Dataset
from unboxed.data.image_folder import UNKNOWN_SIZE
from unboxed.errors import RegionsError, StoreError
from unboxed.regions.importers.base import FeatureFormat, FeatureSource, PrecomputedImage, image_key
from unboxed.regions.importers.bottom_up_tsv import BottomUpTSV
from unboxed.regions.importers.infoground_hdf5 import InfoGroundHDF5
from unboxed.regions.importers.scan_features import ScanFeatures
from unboxed.regions.settings import ImportedRegions
from unboxed.regions.store.region_store import RegionStore
from unboxed.runtime.progress import track
from unboxed.types import Array, Example, Regions

__all__ = ["ImportSummary", "import_regions", "open_features"]

_SOURCE = "imported"
_SAME_SHAPE = 0.03  # sizes of files are rounded, and features were computed from other copies of an image
_BEYOND = 0.02  # share of an image that boxes may reach beyond it, which detectors' rounding explains


@dataclass(frozen=True)
class ImportSummary:
    """What an import did.

    Attributes:
        done: images imported.
        reused: images that the store had already, with the same features.
        missing: image ids of the dataset that the source has no features of.
        has_boxes: whether groundings can be scored.
        seconds: how long it took.
    """

    done: int
    reused: int
    missing: tuple[str, ...]
    has_boxes: bool
    seconds: float

    def __str__(self) -> str:
        lines = [f"{self.done:,} images imported in {self.seconds:.0f} s, {self.reused:,} were there already."]
        if self.missing:
            some = ", ".join(self.missing[:3])
            lines.append(f"{len(self.missing):,} images of the dataset have no features, such as {some}.")
        if not self.has_boxes:
            lines.append("There are no boxes: retrieval can be trained and scored, grounding cannot be scored.")
        return "\n".join(lines)


def open_features(path: Path, form: FeatureFormat) -> FeatureSource:
    """The features in `path`: a SCAN directory, a TSV file or a folder of them, or a folder of HDF5 files.

    Raises:
        RegionsError: nothing of that format there.
    """
    # Each is imported when it is asked for: h5py is an extra.
    if not path.exists():
        raise RegionsError(f"{path} does not exist; --features names the file or folder of precomputed features.")
    if form == "scan":
        return ScanFeatures(path)
    if form == "tsv":
        return BottomUpTSV(path)
    if form == "hdf5":
        return InfoGroundHDF5(path)
    raise RegionsError(f"unknown format {form!r}; expected one of: {', '.join(get_args(FeatureFormat))}.")


def import_regions(
    dataset: Dataset,
    source: FeatureSource,
    out: Path,
    *,
    class_names: Path | None = None,
    progress: bool = True,
) -> ImportSummary:
    """Stream the features of a dataset's images into the store `out`, which is made or gone on with.

    Images are joined by their ids (`image_key`). Boxes are scaled to the images of the dataset; where it has none
    and does not know their sizes, they are kept as shares.

    Args:
        dataset: all its splits are imported.
        source: what `open_features` gave.
        out: folder of the store.
        class_names: a text file that names the classes of the source's labels, one a line from number 0; without it
            labels are not kept.
        progress: show rate and time left.

    Raises:
        StoreError: `out` holds other regions, is damaged, or another folder; features of several widths.
        RegionsError: the source is malformed, or has no image of the dataset.
    """
    start = time.monotonic()
    examples = {
        image_key(example.image_id): example for name in dataset.split_names for example in dataset.split(name).examples
    }
    names = _class_names(class_names) if class_names else ()
    settings = ImportedRegions(imported=source.format, boxes=source.has_boxes, class_names=class_names)
    found = track(source.images(examples.keys()), "Features", len(examples), progress)
    images = (image for image in found if len(image.features))
    first = next(images, None)
    if first is None:
        raise RegionsError(
            f"The {source.format} features have none of the {len(examples):,} images of {dataset.path}, which are "
            f"named such as {next(iter(examples.values())).image_id!r}. Images are joined by these names; for a "
            "dataset of format 'karpathy', `ids` chooses among its names."
        )
    done, reused, seen = 0, 0, set()
    with RegionStore.create_or_resume(out, settings) as store:
        store.define_columns(names, (_SOURCE,), ((_SOURCE, first.features.shape[1]),))
        for image in _chained(first, images):
            example = examples[image_key(image.image_id)]
            if example.image_id in seen:
                continue
            seen.add(example.image_id)
            content = _content(image, example)
            if store.image_key(example.image_id) == content:
                reused += 1
                continue
            if image.features.shape[1] != store.feature_width:
                raise StoreError(
                    f"{image.image_id} has {image.features.shape[1]} features a region, those before "
                    f"{store.feature_width}; import features of one network into one store."
                )
            store.append(example.image_id, content, _regions(image, example, names))
            done += 1
    missing = tuple(example.image_id for example in examples.values() if example.image_id not in seen)
    return ImportSummary(done, reused, missing, source.has_boxes, time.monotonic() - start)


def _chained(first: PrecomputedImage, rest: Iterator[PrecomputedImage]) -> Iterator[PrecomputedImage]:
    yield first
    yield from rest


def _content(image: PrecomputedImage, example: Example) -> str:
    """What identifies the regions and the frame that they are stored in."""
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
            f"The features of {image.image_id} are not usable: {error} Mend them, or leave the image out."
        ) from None


def _stored_boxes(image: PrecomputedImage, example: Example) -> Array:
    """The boxes in the frame of the example; the whole image for each region where there are none."""
    stored = (example.width, example.height)
    if image.boxes is None:
        return np.tile(np.array([0, 0, *stored], np.float32), (len(image.features), 1))
    known = None if stored == UNKNOWN_SIZE else example.original_size or stored
    if image.boxes.max(initial=0) <= 1:
        frame = (1.0, 1.0)
    elif image.size is not None:
        frame = image.size
        if known is not None and abs(frame[0] * known[1] / (frame[1] * known[0]) - 1) > _SAME_SHAPE:
            raise RegionsError(
                f"they are of an image of {frame[0]} x {frame[1]} pixels, the dataset's has {known[0]} x "
                f"{known[1]}; let `images` name the originals."
            )
    elif known is not None:
        frame = known
    else:  # neither says; the regions of an image nearly always reach its edges
        frame = (float(image.boxes[:, 2].max()), float(image.boxes[:, 3].max()))
    shares = image.boxes / np.array([*frame, *frame], np.float32)
    if shares.min(initial=0) < -_BEYOND or shares.max(initial=0) > 1 + _BEYOND:
        raise RegionsError(
            f"their boxes reach beyond the image of {frame[0]:g} x {frame[1]:g} pixels. They were computed from "
            "another copy of it: let `images` name the originals, or leave `images` out."
        )
    boxes: Array = shares.clip(0, 1) * np.array([*stored, *stored], np.float32)
    return boxes


def _class_probs(image: PrecomputedImage, scores: Array, names: tuple[str, ...]) -> Array:
    """`[R, K]`: each region's score at its label."""
    probs = np.zeros((len(image.features), len(names)), np.float32)
    if names and image.labels is not None:
        if image.labels.min(initial=0) < 0 or image.labels.max(initial=0) >= len(names):
            raise RegionsError(f"they have the class {image.labels.max()}, but {len(names)} are named.")
        probs[np.arange(len(probs)), image.labels] = scores
    return probs


def _class_names(path: Path) -> tuple[str, ...]:
    try:
        names = tuple(line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise RegionsError(f"{path} cannot be read ({error}); expected a text file, one class a line.") from None
    if not names:
        raise RegionsError(f"{path} is empty; write one class a line.")
    return names
