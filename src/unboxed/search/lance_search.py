"""Candidates from a LanceDB database: compressed vectors in cells (IVF, PQ), in a folder or in object storage.

    about     one row: which index the vectors are of, the cells that a query searches, and the version of `vectors`
    vectors   the row of each image in the table of the index, and its vector

Axis letters are those of `candidates` and `faiss_search`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unboxed.errors import SearchError, plain_reason
from unboxed.runtime.urls import url_of
from unboxed.search.candidates import ExactSearch

__all__ = ["LanceSearch"]

_BLOCK = 1 << 16  # vectors that are added at once: bounds the memory
_COMPRESSED_FROM = 10_000  # fewer are compared with every query
_COMPONENTS = 4  # of a vector, that share a byte
_KEPT, _BEST, _POOL = 0.98, 100, 2048
_COLUMNS = {"vectors": ["row", "vector"], "about": ["of", "cells", "version"]}


class LanceSearch:
    """Finds the vectors with the largest products in a database that `write` made.

    Attributes:
        cells: that a query searches; 0 where all vectors are compared.
    """

    def __init__(self, table: Any, cells: int) -> None:
        self._table, self.cells = table, cells

    @classmethod
    def write(cls, uri: str, of: str, vectors_NE: torch.Tensor, queries_QE: torch.Tensor) -> LanceSearch:
        """Write the vectors of an index to a database, in place of those that it has of one.

        The number of cells that a query searches is measured: with it, 98 % of the hundred best exact products of the
        queries are found. Searches that opened the database before keep the vectors of before.

        Args:
            uri: a folder, or a URL such as `s3://bucket/vectors`.
            of: identifies the table of the index.
            vectors_NE: may be a map of a file, of which a block is in memory at a time.
            queries_QE: weights of typical queries.

        Raises:
            SearchError: LanceDB is not installed, the database cannot be written, or a table in it is not of this
                library.
        """
        lancedb, pyarrow = _packages()
        count, width = vectors_NE.shape
        schema = pyarrow.schema([("row", pyarrow.int64()), ("vector", pyarrow.list_(pyarrow.float32(), width))])
        try:
            database = lancedb.connect(uri)
            _require_own(database, uri)
            blocks = pyarrow.RecordBatchReader.from_batches(schema, _blocks(vectors_NE, schema))
            table = database.create_table("vectors", blocks, mode="overwrite")
            search = cls(table, 0)
            if count >= _COMPRESSED_FROM and width % _COMPONENTS == 0:
                parts = round(count**0.5)
                table.create_index(
                    metric="dot", num_partitions=parts, num_sub_vectors=width // _COMPONENTS, index_type="IVF_PQ"
                )
                search = cls(table, _cells(table, parts, vectors_NE, queries_QE))
            about = {"of": [of], "cells": [search.cells], "version": [table.version]}
            database.create_table("about", pyarrow.table(about), mode="overwrite")
        except SearchError:
            raise
        except Exception as error:  # of LanceDB, of the file system, or of object storage
            raise SearchError(f"The database {uri} cannot be written ({plain_reason(error)}).") from error
        return search

    @classmethod
    def open(cls, uri: str, of: str) -> LanceSearch:
        """Open what `write` wrote.

        Raises:
            SearchError: LanceDB is not installed, there is no such database, or it has the vectors of another index or
                of an earlier state of this one.
        """
        lancedb, _ = _packages()
        try:
            if url_of(uri) is None:
                Path(uri).stat()  # `connect` would make the folder
            database = lancedb.connect(uri)
            (about,) = database.open_table("about").to_arrow().to_pylist()
            table = database.open_table("vectors")
            table.checkout(about["version"])
            written_for, cells = about["of"], int(about["cells"])
        except Exception as error:
            raise SearchError(
                f"There are no vectors in the database {uri} ({plain_reason(error)}); write them with `unboxed index "
                "--database`."
            ) from error
        if written_for != of:
            raise SearchError(
                f"The database {uri} has the vectors of another index, or of this one before it was changed; run "
                "`unboxed index --database` again."
            )
        return cls(table, cells)

    def top(self, weights_E: torch.Tensor, count: int) -> torch.Tensor:
        """The rows of `count` vectors, the largest product first; fewer where the searched cells contain fewer."""
        query = self._table.search(weights_E.float().numpy(), vector_column_name="vector").distance_type("dot")
        if self.cells:
            query = query.nprobes(self.cells)
        found = query.limit(count).select(["row", "_distance"]).to_arrow()
        return torch.from_numpy(found["row"].to_numpy().copy())


def _require_own(database: Any, uri: str) -> None:
    """Raise an error for tables of another program, which `write` would replace."""
    for name, columns in _COLUMNS.items():
        try:
            found = database.open_table(name).schema.names
        except ValueError:  # there is none
            continue
        if found != columns:
            raise SearchError(
                f"The database {uri} has a table {name!r} of another program, with the columns {', '.join(found)}; "
                "name another database."
            )


def _blocks(vectors_NE: torch.Tensor, schema: Any) -> Iterator[Any]:
    import pyarrow

    width = vectors_NE.shape[1]
    for start in range(0, len(vectors_NE), _BLOCK):
        block_ME = vectors_NE[start : start + _BLOCK].float().numpy()
        rows = pyarrow.array(np.arange(start, start + len(block_ME)))
        vectors = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(block_ME.reshape(-1)), width)
        yield pyarrow.RecordBatch.from_arrays([rows, vectors], schema=schema)


def _cells(table: Any, parts: int, vectors_NE: torch.Tensor, queries_QE: torch.Tensor) -> int:
    """The smallest power of two of `parts` cells with which the best products of the queries are found."""
    exact, cells = ExactSearch(vectors_NE), 1
    best = [exact.top(query_E, _BEST) for query_E in queries_QE]
    while cells < parts:
        search = LanceSearch(table, cells)
        found = [
            torch.isin(best_K, search.top(query_E, _POOL)) for best_K, query_E in zip(best, queries_QE, strict=True)
        ]
        if float(torch.cat(found).float().mean()) >= _KEPT:
            break
        cells *= 2
    return min(cells, parts)


def _packages() -> tuple[Any, Any]:
    try:
        import lancedb
        import pyarrow
    except ModuleNotFoundError:
        raise SearchError(
            'LanceDB is not installed; install it with `pip install "unboxed[lance]"`, or leave out --database.'
        ) from None
    return lancedb, pyarrow
