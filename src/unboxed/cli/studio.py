"""The verb that opens the studio."""

from __future__ import annotations

import os
from pathlib import Path

from tyro.conf import Positional

from unboxed.errors import StudioError
from unboxed.runtime.progress import show

__all__ = ["studio"]


def studio(
    run: Positional[Path],
    /,
    index: Path | None = None,
    photos: Path | None = None,
    data: Path | None = None,
    split: str = "val",
    host: str = "127.0.0.1",
    port: int = 8321,
    token: str | None = None,
    allow_host: tuple[str, ...] = (),
    workers: int | None = None,
    waiting: int = 48,
    megabytes: float = 20,
    megapixels: float = 40,
    seconds: float = 30,
) -> None:
    """Open a page on which images are grounded, searched and browsed; nobody else's machine can reach it.

    Args:
        run: folder of the run.
        index: images to search, made by `unboxed index`.
        photos: folder of images to pick from.
        data: dataset whose captions can be browsed with what became of them.
        split: split of that dataset.
        host: address to listen on; any but this machine's own needs a token.
        port: port to listen on; 0 for any free one.
        token: what others must know; the variable UNBOXED_STUDIO_TOKEN keeps it out of the list of processes.
        allow_host: names by which a reverse proxy asks for the studio.
        workers: requests worked on at a time; as many as there are cores by default.
        waiting: requests that wait; one more is told to come again later.
        megabytes: of an uploaded image.
        megapixels: of an image.
        seconds: a request may take, waiting included.
    """
    try:
        from unboxed.studio.limits import Limits
        from unboxed.studio.serve import serve
    except ModuleNotFoundError as error:
        raise StudioError(f'The studio needs {error.name}; install it with `pip install "unboxed[studio]"`.') from None

    usual = Limits()
    limits = Limits(
        megabytes=megabytes,
        megapixels=megapixels,
        workers=usual.workers if workers is None else workers,
        waiting=waiting,
        seconds=seconds,
    )
    serve(
        run,
        index=index,
        photos=photos,
        data=data,
        split=split,
        host=host,
        port=port,
        token=token or os.environ.get("UNBOXED_STUDIO_TOKEN"),
        names=allow_host,
        limits=limits,
        show=show,
    )
