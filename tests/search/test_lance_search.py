"""Candidates from a LanceDB database are those of all exact products, and belong to one state of an index."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from unboxed.errors import SearchError
from unboxed.search import Index
from unboxed.search.candidates import ExactSearch
from unboxed.search.lance_search import LanceSearch

pytestmark = pytest.mark.filterwarnings("ignore")  # of LanceDB itself


@pytest.fixture
def lancedb() -> Any:
    """The package."""
    return pytest.importorskip("lancedb", reason="LanceDB is not installed")


def _vectors(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 16, generator=torch.Generator().manual_seed(seed)).half()


@pytest.mark.usefixtures("lancedb")
@pytest.mark.parametrize("compressed", [False, True])
def test_the_largest_products_are_found(compressed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unboxed.search.lance_search._COMPRESSED_FROM", 1000 if compressed else 10_000)
    vectors_NE, asked, unseen = _vectors(3000, 0), _vectors(16, 1).float(), _vectors(10, 2).float()
    LanceSearch.write(str(tmp_path), "this", vectors_NE, asked)
    search = LanceSearch.open(str(tmp_path), "this")
    assert (search.cells > 0) == compressed
    exact = ExactSearch(vectors_NE.float())
    shares = [torch.isin(exact.top(query_E, 10), search.top(query_E, 300)).float().mean() for query_E in unseen]
    assert torch.stack(shares).mean() > (0.95 if compressed else 0.999)
    if not compressed:
        assert torch.equal(search.top(unseen[0], 5), exact.top(unseen[0], 5))


@pytest.mark.usefixtures("lancedb")
def test_an_open_search_keeps_its_vectors_and_another_state_is_refused(tmp_path: Path) -> None:
    before, now, query = _vectors(50, 0), _vectors(60, 1), _vectors(1, 2)[0].float()
    LanceSearch.write(str(tmp_path), "before", before, _vectors(4, 3).float())
    opened = LanceSearch.open(str(tmp_path), "before")
    LanceSearch.write(str(tmp_path), "now", now, _vectors(4, 3).float())
    assert torch.equal(opened.top(query, 9), ExactSearch(before.float()).top(query, 9))
    assert torch.equal(LanceSearch.open(str(tmp_path), "now").top(query, 9), ExactSearch(now.float()).top(query, 9))
    with pytest.raises(SearchError, match="another index, or of this one before it was changed"):
        LanceSearch.open(str(tmp_path), "before")
    with pytest.raises(SearchError, match="There are no vectors in the database"):
        LanceSearch.open(str(tmp_path / "nothing"), "now")
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("name", ["vectors", "about"])
def test_a_table_of_another_program_is_not_replaced(name: str, lancedb: Any, tmp_path: Path) -> None:
    database = lancedb.connect(str(tmp_path))
    database.create_table(name, [{"id": 1, "text": "a dog"}])
    with pytest.raises(SearchError, match=f"has a table '{name}' of another program, with the columns id, text"):
        LanceSearch.write(str(tmp_path), "this", _vectors(9, 0), _vectors(1, 1).float())
    assert database.open_table(name).to_arrow().to_pylist() == [{"id": 1, "text": "a dog"}]
    with pytest.raises(SearchError, match="There are no vectors in the database"):
        LanceSearch.open(str(tmp_path), "this")


@pytest.mark.usefixtures("lancedb")
def test_an_index_finds_its_candidates_in_its_database(
    tiny_index_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unboxed.search.index._RANK_ALL", 0)
    exact = Index.open(tiny_index_folder)
    Index.open(tiny_index_folder).write_database(str(tmp_path))
    found = Index.open(tiny_index_folder, database=str(tmp_path))
    assert isinstance(found.vector_search, LanceSearch)
    scores = [[hit.score for hit in index.search("a red box", k=5, candidates=20)] for index in (exact, found)]
    assert scores[0] == pytest.approx(scores[1])


def test_what_fails_is_a_search_error(tiny_index_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(SearchError, match=r"pip install \"unboxed\[lance\]\""):
        Index.open(tiny_index_folder, database="somewhere")

    def connect(uri: str) -> None:
        raise OSError(f"{uri} is read-only")

    monkeypatch.setitem(sys.modules, "lancedb", SimpleNamespace(connect=connect))
    pytest.importorskip("pyarrow")
    with pytest.raises(SearchError, match="The database somewhere cannot be written"):
        Index.open(tiny_index_folder).write_database("somewhere")
