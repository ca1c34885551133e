"""Two-stage search beside a plain full ranking, for images and for captions."""

from __future__ import annotations

import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unboxed.errors import CaptionError, SearchError
from unboxed.inference.grounder import Grounder
from unboxed.search import FaissSearch, Index, IndexOptions, index_images
from unboxed.text.phrases import noun_phrases
from unboxed.types import Caption

QUERY = "a red box beside a blue box"


def test_images_come_in_the_order_of_a_full_ranking_with_their_boxes(
    tiny_index: Index, tiny_run: Path, tiny_dataset: Path
) -> None:
    grounder = Grounder.load(tiny_run)
    files = sorted((tiny_dataset.parent / "photos").iterdir())
    naive = {file.name: float(grounder.score([file], [QUERY])[0, 0]) for file in files}
    hits = tiny_index.search(QUERY, k=len(files))
    assert {hit.name: hit.score for hit in hits} == pytest.approx(naive, abs=2e-3)  # embeddings are stored in 16 bits
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    for hit in hits[:3]:
        direct = grounder.ground(hit.image, QUERY)
        assert [phrase.text for phrase in hit.phrases] == ["a red box", "a blue box"]
        for ours, theirs in zip(hit.phrases, direct.phrases, strict=True):
            assert ours.scores == pytest.approx(theirs.scores, abs=5e-3)
            assert ours.confidence == pytest.approx(theirs.confidence, abs=5e-3)


def test_what_two_stages_find_is_ranked_as_in_a_full_ranking(tiny_index: Index) -> None:
    caption = Caption(QUERY, noun_phrases(QUERY))
    rows, _ = tiny_index.ranked(caption, 5, candidates=len(tiny_index))
    some, their_scores = tiny_index.ranked(caption, 5, candidates=12)
    full = dict(zip(*tiny_index.ranked(caption, 40, candidates=40), strict=True))
    assert their_scores == pytest.approx([full[row] for row in some])
    assert tiny_index.recall([QUERY], k=5, candidates=12) == len(set(rows) & set(some)) / 5
    captions = [tiny_index.table.captions[c] for c in range(0, tiny_index.captions, 5)]
    # Half of the images hold nine tenths of the best fifth; by chance it would be half of them.
    assert tiny_index.recall(captions, k=8, candidates=20) > 0.9
    assert tiny_index.recall(captions, k=8, candidates=40) == 1


def test_captions_come_in_the_order_of_a_full_ranking(tiny_index: Index, tiny_run: Path, tiny_dataset: Path) -> None:
    image = tiny_dataset.parent / "photos" / "3.png"
    texts = sorted({tiny_index.table.captions[c] for c in range(tiny_index.captions)})
    naive = dict(zip(texts, Grounder.load(tiny_run).score([image], texts)[0].tolist(), strict=True))
    hits = tiny_index.captions_for(image, k=len(texts))
    assert {hit.caption: hit.score for hit in hits} == pytest.approx(naive, abs=2e-3)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(hit.image.is_file() for hit in hits)
    assert hits[0].phrases[0].text in hits[0].caption


