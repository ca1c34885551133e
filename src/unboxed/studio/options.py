"""Options of the studio: which data it shows, the address it listens on, and the limits of its requests."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from pathlib import Path

from tyro.conf import Suppress

from unboxed.errors import StudioError
from unboxed.runtime.paths import accept_strings
from unboxed.runtime.threads import available_cores

__all__ = ["Limits", "StudioAddress", "StudioSources"]

_SMALLEST = 1e-3  # megabytes, megapixels and seconds


@dataclass(frozen=True)
class StudioSources:
    """The data that the studio shows.

    Attributes:
        index: index to search, made by `unboxed index`.
        images: folder, or a dataset's TOML file or table, whose images can be picked from a list.
        data: dataset to browse with its captions grounded: a TOML file, CSV, JSONL or folder.
        split: split of that dataset.
        labels: output of `unboxed label`, whose boxes can be corrected; the corrections are kept beside it.
    """

    index: Path | None = None
    images: Path | None = None
    data: Path | None = None
    split: str = "val"
    labels: Path | None = None

    def __post_init__(self) -> None:
        accept_strings(self)


@dataclass(frozen=True)
class StudioAddress:
    """Where the studio listens and who may send requests.

    Attributes:
        host: address to listen on. Any address that other machines can reach needs a token.
        port: port to listen on; 0 takes any free port.
        token: secret that every request must carry. The environment variable UNBOXED_STUDIO_TOKEN sets it without
            showing it in the list of processes.
        allow_host: host names under which a reverse proxy forwards requests.
    """

    host: str = "127.0.0.1"
    port: int = 8321
    token: str | None = field(default=None, repr=False)
    allow_host: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        accept_strings(self)

    def check(self) -> None:
        """Check the port.

        Raises:
            StudioError: there is no such port.
        """
        if not 0 <= self.port <= 65535:
            raise StudioError(f"--port {self.port} is not a port; give one of 1 to 65535, or 0 for any free one.")


@dataclass(frozen=True)
class Limits:
    """Limits of a single request and of all requests together.

    Attributes:
        workers: requests processed at the same time; by default one for each core.
        waiting: requests that may wait for a worker. Further ones are answered with status 429.
        megabytes: size of an uploaded image.
        megapixels: size of an image, read from its header before a pixel is decoded.
        seconds: duration of a grounding request, including the time it waits.
        caption: characters of a caption or query.
        search_seconds: duration of a search or of a page of a dataset.
        page_seconds: after this time the captions found so far are sent as a page; the client requests the rest.
        upload_seconds: time in which the body of a request must arrive.
        cached: images whose regions are kept in memory; the least recently used one is dropped first.
    """

    workers: int = field(default_factory=available_cores)
    waiting: int = 48
    megabytes: float = 20
    megapixels: float = 40
    seconds: float = 30
    # Not options of the command line.
    caption: Suppress[int] = 500
    search_seconds: Suppress[float] = 120
    page_seconds: Suppress[float] = 2
    upload_seconds: Suppress[float] = 60
    cached: Suppress[int] = 64

    def check(self) -> None:
        """Check the numbers.

        Raises:
            StudioError: a limit is not a positive number.
        """
        for option in fields(self):
            value = getattr(self, option.name)
            least = 0 if option.name == "waiting" else 1 if isinstance(value, int) else _SMALLEST
            if not least <= value < math.inf:  # a NaN too
                raise StudioError(
                    f"--{option.name} {value} is not possible; give "
                    + ("0 or more." if least == 0 else "1 or more." if least == 1 else "a number above 0.")
                )

    @property
    def bytes(self) -> int:
        """Size of an uploaded image in bytes."""
        return int(self.megabytes * 1e6)

    @property
    def pixels(self) -> int:
        """Size of an image in pixels."""
        return int(self.megapixels * 1e6)
