"""The semantic prior: scores by hand, batches beside naive loops, NumPy beside torch, saved files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from unboxed.errors import ModelError
from unboxed.priors.scoring import scores
from unboxed.priors.semantic import SemanticPrior
from unboxed.priors.settings import PriorSettings
from unboxed.text.word_vectors import WordVectors
from unboxed.text.wordnet import WordNet
from unboxed.types import Array

CLASSES = ("person", "dog", "tie", "grass", "segmenter:person", "detector2:dog")
BOXES = np.array([[0, 0, 20, 40], [50, 20, 70, 40], [80, 20, 100, 40], [0, 0, 100, 40], [5, 0, 15, 8]], np.float32)
SOURCES = ("detector", "detector", "detector", "union", "head")
PROBS = np.array(
    [
        [0.9, 0.0, 0.1, 0.0, 0.3, 0.0],
        [0.0, 0.8, 0.0, 0.0, 0.9, 0.6],
        [0.0, 0.4, 0.0, 0.0, 0.0, 0.7],
        [0.0, 0.6, 0.0, 0.5, 0.0, 0.6],
        [0.1, 0.0, 0.0, 0.0, 0.0, 0.0],
    ],
    np.float32,
)
REGIONS = SimpleNamespace(boxes=BOXES, class_probs=PROBS, sources=SOURCES, width=100, height=40)
PLAIN = PriorSettings(background=0, cooccurrence=0)
PHRASES = ["a man", "two dogs", "the left dog", "the right dog", "a hat", "grass", "a unicorn"]


def class_scores(prior: SemanticPrior) -> Array:
    return prior.class_scores(REGIONS)


def ranked(prior: SemanticPrior, phrase: str) -> Array:
    found: Array = scores(prior.affinity(phrase)[None], class_scores(prior))[0]
    return found


def test_scores_without_any_file_by_hand() -> None:
    prior = SemanticPrior.build(PLAIN, CLASSES)
    np.testing.assert_allclose(ranked(prior, "a dog"), [0, 0.7, 0.55, 0.3, 0], atol=1e-6)  # a union is not one dog
    np.testing.assert_allclose(ranked(prior, "two dogs"), [0, 0.7, 0.55, 0.6, 0], atol=1e-6)  # both detectors' mean
    np.testing.assert_allclose(ranked(prior, "a man"), [0.9, 0, 0, 0, 0.09], atol=1e-6)  # without the segmenter's
    np.testing.assert_allclose(ranked(prior, "his hat"), [0, 0, 0, 0, 0.9], atol=1e-6)  # as sure as the person is
    assert ranked(prior, "her dress").argmax() == 0
    assert not prior.affinity("a unicorn").any() and not ranked(prior, "a unicorn").any()
    larger = (1 + 4 * 0.5 * 1) / (1 + 4 * 0.5)  # of stuff, the whole image is preferred to its parts
    np.testing.assert_allclose(ranked(prior, "grass"), [0, 0, 0, 0.5 * 0.7 * larger * 0.5, 0], atol=1e-6)
    assert prior.width == 4 + 3 + 1 + 6


def test_the_best_of_several_head_nouns_depends_on_the_image() -> None:
    prior = SemanticPrior.build(replace(PLAIN, heads="best"), CLASSES)
    assert prior.affinity_width == 5 * prior.width == len(prior.affinity("a man"))
    one = SemanticPrior.build(PLAIN, CLASSES)
    for phrase in ("a man", "two dogs", "grass", "a unicorn"):  # of one noun
        np.testing.assert_allclose(ranked(prior, phrase), ranked(one, phrase), rtol=0, atol=1e-6)
    np.testing.assert_allclose(ranked(prior, "a man with a dog"), ranked(one, "a man"), rtol=0, atol=1e-6)
    without_person = PROBS * [0.1, 1, 1, 1, 0.1, 1]
    shown = prior.class_scores(SimpleNamespace(**{**vars(REGIONS), "class_probs": without_person}))
    found = scores(prior.affinity("a man with a dog")[None], shown)[0]
    np.testing.assert_allclose(found, scores(one.affinity("a dog")[None], shown)[0], rtol=0, atol=1e-6)


def test_a_plural_asks_for_the_box_around_all_where_that_is_wanted() -> None:
    wanted = SemanticPrior.build(replace(PLAIN, plural_union=1.5), CLASSES)
    assert ranked(wanted, "two dogs").argmax() == 3 and ranked(wanted, "a dog").argmax() == 1


def test_places_choose_among_boxes_of_one_label() -> None:
    prior = SemanticPrior.build(replace(PLAIN, plural_union=0, single_union=0), CLASSES)
    assert ranked(prior, "the dog on the right").argmax() == 2
    shown = prior.class_scores(SimpleNamespace(**{**vars(REGIONS), "class_probs": PROBS[[0, 2, 1, 3, 4]]}))
    left = scores(prior.affinity("the dog on the left")[None], shown)[0]
    assert left.argmax() == 1  # the box around both is no dog: it is not leftmost, though its centre is
    np.testing.assert_array_equal(ranked(prior, "the bright dog"), ranked(prior, "the dog"))
    off = SemanticPrior.build(replace(PLAIN, spatial=False), CLASSES)
    np.testing.assert_array_equal(ranked(off, "the right dog"), ranked(off, "the dog"))


def test_a_place_that_no_box_has_forbids_nothing() -> None:
    affinity, class_score = np.zeros((1, 9), np.float32), np.zeros((2, 9), np.float32)
    affinity[0, 0], class_score[:, 0] = 1, [0.3, 0.6]  # columns: one class, one part column unused, union, six places
    affinity[0, -4] = 1
    np.testing.assert_allclose(scores(affinity, class_score), [[0.3, 0.6]])
    class_score[0, -4] = 1
    np.testing.assert_allclose(scores(affinity, class_score), [[0.3, 0]])


def _naive(affinity: Array, class_score: Array) -> float:
    """The score of one phrase and one region before places, column by column."""
    classes = sum(float(a) * float(s) for a, s in zip(affinity[:-7], class_score[:-7], strict=True))
    return classes * (1 + float(affinity[-7]) * float(class_score[-7]))


def test_all_pairs_at_once_are_the_naive_loops_in_numpy_and_torch() -> None:
    generator = np.random.default_rng(0)
    captions, phrases, images, regions, width = 3, 2, 4, 5, 12
    affinity_CPE = generator.uniform(size=(captions, phrases, width)).astype(np.float32) / 5
    class_score_BRE = generator.uniform(size=(images, regions, width)).astype(np.float32)
    affinity_CPE[..., -6:] = generator.uniform(size=(captions, phrases, 6)) < 0.3
    class_score_BRE[..., -6:] = generator.uniform(size=(images, regions, 6)) < 0.3
    class_score_BRE[1, 3:] = 0  # padded regions
    by_loops = np.zeros((images, captions, phrases, regions))
    for b, c, p in np.ndindex(images, captions, phrases):
        phrase, place = affinity_CPE[c, p], affinity_CPE[c, p, -6:]
        fit = [_naive(phrase, class_score_BRE[b, r]) for r in range(regions)]
        there = [bool((place * class_score_BRE[b, r, -6:]).sum() >= 1) and fit[r] > 0 for r in range(regions)]
        by_loops[b, c, p] = [min(f, 1) if t or not any(there) else 0 for f, t in zip(fit, there, strict=True)]
    assert by_loops.std() > 0.01
    np.testing.assert_allclose(scores(affinity_CPE[None], class_score_BRE[:, None]), by_loops, rtol=1e-5)
    in_torch = scores(torch.from_numpy(affinity_CPE)[None], torch.from_numpy(class_score_BRE)[:, None])
    np.testing.assert_allclose(in_torch.numpy(), by_loops, rtol=1e-5)
    paired = scores(torch.from_numpy(affinity_CPE), torch.from_numpy(class_score_BRE[:captions]))
    np.testing.assert_allclose(paired.numpy(), by_loops[range(captions), range(captions)], rtol=1e-5)


def test_map_wordnet_vectors_and_captions_are_tried_in_order(tmp_path: Path) -> None:
    WordNet({"dog": ["d"], "poodle": ["o"]}, {"o": ["d"]}).save(tmp_path / "w.gz")
    WordVectors(["dog", "wolf", "grass"], np.array([[1, 0.0], [0.9, 0.1], [0, 1.0]])).save(tmp_path / "v.npz")
    (tmp_path / "m.json").write_text('{"unicorn": "tie"}', encoding="utf-8")
    settings = replace(
        PLAIN, wordnet=tmp_path / "w.gz", word_vectors=tmp_path / "v.npz", class_map=tmp_path / "m.json", cooccurrence=1
    )
    seen = [(["a blob"], PROBS[3:4])] * 5 + [(["a man"], PROBS[:1])] * 5
    prior = SemanticPrior.build(settings, CLASSES, images=seen)

    def best(phrase: str) -> str:
        return CLASSES[int(prior.affinity(phrase)[:4].argmax())]

    assert prior.affinity("a poodle")[1] == pytest.approx(0.93)
    assert (best("two poodles"), best("a wolf"), best("one unicorn")) == ("dog", "dog", "tie")
    assert prior.affinity("blobs")[:4].argmax() in (1, 3) and prior.affinity("blobs")[0] == 0
    alone = SemanticPrior.build(replace(settings, match=("names",)), CLASSES)
    assert not alone.affinity("a poodle").any()


def test_the_papers_prior_is_the_cosine_of_head_and_label(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    words = ["person", "dog", "tie", "grass", "man"]
    WordVectors(words, generator.normal(size=(5, 8)), unit=False).save(tmp_path / "v.npz")
    vectors = WordVectors.open(tmp_path / "v.npz")
    prior = SemanticPrior.build(PriorSettings.paper(tmp_path / "v.npz"), CLASSES)
    labels = ["person", "dog", "dog", "dog", "person"]
    by_hand = vectors.matrix(labels) @ vectors.matrix(["man"])[0]
    assert by_hand.min() < 0 < by_hand.max()
    np.testing.assert_allclose(ranked(prior, "an old man"), by_hand, atol=2e-3)
    prior.save(tmp_path / "prior")
    np.testing.assert_array_equal(SemanticPrior.load(tmp_path / "prior").affinity("man"), prior.affinity("man"))


def test_longer_vectors_count_more_in_the_mean_of_a_name() -> None:
    vectors = np.array([[8.0, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(
        WordVectors(["stop", "sign"], vectors, unit=False).vector("stop sign"), [0.992, 0.124], atol=1e-3
    )
    np.testing.assert_allclose(WordVectors(["stop", "sign"], vectors).vector("stop sign"), [0.5**0.5] * 2, atol=1e-3)


def test_a_loaded_prior_needs_none_of_the_files_it_was_built_from(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    WordNet({"dog": ["d"], "poodle": ["o"]}, {"o": ["d"]}).save(source / "w.gz")
    WordVectors(["dog", "wolf", "grass"], np.eye(3)).save(source / "v.npz")
    (source / "m.json").write_text('{"unicorn": "tie"}', encoding="utf-8")
    settings = PriorSettings(wordnet=source / "w.gz", word_vectors=source / "v.npz", class_map=source / "m.json")
    seen = [(["a blob", "the lawn"], PROBS)] * 6
    before = SemanticPrior.build(settings, CLASSES, images=seen)
    before.save(tmp_path / "prior")
    for file in source.iterdir():
        file.unlink()
    after = SemanticPrior.load(tmp_path / "prior")
    after.save(tmp_path / "again")
    for prior in (after, SemanticPrior.load(tmp_path / "again")):
        np.testing.assert_array_equal(class_scores(prior), class_scores(before))
        for phrase in [*PHRASES, "poodles", "a wolf", "a blob", "lawns", "the unicorn", "never seen before"]:
            np.testing.assert_array_equal(prior.affinity(phrase), before.affinity(phrase))


def test_vectors_counted_from_captions_are_saved_too(tmp_path: Path) -> None:
    captions = ["a dog runs on the grass", "a wolf runs on the grass", "a person wears a tie"] * 4
    prior = SemanticPrior.build(PLAIN, CLASSES, captions=captions)
    assert prior.affinity("a wolf")[:4].argmax() == 1
    prior.save(tmp_path)
    np.testing.assert_array_equal(SemanticPrior.load(tmp_path).affinity("a wolf"), prior.affinity("a wolf"))


def test_parts_of_persons_stand_for_clothing_only_without_clothing_classes() -> None:
    worn = ("shirt", "hat", "shoes", "jacket", "hair", "person")
    prior = SemanticPrior.build(PLAIN, worn)
    assert prior.affinity("a hat").argmax() == 1 and not prior.affinity("a helmet").any()


def test_no_regions_no_classes() -> None:
    prior = SemanticPrior.build(PLAIN, CLASSES)
    none = {"boxes": BOXES[:0], "class_probs": PROBS[:0], "sources": ()}
    nothing = prior.class_scores(SimpleNamespace(**{**vars(REGIONS), **none}))
    assert nothing.shape == (0, prior.width)
    empty = SemanticPrior.build(PLAIN, ())
    shown = empty.class_scores(SimpleNamespace(**{**vars(REGIONS), "class_probs": PROBS[:, :0]}))
    assert not scores(empty.affinity("a dog")[None], shown).any()


def test_errors_name_what_is_missing(tmp_path: Path) -> None:
    for name in ("word_vectors", "wordnet", "class_map"):
        with pytest.raises(ModelError, match="nowhere"):
            SemanticPrior.build(replace(PLAIN, **{name: tmp_path / "nowhere"}), CLASSES)
    (tmp_path / "map.json").write_text('\ufeff{"kitten": "cat"}', encoding="utf-8")
    with pytest.raises(ModelError, match=r"map\.json: .* 'kitten' the class 'cat'"):
        SemanticPrior.build(replace(PLAIN, class_map=tmp_path / "map.json"), CLASSES)
    with pytest.raises(ModelError, match="nothing to match with"):
        SemanticPrior.build(PriorSettings.paper(), CLASSES)
    synonyms = SemanticPrior.build(replace(PLAIN, match=("synonyms",), cooccurrence=0), ("television",))
    assert synonyms.affinity("a tv").any(), "synonyms need no file"
    with pytest.raises(ModelError, match="no semantic prior"):
        SemanticPrior.load(tmp_path)
    for content in ("{}", '{"format": "another"}', "[", "[]"):
        (tmp_path / "prior.json").write_text(content, encoding="utf-8")
        with pytest.raises(ModelError, match="damaged"):
            SemanticPrior.load(tmp_path)
    SemanticPrior.build(PLAIN, CLASSES).save(tmp_path)
    content = json.loads((tmp_path / "prior.json").read_text(encoding="utf-8"))
    (tmp_path / "prior.json").write_text(json.dumps(content | {"version": 99}), encoding="utf-8")
    with pytest.raises(ModelError, match="Update unboxed"):
        SemanticPrior.load(tmp_path)
