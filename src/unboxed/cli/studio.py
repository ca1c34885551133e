"""The command `unboxed studio`."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from tyro.conf import OmitArgPrefixes, Positional

from unboxed.errors import StudioError
from unboxed.runtime.progress import show
from unboxed.studio.options import Limits, StudioAddress, StudioSources

__all__ = ["studio"]


def studio(
    run: Positional[Path],
    /,
    source: OmitArgPrefixes[StudioSources] = StudioSources(),  # noqa: B008, a frozen value
    server: OmitArgPrefixes[StudioAddress] = StudioAddress(),  # noqa: B008
    limit: OmitArgPrefixes[Limits] = Limits(),  # noqa: B008
) -> None:
    """Open a web page to ground captions, search images and browse a dataset. Only this machine can reach it.

    Args:
        run: folder of the run.
        source: images and datasets to show.
        server: where to listen and who may send requests.
        limit: limits of the requests.
    """
    try:
        from unboxed.studio.serve import serve
    except ModuleNotFoundError as error:
        raise StudioError(f'The studio needs {error.name}; install it with `pip install "unboxed[studio]"`.') from None

    token = server.token or os.environ.get("UNBOXED_STUDIO_TOKEN")
    serve(run, source, replace(server, token=token), limit, show)
