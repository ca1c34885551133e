"""Cells of faiss in a file find what those in memory find, and follow an index without being trained again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from unboxed.errors import SearchError
from unboxed.search import ExactSearch, FaissSearch, Index, IndexOptions, faiss_search, index_images
from unboxed.search.cells import same_vectors
from unboxed.search.index_table import ImageTable

pytest.importorskip("faiss")

FAISS = IndexOptions(faiss=True)


def _vectors(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(count, 16, generator=generator) * torch.linspace(2, 0.1, 16)).half()


@pytest.fixture(params=["half precision", "compressed"])
def vectors_NE(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """Vectors that are stored in half precision or compressed."""
    if request.param == "compressed":
        monkeypatch.setattr(faiss_search, "_COMPRESSED_FROM", 1)
    return _vectors(3000, 0)


def _recall(search: FaissSearch, vectors_NE: torch.Tensor, queries_QE: torch.Tensor) -> float:
    """Share of the ten largest products among the hundred rows that the search puts first."""
    exact = ExactSearch(vectors_NE.float())
    shares = [torch.isin(exact.top(query_E, 10), search.top(query_E, 100)).float().mean() for query_E in queries_QE]
    return float(torch.stack(shares).mean())


def test_cells_of_a_file_find_what_those_in_memory_find(vectors_NE: torch.Tensor, tmp_path: Path) -> None:
    asked, unseen = _vectors(64, 1).float(), _vectors(20, 2).float()
    built = FaissSearch.build(vectors_NE, asked)
    built.save(tmp_path / "cells.faiss")
    loaded = FaissSearch.load(tmp_path / "cells.faiss")
    assert len(loaded) == 3000 and loaded.nprobe == built.nprobe < built.cells
    assert all(torch.equal(loaded.top(query_E, 50), built.top(query_E, 50)) for query_E in unseen)
    assert _recall(loaded, vectors_NE, unseen) > 0.95


def test_updated_cells_have_the_rows_of_now_under_their_new_numbers(vectors_NE: torch.Tensor, tmp_path: Path) -> None:
    asked, unseen = _vectors(64, 1).float(), _vectors(20, 2).float()
    built = FaissSearch.build(vectors_NE, asked)
    built.save(tmp_path / "cells.faiss")
    kept_K = torch.randperm(3000, generator=torch.Generator().manual_seed(3))[:2000]  # a third is removed
    now_NE = torch.cat([_vectors(500, 4), vectors_NE[kept_K]])
    source_N = torch.cat([torch.full((500,), -1), kept_K])
    for search in (built, FaissSearch.load(tmp_path / "cells.faiss")):
        search.update(source_N, now_NE, asked)
        assert len(search) == 2500 and search.suits(now_NE)
        search.nprobe = search.cells
        assert _recall(search, now_NE, unseen) > 0.98
        rows = torch.cat([search.top(query_E, 2500) for query_E in unseen[:2]])
        assert rows.sort().values.tolist() == sorted([*range(2500)] * 2)


def test_rows_of_the_same_digest_have_the_same_vector() -> None:
    generator = torch.Generator().manual_seed(0)
    before_MK = torch.randint(0, 2, (40, 4), dtype=torch.uint8, generator=generator)
    now_NK = torch.randint(0, 3, (60, 4), dtype=torch.uint8, generator=generator)
    known = [row.tolist() for row in before_MK]
    for row, source in zip(now_NK.tolist(), same_vectors(before_MK, now_NK).tolist(), strict=True):
        assert known[source] == row if source >= 0 else row not in known


def test_cells_follow_their_index_and_an_open_one_answers_as_before(
    tiny_run: Path, own_images: Path, different: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "index"
    index_images(tiny_run, own_images, out, FAISS, progress=False)
    (file,) = out.rglob("cells-*.faiss")
    opened = Index.open(out, faiss=True)
    query = torch.ones(opened.table.vectors_NE.shape[1])
    before = opened.vector_search.top(query, 12).tolist()
    monkeypatch.setattr(faiss_search, "_trained", lambda vectors_NE: pytest.fail("is trained again"))
    for number in range(1, 4):
        (own_images / f"{number}.png").rename(own_images / f"moved-{number}.png")
        shutil.copyfile(different[12 + number], own_images / f"new-{number}.png")
        index_images(tiny_run, own_images, out, progress=False)  # without the option: the cells stay
        assert opened.vector_search.top(query, 12).tolist() == before
        now = Index.open(out, faiss=True)
        assert now.table.cells != file.name and len(now.vector_search.top(query, 99)) == 12 + number
        exact = ExactSearch(now.table.vectors_NE.float()).top(query, 3)
        assert torch.equal(now.vector_search.top(query, 3), exact)
    assert len(list(out.rglob("*cells*"))) == 2  # those of the table, and of the one before


def test_damaged_cells_and_other_files_are_refused(tiny_run: Path, own_images: Path, tmp_path: Path) -> None:
    out = tmp_path / "index"
    index_images(tiny_run, own_images, out, FAISS, progress=False)
    (file,) = out.rglob("cells-*.faiss")
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(SearchError, match="is damaged; delete it and run `unboxed index --faiss` again"):
        Index.open(out, faiss=True)
    Index.open(out)
    index_images(tiny_run, own_images, out, progress=False)
    Index.open(out, faiss=True)
    for file in out.rglob("cells-*.faiss"):
        file.unlink()
    with pytest.raises(SearchError, match="is gone: the index was changed"):
        Index.open(out, faiss=True)
    table = ImageTable.load(next(out.rglob("table.safetensors")))
    object.__setattr__(table, "cells", "../../elsewhere.faiss")
    table.save(tmp_path / "table.safetensors")
    with pytest.raises(SearchError, match=r"elsewhere\.faiss' is no file of cells"):
        ImageTable.load(tmp_path / "table.safetensors")
