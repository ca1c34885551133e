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
    sources: OmitArgPrefixes[StudioSources] = StudioSources(),  # noqa: B008, a frozen value
    address: OmitArgPrefixes[StudioAddress] = StudioAddress(),  # noqa: B008
    limits: OmitArgPrefixes[Limits] = Limits(),  # noqa: B008
) -> None:
    """Open a web page to ground captions, search images and browse a dataset. Only this machine can reach it.

    Args:
        run: folder of the run.
        sources: images and datasets to show.
        address: where to listen and who may send requests.
        limits: limits of the requests.
    """
    try:
        from unboxed.studio.serve import serve
    except ModuleNotFoundError as error:
        raise StudioError(f'The studio needs {error.name}; install it with `pip install "unboxed[studio]"`.') from None

    token = address.token or os.environ.get("UNBOXED_STUDIO_TOKEN")
    serve(run, sources, replace(address, token=token), limits, show)
