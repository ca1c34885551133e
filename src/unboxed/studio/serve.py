"""Start of the studio: loads the run and its data, and serves the page."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import cast

import torch
import uvicorn
from PIL import Image
from starlette.types import ASGIApp

from unboxed.data.dataset import load_dataset
from unboxed.errors import StudioError
from unboxed.export.labels_file import companion
from unboxed.inference.grounder import Grounder
from unboxed.runtime.locks import file_lock
from unboxed.runtime.progress import Show
from unboxed.search import Index
from unboxed.studio.browse import DatasetBrowser
from unboxed.studio.connections import PER_ADDRESS, TimedConnection
from unboxed.studio.corrector import Corrector
from unboxed.studio.grounding_cache import ExtractedImage, GroundingCache
from unboxed.studio.image_library import ImageLibrary
from unboxed.studio.middleware import Token, is_loopback
from unboxed.studio.options import Limits, StudioAddress, StudioSources
from unboxed.studio.service import Studio, create_app

__all__ = ["open_studio", "serve"]

_CONNECTIONS = 512


def open_studio(
    run: Path,
    sources: StudioSources = StudioSources(),  # noqa: B008, a frozen value
    *,
    token: Token | None = None,
    allowed_hosts: Collection[str] = (),
    limits: Limits | None = None,
    show: Show = lambda line: None,
) -> ASGIApp:
    """The studio of a run as an ASGI application. The models have run once, so that the first request is not slower.

    Args:
        run: folder of the run.
        sources: images and datasets to show.
        token: secret that requests must carry.
        allowed_hosts: host names of the service, in addition to `localhost` and IP addresses.
        limits: limits of the requests.
        show: called with a line of text at every step.

    Raises:
        UnboxedError: the run, an index, a folder or a dataset is missing or unusable.
    """
    limits = limits or Limits()
    library = ImageLibrary(limits, sources.images)
    show(f"Loading {run}")
    cache = GroundingCache(Grounder.load(run), limits, library)
    regions = cache.extractor(Image.new("RGB", (64, 64), "grey"))
    cache.ground(ExtractedImage("", "", regions, (64, 64)), "a grey square")
    browser = None
    if sources.data is not None:
        dataset = load_dataset(sources.data)
        show(f"Reading {dataset.name}, {sources.split}")
        browser = DatasetBrowser(cache, dataset, sources.split, run, limits)
    index = Index.open(sources.index) if sources.index is not None else None
    labels = Corrector(library, sources.labels) if sources.labels is not None else None
    return create_app(Studio(cache, run.resolve().name, limits, browser, index, token, allowed_hosts, labels))


def serve(run: Path, sources: StudioSources, address: StudioAddress, limits: Limits, show: Show) -> None:
    """Serve the studio of a run until it is stopped.

    Args:
        run: folder of the run.
        sources: images and datasets to show.
        address: where to listen and who may send requests.
        limits: limits of the requests.
        show: called with a line of text at every step.

    Raises:
        UnboxedError: the studio cannot be started with these options.
    """
    address.check()
    limits.check()
    host = address.host
    if not is_loopback(host) and address.token is None:
        raise StudioError(
            f"Other machines can reach {host}, so the studio needs a token: set UNBOXED_STUDIO_TOKEN, or give --token, "
            'such as "$(python -c "import secrets; print(secrets.token_urlsafe(24))")".'
        )
    token = Token(address.token) if address.token is not None else None
    with _corrections_lock(sources.labels, show), _listening_socket(host, address.port) as listening:
        if limits.workers > 1:
            torch.set_num_threads(1)  # requests that are processed at the same time keep the cores busy
        app = open_studio(run, sources, token=token, allowed_hosts=address.allow_host, limits=limits, show=show)
        shown = f"[{host}]" if ":" in host else host
        show(f"Studio: http://{shown}:{listening.getsockname()[1]}/ (stop it with Ctrl-C)")
        # Behind a reverse proxy all connections come from one address.
        per_address = _CONNECTIONS if address.allow_host else PER_ADDRESS
        config = uvicorn.Config(
            app,
            http=cast("type[TimedConnection]", partial(TimedConnection, per_address=per_address)),
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=5,
        )
        try:
            uvicorn.Server(config).run(sockets=[listening])
        except KeyboardInterrupt:  # uvicorn raises it again after it has closed everything
            show("Stopped.")


def _corrections_lock(labels: Path | None, show: Show) -> AbstractContextManager[None]:
    """The lock of the corrections, which one process at a time writes."""
    return nullcontext() if labels is None else file_lock(companion(labels, "corrections"), show=show)


def _listening_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=256, reuse_port=False)
    except OSError as error:
        raise StudioError(
            f"The studio cannot listen on {host}, port {port} ({os.strerror(error.errno or 0)}); choose another port "
            "with --port, or an address of this machine with --host."
        ) from None