def test_captions_beyond_those_ranked_exactly_are_found_by_their_weights(
    tiny_index: Index, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tiny_dataset.parent / "photos" / "3.png"
    best = [hit.caption for hit in tiny_index.captions_for(image, k=5)]
    monkeypatch.setattr("unboxed.search.index._RANK_ALL", 0)
    found = [hit.caption for hit in tiny_index.captions_for(image, k=5, candidates=20)]
    assert len(set(best) & set(found)) >= 4


def test_a_query_without_words_and_an_index_without_captions(
    tiny_index: Index, tiny_run: Path, own_images: Path, tmp_path: Path
) -> None:
    with pytest.raises(CaptionError, match="has no words"):
        tiny_index.search("…")
    index_images(tiny_run, own_images, tmp_path / "index", progress=False)
    with pytest.raises(SearchError, match="has no captions"):
        Index.open(tmp_path / "index").captions_for(own_images / "0.png")


@pytest.fixture
def ranks_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """No index is small enough to rank all of its images."""
    monkeypatch.setattr("unboxed.search.index._RANK_ALL", 0)


@pytest.mark.usefixtures("ranks_candidates")
def test_a_search_of_many_images_finds_nearly_what_a_full_ranking_finds(tiny_index: Index) -> None:
    full = [hit.name for hit in tiny_index.search(QUERY, k=5, candidates=40)]
    found = [hit.name for hit in tiny_index.search(QUERY, k=5, candidates=20)]
    assert len(found) == 5 and len(set(full) & set(found)) >= 4
    assert [hit.name for hit in tiny_index.search(QUERY, k=40, candidates=10)] == [
        hit.name for hit in tiny_index.search(QUERY, k=40, candidates=40)
    ]  # at least k are candidates
    assert tiny_index.search(QUERY, k=0) == []


@pytest.mark.usefixtures("ranks_candidates")
def test_the_recall_is_estimated_with_captions_of_the_index(tiny_index: Index) -> None:
    spread = [tiny_index.table.captions[row] for row in range(0, 80, 10)]
    assert tiny_index.estimated_recall(8, k=5, candidates=12) == tiny_index.recall(spread, k=5, candidates=12)
    assert tiny_index.estimated_recall(8, k=5, candidates=40) is None
    assert 0.5 < tiny_index.estimated_recall(1000, k=5, candidates=12) <= 1


@pytest.mark.usefixtures("ranks_candidates")
def test_without_captions_the_recall_is_estimated_with_anchor_captions(
    tiny_run: Path, own_images: Path, tmp_path: Path
) -> None:
    index_images(tiny_run, own_images, tmp_path / "index", progress=False)
    index = Index.open(tmp_path / "index")
    assert index.estimated_recall(5, k=3, candidates=6) == index.recall(index._anchors[:5], k=3, candidates=6)


def test_a_small_index_has_no_recall_to_estimate(tiny_index: Index) -> None:
    assert tiny_index.estimated_recall(5) is None


@pytest.mark.usefixtures("ranks_candidates")
@pytest.mark.parametrize("captions", [True, False])
def test_with_faiss_the_candidates_are_those_of_its_cells(
    captions: bool, tiny_run: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    pytest.importorskip("faiss")
    source = tiny_dataset if captions else tiny_dataset.parent / "photos"
    index_images(tiny_run, source, tmp_path / "index", progress=False)
    exact, cells = Index.open(tmp_path / "index"), Index.open(tmp_path / "index", faiss=True)
    assert isinstance(cells.vector_search, FaissSearch) and cells.vector_search.nprobe > 1
    found = [{hit.name for hit in index.search(QUERY, k=10, candidates=20)} for index in (exact, cells)]
    assert len(found[0] & found[1]) >= 8


def test_the_index_of_a_split_has_only_its_images_and_captions(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    summary = index_images(tiny_run, tiny_dataset, tmp_path / "index", IndexOptions(split="val"), progress=False)
    assert (summary.images, summary.captions) == (8, 16)
    assert {hit.name for hit in Index.open(tmp_path / "index").search(QUERY, k=99)} == {
        f"{i}.png" for i in range(0, 40, 5)
    }


def test_hits_show_their_image_in_notebooks(tiny_index: Index, tiny_dataset: Path) -> None:
    image = tiny_dataset.parent / "photos" / "3.png"
    hit, caption_hit = tiny_index.search(QUERY, k=1)[0], tiny_index.captions_for(image, k=1)[0]
    regions = tiny_index.grounder.regions_of(image)
    assert (hit.grounding.image, caption_hit.grounding.image) == (hit.image, image)
    assert tiny_index.captions_for(regions, k=1)[0].grounding.image is None
    picture = np.asarray(Image.open(BytesIO(hit.grounding._repr_png_())))
    assert (np.abs(picture.astype(int) - 0x88).max(axis=2) < 8).any()  # the grey of the image


def test_an_index_that_was_changed_since_it_was_opened_says_so(tiny_index_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_index_folder, tmp_path / "index")
    index = Index.open(tmp_path / "index")
    for shard in (tmp_path / "index").rglob("shards/*"):
        shard.unlink()
    with pytest.raises(SearchError, match="is gone: the index was changed since it was opened; open it again"):
        index.search(QUERY)
