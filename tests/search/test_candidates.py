"""Vectors and weights reproduce scores, searches find the largest products, and anchor captions are always the same."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unboxed.errors import SearchError
from unboxed.search.candidates import ExactSearch, LowRankScores, anchor_captions
from unboxed.search.faiss_search import FaissSearch
from unboxed.text.tokens import Vocabulary


def test_scores_that_are_products_are_found_without_error() -> None:
    generator = torch.Generator().manual_seed(0)
    shown_ND, anchor_AD = torch.randn(500, 8, generator=generator), torch.randn(40, 8, generator=generator)
    sample_S = torch.arange(100)
    low_rank = LowRankScores.fit(shown_ND @ anchor_AD.T + 3, sample_S)
    asked_D = torch.randn(8, generator=generator)
    weights_F = low_rank.weights((shown_ND[sample_S] @ asked_D + 7)[:, None])[:, 0]
    approximate_N = low_rank.vectors(shown_ND @ anchor_AD.T + 3) @ weights_F[:-1] + weights_F[-1]
    np.testing.assert_allclose(approximate_N, shown_ND @ asked_D + 7, atol=0.1)


def test_of_all_cells_faiss_finds_what_the_exact_product_finds_and_of_few_the_share_that_it_measured() -> None:
    pytest.importorskip("faiss")
    generator = torch.Generator().manual_seed(0)
    centre = torch.randn(40, 16, generator=generator) * 2
    for images in (1000, 20_000):  # of a small set, the best hundred lie in many cells
        vectors_NE = centre[torch.randint(40, (images,), generator=generator)]
        vectors_NE = (vectors_NE + torch.randn(vectors_NE.shape, generator=generator)).half()
        asked, unseen = torch.randn(64, 16, generator=generator), torch.randn(20, 16, generator=generator)
        exact, cells = ExactSearch(vectors_NE.float()), FaissSearch.build(vectors_NE, asked)
        everything = FaissSearch.build(vectors_NE, asked, kept=1)
        assert everything.nprobe == everything.cells and everything.measured == 1
        shares = []
        for weights_E in unseen:
            best = exact.top(weights_E, 100).tolist()
            assert len(set(best) & set(everything.top(weights_E, 100).tolist())) >= 99  # 16 bits: a tie at the end
            shares.append(len(set(best) & set(cells.top(weights_E, 100).tolist())) / 100)
        assert cells.nprobe < 0.7 * cells.cells and cells.measured > 0.95
        assert np.mean(shares) > 0.95


def test_half_precision_finds_what_single_precision_finds() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors_NE = (torch.randn(30_000, 64, generator=generator) * 50).half()
    weights_E = torch.randn(64, generator=generator) * 1e4  # their products are beyond what 16 bits hold
    single = ExactSearch(vectors_NE.float()).top(weights_E, 100)
    assert torch.isin(single, ExactSearch(vectors_NE).top(weights_E, 110)).all()


def test_candidates_are_chosen_better_once_some_are_scored() -> None:
    generator = torch.Generator().manual_seed(0)
    shown_ND, anchor_AD = torch.randn(2000, 40, generator=generator), torch.randn(60, 40, generator=generator)
    score_NA = torch.relu(shown_ND @ anchor_AD.T)
    sample_S = torch.arange(100)
    low_rank = LowRankScores.fit(score_NA, sample_S)
    vectors_NE = low_rank.vectors(score_NA)
    before, after = [], []
    for asked_D in torch.randn(20, 40, generator=generator):
        score_N = torch.relu(shown_ND @ asked_D - 4)  # the best differ where all others are alike
        weights_F = low_rank.weights(score_N[sample_S, None])[:, 0]
        best = set(score_N.topk(10).indices.tolist())
        first_K = (vectors_NE @ weights_F[:-1]).topk(50).indices
        before.append(len(best & set((vectors_NE @ weights_F[:-1]).topk(100).indices.tolist())))
        better_F = low_rank.refined_weights(
            vectors_NE[sample_S], score_N[sample_S], vectors_NE[first_K], score_N[first_K]
        )
        approximate_N = (vectors_NE @ better_F[:-1]).index_fill(0, first_K, float("-inf"))
        after.append(len(best & set(first_K.tolist() + approximate_N.topk(50).indices.tolist())))
    assert np.mean(after) > np.mean(before) + 0.5


def test_images_that_all_have_the_same_scores_have_vectors_of_zeros() -> None:
    same_NA = torch.ones(20, 6) * torch.arange(6)
    low_rank = LowRankScores.fit(same_NA, torch.arange(5))
    assert low_rank.vectors(same_NA).abs().max() < 1e-4
    weights_F = low_rank.weights(torch.full((5, 1), 3.0))[:, 0]
    assert float(weights_F[-1]) == pytest.approx(3, abs=1e-3)  # the constant is all that is left


@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 2**16))
def test_the_exact_search_is_the_order_of_the_products(vectors: int, count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    vectors_NE, weights_E = torch.randn(vectors, 4, generator=generator), torch.randn(4, generator=generator)
    naive = sorted(range(vectors), key=lambda row: -float(vectors_NE[row] @ weights_E))
    assert ExactSearch(vectors_NE).top(weights_E, count).tolist() == naive[:count]


def test_weights_of_zero_find_any_images() -> None:
    assert len(set(ExactSearch(torch.randn(9, 4)).top(torch.zeros(4), 5).tolist())) == 5


def test_without_faiss_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(SearchError, match=r'pip install "unboxed\[search\]"`, or leave out --faiss'):
        FaissSearch.build(torch.randn(9, 4), torch.randn(2, 4))


def test_faiss_without_queries_searches_all_cells_and_with_one_measures_with_it() -> None:
    pytest.importorskip("faiss")
    vectors_NE = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    without = FaissSearch.build(vectors_NE, torch.zeros(0, 4))
    assert (without.nprobe, without.measured) == (without.cells, 1.0)
    assert 0.9 <= FaissSearch.build(vectors_NE, torch.ones(1, 4)).measured <= 1


def test_anchor_captions_are_made_of_content_words_and_common_ones_are_preferred() -> None:
    captions = ["a dog runs"] * 9 + ["a red cat sleeps"] * 3 + ["the boat"]
    vocabulary = Vocabulary.from_captions(captions, 1)
    anchors = anchor_captions(vocabulary, 200)
    assert anchors == anchor_captions(vocabulary, 200) and len(set(anchors)) > 100
    form_words = {"a", "on", "and", "with", "in", "is", "near", "front", "of"}
    used = [word for anchor in anchors for word in anchor.split() if word not in form_words]
    assert set(used) == {"dog", "runs", "red", "cat", "sleeps", "boat"}
    assert used.count("dog") > 2 * used.count("boat")


@pytest.mark.parametrize("captions", [["of the"], ["…"]])
def test_a_vocabulary_without_content_words_has_anchor_captions_too(captions: list[str]) -> None:
    anchors = anchor_captions(Vocabulary.from_captions(captions, 1), 5)
    assert len(anchors) == 5 and "{}" not in "".join(anchors)
