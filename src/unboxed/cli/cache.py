"""The command `unboxed cache`."""

from __future__ import annotations

from unboxed.cli.output import print_json
from unboxed.runtime.progress import counted, one_line, show

__all__ = ["cache"]


def cache(clear: bool = False, json: bool = False) -> None:
    """Show or clear the caches of regions and of remote stores.

    Images that a command has looked at are taken from it. `UNBOXED_CACHE` names its folder, or is `off`;
    `UNBOXED_CACHE_GB` is its limit, by default 4. Copies of stores come on top, and stay until they are removed.

    Args:
        clear: remove all that it holds.
        json: print one JSON object with the folder, the models, images and bytes of each kind of regions, and the URLs
            and bytes of the copies of stores.
    """
    from unboxed.regions.cache import RegionCache, cache_folder
    from unboxed.regions.remote_store import store_copies

    folder = cache_folder()
    if folder is not None and clear:
        RegionCache.clear(folder)
    found = [] if folder is None else RegionCache.contents(folder)
    copies = [] if folder is None else store_copies(folder)
    if json:
        kinds = [{"models": kind.models, "photos": kind.images, "bytes": kind.size} for kind in found]
        stores = [{"url": copy.url, "bytes": copy.size} for copy in copies]
        print_json({"folder": None if folder is None else str(folder), "regions": kinds, "stores": stores})
        return
    if folder is None:
        show("The cache is off; unset UNBOXED_CACHE to use it.")
        return
    size = sum(kind.size for kind in found) + sum(copy.size for copy in copies)
    print(f"{folder}: {size / 1e6:,.1f} MB, {counted(sum(kind.images for kind in found), 'image')}")
    for kind in found:
        print(f"  {counted(kind.images, 'image')}, {kind.size / 1e6:,.1f} MB, of {one_line(kind.models)}")
    for copy in copies:
        print(f"  {copy.size / 1e6:,.1f} MB, of the store {one_line(copy.url)}")
