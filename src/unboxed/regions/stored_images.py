"""The regions of images in a store, which may be those of other files of the same names."""

from __future__ import annotations

from collections.abc import Sequence

from unboxed.data.image_addresses import is_address
from unboxed.errors import ImageError
from unboxed.regions.cache import image_key
from unboxed.regions.settings import ImportedRegions
from unboxed.regions.store import RegionStore
from unboxed.runtime.progress import Show, counted
from unboxed.types import Example, Regions

__all__ = ["regions_of_image", "show_replaced_images"]

_READ = 1000  # images whose content is compared, at most


def regions_of_image(store: RegionStore, image_id: str, key: str) -> Regions:
    """The regions of an image whose content is known; regions that were imported belong to it by its name.

    Args:
        store: that may have it.
        image_id: of the image.
        key: of its content (`image_key`).

    Raises:
        ImageError: the store has none, or those of another image of this name.
        StoreError: the store is damaged.
    """
    imported = isinstance(store.settings, ImportedRegions) and image_id in store
    if store.image_key(image_id) != key and not imported:
        raise ImageError(
            f"{store.path} has no regions of this image as it is now; run `unboxed regions` on it, or leave out "
            "--regions."
        )
    return store[image_id]


def show_replaced_images(store: RegionStore | None, examples: Sequence[Example], show: Show) -> None:
    """Show a line where a store has the regions of other images than those of these names.

    Only files that are newer than their regions are read, and of many some. Regions that were imported belong to images
    by their names alone.

    Args:
        store: that the user named; None: there is none.
        examples: the images.
        show: called with the line.
    """
    if store is None or isinstance(store.settings, ImportedRegions):
        return
    newer = [example for example in examples if example.image_id in store and _is_newer(store, example)]
    step = len(newer) // _READ + 1
    replaced = [example.image_id for example in newer[::step] if _is_replaced(store, example)]
    if replaced:
        of = "" if step == 1 else f" of {len(newer[::step]):,} that were compared"
        show(
            f"warning: {store.path} has the regions of former files of {counted(len(replaced), 'image')}{of}, such as "
            f"{replaced[0]}, which changed since; run `unboxed regions` again."
        )


def _is_newer(store: RegionStore, example: Example) -> bool:
    """Whether the file of an image took its place after its regions were written."""
    try:
        found = example.path.stat()
        return not is_address(example.path) and max(found.st_mtime, found.st_ctime) > store.written(example.image_id)
    except OSError:  # there is no such file
        return False


def _is_replaced(store: RegionStore, example: Example) -> bool:
    try:
        return image_key(example.path, example.original_size) != store.image_key(example.image_id)
    except ImageError:
        return False
