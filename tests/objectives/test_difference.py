"""The score difference of SPRM by hand, and its hard negatives."""

from __future__ import annotations

import pytest
import torch

from unboxed.objectives.difference import caption_cosines, hardest_image, image_of_most_similar, score_difference


def test_the_hard_negative_is_the_image_whose_caption_shares_rare_words() -> None:
    # captions 0 and 2 share the rare word 9, captions 0 and 1 only the frequent word 5
    tokens_CW = torch.tensor([[5, 9, 3], [5, 6, 3], [9, 7, 5], [5, 8, 0]])
    content_CW = torch.tensor([[1, 1, 0], [1, 1, 0], [1, 1, 1], [1, 1, 0]], dtype=torch.bool)
    chosen = hardest_image(tokens_CW, content_CW, torch.tensor([0, 1, 2, 0]))
    assert int(chosen[0]) == 2
    assert all(int(chosen[c]) != paired for c, paired in enumerate([0, 1, 2, 0]))


def test_the_difference_of_scores_by_hand() -> None:
    paired_C, negative_C = torch.tensor([2.0, 1.5, 1.0]), torch.tensor([0.3, 0.1, 0.2])
    assert float(score_difference(paired_C, negative_C)) == pytest.approx(((0.3 - 2) + (0.1 - 1.5) + (0.2 - 1)) / 3)
    both = score_difference(paired_C, torch.stack([negative_C, paired_C]))
    assert float(both) == pytest.approx(((0.3 - 2) + (0.1 - 1.5) + (0.2 - 1)) / 6)


def test_captions_are_alike_by_the_means_over_phrases_of_the_means_over_words() -> None:
    vectors_CWE = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    phrases = [[[0, 1, 2], [3]], [[1, 2]], [[0], [2, 3]]]  # words of the phrases of each caption
    phrase_CPW = torch.zeros(3, 2, 4, dtype=torch.bool)
    for c, of_caption in enumerate(phrases):
        for p, words in enumerate(of_caption):
            phrase_CPW[c, p, words] = True
    means = [
        torch.stack([vectors_CWE[c, words].mean(dim=0) for words in of_caption]).mean(dim=0)
        for c, of_caption in enumerate(phrases)
    ]
    found_CC = caption_cosines(vectors_CWE, phrase_CPW)
    for c in range(3):
        for other in range(3):
            expected = torch.cosine_similarity(means[c], means[other], dim=0)
            assert float(found_CC[c, other]) == pytest.approx(float(expected), abs=1e-6)


def test_the_image_of_the_most_similar_caption_is_another_image() -> None:
    similarity_CC = torch.tensor([[1.0, 0.2, 0.9], [0.2, 1.0, 0.1], [0.9, 0.1, 1.0]])
    assert image_of_most_similar(similarity_CC, torch.tensor([0, 1, 0])).tolist() == [1, 0, 1]
