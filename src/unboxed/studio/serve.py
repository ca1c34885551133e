"""Starting the studio: from folders to a service that answers."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection
from pathlib import Path

import torch
import uvicorn
from PIL import Image
from starlette.types import ASGIApp

from unboxed.data.dataset import load_dataset
from unboxed.errors import StudioError
from unboxed.inference.grounder import Grounder
from unboxed.search import Index
from unboxed.studio.browse import Browser
from unboxed.studio.grounding_cache import GroundingCache, Seen
from unboxed.studio.image_store import ImageLibrary
from unboxed.studio.limits import Limits
from unboxed.studio.middleware import Token, is_loopback
from unboxed.studio.search import SearchIndex
from unboxed.studio.service import Studio, create_app

__all__ = ["open_studio", "serve"]

_CONNECTIONS = 512


def open_studio(
    run: Path,
    *,
    index: Path | None = None,
    photos: Path | None = None,
    data: Path | None = None,
    split: str = "val",
    token: Token | None = None,
    names: Collection[str] = (),
    limits: Limits | None = None,
    show: Callable[[str], None] = lambda line: None,
) -> ASGIApp:
    """The service for a run, with its models loaded and tried once, so that the first request is as quick as the next.

    Args:
        run: the run's folder.
        index: images to search.
        photos: a folder of images to pick from.
        data: a dataset to browse.
        split: which split of it.
        token: what requests must show.
        names: host names that the service is asked by, beside `localhost` and plain addresses.
        limits: sizes, times, and how much at once.
        say: is told what is being done.

    Raises:
        UnboxedError: a run, an index, a folder or a dataset that is not there or not usable.
    """
    limits = limits or Limits()
    shelf = ImageLibrary(limits, photos)
    show(f"Loading {run}")
    desk = GroundingCache(Grounder.load(run), limits, shelf)
    desk.ground(Seen("", "", desk.extractor(Image.new("RGB", (64, 64), "grey")), (64, 64)), "a grey square")
    browser = None
    if data is not None:
        dataset = load_dataset(data)
        show(f"Reading {dataset.name}, {split}")
        browser = Browser(desk, dataset, split, run, limits)
    opened = _open_index(index) if index is not None else None
    return create_app(Studio(desk, run.resolve().name, limits, browser, opened, token, names))


def serve(
    run: Path,
    *,
    index: Path | None,
    photos: Path | None,
    data: Path | None,
    split: str,
    host: str,
    port: int,
    token: str | None,
    names: Collection[str],
    limits: Limits,
    show: Callable[[str], None],
) -> None:
    """Serve the studio until it is stopped; the arguments are those of `unboxed studio`.

    Raises:
        UnboxedError: it cannot be started as asked.
    """
    if not is_loopback(host) and token is None:
        raise StudioError(
            f"Others can reach {host}, so the studio asks them for a token: set UNBOXED_STUDIO_TOKEN, or give --token, "
            'such as "$(python -c "import secrets; print(secrets.token_urlsafe(24))")".'
        )
    kept = Token(token) if token is not None else None
    listening = _listen(host, port)
    with listening:
        if limits.workers > 1:
            torch.set_num_threads(1)  # the requests worked on side by side keep the cores busy
        app = open_studio(
            run, index=index, photos=photos, data=data, split=split, token=kept, names=names, limits=limits, show=show
        )
        shown = f"[{host}]" if ":" in host else host
        show(f"Studio: http://{shown}:{listening.getsockname()[1]}/ (stop it with Ctrl-C)")
        config = uvicorn.Config(
            app,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=5,
        )
        try:
            uvicorn.Server(config).run(sockets=[listening])
        except KeyboardInterrupt:  # uvicorn passes it on after it has closed everything
            show("Stopped.")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=256, reuse_port=False)
    except OSError as error:
        raise StudioError(
            f"The studio cannot listen on {host}, port {port} ({os.strerror(error.errno or 0)}); choose another port "
            "with --port, or an address of this machine with --host."
        ) from None


def _open_index(path: Path) -> SearchIndex:
    return Index.open(path)
