"""Two-stage search beside a plain full ranking, for images and for captions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from unboxed.data.dataset import load_dataset
from unboxed.errors import CaptionError, SearchError
from unboxed.inference.grounder import Grounder
from unboxed.recipes import RECIPES
from unboxed.regions.store.region_store import RegionStore
from unboxed.search import Index, index_images
from unboxed.search.candidates import ExactScan, FaissScan
from unboxed.search.image_embeddings import ground_stored, stored_images, together
from unboxed.search.low_rank import Sketch
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
    assert {hit.name: hit.score for hit in hits} == pytest.approx(naive, abs=2e-3)  # codes are kept in 16 bits
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
    monkeypatch.setattr("unboxed.search.index._ALL", 0)
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


@pytest.mark.parametrize("name", ["ckd", "sprm", "scan", "bfan", "pfan", "sgr", "saf", "vse"])
def test_every_recipe_scores_and_grounds_what_is_kept_as_what_was_seen(
    name: str, tiny_world: tuple[Path, Path], prior_run: Grounder
) -> None:
    data, store = load_dataset(tiny_world[0]), RegionStore.open(tiny_world[1])
    examples = data.split("val").examples[:6]
    regions = [store[example.image_id] for example in examples]
    torch.manual_seed(0)
    options = RECIPES[name](joint_width=32, prior="semantic" if name == "sprm" else "none")
    config = replace(prior_run.config, recipe=name, options=options)
    model = options.build(prior_run.vocabulary, config.region_width)
    grounder = Grounder(config, model, prior_run.vocabulary, prior_run.prior if name == "sprm" else None)
    captions = [caption for example in examples for caption in example.captions[:2]]
    images = stored_images(grounder, regions)
    with torch.inference_mode():
        kept_BC = grounder.model.score(together(images), grounder.encode_captions(captions)).numpy()
    np.testing.assert_allclose(kept_BC, grounder.score(regions, captions), rtol=0.01, atol=2e-3)
    for grounding, own in zip(ground_stored(grounder, images, captions[0]), regions, strict=True):
        direct = grounder.ground_regions(own, [captions[0]])[0]
        for ours, theirs in zip(grounding.phrases, direct.phrases, strict=True):
            np.testing.assert_allclose(ours.scores, theirs.scores, rtol=0.02, atol=5e-3)


@pytest.fixture(scope="module")
def prior_run(tiny_world: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Grounder:
    from unboxed.recipes.sprm import SPRM
    from unboxed.training.fit import FitSettings, fit

    run = tmp_path_factory.mktemp("prior") / "run"
    fit("sprm", SPRM(untrained=True, joint_width=32), FitSettings(tiny_world[0], run, regions=tiny_world[1]))
    return Grounder.load(run)


def test_scores_that_are_products_are_found_without_error() -> None:
    generator = torch.Generator().manual_seed(0)
    shown_ND, probe_AD = torch.randn(500, 8, generator=generator), torch.randn(40, 8, generator=generator)
    sample_S = torch.arange(100)
    sketch = Sketch.fit(shown_ND @ probe_AD.T + 3, sample_S)
    asked_D = torch.randn(8, generator=generator)
    weights_F = sketch.weights((shown_ND[sample_S] @ asked_D + 7)[:, None])[:, 0]
    close_N = sketch.vectors(shown_ND @ probe_AD.T + 3) @ weights_F[:-1] + weights_F[-1]
    np.testing.assert_allclose(close_N, shown_ND @ asked_D + 7, atol=0.1)


def test_of_all_cells_faiss_finds_what_the_exact_product_finds_and_of_few_the_share_that_it_measured() -> None:
    pytest.importorskip("faiss")
    generator = torch.Generator().manual_seed(0)
    centre = torch.randn(40, 16, generator=generator) * 2
    for images in (1000, 20_000):  # of a small set, the best hundred lie in many cells
        vectors_NE = centre[torch.randint(40, (images,), generator=generator)]
        vectors_NE = (vectors_NE + torch.randn(vectors_NE.shape, generator=generator)).half()
        asked, unseen = torch.randn(64, 16, generator=generator), torch.randn(20, 16, generator=generator)
        exact, cells = ExactScan(vectors_NE.float()), FaissScan(vectors_NE, asked)
        everything = FaissScan(vectors_NE, asked, kept=1)
        assert everything.probes == everything.cells and everything.measured == 1
        shares = []
        for weights_E in unseen:
            best = exact.top(weights_E, 100).tolist()
            assert len(set(best) & set(everything.top(weights_E, 100).tolist())) >= 99  # 16 bits: a tie at the end
            shares.append(len(set(best) & set(cells.top(weights_E, 100).tolist())) / 100)
        assert cells.probes < 0.7 * cells.cells and cells.measured > 0.95
        assert np.mean(shares) > 0.95


def test_half_precision_finds_what_single_precision_finds() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors_NE = (torch.randn(30_000, 64, generator=generator) * 50).half()
    weights_E = torch.randn(64, generator=generator) * 1e4  # their products are beyond what 16 bits hold
    single = ExactScan(vectors_NE.float()).top(weights_E, 100)
    assert torch.isin(single, ExactScan(vectors_NE).top(weights_E, 110)).all()


def test_candidates_are_chosen_better_once_some_are_scored() -> None:
    generator = torch.Generator().manual_seed(0)
    shown_ND, probe_AD = torch.randn(2000, 40, generator=generator), torch.randn(60, 40, generator=generator)
    probes_NA = torch.relu(shown_ND @ probe_AD.T)
    sample_S = torch.arange(100)
    sketch = Sketch.fit(probes_NA, sample_S)
    vectors_NE = sketch.vectors(probes_NA)
    before, after = [], []
    for asked_D in torch.randn(20, 40, generator=generator):
        score_N = torch.relu(shown_ND @ asked_D - 4)  # the best differ where all others are alike
        weights_F = sketch.weights(score_N[sample_S, None])[:, 0]
        best = set(score_N.topk(10).indices.tolist())
        first_K = (vectors_NE @ weights_F[:-1]).topk(50).indices
        before.append(len(best & set((vectors_NE @ weights_F[:-1]).topk(100).indices.tolist())))
        better_F = sketch.weights_with(vectors_NE[sample_S], score_N[sample_S], vectors_NE[first_K], score_N[first_K])
        close_N = (vectors_NE @ better_F[:-1]).index_fill(0, first_K, float("-inf"))
        after.append(len(best & set(first_K.tolist() + close_N.topk(50).indices.tolist())))
    assert np.mean(after) > np.mean(before) + 0.5
