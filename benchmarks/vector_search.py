"""Search beyond memory: recall, time and size of faiss cells in a file, against all exact products.

The vectors are those of the 10,000 synthetic images of `unboxed bench search`, each repeated with random differences,
in a file of half-precision numbers. Cells are made from this file, written, and mapped into memory again. A query is
`FaissSearch.top` for 2,048 rows, whose vectors are then read from the file and ranked by their products, as
`Index.search` does before it ranks images exactly. *recall at 10* is the share of the ten largest of all products that
this finds, mean over 50 queries; *exact ms* is the time of all products in half precision. The queries are sentences;
the number of cells to search was measured with random captions. *update seconds* is the time in which one image in a
hundred is removed and as many are added. *bytes per image* is the size of the file of cells; the vectors take 256 more
on the disk.

By default there are 100,000 vectors; `--size 1e7` measures 10^5, 10^6 and 10^7. *largest* repeats the last size.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from benchmarks.harness import Result, SkippedError, Target
from benchmarks.search import parsed, synthetic_index
from unboxed.errors import SearchError
from unboxed.search.candidates import ExactSearch, anchor_captions
from unboxed.search.faiss_search import FaissSearch

TARGETS = (
    Target("recall of the ten largest products", "largest.recall_at_10", "at least", 0.95),
    Target("query, median", "largest.query_ms", "at most", 50, "ms"),
    Target("file of cells, per image", "largest.bytes_per_image", "at most", 64, "bytes"),
)

T = TypeVar("T")

_TYPICAL, _POOL, _BLOCK = 64, 2048, 100_000


def measure(show: Callable[[str], None], size: int = 100_000) -> Result:
    """Of 10^5 vectors, and of ten times as many up to `size`."""
    result: Result = {}
    with tempfile.TemporaryDirectory() as folder:
        small_NE, typical_QE, query_QE = _small(Path(folder), show)
        count = min(size, 100_000)
        while True:
            show(f"{count:,} vectors")
            vectors_NE = _vectors(Path(folder) / "vectors.float16", small_NE, count)
            try:
                figures = _figures(vectors_NE, typical_QE, query_QE, Path(folder))
            except SearchError as missing:
                raise SkippedError(str(missing)) from None
            result[f"{count:,} vectors"] = result["largest"] = figures
            if count >= size:
                return {name: result[name] for name in sorted(result, key=lambda name: name == "largest")}
            count = min(size, 10 * count)


@torch.inference_mode()
def _small(folder: Path, show: Callable[[str], None]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Vectors of the synthetic images, and the weights of random captions and of sentences."""
    show("10,000 images")
    index, _, sentences = synthetic_index(folder)
    grounder = index.grounder
    anchors = anchor_captions(grounder.vocabulary)[:_TYPICAL]
    captions = grounder.encode_captions([parsed(text) for text in [*anchors, *sentences]])
    weights_QE = index.table.low_rank.weights(grounder.model.score(index._sample, captions))[:-1].T.contiguous()
    return index.table.vectors_NE.clone(), weights_QE[:_TYPICAL], weights_QE[_TYPICAL:]


def _vectors(file: Path, small_NE: torch.Tensor, count: int) -> torch.Tensor:
    """The map of a file of `count` vectors: random ones of the small set with random differences."""
    width, generator = small_NE.shape[1], torch.Generator().manual_seed(1)
    spread_E = 0.3 * small_NE.float().std(dim=0)
    with file.open("wb") as stream:
        for start in range(0, count, _BLOCK):
            like_M = torch.randint(len(small_NE), (min(_BLOCK, count - start),), generator=generator)
            block_ME = small_NE[like_M].float()
            block_ME += torch.randn(block_ME.shape, generator=generator) * spread_E
            stream.write(block_ME.half().numpy().tobytes())
    return torch.from_numpy(np.memmap(file, np.float16, "r+", shape=(count, width)))


def _figures(
    vectors_NE: torch.Tensor, typical_QE: torch.Tensor, query_QE: torch.Tensor, folder: Path
) -> dict[str, float]:
    count, file = len(vectors_NE), folder / "cells.faiss"
    seconds, built = _timed(lambda: FaissSearch.build(vectors_NE, typical_QE))
    built.save(file)
    exact, mapped = ExactSearch(vectors_NE), FaissSearch.load(file)
    best = [_ranked(vectors_NE, exact.top(query_E, 20), query_E) for query_E in query_QE]
    figures = {
        "recall_at_10": _recall(vectors_NE, mapped, query_QE, best),
        "query_ms": _median_ms(lambda query_E: _ranked(vectors_NE, mapped.top(query_E, _POOL), query_E), query_QE),
        "exact_ms": _median_ms(lambda query_E: exact.top(query_E, 20), query_QE[:5]),
        "bytes_per_image": file.stat().st_size / count,
        "build_seconds": seconds,
        "cells": built.cells,
        "searched_cells": built.nprobe,
    }
    generator = torch.Generator().manual_seed(2)
    removed_M = torch.randperm(count, generator=generator)[: count // 100]
    source_N = torch.arange(count)
    source_N[removed_M] = -1  # its place is taken by an image whose vector is the negative of another one's
    vectors_NE[removed_M] = -vectors_NE[torch.randint(count, (len(removed_M),), generator=generator)]
    figures["update_seconds"], _ = _timed(lambda: mapped.update(source_N, vectors_NE, typical_QE))
    best = [_ranked(vectors_NE, exact.top(query_E, 20), query_E) for query_E in query_QE]
    return figures | {"recall_after_update": _recall(vectors_NE, mapped, query_QE, best)}


def _ranked(vectors_NE: torch.Tensor, rows: torch.Tensor, query_E: torch.Tensor) -> torch.Tensor:
    """The ten of the rows with the largest products in single precision."""
    return rows[(vectors_NE[rows].float() @ query_E).topk(10).indices]


def _recall(vectors_NE: torch.Tensor, search: FaissSearch, query_QE: torch.Tensor, best: list[torch.Tensor]) -> float:
    found = [_ranked(vectors_NE, search.top(query_E, _POOL), query_E) for query_E in query_QE]
    return float(torch.stack([torch.isin(*pair).float().mean() for pair in zip(best, found, strict=True)]).mean())


def _median_ms(work: Callable[[torch.Tensor], object], query_QE: torch.Tensor) -> float:
    return 1000 * statistics.median(_timed(partial(work, query_E))[0] for query_E in query_QE)


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found
