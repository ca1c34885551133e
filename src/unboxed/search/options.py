"""The options of building and of searching an index. Loads neither PyTorch nor NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unboxed.errors import SearchError
from unboxed.runtime.counts import require_workers
from unboxed.runtime.paths import accept_strings

__all__ = ["CandidateOptions", "IndexOptions"]


@dataclass(frozen=True)
class IndexOptions:
    """What is indexed, and how its regions are found.

    Attributes:
        split: only this split of a dataset.
        regions: store with regions of the dataset; by default they are extracted with the settings of the run.
        again: encode all images again if the index was made by another run.
        workers: threads that extract regions; by default one for each core.
        strict: stop at the first image that cannot be read instead of skipping it.
        faiss: also write the cells that `unboxed search --faiss` uses, and measure its recall. Once written, they are
            kept up to date.
        wait: wait while another process writes the index, instead of ending with an error.

    Raises:
        SearchError: a number of workers out of range.
    """

    split: str | None = None
    regions: Path | None = None
    again: bool = False
    workers: int | None = None
    strict: bool = False
    faiss: bool = False
    wait: bool = False

    def __post_init__(self) -> None:
        accept_strings(self)
        require_workers(self.workers, SearchError)


@dataclass(frozen=True)
class CandidateOptions:
    """What finds the candidates of a search; by default the products with all vectors.

    Attributes:
        faiss: find the candidates with faiss, for millions of images, in the cells that `unboxed index --faiss` wrote,
            or else in new ones in memory.
        database: find the candidates in this LanceDB database, which `unboxed index --database` wrote.
    """

    faiss: bool = False
    database: str | None = None
