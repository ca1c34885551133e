"""Builds an index and keeps it up to date: encodes new images, drops those that are gone, keeps the rest."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unboxed.errors import ImageError, SearchError
from unboxed.inference.grounder import Grounder
from unboxed.regions.cache import image_key
from unboxed.regions.store import RegionStore
from unboxed.runtime.locks import folder_lock
from unboxed.runtime.progress import Show, counted
from unboxed.runtime.threads import available_cores, ordered_map
from unboxed.search.image_list import ImageList, ListedImage, list_images
from unboxed.search.index_folder import IndexFolder
from unboxed.search.index_table import ImageTable
from unboxed.search.index_writer import IndexWriter
from unboxed.search.options import IndexOptions

__all__ = ["IndexSummary", "index_images"]

_LISTED = 10  # skipped images that are printed by name


@dataclass(frozen=True)
class IndexSummary:
    """What a call did.

    Attributes:
        images, captions: number in the index now.
        added, updated, removed, kept: number of images; the content of an updated one has changed.
        skipped: (name, reason) of images that cannot be used; they are not in the index.
        seconds: time that the call took.
    """

    images: int
    captions: int
    added: int
    updated: int
    removed: int
    kept: int
    skipped: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The object that `unboxed index --json` prints."""
        counts = {name: getattr(self, name) for name in ("captions", "added", "updated", "removed", "kept")}
        skipped = [{"name": name, "reason": reason} for name, reason in self.skipped]
        return {"photos": self.images, **counts, "skipped": skipped}

    def __str__(self) -> str:
        captions = f" and {self.captions:,} captions" if self.captions else ""
        line = (
            f"{counted(self.images, 'image')}{captions} in the index: {self.added:,} added, {self.updated:,} updated, "
            f"{self.removed:,} removed, {self.kept:,} as before, {len(self.skipped):,} skipped; {self.seconds:.0f} s"
        )
        named = [f"  skipped {name}: {reason}" for name, reason in self.skipped[:_LISTED]]
        more = [f"  and {len(self.skipped) - _LISTED:,} more"] if len(self.skipped) > _LISTED else []
        return "\n".join([line, *named, *more])


def index_images(
    run: Path,
    images: Path,
    out: Path,
    options: IndexOptions | None = None,
    *,
    progress: bool = True,
    show: Show = lambda line: None,
) -> IndexSummary:
    """Build or update the index `out`, so that it holds exactly these images, encoded by the run.

    Images are identified by their content: one that was moved or renamed is not encoded again. A call that is killed
    leaves an index that answers as before, and the next call continues with what was finished. One process may write at
    a time; any number may search meanwhile.

    Args:
        run: folder of the run.
        images: a folder of images, or the file of a dataset.
        out: folder of the index.
        options: split, regions and the rest; None for the defaults.
        progress: show how many images are done, the rate and the time left.
        show: called with lines of text.

    Raises:
        BusyError: another process writes the index.
        RunError: no run there.
        SearchError: the index was made by another run, `out` is something else, or there are no images.
        ImageError: with `options.strict`, the first image that cannot be read; otherwise when none can.
    """
    start = time.monotonic()
    run, images, out = Path(run), Path(images), Path(out)
    options = options or IndexOptions()
    listed = _listed(images, options, show)
    grounder = Grounder.load(run)
    _require_regions(grounder, options)
    if out.exists() and not out.is_dir():
        raise SearchError(f"{out} exists and is no index; name a new folder.")
    with folder_lock(out, wait=options.wait, show=show):
        folder = IndexFolder.begin(out, run, grounder, again=options.again)
        before = _digests_before(out)
        writer = IndexWriter(grounder, folder, options)
        if writer.removed:
            show(f"Made again, because they were damaged: {', '.join(writer.removed)}")
        keys, skipped = _encoded(writer, listed, options, progress)
        table = writer.write_table(listed, keys, show)
        folder.finish(run.resolve())
    now = _digests(table)
    return IndexSummary(
        images=len(table),
        captions=len(table.captions),
        added=len(now.keys() - before.keys()),
        updated=sum(before[name] != digest for name, digest in now.items() if name in before),
        removed=len(before.keys() - now.keys()),
        kept=len(now.items() & before.items()),
        skipped=tuple(sorted(skipped.items())),
        seconds=time.monotonic() - start,
    )


def _listed(images: Path, options: IndexOptions, show: Show) -> ImageList:
    listed = list_images(images, options.split)
    for line in listed.notes:
        show(line)
    if options.strict and listed.skipped:
        name, reason = next(iter(listed.skipped.items()))
        raise ImageError(f"{name} cannot be used: {reason} Without --strict it is skipped.")
    return listed


def _require_regions(grounder: Grounder, options: IndexOptions) -> None:
    """Raise an error, before anything is written, where regions can neither be computed nor read."""
    if options.regions is None:
        grounder.config.regions.require_extractable()
    else:
        RegionStore.open(options.regions)


def _digests_before(out: Path) -> dict[str, bytes]:
    """Name -> digest of the images of the index in use, whichever run encoded them."""
    in_use = IndexFolder.of(out)
    if in_use is None or not in_use.table.is_file():
        return {}
    try:
        table = ImageTable.load(in_use.table)
    except SearchError:
        return {}  # it is damaged, and is made again
    return _digests(table)


def _digests(table: ImageTable) -> dict[str, bytes]:
    """Name -> digest of the images of a table."""
    return dict(zip(table.names.all(), table.digests, strict=True))


def _encoded(
    writer: IndexWriter, listed: ImageList, options: IndexOptions, progress: bool
) -> tuple[dict[str, str], dict[str, str]]:
    """Name -> key of every image that is in a shard now, and name -> reason of those that cannot be used.

    Raises:
        ImageError: none can.
    """
    keys, unreadable = _content_keys(listed, options)
    keys = {name: writer.key_of(key, listed.images[name]) for name, key in keys.items()}
    unusable = writer.encode({key: listed.images[name] for name, key in keys.items() if key not in writer}, progress)
    skipped = {**listed.skipped, **unreadable}
    skipped |= {name: unusable[key] for name, key in keys.items() if key in unusable}
    keys = {name: key for name, key in keys.items() if key not in unusable}
    if not keys:
        name, reason = next(iter(skipped.items()))
        raise ImageError(f"None of the {len(skipped):,} images could be used; {name}: {reason}")
    return keys, skipped


def _content_keys(listed: ImageList, options: IndexOptions) -> tuple[dict[str, str], dict[str, str]]:
    """Name -> key of the content of every image, and name -> reason of images whose file cannot be read."""

    def key(image: ListedImage) -> str | ImageError:
        try:
            return image_key(image.path, image.original_size)
        except ImageError as error:
            if options.strict:
                raise
            return error

    found = ordered_map(key, listed.images.values(), options.workers or available_cores())
    keys: dict[str, str] = {}
    unreadable: dict[str, str] = {}
    for name, outcome in zip(listed.images, found, strict=True):
        if isinstance(outcome, str):
            keys[name] = outcome
        else:
            unreadable[name] = str(outcome)
    return keys, unreadable
